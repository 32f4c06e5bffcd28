// Sets of images with or without their classes, as ptq-eval and ptq-quantize read them.
#ifndef MPQ_APPS_DATASET_H_
#define MPQ_APPS_DATASET_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "format/model_data.h"
#include "mpq/image.h"
#include "mpq/status.h"

namespace mpq {

inline constexpr uint32_t kNoClass = 0xffffffffu;

class Dataset {
 public:
  // Adds what lies at `path`:
  //   FILE.bin                  CIFAR-10: records of a class byte and 3072 bytes [3][32][32]
  //   FOLDER with labels.tsv    the files it lists, "file<TAB>class index" a line
  //   FOLDER of folders         the images of each; the sorted folder's number is the class
  //   FOLDER                    its images, sorted by name, without classes
  // `labels_file`, if not empty, is used in place of FOLDER/labels.tsv.
  Status Add(const std::string& path, const std::string& labels_file = "");

  size_t size() const { return samples_.size(); }
  // Keeps the first `count` images.
  void Truncate(size_t count);
  // Every image has a class.
  bool has_classes() const;
  // kNoClass if unknown.
  uint32_t class_of(size_t i) const { return samples_[i].class_index; }
  // Path of the file, "test.bin[17]" in a CIFAR-10 file.
  std::string name(size_t i) const;
  // An error that names the first image whose class is not below `num_classes`.
  Status CheckClasses(uint32_t num_classes) const;

  // Decodes, resizes and crops image i as `preprocessing` says, to height x width if not 0. EXIF
  // orientation is ignored: the reference accuracies of the field are measured so. May be called
  // from several threads.
  Result<Image> Load(size_t i, const Preprocessing& preprocessing, uint32_t height = 0,
                     uint32_t width = 0) const;

 private:
  using Bytes = std::shared_ptr<const std::vector<uint8_t>>;

  struct Sample {
    std::string file;
    uint32_t class_index = kNoClass;
    Bytes cifar;  // of the whole file, if it is one
    size_t record = 0;
  };

  Status AddCifar(const std::string& path);
  Status AddListed(const std::string& folder, const std::string& labels_file);
  Status AddFolder(const std::string& folder);

  std::vector<Sample> samples_;
};

}  // namespace mpq

#endif  // MPQ_APPS_DATASET_H_
