#!/usr/bin/env python3
"""Runs the built tools as a user would. Meson sets MPQ_BUILD to the build folder."""

import json
import os
import pathlib
import shutil
import struct
import subprocess
import tempfile
import unittest

BUILD = pathlib.Path(os.environ.get("MPQ_BUILD", "build"))
IMAGES = pathlib.Path(__file__).parent / "images"
TOOLS = {"ptq-run": "apps", "ptq-eval": "apps", "ptq-inspect": "apps", "bench": "bench"}
OK, FAILURE, USAGE = 0, 1, 2


def run(tool, *arguments, stdin=None):
    command = [str(BUILD / TOOLS[tool] / tool), *map(str, arguments)]
    return subprocess.run(command, input=stdin, capture_output=True, timeout=120, check=False)


def ppm(color, width=40, height=32):
    return b"P6 %d %d 255\n" % (width, height) + bytes(color) * (width * height)


class ToolTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls._folder = tempfile.TemporaryDirectory(prefix="mpq_tools_")
        cls.folder = pathlib.Path(cls._folder.name)
        subprocess.run([BUILD / "tests/apps/write_sample_models", cls.folder], check=True)
        cls.small = cls.folder / "small.mpq"
        cls.other = cls.folder / "other.mpq"
        cls.labelled = cls.folder / "labelled"
        cls.labelled.mkdir()
        lines = []
        for i in range(12):
            (cls.labelled / f"{i}.ppm").write_bytes(ppm((i * 20, 128, 255 - i * 20)))
            lines.append(f"{i}.ppm\t{i % 10}\n")
        (cls.labelled / "labels.tsv").write_text("".join(lines))

    @classmethod
    def tearDownClass(cls):
        cls._folder.cleanup()

    def check_ok(self, *command, stdin=None):
        result = run(*command, stdin=stdin)
        self.assertEqual(result.returncode, OK, result.stderr.decode())
        return result.stdout.decode()

    def check_error(self, code, *command, names=()):
        """One line on standard error that starts with the tool and names things."""
        result = run(*command)
        message = result.stderr.decode()
        self.assertEqual(result.returncode, code, message)
        self.assertTrue(message.startswith(command[0] + ": "), message)
        self.assertEqual(message.count("\n"), 1, message)
        for name in names:
            self.assertIn(str(name), message)
        return result


