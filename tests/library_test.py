#!/usr/bin/env python3
"""The library as its users meet it: the examples give what ptq-run gives, also when they are
compiled against an installed copy through pkg-config.

Environment: MPQ_BUILD, the build folder, and MPQ_SANITIZE, its b_sanitize, are set by meson; CC and
CXX name other compilers than cc and c++.
"""

import json
import os
import shlex
import shutil
import struct
import subprocess
import tempfile
import unittest
import zlib

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.environ.get("MPQ_BUILD", os.path.join(ROOT, "build"))
MODEL = os.path.join(ROOT, "models", "efficientnet_lite0.mpq")
PHOTO = os.path.join(ROOT, "models", "chelsea.png")


def read_png(path):
    """Width, height and RGB bytes of a PNG file of 8 bits a channel, not interlaced."""
    with open(path, "rb") as f:
        data = f.read()
    offset, chunks = 8, {}
    while offset < len(data):
        (length,), kind = struct.unpack_from(">I", data, offset), data[offset + 4:offset + 8]
        chunks[kind] = chunks.get(kind, b"") + data[offset + 8:offset + 8 + length]
        offset += length + 12
    width, height, depth, color, _, _, interlace = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert (depth, color, interlace) == (8, 2, 0)
    packed, stride = zlib.decompress(chunks[b"IDAT"]), 3 * width
    rows, above = [], bytes(stride)
    for y in range(height):
        row = packed[y * (stride + 1):(y + 1) * (stride + 1)]
        above = unfilter(row[0], bytearray(row[1:]), above)
        rows.append(bytes(above))
    return width, height, b"".join(rows)


def unfilter(kind, row, above):
    for i, value in enumerate(row):
        left = row[i - 3] if i >= 3 else 0
        up, corner = above[i], above[i - 3] if i >= 3 else 0
        if kind == 4:
            distance = {left: abs(up - corner), up: abs(left - corner),
                        corner: abs(left + up - 2 * corner)}
            nearest = min((left, up, corner), key=lambda v: distance[v])
        row[i] = (value + (0, left, up, (left + up) // 2,
                           nearest if kind == 4 else 0)[kind]) & 255
    return row


def run(*command, **kwargs):
    result = subprocess.run(command, capture_output=True, text=True, **kwargs)
    if result.returncode != 0:
        raise AssertionError(f"{shlex.join(command)}: {result.stdout}{result.stderr}")
    return result.stdout


def classes(output):
    """The names that an example printed, best first."""
    return [line.split("  ", 1)[1] for line in output.splitlines()]


class LibraryTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.photo = os.path.join(cls.folder.name, "photo.ppm")
        width, height, rgb = read_png(PHOTO)
        with open(cls.photo, "wb") as f:
            f.write(b"P6\n%d %d\n255\n" % (width, height) + rgb)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def check_example(self, program):
        if not os.path.exists(MODEL):
            self.skipTest("models/efficientnet_lite0.mpq is not there yet")
        names = classes(run(program, MODEL, self.photo))
        self.assertEqual(5, len(names))
        self.assertRegex(names[0], "cat")
        return names

    def test_examples_agree(self):
        self.assertEqual(self.check_example(os.path.join(BUILD, "examples", "classify_cc")),
                         self.check_example(os.path.join(BUILD, "examples", "classify_c")))

    def test_examples_agree_with_ptq_run(self):
        program = os.path.join(BUILD, "apps", "ptq-run")
        if not os.path.exists(program):
            self.skipTest("built without the tools")
        names = self.check_example(os.path.join(BUILD, "examples", "classify_cc"))
        report = json.loads(run(program, MODEL, PHOTO, "--json"))
        self.assertEqual(names[0], first_label(report))

    def test_examples_refuse_what_is_no_model(self):
        for example in ("classify_cc", "classify_c"):
            with self.subTest(example=example):
                result = subprocess.run([os.path.join(BUILD, "examples", example), self.photo,
                                         self.photo], capture_output=True, text=True)
                self.assertEqual(1, result.returncode)
                self.assertIn("photo.ppm", result.stderr)

    def test_installed_library(self):
        if not shutil.which("pkg-config"):
            self.skipTest("no pkg-config")
        root = os.path.join(self.folder.name, "root")
        run("meson", "install", "-C", BUILD, "--no-rebuild", "--destdir", root)
        found = [folder for folder, _, names in os.walk(root) if "mpq.pc" in names]
        self.assertEqual(1, len(found))
        environment = dict(os.environ, PKG_CONFIG_LIBDIR=found[0], PKG_CONFIG_SYSROOT_DIR=root)
        flags = shlex.split(run("pkg-config", "--cflags", "--libs", "mpq", env=environment))
        sanitize = os.environ.get("MPQ_SANITIZE", "none")
        if sanitize != "none":
            flags.append(f"-fsanitize={sanitize}")
        for compiler, source in ((shlex.split(os.environ.get("CXX", "c++")) + ["-std=c++20"],
                                  "classify.cc"),
                                 (shlex.split(os.environ.get("CC", "cc")) + ["-std=c99"],
                                  "classify.c")):
            with self.subTest(source=source):
                program = os.path.join(self.folder.name, source + ".out")
                run(*compiler, os.path.join(ROOT, "examples", source), "-o", program, *flags)
                self.check_example(program)


def first_label(report):
    """The first "label" in ptq-run's report, wherever it lies."""
    if isinstance(report, dict):
        if "label" in report:
            return report["label"]
        report = report.values()
    if isinstance(report, (list, type({}.values()))):
        for value in report:
            label = first_label(value)
            if label is not None:
                return label
    return None


if __name__ == "__main__":
    unittest.main()
