#include "format/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "format/message.h"
#include "format/system_error.h"

namespace mpq {

namespace {

class FileDescriptor {
 public:
  explicit FileDescriptor(int fd) : fd_(fd) {}
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  ~FileDescriptor() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const { return fd_; }
  // Network file systems report failed writes only here.
  bool Close() { return close(std::exchange(fd_, -1)) == 0; }

 private:
  int fd_;
};

bool WriteAll(int fd, std::span<const uint8_t> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
  return true;
}

std::string FolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

// The permissions of the file that is replaced, or what the umask leaves of rw-rw-rw-; mkstemp
// gives rw------- .
mode_t WantedMode(const std::string& path) {
  struct stat existing;
  if (stat(path.c_str(), &existing) == 0) return existing.st_mode & 0777;
  const mode_t mask = umask(0);
  umask(mask);
  return 0666 & ~mask;
}

Status WriteTemporary(const std::string& path, FileDescriptor& file, mode_t mode,
                      std::span<const uint8_t> bytes) {
  if (!WriteAll(file.get(), bytes)) return SystemError(path, "cannot write");
  if (fchmod(file.get(), mode) != 0) return SystemError(path, "cannot set permissions");
  if (fsync(file.get()) != 0) return SystemError(path, "cannot flush to disk");
  if (!file.Close()) return SystemError(path, "cannot close");
  return Status();
}

}  // namespace

Status WriteFileAtomically(const std::string& path, std::span<const uint8_t> bytes) {
  std::string temporary = path + ".tmp-XXXXXX";
  FileDescriptor file(mkstemp(temporary.data()));
  if (file.get() < 0) return SystemError(path, "cannot create a temporary file beside it");
  Status status = WriteTemporary(path, file, WantedMode(path), bytes);
  if (status.ok() && rename(temporary.c_str(), path.c_str()) != 0) {
    status = SystemError(path, "cannot replace");
  }
  if (!status.ok()) {
    unlink(temporary.c_str());
    return status;
  }
  const std::string folder_path = FolderOf(path);
  FileDescriptor folder(open(folder_path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder.get() < 0 || (fsync(folder.get()) != 0 && errno != EINVAL)) {
    return SystemError(folder_path, "cannot flush the folder to disk");
  }
  return Status();
}

}  // namespace mpq