class CommonHabitsTest(ToolTest):
    def test_help_has_examples(self):
        for tool in TOOLS:
            text = self.check_ok(tool, "--help")
            self.assertIn("Examples:", text)
            self.assertIn("--json", text)

    def test_version(self):
        for tool in TOOLS:
            self.assertRegex(self.check_ok(tool, "--version"), rf"^{tool} \d+\.\d+\.\d+\n$")

    def test_bad_usage(self):
        for tool in TOOLS:
            self.check_error(USAGE, tool)
            self.check_error(USAGE, tool, self.small, IMAGES, "--no-such-option")
        for option, value in [("--threads", "0"), ("--threads", "x"), ("--input", "12"),
                              ("--isa", "z80"), ("--memory-limit", "4 apples"), ("--top-k", "0")]:
            self.check_error(USAGE, "ptq-run", self.small, "x.png", option, value, names=[option])
        self.check_error(USAGE, "ptq-inspect", self.small, "--check", "--diff", self.other)

    def test_missing_and_broken_models(self):
        missing = self.folder / "no.mpq"
        empty = self.folder / "empty.mpq"
        empty.write_bytes(b"")
        text = self.folder / "text.mpq"
        text.write_text("this is not a model, but it is long enough to have a header " * 4)
        cut = self.folder / "cut.mpq"
        cut.write_bytes(self.small.read_bytes()[:-100])
        flipped = self.folder / "flipped.mpq"
        data = bytearray(self.small.read_bytes())
        data[len(data) // 2] ^= 1
        flipped.write_bytes(data)
        for model in (missing, empty, text, cut, flipped, self.folder):
            self.check_error(FAILURE, "ptq-run", model, IMAGES / "rgb.png", names=[model])
            self.check_error(FAILURE, "ptq-eval", model, "--images", IMAGES, names=[model])
            self.check_error(FAILURE, "ptq-inspect", model, "--check", names=[model])
            self.check_error(FAILURE, "bench", model, names=[model])


class RunTest(ToolTest):
    def test_text(self):
        text = self.check_ok("ptq-run", self.small, IMAGES / "rgb.jpg")
        self.assertIn("rgb.jpg", text)
        self.assertEqual(text.count(" %"), 5)
        self.assertIn("peak memory", text)

    def test_json_of_a_name_that_is_not_utf8(self):
        name = os.fsencode(self.folder) + b"/caf\xe9.ppm"
        with open(name, "wb") as file:
            file.write(ppm((1, 2, 3)))
        report = subprocess.run([BUILD / "apps/ptq-run", "--json", self.small, name],
                                capture_output=True, timeout=120, check=False)
        self.assertEqual(report.returncode, OK, report.stderr)
        self.assertEqual(len(json.loads(report.stdout)["images"]), 1)

    def test_json(self):
        report = json.loads(self.check_ok("ptq-run", self.small, IMAGES / "rgb.png", "--json",
                                          "--top-k", 10, "--hash", "--profile"))
        self.assertEqual(report["input"], [32, 32])
        self.assertGreater(report["peak_memory_bytes"], 0)
        self.assertTrue(report["profile"])
        image, = report["images"]
        self.assertAlmostEqual(sum(c["probability"] for c in image["classes"]), 1, places=4)
        probabilities = [c["probability"] for c in image["classes"]]
        self.assertEqual(probabilities, sorted(probabilities, reverse=True))
        self.assertRegex(image["hash"], "^[0-9a-f]{16}$")

    def test_digest_is_the_same_everywhere(self):
        hashes = set()
        for options in ([], ["--threads", "2"], ["--isa", "scalar"]):
            report = json.loads(self.check_ok("ptq-run", self.folder / "all.mpq",
                                              IMAGES / "rgb.png", "--json", "--hash", *options))
            hashes.add(report["images"][0]["hash"])
        self.assertEqual(len(hashes), 1)

    def test_all_formats(self):
        names = [p for p in sorted(IMAGES.iterdir()) if p.name != "bomb.png"]
        report = json.loads(self.check_ok("ptq-run", self.small, *names, "--json"))
        self.assertEqual(len(report["images"]), len(names))
        best = {pathlib.Path(i["file"]).name: i["classes"] for i in report["images"]}
        self.assertEqual(best["rgb.png"], best["rgb16.png"])
        self.assertEqual(best["rgb.png"], best["alpha.png"])
        self.assertEqual(best["rgb.png"], best["orientation_6.png"])

    def test_standard_input(self):
        from_file = json.loads(self.check_ok("ptq-run", self.small, IMAGES / "rgb.jpg", "--json"))
        piped = json.loads(self.check_ok("ptq-run", self.small, "-", "--json",
                                         stdin=(IMAGES / "rgb.jpg").read_bytes()))
        self.assertEqual(from_file["images"][0]["classes"], piped["images"][0]["classes"])

    def test_bad_images_are_reported_and_the_others_run(self):
        corrupt = self.folder / "corrupt.jpg"
        corrupt.write_bytes((IMAGES / "rgb.jpg").read_bytes()[:300])
        empty = self.folder / "zero.png"
        empty.write_bytes(b"")
        missing = self.folder / "missing.png"
        result = run("ptq-run", self.small, IMAGES / "rgb.png", corrupt, empty, missing,
                     IMAGES / "bomb.png", IMAGES / "grey.png", "--json")
        self.assertEqual(result.returncode, FAILURE)
        lines = result.stderr.decode().splitlines()
        self.assertEqual(len(lines), 4)
        for line, path in zip(lines, (corrupt, empty, missing, IMAGES / "bomb.png")):
            self.assertTrue(line.startswith(f"ptq-run: {path}: "), line)
        images = json.loads(result.stdout)["images"]
        self.assertEqual(["error" in image for image in images],
                         [False, True, True, True, True, False])

    def test_folders(self):
        text = self.check_ok("ptq-run", self.small, self.labelled, "--json")
        files = [image["file"] for image in json.loads(text)["images"]]
        self.assertEqual(files, sorted(files))
        self.assertEqual(len(files), 12)
        nothing = self.folder / "nothing"
        nothing.mkdir()
        self.check_error(FAILURE, "ptq-run", self.small, nothing, names=[nothing, "no images"])

    def test_memory_limit(self):
        self.check_error(FAILURE, "ptq-run", self.small, IMAGES / "rgb.png", "--memory-limit",
                         "1kB", names=["memory limit"])
        self.check_ok("ptq-run", self.small, IMAGES / "rgb.png", "--memory-limit", "10MB")

    def test_other_input_size(self):
        report = json.loads(self.check_ok("ptq-run", self.small, IMAGES / "rgb.png", "--json",
                                          "--input", "48x64"))
        self.assertEqual(report["input"], [48, 64])

    def test_dump_tensors(self):
        folder = self.folder / "tensors"
        self.check_ok("ptq-run", self.small, IMAGES / "rgb.png", "--dump-tensors", folder)
        files = sorted((folder / "rgb.png").iterdir())
        facts = json.loads(self.check_ok("ptq-inspect", self.small, "--json"))
        self.assertEqual(len(files), len(facts["layers"]) + 1)
        data = files[0].read_bytes()
        self.assertEqual(data[:8], b"\x93NUMPY\1\0")
        header_bytes, = struct.unpack("<H", data[8:10])
        self.assertEqual((10 + header_bytes) % 64, 0)
        header = eval(data[10:10 + header_bytes])  # pylint: disable=eval-used
        self.assertEqual(header, {"descr": "<f4", "fortran_order": False, "shape": (32, 32, 3)})
        self.assertEqual(len(data), 10 + header_bytes + 32 * 32 * 3 * 4)

    def test_hash_needs_an_integer_model(self):
        self.check_error(FAILURE, "ptq-run", self.folder / "float.mpq", IMAGES / "rgb.png",
                         "--hash", names=["float.mpq"])

    def test_float_models(self):
        """A static ptq-run cannot open oneDNN's module and hands over to ptq-run-float."""
        arguments = [self.folder / "float.mpq", IMAGES / "rgb.png", "--json"]
        report = json.loads(self.check_ok("ptq-run", *arguments))
        module = (BUILD / "engine/onednn/libmpq_onednn.so").exists()
        self.assertTrue(report["isa"].startswith("onednn" if module else "ref"), report["isa"])
        alone = self.folder / "alone"  # nothing beside it
        shutil.copy(BUILD / "apps/ptq-run", alone)
        result = subprocess.run([alone, *arguments], capture_output=True, timeout=120, check=False)
        self.assertEqual(result.returncode, OK, result.stderr.decode())
        best = [json.loads(text)["images"][0]["classes"][0]["class"]
                for text in (result.stdout, json.dumps(report))]
        self.assertEqual(best[0], best[1])

    def test_images_from_a_pipe_that_has_a_name(self):
        pipe = self.folder / "pipe.png"
        os.mkfifo(pipe)
        with subprocess.Popen([BUILD / "apps/ptq-run", "--json", self.small, pipe],
                              stdout=subprocess.PIPE) as process:
            pipe.write_bytes((IMAGES / "rgb.png").read_bytes())
            report = json.loads(process.communicate(timeout=120)[0])
        expected = json.loads(self.check_ok("ptq-run", self.small, IMAGES / "rgb.png", "--json"))
        self.assertEqual(report["images"][0]["classes"], expected["images"][0]["classes"])


class EvalTest(ToolTest):
    def test_labels(self):
        report = json.loads(self.check_ok("ptq-eval", self.small, "--images", self.labelled,
                                          "--reference", self.other, "--json"))
        self.assertEqual(report["images"], 12)
        self.assertLessEqual(report["top1"], report["top5"])
        self.assertAlmostEqual(report["top1_change"],
                               100 * (report["won"] - report["lost"]) / 12)
        self.assertAlmostEqual(report["top1_change"], report["top1"] - report["reference_top1"])
        for key in ("agreement", "agreement_se", "mean_kl", "mean_kl_se", "logit_snr_db",
                    "logit_snr_db_se", "top1_se", "top5_se"):
            self.assertIn(key, report)
        text = self.check_ok("ptq-eval", self.small, "--images", self.labelled)
        self.assertIn("top-5", text)

    def test_threads_and_limit(self):
        one, two = (self.check_ok("ptq-eval", self.small, "--images", self.labelled, "--json",
                                  "--reference", self.other, "--threads", n) for n in (1, 2))
        self.assertEqual(one, two)
        few = json.loads(self.check_ok("ptq-eval", self.small, "--images", self.labelled,
                                       "--images", self.labelled, "--limit", 15, "--json"))
        self.assertEqual(few["images"], 15)

    def test_against_itself(self):
        report = json.loads(self.check_ok("ptq-eval", self.small, "--images", self.labelled,
                                          "--reference", self.small, "--json"))
        self.assertEqual(report["agreement"], 100)
        self.assertIsNone(report["logit_snr_db"])  # no noise

    def test_cifar_and_unlabelled(self):
        records = self.folder / "test.bin"
        records.write_bytes(b"".join(bytes([i]) + bytes([i * 25]) * 3072 for i in range(10)))
        report = json.loads(self.check_ok("ptq-eval", self.small, "--images", records, "--json"))
        self.assertEqual(report["images"], 10)
        plain = self.folder / "plain"
        plain.mkdir()
        (plain / "a.ppm").write_bytes(ppm((1, 2, 3)))
        report = json.loads(self.check_ok("ptq-eval", self.small, "--images", plain,
                                          "--reference", self.other, "--json"))
        self.assertNotIn("top1", report)
        self.assertIn("agreement", report)

    def test_orientation_is_ignored_and_said_so(self):
        self.assertIn("EXIF orientation is ignored", self.check_ok("ptq-eval", "--help"))

    def test_errors(self):
        bad = self.folder / "bad"
        bad.mkdir()
        (bad / "a.ppm").write_bytes(ppm((1, 2, 3)))
        (bad / "labels.tsv").write_text("a.ppm\t10\n")
        self.check_error(FAILURE, "ptq-eval", self.small, "--images", bad,
                         names=["a.ppm", "class 10"])
        (bad / "labels.tsv").write_text("a.ppm 1\n")
        self.check_error(FAILURE, "ptq-eval", self.small, "--images", bad, names=["labels.tsv:1"])
        self.check_error(FAILURE, "ptq-eval", self.small, "--images", self.labelled,
                         "--reference", self.folder / "seven_classes.mpq", names=["7 classes"])
        self.check_error(FAILURE, "ptq-eval", self.small, "--images", self.folder / "none",
                         names=["none"])


class InspectTest(ToolTest):
    def test_every_layer(self):
        facts = json.loads(self.check_ok("ptq-inspect", self.folder / "all.mpq", "--json"))
        self.assertEqual(facts["kind"], "integer")
        self.assertEqual(facts["file_bytes"], (self.folder / "all.mpq").stat().st_size)
        convolutions = [layer for layer in facts["layers"] if "macs" in layer]
        for key in ("weights", "code_bytes", "side_bytes", "macs", "bops"):
            self.assertAlmostEqual(facts[key], sum(layer[key] for layer in convolutions), places=3)
        self.assertEqual({layer["level_set"] for layer in convolutions},
                         {"uniform", "two-region", "table"})
        self.assertGreater(facts["activation_bytes"], 0)
        self.assertEqual(facts["sections"][0]["name"], "graph")

    def test_bops(self):
        """The first layer of small.mpq: 3x3x3 -> 16, 8 x 8 bits, 16 x 16 outputs."""
        facts = json.loads(self.check_ok("ptq-inspect", self.small, "--json"))
        layer = facts["layers"][0]
        macs = 16 * 16 * 16 * 27
        self.assertEqual(layer["macs"], macs)
        self.assertEqual(layer["channels_by_bits"], {"8": 16})
        self.assertAlmostEqual(layer["bops"], macs * (64 + 16 + 4.754887502163469), places=2)

    def test_text(self):
        for model in ("all.mpq", "float.mpq"):
            text = self.check_ok("ptq-inspect", self.folder / model)
            for word in ("MACs", "BOPs", "XXH3-64", "preprocessing"):
                self.assertIn(word, text)

    def test_check_and_diff(self):
        self.assertIn("ok", self.check_ok("ptq-inspect", self.small, "--check"))
        self.assertIn("no difference", self.check_ok("ptq-inspect", self.small, "--diff",
                                                     self.small))
        report = json.loads(self.check_ok("ptq-inspect", self.small, "--diff", self.other,
                                          "--json"))
        self.assertFalse(report["identical"])
        self.assertTrue(any("levels differ" in line for line in report["differences"]))


class BenchTest(ToolTest):
    def test_json(self):
        report = json.loads(self.check_ok("bench", self.small, self.other, "--threads", "1,2",
                                          "--batch", "1,4", "--seconds", "0.02", "--json",
                                          "--profile"))
        self.assertEqual(len(report["runs"]), 8)
        for row in report["runs"]:
            self.assertLessEqual(row["min_ms"], row["median_ms"])
            times = [row[name] for name in ("median_ms", "p90_ms", "p95_ms", "p99_ms")]
            self.assertEqual(times, sorted(times))
            self.assertGreater(row["first_result_ms"], 0)
            for phase in ("loaded", "session", "first_run"):
                self.assertGreater(row[f"{phase}_memory_bytes"], 0)
            self.assertGreater(row["peak_memory_bytes"], 0)
            self.assertEqual(row["macs"], sum(step["macs"] for step in row["profile"]))
            # Loops of independent instructions: nothing is faster.
            self.assertLess(row["peak_percent"], 105)
            self.assertGreater(row["peak_percent"], 0)

    def test_streams_run_at_once(self):
        run = json.loads(self.check_ok("bench", self.small, "--streams", "3", "--seconds", "0.05",
                                       "--json"))["runs"][0]
        self.assertEqual(run["streams"], 3)
        self.assertGreaterEqual(run["runs"], 3)
        self.assertGreater(run["images_per_second"], 0)
        self.assertEqual(json.loads(self.check_ok("bench", self.small, "--seconds", "0.02",
                                                  "--json"))["runs"][0]["streams"], 1)

    def test_text(self):
        text = self.check_ok("bench", self.small, "--seconds", "0.02", "--profile")
        self.assertIn("images/s", text)
        self.assertIn("conv", text)

    def test_kernels(self):
        shapes = pathlib.Path(self.folder, "shapes.txt")
        shapes.write_text("2 conv 8 16 32 1 1\n1 depthwise 8 32 32 3 2\n1 conv 8 3 16 3 2\n")
        runs = json.loads(self.check_ok("bench", "--kernels", shapes, "--weight-bits",
                                        "1,2,3,4,5,6,7,8", "--seconds", "0.01", "--json"))["runs"]
        self.assertEqual([run["weight_bits"] for run in runs], list(range(1, 9)))
        for run in runs:
            macs = [layer["macs"] for layer in run["layers"]]
            self.assertEqual(macs, [64 * 16 * 32, 16 * 9 * 32, 16 * 27 * 16])
            self.assertEqual(run["macs"], 2 * macs[0] + macs[1] + macs[2])
            self.assertGreater(run["min_ms"], 0)
        shapes.write_text("1 conv 8 16 32 1 zero\n")
        self.check_error(FAILURE, "bench", "--kernels", shapes, names=["shapes.txt:1", "zero"])


if __name__ == "__main__":
    unittest.main()
