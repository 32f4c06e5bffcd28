#include "engine/core/float_executor.h"

#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <climits>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/float_module.h"
#include "engine/core/no_throw.h"
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

// The module of this process, opened when first asked for.
class Backend {
 public:
  static Backend& Get() {
    static Backend backend;
    return backend;
  }

  // Null: the reference.
  const FloatModule* module() const { return force_reference_ ? nullptr : module_; }
  // Why there is no module.
  std::string reason() const { return force_reference_ ? "asked for" : reason_; }
  void ForceReference() { force_reference_ = true; }

 private:
  Backend() {
    for (const std::string& path : ModulePaths()) {
      const bool searched = path == kFloatModuleFile;
      if (!searched && access(path.c_str(), F_OK) != 0) continue;
      const Result<const FloatModule*> module = OpenModule(path);
      if (module.ok()) {
        module_ = *module;
        return;
      }
      // The linker's "no such file" says least: a module that is there but broken goes first.
      if (reason_.empty()) {
        reason_ =
            searched ? std::string(kFloatModuleFile) + ": not found" : module.status().message();
      }
    }
  }

  const FloatModule* module_ = nullptr;
  std::string reason_;
  std::atomic<bool> force_reference_{false};
};

}  // namespace

Result<std::unique_ptr<FloatExecutor>> MakeFloatExecutor(const Graph& graph,
                                                         const FloatExecutorOptions& options) {
  return WithoutThrowing("float executor", [&] {
    const FloatModule* module = Backend::Get().module();
    return module != nullptr ? module->make_executor(graph, options)
                             : MakeRefFloatExecutor(graph, options);
  });
}

std::string FloatBackendDescription() {
  const Backend& backend = Backend::Get();
  return backend.module() != nullptr ? backend.module()->description() : "ref: " + backend.reason();
}

Status SetFloatIsa(std::string_view name) {
  MPQ_ASSIGN_OR_RETURN(const Isa isa, ParseIsa(name));
  const std::vector<Isa>& supported = SupportedIsas();
  if (std::find(supported.begin(), supported.end(), isa) == supported.end()) {
    return Error(ErrorCode::kUnsupported, "float ISA '", name, "': not on this CPU");
  }
  Backend& backend = Backend::Get();
  if (isa == Isa::kScalar) {
    backend.ForceReference();
    return Status();
  }
  if (backend.module() == nullptr) {
    return Error(ErrorCode::kUnsupported, "float ISA '", name, "': only scalar without oneDNN (",
                 backend.reason(), ")");
  }
  return backend.module()->limit_isa(isa);
}

std::string FloatIsaName() {
  const FloatModule* module = Backend::Get().module();
  return std::string(IsaName(module != nullptr ? module->isa() : Isa::kScalar));
}

}  // namespace mpq
