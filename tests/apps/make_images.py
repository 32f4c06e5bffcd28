#!/usr/bin/env python3
"""Writes the images in images/ (needs Pillow; the committed ones were made with 13.0.0).

All but bomb.png show 16 x 24 pixels in four quarters: red, green / blue, white.
"""

import pathlib
import struct
import zlib

from PIL import Image

FOLDER = pathlib.Path(__file__).parent / "images"
HEIGHT, WIDTH = 16, 24
ORIENTATION_TAG = 274
# How a picture must be turned before it is stored, so that a reader of the tag turns it back.
STORED_AS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_270,
}


def quarters():
    image = Image.new("RGB", (WIDTH, HEIGHT))
    image.paste((255, 0, 0), (0, 0, WIDTH // 2, HEIGHT // 2))
    image.paste((0, 255, 0), (WIDTH // 2, 0, WIDTH, HEIGHT // 2))
    image.paste((0, 0, 255), (0, HEIGHT // 2, WIDTH // 2, HEIGHT))
    image.paste((255, 255, 255), (WIDTH // 2, HEIGHT // 2, WIDTH, HEIGHT))
    return image


def chunk(kind, data):
    return (struct.pack(">I", len(data)) + kind + data +
            struct.pack(">I", zlib.crc32(kind + data)))


def write_png(name, width, height, bit_depth, color_type, rows):
    """PNGs that Pillow does not write; rows with their filter byte."""
    header = struct.pack(">IIBBBBB", width, height, bit_depth, color_type, 0, 0, 0)
    (FOLDER / name).write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) +
                                chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def write_16_bits(image):
    rows = b""
    for y in range(HEIGHT):
        rows += b"\0"
        for x in range(WIDTH):
            # The lower byte is noise that must be dropped.
            rows += b"".join(bytes((value, (x * 37 + y) & 255)) for value in image.getpixel((x, y)))
    write_png("rgb16.png", WIDTH, HEIGHT, 16, 2, rows)


def main():
    FOLDER.mkdir(exist_ok=True)
    image = quarters()
    jpeg = {"quality": 95, "subsampling": 0}
    image.save(FOLDER / "rgb.jpg", **jpeg)
    image.save(FOLDER / "progressive.jpg", progressive=True, **jpeg)
    image.convert("L").save(FOLDER / "grey.jpg", **jpeg)
    image.convert("CMYK").save(FOLDER / "cmyk.jpg", quality=95)
    image.save(FOLDER / "rgb.png")
    image.convert("L").save(FOLDER / "grey.png")
    image.convert("P", palette=Image.Palette.ADAPTIVE).save(FOLDER / "palette.png")
    transparent = image.convert("RGBA")
    transparent.putalpha(64)
    transparent.save(FOLDER / "alpha.png")
    transparent.convert("LA").save(FOLDER / "grey_alpha.png")
    image.save(FOLDER / "rgb.bmp")
    write_16_bits(image)
    # 30000 x 30000 grey pixels in a few bytes: refused before decoding.
    write_png("bomb.png", 30000, 30000, 8, 0, b"")
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[ORIENTATION_TAG] = orientation
        stored = image if orientation == 1 else image.transpose(STORED_AS[orientation])
        stored.save(FOLDER / f"orientation_{orientation}.jpg", exif=exif, **jpeg)
    turned = Image.Exif()
    turned[ORIENTATION_TAG] = 6
    image.transpose(STORED_AS[6]).save(FOLDER / "orientation_6.png", exif=turned)


if __name__ == "__main__":
    main()
