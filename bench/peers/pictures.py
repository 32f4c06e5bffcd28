"""Photographs as the float tensors the ONNX models take."""

import pathlib

import numpy as np
from PIL import Image

_FILTERS = {"nearest": Image.NEAREST, "bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC}


def listed(folder, count):
    return sorted(pathlib.Path(folder).iterdir())[:count]


def crop_pixels(path, preprocess):
    """Resized and cropped, HWC 0..255."""
    image = Image.open(path).convert("RGB")
    short, crop = preprocess["resize_short_side"], preprocess["crop"]
    width, height = image.size
    scale = short / min(width, height)
    size = (short if width <= height else int(width * scale),
            short if height < width else int(height * scale))
    image = image.resize(size, _FILTERS[preprocess["interpolation"]])
    left, top = (size[0] - crop) // 2, (size[1] - crop) // 2
    return np.asarray(image.crop((left, top, left + crop, top + crop)))


def load_pixels(path, preprocess):
    """Normalised, NCHW float32 with a batch of 1."""
    pixels = crop_pixels(path, preprocess).astype(np.float32)
    mean, std = (np.array(preprocess[key], np.float32) for key in ("mean", "std"))
    return np.ascontiguousarray(((pixels - mean) / std).transpose(2, 0, 1)[None])
