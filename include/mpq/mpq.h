/* C interface of libengine: what model.h, session.h and image.h offer, for C and for other
 * languages. Functions that can fail return an mpq_status; mpq_last_error() then has the reason.
 * Objects belong to the caller, who frees them; NULL may always be freed. One session serves one
 * thread at a time; a model may be shared by any number of sessions, and may be freed before them.
 */
#ifndef MPQ_MPQ_H_
#define MPQ_MPQ_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The values of mpq::ErrorCode. */
typedef enum mpq_status {
  MPQ_OK = 0,
  MPQ_INVALID_ARGUMENT = 1,
  MPQ_IO = 2,
  MPQ_TRUNCATED = 3,
  MPQ_CORRUPT = 4,
  MPQ_UNSUPPORTED_VERSION = 5,
  MPQ_UNSUPPORTED = 6,
  MPQ_LIMIT_EXCEEDED = 7,
  MPQ_OUT_OF_MEMORY = 8
} mpq_status;

typedef struct mpq_model mpq_model;
typedef struct mpq_session mpq_session;

/* The message of the last error on the calling thread; "" before any. Valid until the next call. */
const char* mpq_last_error(void);
/* "0.1.0" */
const char* mpq_version(void);

/* Maps the file. It must not change while the model lives. */
mpq_status mpq_model_load(const char* path, mpq_model** model);
/* Uses the caller's bytes in place: 64-byte aligned, alive as long as the model and its sessions.
 */
mpq_status mpq_model_from_memory(const void* file, size_t num_bytes, mpq_model** model);
void mpq_model_free(mpq_model* model);

uint32_t mpq_model_height(const mpq_model* model);
uint32_t mpq_model_width(const mpq_model* model);
uint32_t mpq_model_num_classes(const mpq_model* model);
/* NULL if the model has no labels or no such class. */
const char* mpq_model_label(const mpq_model* model, uint32_t class_index);

/* 0 means: one thread, one image, the model's own size, no memory limit. isa may be NULL. */
typedef struct mpq_session_options {
  uint32_t threads;
  uint32_t batch;
  uint32_t height, width;
  const char* isa;
  uint64_t memory_limit;
} mpq_session_options;

/* options may be NULL. */
mpq_status mpq_session_create(const mpq_model* model, const mpq_session_options* options,
                              mpq_session** session);
void mpq_session_free(mpq_session* session);
/* Bytes of activations and scratch that the session holds. */
uint64_t mpq_session_memory_bytes(const mpq_session* session);

/* Resizes and crops a packed RGB image to the session's input: height * width * 3 bytes at
 * `pixels`. */
mpq_status mpq_session_preprocess(const mpq_session* session, const uint8_t* rgb, uint32_t height,
                                  uint32_t width, uint8_t* pixels);
/* pixels: n images of height * width * 3 bytes, RGB. logits: n * num_classes floats to write. */
mpq_status mpq_session_run(mpq_session* session, const uint8_t* pixels, uint32_t n, float* logits);

#ifdef __cplusplus
}
#endif

#endif /* MPQ_MPQ_H_ */
