#!/usr/bin/env python3
"""Times mpq against other engines: same models, same cores, interleaved rounds in one run.

    bench/compare_peers.py --bench build/bench/bench --onnx DIR --calibration DIR \
        --mpq W8=DIR --mpq W4=DIR [--models NAME,...] [--threads 1] [--rounds 10] [--json FILE]

DIR of --onnx holds NAME.onnx and NAME.preprocess.json, DIR of --mpq holds NAME.mpq. Ratios are of the
minimum over all rounds; medians stand beside them. Needs: pip install -r bench/requirements.txt
"""

import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time


def load_pixels(path, preprocess):
    """One image as the float NCHW tensor the ONNX models take."""
    import numpy as np
    from PIL import Image

    filters = {"nearest": Image.NEAREST, "bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC}
    image = Image.open(path).convert("RGB")
    short, crop = preprocess["resize_short_side"], preprocess["crop"]
    width, height = image.size
    scale = short / min(width, height)
    size = (short if width <= height else int(width * scale),
            short if height < width else int(height * scale))
    image = image.resize(size, filters[preprocess["interpolation"]])
    left, top = (size[0] - crop) // 2, (size[1] - crop) // 2
    pixels = np.asarray(image.crop((left, top, left + crop, top + crop)), np.float32)
    pixels = (pixels - np.array(preprocess["mean"], np.float32)) / np.array(
        preprocess["std"], np.float32)
    return pixels.transpose(2, 0, 1)[None]


class OpenVinoInt8:
    """OpenVINO with post-training int8 quantisation by NNCF."""

    name = "openvino-int8"

    def __init__(self, model, args):
        import openvino

        path = pathlib.Path(args.cache) / f"{model}.openvino-int8.xml"
        if not path.exists():
            self._quantise(model, args, path)
        core = openvino.Core()
        compiled = core.compile_model(
            str(path), "CPU",
            {"INFERENCE_NUM_THREADS": args.threads, "PERFORMANCE_HINT": "LATENCY",
             "NUM_STREAMS": "1"})
        self._request = compiled.create_infer_request()
        self._input = example_input(model, args)

    @staticmethod
    def _quantise(model, args, path):
        import nncf
        import openvino

        preprocess = json.loads(pathlib.Path(args.onnx, f"{model}.preprocess.json").read_text())
        images = sorted(pathlib.Path(args.calibration).iterdir())[:300]
        float_model = openvino.convert_model(f"{args.onnx}/{model}.onnx")
        float_model.reshape([1, 3, preprocess["crop"], preprocess["crop"]])
        dataset = nncf.Dataset([load_pixels(image, preprocess) for image in images])
        path.parent.mkdir(parents=True, exist_ok=True)
        openvino.save_model(nncf.quantize(float_model, dataset), path)

    def measure(self, seconds):
        times, end = [], time.perf_counter() + seconds
        while time.perf_counter() < end:
            start = time.perf_counter()
            self._request.infer([self._input])
            times.append(time.perf_counter() - start)
        return times


class Mpq:
    """Our engine, through its own bench program."""

    def __init__(self, name, folder, model, args):
        self.name = f"mpq-{name}"
        self._command = [args.bench, f"{folder}/{model}.mpq", "--threads", str(args.threads),
                         "--batch", "1", "--json"]
        if args.isa:
            self._command += ["--isa", args.isa]

    def measure(self, seconds):
        out = subprocess.run(self._command + ["--seconds", str(seconds)], check=True,
                             stdout=subprocess.PIPE).stdout
        run = json.loads(out)["runs"][0]
        return [run["min_ms"] / 1e3, run["median_ms"] / 1e3]


def example_input(model, args):
    preprocess = json.loads(pathlib.Path(args.onnx, f"{model}.preprocess.json").read_text())
    return load_pixels(sorted(pathlib.Path(args.calibration).iterdir())[0], preprocess)


def cpu_name():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def compare(model, args):
    mpqs = [spec.split("=", 1) for spec in args.mpq]
    engines = [OpenVinoInt8(model, args)] + [Mpq(name, folder, model, args)
                                             for name, folder in mpqs]
    for engine in engines:
        engine.measure(0.3)  # warm-up
    times = {engine.name: [] for engine in engines}
    medians = {engine.name: [] for engine in engines}
    for _ in range(args.rounds):
        for engine in engines:
            measured = engine.measure(args.seconds)
            times[engine.name].append(min(measured))
            medians[engine.name].append(statistics.median(measured))
    best_peer = min(min(times[e.name]) for e in engines if not isinstance(e, Mpq))
    return [{"model": model, "engine": e.name, "threads": args.threads,
             "min_ms": 1e3 * min(times[e.name]),
             "median_ms": 1e3 * statistics.median(medians[e.name]),
             "ratio": best_peer / min(times[e.name])} for e in engines]


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", required=True, help="the bench program")
    parser.add_argument("--onnx", required=True, help="folder of the float models")
    parser.add_argument("--calibration", required=True, help="folder of calibration photographs")
    parser.add_argument("--mpq", action="append", default=[], metavar="NAME=DIR")
    parser.add_argument("--models", default="efficientnet_lite0,mobilenet_v1,mobilenet_v2,"
                        "resnet18,resnet50")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--isa", default="", help="force mpq's instruction set")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--cache", default="build/peers", help="folder of the peers' models")
    parser.add_argument("--json", help="also write the figures to this file")
    args = parser.parse_args()

    print(f"{cpu_name()}, {os.cpu_count()} cores, {args.threads} thread(s)")
    rows = []
    for model in args.models.split(","):
        for row in compare(model, args):
            rows.append(row)
            print(f"{row['model']:20} {row['engine']:14} min {row['min_ms']:8.2f} ms   "
                  f"median {row['median_ms']:8.2f} ms   {row['ratio']:.2f}x", flush=True)
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps({"cpu": cpu_name(), "rows": rows}, indent=1))


if __name__ == "__main__":
    sys.exit(main())
