#!/usr/bin/env python3
"""Writes calibration photographs from the sample images of two Python packages.

Every source is CC0 or in the public domain (PROVENANCE.md has the list) and checked by its hash.
There are few of them, so each gives several square views: the middle, and a 3 x 3 grid of squares
of half the side. PPM files, so that the bytes depend on no encoder.
"""

import argparse
import bz2
import hashlib
import io
import os
import zipfile

import numpy as np
from PIL import Image

# package, path inside its wheel, SHA-256 of that file
SOURCES = [
    ("scikit_image", "skimage/data/astronaut.png",
     "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5"),
    ("scikit_image", "skimage/data/brick.png",
     "7966caf324f6ba843118d98f7a07746d22f6a343430add0233eca5f6eaaa8fcf"),
    ("scikit_image", "skimage/data/camera.png",
     "b0793d2adda0fa6ae899c03989482bff9a42d3d5690fc7e3648f2795d730c23a"),
    ("scikit_image", "skimage/data/clock_motion.png",
     "f029226b28b642e80113d86622e9b215ee067a0966feaf5e60604a1e05733955"),
    ("scikit_image", "skimage/data/coffee.png",
     "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7"),
    ("scikit_image", "skimage/data/grass.png",
     "b6b6022426b38936c43a4ac09635cd78af074e90f42ffa8227ac8b7452d39f89"),
    ("scikit_image", "skimage/data/gravel.png",
     "c48615b451bf1e606fbd72c0aa9f8cc0f068ab7111ef7d93bb9b0f2586440c12"),
    ("scikit_image", "skimage/data/hubble_deep_field.jpg",
     "3a19c5dd8a927a9334bb1229a6d63711b1c0c767fb27e2286e7c84a3e2c2f5f4"),
    ("scikit_image", "skimage/data/retina.jpg",
     "38a07f36f27f095e818aea7b96d34202c05176d30253c66733f2e00379e9e0e6"),
    ("scikit_image", "skimage/data/rocket.jpg",
     "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c"),
    ("scipy", "scipy/misc/face.dat",
     "9d8b0b4d081313e2b485748c770472e5a95ed1738146883d84c7030493e82886"),
]
RACCOON_SHAPE = (768, 1024, 3)  # scipy stores raw pixels


def decode(path, data):
    if path.endswith(".dat"):
        return np.frombuffer(bz2.decompress(data), np.uint8).reshape(RACCOON_SHAPE)
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def squares(pixels):
    """The middle square, then nine of half its side."""
    height, width, _ = pixels.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    yield pixels[top:top + side, left:left + side]
    half = side // 2
    for row in range(3):
        for column in range(3):
            y = (height - half) * row // 2
            x = (width - half) * column // 2
            yield pixels[y:y + half, x:x + half]


def write_ppm(path, pixels):
    height, width, _ = pixels.shape
    with open(path, "wb") as f:
        f.write(b"P6\n%d %d\n255\n" % (width, height) + pixels.tobytes())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheels", nargs="+", help="the packages' wheels")
    parser.add_argument("--output", required=True, help="folder to write to")
    args = parser.parse_args()
    wheels = {os.path.basename(path).split("-")[0]: zipfile.ZipFile(path) for path in args.wheels}
    os.makedirs(args.output, exist_ok=True)
    for package, path, sha256 in SOURCES:
        data = wheels[package].read(path)
        if hashlib.sha256(data).hexdigest() != sha256:
            raise SystemExit(f"{package}: {path} is not the file that PROVENANCE.md describes")
        name = os.path.splitext(os.path.basename(path))[0]
        for index, view in enumerate(squares(decode(path, data))):
            write_ppm(os.path.join(args.output, f"{name}_{index}.ppm"), view)


if __name__ == "__main__":
    main()
