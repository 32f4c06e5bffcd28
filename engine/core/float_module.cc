#include "engine/core/float_module.h"

#include <dlfcn.h>
#include <unistd.h>

#include <climits>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "format/message.h"

namespace mpq {

namespace {

// "/a/b" of "/a/b/c"; empty without a slash.
std::string Folder(std::string_view path) {
  const size_t slash = path.rfind('/');
  return std::string(path.substr(0, slash == std::string_view::npos ? 0 : slash));
}

std::string ProgramFolder() {
  char path[PATH_MAX];
  const ssize_t length = readlink("/proc/self/exe", path, sizeof path);
  return length <= 0 ? std::string() : Folder({path, static_cast<size_t>(length)});
}

// Of the shared object that holds this code: libengine.so, or the program itself.
std::string LibraryFolder() {
  Dl_info info;
  if (dladdr(reinterpret_cast<void*>(&LibraryFolder), &info) == 0) return std::string();
  return Folder(info.dli_fname);
}

// Where the module may lie, in order: the caller's choice, an unpacked archive, an installation,
// the build tree. The last entry is left to the dynamic linker.
std::vector<std::string> ModulePaths() {
  std::vector<std::string> folders;
  // A program that runs with other rights than its caller's must not load the caller's code.
  if (const char* chosen = secure_getenv("MPQ_MODULE_PATH")) folders.emplace_back(chosen);
  const std::string program = ProgramFolder();
  if (!program.empty()) {
    folders.push_back(program);
    folders.push_back(program + "/../" MPQ_LIBDIR);
    folders.push_back(program + "/../engine/onednn");
    folders.push_back(program + "/../../engine/onednn");
  }
  const std::string library = LibraryFolder();
  if (!library.empty() && library != program) {
    folders.push_back(library);
    folders.push_back(library + "/../onednn");
  }
  std::vector<std::string> paths;
  paths.reserve(folders.size() + 1);
  for (const std::string& folder : folders) paths.push_back(folder + '/' + kFloatModuleFile);
  paths.emplace_back(kFloatModuleFile);
  return paths;
}

Result<const FloatModule*> OpenModule(const std::string& path) {
  // Never closed again: oneDNN and its OpenMP runtime keep thread-local state.
  void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (handle == nullptr) return Error(ErrorCode::kUnsupported, dlerror());
  auto* function = reinterpret_cast<FloatModuleFunction*>(dlsym(handle, kFloatModuleSymbol));
  if (function == nullptr) return Error(ErrorCode::kUnsupported, dlerror());
  const FloatModule* module = function();
  if (std::string_view(module->mpq_version) != MPQ_VERSION) {
    return Error(ErrorCode::kUnsupported, path, ": of mpq ", module->mpq_version, ", not ",
                 MPQ_VERSION);
  }
  return module;
}

}  // namespace

Result<const FloatModule*> OpenFloatModule() {
  Status first_error;
  for (const std::string& path : ModulePaths()) {
    const bool searched = path == kFloatModuleFile;
    if (!searched && access(path.c_str(), F_OK) != 0) continue;
    Result<const FloatModule*> module = OpenModule(path);
    if (module.ok()) return module;
    // The linker's "no such file" says least: a module that is there but broken goes first.
    if (!first_error.ok()) continue;
    first_error = searched ? Error(ErrorCode::kUnsupported, kFloatModuleFile, ": not found")
                           : module.status();
  }
  return first_error;
}

}  // namespace mpq
