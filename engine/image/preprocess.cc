#include "engine/image/preprocess.h"

#include <algorithm>

#include "engine/core/no_throw.h"
#include "format/message.h"

namespace mpq {
namespace {

// a * b / c, rounded down, and never 0.
uint64_t Scale(uint64_t a, uint64_t b, uint64_t c) { return std::max<uint64_t>(a * b / c, 1); }

Result<Size> ResizedSize(const Preprocessing& preprocessing, Size image, Size crop) {
  const uint32_t short_side = preprocessing.resize_short_side;
  if (short_side == 0) return crop;
  const uint64_t height = Scale(short_side, crop.height, preprocessing.crop_height);
  const uint64_t width = Scale(short_side, crop.width, preprocessing.crop_width);
  uint64_t resized_height = height, resized_width = width;
  if (height * image.width >= width * image.height) {
    resized_width = Scale(height, image.width, image.height);
  } else {
    resized_height = Scale(width, image.height, image.width);
  }
  if (std::max(resized_height, resized_width) > kMaxImageSide) {
    return Error(ErrorCode::kLimitExceeded, "an image of ", image.height, "x", image.width,
                 " resized to ", resized_height, "x", resized_width, " exceeds a side of ",
                 kMaxImageSide);
  }
  return Size{static_cast<uint32_t>(resized_height), static_cast<uint32_t>(resized_width)};
}

// One axis of CenterCrop: what is kept of the source, and where it goes.
struct AxisFraming {
  uint32_t source = 0, kept = 0, target = 0;
};

AxisFraming CenterCrop(uint32_t size, uint32_t crop) {
  if (size < crop) return {0, size, (crop - size) / 2};
  const uint32_t excess = size - crop;
  const uint32_t half = excess / 2;
  const bool tie = excess % 2 != 0;  // Python's round() takes ties to even
  return {tie && half % 2 != 0 ? half + 1 : half, crop, 0};
}

}  // namespace

Result<Framing> FrameImage(const Preprocessing& preprocessing, Size image, Size crop) {
  Framing framing;
  MPQ_ASSIGN_OR_RETURN(framing.resized, ResizedSize(preprocessing, image, crop));
  const AxisFraming rows = CenterCrop(framing.resized.height, crop.height);
  const AxisFraming columns = CenterCrop(framing.resized.width, crop.width);
  framing.source = {rows.source, columns.source, {rows.kept, columns.kept}};
  framing.top = rows.target;
  framing.left = columns.target;
  return framing;
}

Result<Image> Preprocess(const Preprocessing& preprocessing, ImageView src, uint32_t height,
                         uint32_t width) {
  return WithoutThrowing("preprocessing", [&]() -> Result<Image> {
    MPQ_RETURN_IF_ERROR(CheckImage(src));
    const Size crop{height != 0 ? height : preprocessing.crop_height,
                    width != 0 ? width : preprocessing.crop_width};
    if (crop.height > kMaxImageSide || crop.width > kMaxImageSide) {
      return Error(ErrorCode::kInvalidArgument, "input of ", crop.height, "x", crop.width,
                   ", the longest side is ", kMaxImageSide);
    }
    MPQ_ASSIGN_OR_RETURN(const Framing framing,
                         FrameImage(preprocessing, {src.height, src.width}, crop));
    Image input{crop.height, crop.width, {}};
    const size_t stride = size_t{crop.width} * 3;
    input.rgb.resize(crop.height * stride);
    uint8_t* first = input.rgb.data() + framing.top * stride + size_t{framing.left} * 3;
    ResampleRegion(src, framing.resized, framing.source, preprocessing.interpolation, first,
                   stride);
    return input;
  });
}

Result<Image> Preprocess(const Model& model, ImageView src, uint32_t height, uint32_t width) {
  return Preprocess(model.data().preprocessing, src, height, width);
}

}  // namespace mpq
