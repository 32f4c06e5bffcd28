#!/usr/bin/env python3
"""Writes goldens.inc: hashes of what Pillow makes of generated images.

    tests/image/make_goldens.py > tests/image/goldens.inc        (needs Pillow; made with 13.0.0)

The images come from a small generator that goldens_test.cc has as well.
"""

import zlib

from PIL import Image

FILTERS = {"kNearest": Image.NEAREST, "kBilinear": Image.BILINEAR, "kBicubic": Image.BICUBIC}

SIZES = [  # source height, width, target height, width
    (1, 1, 1, 1), (1, 1, 7, 5), (7, 5, 1, 1), (1, 97, 3, 31), (97, 1, 31, 3), (2, 2, 3, 3),
    (3, 3, 2, 2), (13, 17, 13, 17), (13, 17, 13, 5), (13, 17, 29, 17), (31, 37, 41, 43),
    (101, 103, 23, 29), (64, 64, 32, 32), (64, 64, 128, 128), (300, 451, 256, 384),
    (480, 640, 224, 224), (257, 255, 256, 256), (1000, 3, 10, 300), (3, 1000, 300, 10),
    (512, 512, 1, 1), (333, 500, 256, 384),
]

PREPROCESSING = [  # source height, width, short side, nominal crop h, w, crop h, w
    (300, 451, 256, 224, 224, 224, 224), (451, 300, 256, 224, 224, 224, 224),
    (500, 333, 256, 224, 224, 224, 224), (480, 640, 256, 224, 224, 224, 224),
    (224, 224, 224, 224, 224, 224, 224), (32, 32, 32, 32, 32, 32, 32),
    (299, 401, 257, 224, 224, 224, 224), (300, 451, 256, 224, 224, 192, 192),
    (300, 451, 256, 224, 224, 160, 288), (100, 90, 96, 128, 160, 128, 160),
    (100, 90, 20, 33, 128, 33, 128), (61, 67, 0, 40, 50, 40, 50), (1, 300, 32, 24, 24, 24, 24),
]


def pixels(height, width, kind):
    """[height][width][3] bytes: noise, noise of 0 and 255, or a gradient."""
    state, out = height * 65537 + width, bytearray()
    for i in range(height * width * 3):
        state = (state * 1664525 + 1013904223) & 0xffffffff
        byte = state >> 24
        out.append([byte, 255 * (byte & 1), (i // 3 % width * 5 + i // 3 // width * 3 + i % 3) & 255]
                   [kind])
    return Image.frombytes("RGB", (width, height), bytes(out))


def resized_size(height, width, short, nominal, crop):
    """Smallest size of the same proportions that covers `short` scaled by crop / nominal."""
    if short == 0:
        return crop
    cover_h, cover_w = (max(short * c // n, 1) for c, n in zip(crop, nominal))
    if cover_h * width >= cover_w * height:
        return cover_h, max(cover_h * width // height, 1)
    return max(cover_w * height // width, 1), cover_w


def center_crop(image, crop_h, crop_w):
    """torchvision.transforms.functional.center_crop; PIL pads with zeros outside the image."""
    def offset(size, crop):
        return -((crop - size) // 2) if size < crop else int(round((size - crop) / 2.0))
    top, left = offset(image.height, crop_h), offset(image.width, crop_w)
    return image.crop((left, top, left + crop_w, top + crop_h))


def main():
    print("// Made by make_goldens.py; do not edit.")
    print("constexpr ResizeGolden kResizeGoldens[] = {")
    for case in SIZES:
        for name, pil_filter in FILTERS.items():
            for kind in range(3):
                h, w, th, tw = case
                out = pixels(h, w, kind).resize((tw, th), pil_filter)
                print(f"    {{{h}, {w}, {th}, {tw}, Interpolation::{name}, {kind}, "
                      f"0x{zlib.crc32(out.tobytes()):08x}}},")
    print("};")
    print("constexpr PreprocessGolden kPreprocessGoldens[] = {")
    for h, w, short, nominal_h, nominal_w, crop_h, crop_w in PREPROCESSING:
        for name, pil_filter in FILTERS.items():
            th, tw = resized_size(h, w, short, (nominal_h, nominal_w), (crop_h, crop_w))
            out = center_crop(pixels(h, w, 0).resize((tw, th), pil_filter), crop_h, crop_w)
            print(f"    {{{h}, {w}, {short}, {nominal_h}, {nominal_w}, {crop_h}, {crop_w}, "
                  f"Interpolation::{name}, 0x{zlib.crc32(out.tobytes()):08x}}},")
    print("};")


if __name__ == "__main__":
    main()
