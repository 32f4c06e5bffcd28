#include <algorithm>
#include <initializer_list>
#include <new>
#include <string_view>
#include <utility>

#include "engine/core/no_throw.h"
#include "mpq/image.h"
#include "mpq/model.h"
#include "mpq/mpq.h"
#include "mpq/session.h"

struct mpq_model {
  mpq::Model model;
};

struct mpq_session {
  mpq::Model model;
  mpq::Session session;
};

namespace {

// A fixed buffer: reporting an error must not need memory.
thread_local char last_error[512] = "";

// The message is what the parts make together, cut to the buffer.
mpq_status Report(mpq::ErrorCode code, std::initializer_list<std::string_view> parts) {
  size_t size = 0;
  for (const std::string_view part : parts) {
    size += part.copy(last_error + size, sizeof last_error - 1 - size);
  }
  last_error[size] = '\0';
  return static_cast<mpq_status>(code);
}

mpq_status Report(const mpq::Status& status) { return Report(status.code(), {status.message()}); }

mpq_status NullArgument(const char* function) {
  return Report(mpq::ErrorCode::kInvalidArgument, {function, ": null argument"});
}

mpq_status HandOver(mpq::Result<mpq::Model> loaded, mpq_model** model) {
  if (!loaded.ok()) return Report(loaded.status());
  *model = new (std::nothrow) mpq_model{std::move(loaded).value()};
  if (*model != nullptr) return MPQ_OK;
  return Report(mpq::ErrorCode::kOutOfMemory, {"model: out of memory"});
}

}  // namespace

const char* mpq_last_error(void) { return last_error; }
const char* mpq_version(void) { return MPQ_VERSION; }

mpq_status mpq_model_load(const char* path, mpq_model** model) {
  if (path == nullptr || model == nullptr) return NullArgument("mpq_model_load");
  *model = nullptr;
  // Its argument is a string.
  return HandOver(mpq::WithoutThrowing(
                      "model", [&]() -> mpq::Result<mpq::Model> { return mpq::Model::Load(path); }),
                  model);
}

mpq_status mpq_model_from_memory(const void* file, size_t num_bytes, mpq_model** model) {
  if (file == nullptr || model == nullptr) return NullArgument("mpq_model_from_memory");
  *model = nullptr;
  return HandOver(mpq::Model::FromMemory({static_cast<const uint8_t*>(file), num_bytes}), model);
}

void mpq_model_free(mpq_model* model) { delete model; }

uint32_t mpq_model_height(const mpq_model* model) { return model->model.input_height(); }
uint32_t mpq_model_width(const mpq_model* model) { return model->model.input_width(); }
uint32_t mpq_model_num_classes(const mpq_model* model) { return model->model.num_classes(); }

const char* mpq_model_label(const mpq_model* model, uint32_t class_index) {
  const std::vector<std::string>& labels = model->model.labels();
  return class_index < labels.size() ? labels[class_index].c_str() : nullptr;
}

mpq_status mpq_session_create(const mpq_model* model, const mpq_session_options* options,
                              mpq_session** session) {
  if (model == nullptr || session == nullptr) return NullArgument("mpq_session_create");
  *session = nullptr;
  const auto create = [&]() -> mpq::Status {
    mpq::SessionOptions all;
    if (options != nullptr) {
      all.threads = std::max(options->threads, 1u);
      all.batch = std::max(options->batch, 1u);
      all.height = options->height;
      all.width = options->width;
      all.memory_limit = options->memory_limit;
      if (options->isa != nullptr) all.isa = options->isa;
    }
    mpq::Result<mpq::Session> created = mpq::Session::Create(model->model, all);
    if (!created.ok()) return created.status();
    *session = new mpq_session{model->model, std::move(created).value()};
    return mpq::Status();
  };
  return Report(mpq::WithoutThrowing("session", create));
}

void mpq_session_free(mpq_session* session) { delete session; }

uint64_t mpq_session_memory_bytes(const mpq_session* session) {
  return session->session.memory_bytes();
}

mpq_status mpq_session_preprocess(const mpq_session* session, const uint8_t* rgb, uint32_t height,
                                  uint32_t width, uint8_t* pixels) {
  if (session == nullptr || rgb == nullptr || pixels == nullptr) {
    return NullArgument("mpq_session_preprocess");
  }
  const mpq::ImageView image(height, width, {rgb, size_t{height} * width * 3});
  const mpq::Result<mpq::Image> ready =
      mpq::Preprocess(session->model, image, session->session.height(), session->session.width());
  if (!ready.ok()) return Report(ready.status());
  std::copy(ready->rgb.begin(), ready->rgb.end(), pixels);
  return MPQ_OK;
}

mpq_status mpq_session_run(mpq_session* session, const uint8_t* pixels, uint32_t n, float* logits) {
  if (session == nullptr || pixels == nullptr || logits == nullptr) {
    return NullArgument("mpq_session_run");
  }
  const size_t image_bytes = size_t{session->session.height()} * session->session.width() *
                             session->model.input_channels();
  const mpq::Status status = session->session.Run({pixels, n * image_bytes}, n);
  if (!status.ok()) return Report(status);
  const std::span<const float> results = session->session.logits();
  std::copy(results.begin(), results.end(), logits);
  return MPQ_OK;
}
