// Classifies a photograph with libengine's C++ interface (docs/library.md).
// usage: classify_cc MODEL.mpq PHOTO.ppm
#include <cstdint>
#include <fstream>
#include <iostream>
#include <string>

#include "mpq/image.h"
#include "mpq/model.h"
#include "mpq/session.h"
#include "mpq/status.h"

namespace {

// Binary PPM with 8 bits a channel and no comments: a stand-in for your own decoder.
mpq::Result<mpq::Image> ReadPpm(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string magic;
  mpq::Image image;
  uint32_t largest = 0;
  file >> magic >> image.width >> image.height >> largest;
  file.get();
  constexpr uint32_t kMaxSide = 1 << 14;
  if (!file || magic != "P6" || largest != 255 || image.width > kMaxSide ||
      image.height > kMaxSide) {
    return mpq::Status(mpq::ErrorCode::kIo, path + ": no binary PPM of 8 bits");
  }
  image.rgb.resize(size_t{3} * image.width * image.height);
  file.read(reinterpret_cast<char*>(image.rgb.data()),
            static_cast<std::streamsize>(image.rgb.size()));
  if (!file) return mpq::Status(mpq::ErrorCode::kTruncated, path + ": ends early");
  return image;
}

mpq::Status Classify(const std::string& model_path, const std::string& photo_path) {
  MPQ_ASSIGN_OR_RETURN(const mpq::Model model, mpq::Model::Load(model_path));
  MPQ_ASSIGN_OR_RETURN(mpq::Session session, mpq::Session::Create(model));
  MPQ_ASSIGN_OR_RETURN(const mpq::Image photo, ReadPpm(photo_path));
  MPQ_ASSIGN_OR_RETURN(const mpq::Image input, mpq::Preprocess(model, photo));
  MPQ_RETURN_IF_ERROR(session.Run(input.rgb));

  for (const auto& [index, probability] : mpq::TopK(session.Probabilities(), 5)) {
    const std::string name =
        index < model.labels().size() ? model.labels()[index] : std::to_string(index);
    std::cout << probability << "  " << name << "\n";
  }
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: " << argv[0] << " MODEL.mpq PHOTO.ppm\n";
    return 2;
  }
  const mpq::Status status = Classify(argv[1], argv[2]);
  if (!status.ok()) {
    std::cerr << argv[0] << ": " << status.message() << "\n";
    return 1;
  }
  return 0;
}
