#!/usr/bin/env python3
"""Quantises the models of the shared folder and prints accuracy and size against float.

    bench/measure_accuracy.py --build build --shared ../shared --out build/accuracy [--bits 8,4]
        [--models NAME,...] [--quantize-args "..."]

Calibration uses images/calibration (CIFAR models: cifar10/calibration_1000.bin) and nothing else;
evaluation uses images/photos + images/val (CIFAR models: cifar10/test_2000.bin). One row a model:
top-1 of float and integer, the difference with its paired standard error, agreement, mean KL, bytes.
"""

import argparse
import json
import pathlib
import shlex
import subprocess
import sys

IMAGENET = ["efficientnet_lite0", "mobilenet_v1", "mobilenet_v2", "resnet18", "resnet50"]
CIFAR = ["resnet8_cifar10", "resnet20_cifar10", "resnet32_cifar10"]


def run(command):
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"failed: {shlex.join(str(part) for part in command)}")
    return done.stdout


class Paths:
    """Where the inputs and results of one model lie."""

    def __init__(self, model, args):
        shared = pathlib.Path(args.shared)
        self.onnx = args.models_dir / f"{model}.onnx"
        self.preprocess = args.models_dir / f"{model}.preprocess.json"
        labels = json.loads(self.preprocess.read_text())["labels"]
        self.labels = shared / "labels" / labels
        if model in CIFAR:
            self.calibration = shared / "cifar10/calibration_1000.bin"
            self.evaluation = [shared / "cifar10/test_2000.bin"]
        else:
            self.calibration = shared / "images/calibration"
            self.evaluation = [shared / "images/photos", shared / "images/val"]


def quantize(model, name, extra, args):
    paths = Paths(model, args)
    folder = args.out / name
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{model}.mpq"
    if not target.exists():
        run([args.build / "apps/ptq-quantize", paths.onnx, "-o", target, "--preprocess",
             paths.preprocess, "--labels", paths.labels, "--threads", "2", *extra])
    return target


def evaluate(model, target, reference, args):
    command = [args.build / "apps/ptq-eval", target, "--threads", "2", "--json"]
    for images in Paths(model, args).evaluation:
        command += ["--images", images]
    if reference:
        command += ["--reference", reference]
    return json.loads(run(command))


def measure(model, args):
    paths = Paths(model, args)
    reference = quantize(model, "float", ["--float"], args)
    for bits in args.bits.split(","):
        extra = ["--calibration", paths.calibration, "--weight-bits", bits,
                 *shlex.split(args.quantize_args)]
        target = quantize(model, f"w{bits}", extra, args)
        result = evaluate(model, target, reference, args)
        result.update(model=model, weight_bits=int(bits), file_bytes=target.stat().st_size)
        (args.out / f"w{bits}" / f"{model}.json").write_text(json.dumps(result, indent=1))
        print(model, f"W{bits}", json.dumps(result), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build"))
    parser.add_argument("--shared", default="../shared")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("build/accuracy"))
    parser.add_argument("--bits", default="8")
    parser.add_argument("--models", default=",".join(IMAGENET + CIFAR))
    parser.add_argument("--quantize-args", default="", help="more options of ptq-quantize")
    args = parser.parse_args()
    args.models_dir = args.out / "models"
    subprocess.run(["sh", f"{args.shared}/unpack.sh", str(args.models_dir)], check=True)
    for model in args.models.split(","):
        measure(model, args)


if __name__ == "__main__":
    main()
