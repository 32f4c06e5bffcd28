#!/usr/bin/env python3
"""Checks who includes whom (docs/design.md), and that no file names a machine's folders."""

import os
import re
import subprocess
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

# Folder -> folders whose headers it may include. "mpq" stands for include/mpq.
MAY_INCLUDE = {
    "include": {"mpq"},
    "format": {"mpq", "format"},
    "engine": {"mpq", "format", "engine"},
    "quantize": {"mpq", "format", "engine", "quantize"},
    "apps": {"mpq", "format", "engine", "quantize", "apps"},
    "bench": {"mpq", "format", "engine", "quantize", "apps", "bench"},
    "examples": {"mpq"},
    "fuzz": {"mpq", "format", "quantize"},
    "tests": {"mpq", "format", "engine", "quantize", "apps", "bench", "tests"},
}
# Third party: pattern of the header -> folders that may include it.
THIRD_PARTY = {
    r"hwy/.*|.*mmintrin\.h|.*x86intrin\.h|arm_(neon|acle|sve)\.h": ["engine/kernels"],
    r"(oneapi/dnnl/)?dnnl.*": ["engine/onednn"],
    r"google/protobuf/.*|onnx/.*|.*\.pb\.h": ["quantize/import", "tests/import"],
    r"Eigen/.*": ["quantize"],
    r"cblas\.h": ["quantize"],
    r"(stb/)?stb_image.*": ["apps"],
    r"xxh(ash|3)\.h": ["format", "quantize/import"],
    r"fmt/.*|CLI/.*|nlohmann/.*": ["apps", "bench", "tests/apps"],
    r"benchmark/.*": ["bench"],
    r"doctest/.*": ["tests"],
}
# The module of oneDNN is opened at run time: nobody may need its headers.
PRIVATE_FOLDERS = ["engine/onednn"]
SYSTEM_FOLDERS = ("sys/", "linux/", "asm/")

INCLUDE = re.compile(r'^\s*#\s*include\s+(?:"([^"]+)"|<([^>]+)>)', re.MULTILINE)
MACHINE_PATH = re.compile(r"(?<![\w.$}])/(tmp|work|home|root)/")


def committed_files():
    try:
        listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True,
                                 check=True).stdout
        return [name for name in listing.decode().split("\0") if name]
    except (OSError, subprocess.CalledProcessError):  # a source archive
        return [os.path.relpath(os.path.join(folder, name), ROOT)
                for folder, _, names in os.walk(ROOT) for name in names
                if not os.path.relpath(folder, ROOT).startswith(("build", ".git"))]


def read(name):
    path = os.path.join(ROOT, name)
    if not os.path.isfile(path):  # removed, not committed yet
        return ""
    with open(path, encoding="utf-8", errors="replace") as f:
        return f.read()


def lies_in(name, folder):
    return name.startswith(folder + "/")


def own_include_problem(name, header):
    folder = name.split("/")[0]
    if folder not in MAY_INCLUDE:
        return "lies in a folder that this test does not know"
    if header.split("/")[0] not in MAY_INCLUDE[folder]:
        return f"{folder} may not include {header.split('/')[0]}"
    for private in PRIVATE_FOLDERS:
        if lies_in(header, private) and not (lies_in(name, private) or lies_in(name, "tests")):
            return f"{private} is private"
    return None


def system_include_problem(name, header):
    for pattern, folders in THIRD_PARTY.items():
        if re.fullmatch(pattern, header):
            if any(lies_in(name, folder) for folder in folders):
                return None
            return f"only {' and '.join(folders)} may include it"
    if "/" in header and not header.startswith(SYSTEM_FOLDERS):
        return "an unknown third-party header: add it to this test"
    return None


def include_problems(name, text):
    problems = []
    for quoted, bracketed in INCLUDE.findall(text):
        header = quoted or bracketed
        own = header.split("/")[0] in MAY_INCLUDE["tests"] and "/" in header
        problem = (own_include_problem if own else system_include_problem)(name, header)
        if quoted and not own and "/" not in header and not re.fullmatch(
                "|".join(THIRD_PARTY), header):
            problem = "include paths start at the repository's root"
        if problem:
            problems.append(f"{name}: {header}: {problem}")
    return problems


class IncludeDirectionTest(unittest.TestCase):
    def test_sources_include_only_what_they_may(self):
        sources = [name for name in committed_files() if name.endswith((".cc", ".h", ".c"))]
        self.assertGreater(len(sources), 10)
        problems = [p for name in sources for p in include_problems(name, read(name))]
        self.assertEqual([], problems, "\n" + "\n".join(problems))

    def test_wrong_directions_are_found(self):
        for name, line in [
                ("format/reader.cc", '#include "engine/core/isa.h"'),
                ("format/reader.cc", "#include <hwy/highway.h>"),
                ("engine/core/plan.cc", '#include "quantize/method.h"'),
                ("engine/core/plan.cc", "#include <immintrin.h>"),
                ("engine/core/session.cc", '#include "engine/onednn/executor.h"'),
                ("engine/kernels/add.cc", "#include <dnnl.hpp>"),
                ("quantize/calibration.cc", '#  include "apps/decode.h"'),
                ("quantize/calibration.cc", "#include <onnx/onnx_pb.h>"),
                ("quantize/calibration.cc", "#include <stb/stb_image.h>"),
                ("examples/classify.cc", '#include "format/graph.h"'),
                ("include/mpq/model.h", '#include "format/graph.h"'),
                ("format/reader.cc", '#include "wire.h"'),
                ("apps/run.cc", "#include <boost/any.hpp>"),
        ]:
            with self.subTest(name=name, line=line):
                self.assertEqual(1, len(include_problems(name, line)))

    def test_right_directions_pass(self):
        for name, line in [
                ("engine/core/plan.cc", '#include "format/graph.h"'),
                ("engine/kernels/conv.cc", "#include <immintrin.h>"),
                ("format/reader.cc", "#include <xxhash.h>"),
                ("engine/core/file_map.cc", "#include <sys/mman.h>"),
                ("tests/apps/run_test.cc", '#include "apps/decode.h"'),
        ]:
            with self.subTest(name=name, line=line):
                self.assertEqual([], include_problems(name, line))

    def test_public_headers_are_all_that_examples_need(self):
        for name in committed_files():
            if lies_in(name, "include") and name.endswith(".h"):
                self.assertTrue(name.startswith("include/mpq/"), name)


class PathTest(unittest.TestCase):
    def test_no_file_names_a_folder_of_a_machine(self):
        found = []
        for name in committed_files():
            if name.endswith((".png", ".jpg", ".mpq")) or "golden" in name:
                continue
            for number, line in enumerate(read(name).splitlines(), 1):
                if MACHINE_PATH.search(line):
                    found.append(f"{name}:{number}: {line.strip()}")
        self.assertEqual([], found, "\n" + "\n".join(found))


if __name__ == "__main__":
    unittest.main()
