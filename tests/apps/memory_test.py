#!/usr/bin/env python3
"""What the whole ptq-run process takes, with the model in models/: limits, and agreement with the
plan. Meson sets MPQ_BUILD to the build folder."""

import json
import os
import pathlib
import subprocess
import sys
import unittest

ROOT = pathlib.Path(__file__).parents[2]
BUILD = pathlib.Path(os.environ.get("MPQ_BUILD", "build"))
MODEL = ROOT / "models/efficientnet_lite0.mpq"
PHOTO = ROOT / "models/chelsea.png"
MEGABYTE = 1e6


def measure(*options):
    """The kernel's figures, and what ptq-run itself says."""
    command = [BUILD / "apps/ptq-run", MODEL, PHOTO, "--json", *options]
    measured = subprocess.run([sys.executable, ROOT / "scripts/measure_process.py", "--runs", "0",
                               "--json", "--subtract", MODEL, "--", *command],
                              capture_output=True, timeout=300, check=False)
    if b"ptrace: " in measured.stderr or b"cannot trace" in measured.stderr:
        raise unittest.SkipTest("this system lets no process be traced")
    said = subprocess.run(command, capture_output=True, timeout=300, check=True)
    return json.loads(measured.stdout), json.loads(said.stdout)


class ProcessMemoryTest(unittest.TestCase):
    def test_limits(self):
        kernel, _ = measure()
        self.assertLessEqual(kernel["private_bytes"], 2 * MEGABYTE)
        self.assertLessEqual(kernel["resident_minus_file_bytes"], 4 * MEGABYTE)

    def test_the_plan_tells_the_private_memory(self):
        """Beside the activations: graph, heap and stack, the photograph before they exist."""
        for options in ([], ["--input", "448x448"], ["--input", "448x448", "--threads", "2"]):
            kernel, said = measure(*options)
            height, width = said["input"]
            planned = said["activation_bytes"] + height * width * 3
            self.assertLessEqual(planned, kernel["private_bytes"] + 0.1 * MEGABYTE)
            self.assertLessEqual(kernel["private_bytes"], planned + 1 * MEGABYTE)


if __name__ == "__main__":
    unittest.main()
