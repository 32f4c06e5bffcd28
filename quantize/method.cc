#include "quantize/method.h"

#include "format/message.h"
#include "quantize/uniform.h"

namespace mpq {

namespace {

struct MethodEntry {
  std::string_view name;
  std::unique_ptr<Method> (*make)();
};

// A new method is one line here.
constexpr MethodEntry kMethods[] = {
    {"uniform", MakeUniformMethod},
};

}  // namespace

Result<std::unique_ptr<Method>> MakeMethod(std::string_view name) {
  std::string names;
  for (const MethodEntry& entry : kMethods) {
    if (entry.name == name) return entry.make();
    names += names.empty() ? "" : ", ";
    names += entry.name;
  }
  return Error(ErrorCode::kInvalidArgument, "unknown method '", name, "'; known: ", names);
}

std::vector<std::string_view> MethodNames() {
  std::vector<std::string_view> names;
  for (const MethodEntry& entry : kMethods) names.push_back(entry.name);
  return names;
}

}  // namespace mpq
