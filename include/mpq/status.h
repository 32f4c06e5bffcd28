// Errors as values. The library never throws across its API, never aborts and never prints because
// of data: what can fail returns a Status, or a Result<T> that holds either the value or the
// Status.
#ifndef MPQ_STATUS_H_
#define MPQ_STATUS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

namespace mpq {

enum class ErrorCode : uint8_t {
  kOk = 0,
  kInvalidArgument = 1,     // the caller asked for something that has no meaning
  kIo = 2,                  // the operating system refused: no such file, disk full, ...
  kTruncated = 3,           // the file ends before what it announces
  kCorrupt = 4,             // a checksum, a count or a code contradicts the rest of the file
  kUnsupportedVersion = 5,  // written by a newer format
  kUnsupported = 6,         // valid, but this build or this engine cannot do it
  kLimitExceeded = 7,       // beyond a limit of docs/mpq_format.md or of the caller
  kOutOfMemory = 8,
};

// The name of an error code as users see it, e.g. "corrupt".
const char* ErrorCodeName(ErrorCode code);

class [[nodiscard]] Status {
 public:
  Status() = default;  // success
  Status(ErrorCode code, std::string message) : code_(code), message_(std::move(message)) {}

  bool ok() const { return code_ == ErrorCode::kOk; }
  ErrorCode code() const { return code_; }
  // One line that names the thing, its value and the limit. Empty on success.
  const std::string& message() const { return message_; }
  // The same error with "context: " before its message; success stays success.
  Status WithContext(const std::string& context) const;

 private:
  ErrorCode code_ = ErrorCode::kOk;
  std::string message_;
};

// Either a T or the reason why there is none.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}          // NOLINT: implicit by design
  Result(Status status) : status_(std::move(status)) {}  // NOLINT: implicit by design

  bool ok() const { return value_.has_value(); }
  const Status& status() const { return status_; }
  // Only valid when ok().
  T& value() & { return *value_; }
  const T& value() const& { return *value_; }
  T&& value() && { return std::move(*value_); }
  T& operator*() & { return *value_; }
  const T& operator*() const& { return *value_; }
  T* operator->() { return &*value_; }
  const T* operator->() const { return &*value_; }

 private:
  std::optional<T> value_;
  Status status_;
};

#define MPQ_STATUS_CONCAT_(a, b) a##b
#define MPQ_STATUS_NAME_(line) MPQ_STATUS_CONCAT_(mpq_result_, line)

// Returns from the calling function when `expr` (a Status) is an error.
#define MPQ_RETURN_IF_ERROR(expr)              \
  do {                                         \
    ::mpq::Status mpq_status_ = (expr);        \
    if (!mpq_status_.ok()) return mpq_status_; \
  } while (false)

// MPQ_ASSIGN_OR_RETURN(auto x, MakeX()): declares x, or returns MakeX()'s error.
#define MPQ_ASSIGN_OR_RETURN(declaration, expr) \
  MPQ_ASSIGN_OR_RETURN_(MPQ_STATUS_NAME_(__LINE__), declaration, expr)
#define MPQ_ASSIGN_OR_RETURN_(name, declaration, expr) \
  auto name = (expr);                                  \
  if (!name.ok()) return name.status();                \
  declaration = std::move(name).value()

}  // namespace mpq

#endif  // MPQ_STATUS_H_
