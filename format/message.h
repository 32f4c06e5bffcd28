// Builds error messages from text and numbers without a formatting library.
#ifndef MPQ_FORMAT_MESSAGE_H_
#define MPQ_FORMAT_MESSAGE_H_

#include <concepts>
#include <cstdio>
#include <string>
#include <string_view>

#include "mpq/status.h"

namespace mpq {

inline void AppendPart(std::string& out, std::string_view part) { out.append(part); }
inline void AppendPart(std::string& out, char part) { out.push_back(part); }
template <std::integral T>
void AppendPart(std::string& out, T part) {
  out += std::to_string(part);
}
template <std::floating_point T>
void AppendPart(std::string& out, T part) {
  char text[32];
  std::snprintf(text, sizeof text, "%.6g", static_cast<double>(part));
  out += text;
}

// Message("tensor '", name, "' has ", n, " channels")
template <typename... Parts>
std::string Message(const Parts&... parts) {
  std::string out;
  (AppendPart(out, parts), ...);
  return out;
}

// Error(ErrorCode::kCorrupt, "node '", name, "': ", n, " inputs, expected 2")
template <typename... Parts>
Status Error(ErrorCode code, const Parts&... parts) {
  return Status(code, Message(parts...));
}

}  // namespace mpq

#endif  // MPQ_FORMAT_MESSAGE_H_
