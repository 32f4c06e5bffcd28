#include "apps/npy_file.h"

#include <bit>
#include <cerrno>
#include <cstdio>

#include "format/system_error.h"

namespace mpq {

static_assert(std::endian::native == std::endian::little, "values are written as they lie");

Status WriteNpy(const std::string& path, std::span<const uint32_t> shape,
                std::span<const float> values) {
  std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (";
  for (uint32_t side : shape) header += std::to_string(side) + ",";
  header += "), }";
  constexpr size_t kPreamble = 10, kAlignment = 64;
  header.append(kAlignment - (kPreamble + header.size() + 1) % kAlignment, ' ');
  header += '\n';
  const uint8_t preamble[kPreamble] = {0x93,
                                       'N',
                                       'U',
                                       'M',
                                       'P',
                                       'Y',
                                       1,
                                       0,
                                       static_cast<uint8_t>(header.size() & 0xff),
                                       static_cast<uint8_t>(header.size() >> 8)};
  std::FILE* file = std::fopen(path.c_str(), "wb");
  bool good = file != nullptr;
  good = good && std::fwrite(preamble, 1, kPreamble, file) == kPreamble;
  good = good && std::fwrite(header.data(), 1, header.size(), file) == header.size();
  good = good && std::fwrite(values.data(), sizeof(float), values.size(), file) == values.size();
  const int error = errno;
  const bool closed = file != nullptr && std::fclose(file) == 0;
  if (good && closed) return Status();
  if (!good) errno = error;  // not what closing made of it
  return SystemError(path);
}

}  // namespace mpq
