/* Classifies a photograph with libengine's C interface (docs/library.md).
 * usage: classify_c MODEL.mpq PHOTO.ppm */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "mpq/mpq.h"

enum { kBest = 5, kMaxSide = 1 << 14 };

/* Binary PPM with 8 bits a channel and no comments: a stand-in for your own decoder. Returns packed
 * RGB bytes that the caller frees, or NULL. */
static uint8_t* ReadPpm(const char* path, uint32_t* height, uint32_t* width) {
  FILE* file = fopen(path, "rb");
  if (file == NULL) return NULL;
  uint8_t* rgb = NULL;
  uint32_t largest = 0;
  if (fscanf(file, "P6 %u %u %u", width, height, &largest) == 3 && largest == 255 &&
      fgetc(file) != EOF && *width > 0 && *height > 0 && *width <= kMaxSide &&
      *height <= kMaxSide) {
    const size_t num_bytes = (size_t)3 * *width * *height;
    rgb = malloc(num_bytes);
    if (rgb != NULL && fread(rgb, 1, num_bytes, file) != num_bytes) {
      free(rgb);
      rgb = NULL;
    }
  }
  fclose(file);
  return rgb;
}

static void PrintBest(const mpq_model* model, float* logits) {
  const uint32_t count = mpq_model_num_classes(model);
  for (int rank = 0; rank < kBest && (uint32_t)rank < count; ++rank) {
    uint32_t best = 0;
    for (uint32_t i = 1; i < count; ++i) {
      if (logits[i] > logits[best]) best = i;
    }
    const char* label = mpq_model_label(model, best);
    printf("%g  %s\n", (double)logits[best], label != NULL ? label : "?");
    logits[best] = -1e30f; /* not again */
  }
}

/* Returns 0, or 1 with the reason in mpq_last_error(). */
static int Classify(const mpq_model* model, mpq_session* session, const uint8_t* rgb,
                    uint32_t height, uint32_t width) {
  uint8_t* pixels = malloc((size_t)3 * mpq_model_height(model) * mpq_model_width(model));
  float* logits = malloc(sizeof(float) * mpq_model_num_classes(model));
  int failed = 1;
  if (pixels != NULL && logits != NULL &&
      mpq_session_preprocess(session, rgb, height, width, pixels) == MPQ_OK &&
      mpq_session_run(session, pixels, 1, logits) == MPQ_OK) {
    PrintBest(model, logits);
    failed = 0;
  }
  free(logits);
  free(pixels);
  return failed;
}

int main(int argc, char** argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: %s MODEL.mpq PHOTO.ppm\n", argv[0]);
    return 2;
  }
  uint32_t height = 0, width = 0;
  uint8_t* rgb = ReadPpm(argv[2], &height, &width);
  if (rgb == NULL) {
    fprintf(stderr, "%s: %s: no binary PPM of 8 bits\n", argv[0], argv[2]);
    return 1;
  }
  mpq_model* model = NULL;
  mpq_session* session = NULL;
  const int failed = mpq_model_load(argv[1], &model) != MPQ_OK ||
                     mpq_session_create(model, NULL, &session) != MPQ_OK ||
                     Classify(model, session, rgb, height, width) != 0;
  if (failed) fprintf(stderr, "%s: %s\n", argv[0], mpq_last_error());
  mpq_session_free(session);
  mpq_model_free(model);
  free(rgb);
  return failed;
}
