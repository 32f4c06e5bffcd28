#!/usr/bin/env python3
"""Quantises the models of the shared folder and prints accuracy and size against float.

    bench/measure_accuracy.py --build build --shared ../shared --out build/accuracy
        [--bits 8,4 | --sizes [SIZE,...] | --alphas 0,0.5,1] [--models NAME,...] [--name NAME]
        [--quantize-args "..."]

--sizes quantises to file sizes instead of to a width, those of docs/accuracy.md unless it names
others; --alphas by --method ptilmpq from its smallest model to its most accurate one. Calibration uses
images/calibration (CIFAR models: cifar10/calibration_1000.bin) and nothing else; evaluation uses
images/photos + images/val (CIFAR models: cifar10/test_2000.bin). One row of a table for each model
and width or size; more is in OUT/NAME/MODEL.*.json. Models that are there already are evaluated only.
"""

import argparse
import json
import pathlib
import shlex
import subprocess
import sys

IMAGENET = ["efficientnet_lite0", "mobilenet_v1", "mobilenet_v2", "resnet18", "resnet50"]
CIFAR = ["resnet8_cifar10", "resnet20_cifar10", "resnet32_cifar10"]

# Whole files: what the best 4-bit peer's take (the first), the widths around 3 bits, and 2 bits.
SIZES = {
    "efficientnet_lite0": ["2.59MB", "2.01MB"],
    "mobilenet_v1": ["2.26MB"],
    "mobilenet_v2": ["1.97MB", "1.55MB"],
    "resnet18": ["5.92MB", "4.6MB", "3.1MB"],
    "resnet50": ["13.1MB", "9.5MB"],
}

HEADER = """| model | asked | bytes | top-1 float | top-1 | change | agreement | KL | s |
|---|---|---|---|---|---|---|---|---|"""


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


def quantize(model, variant, extra, args):
    """The model's file, made unless it is there, and the report of ptq-quantize beside it."""
    paths = Paths(model, args)
    folder = args.out / args.name
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{model}.{variant}.mpq"
    if not target.exists():
        report = run([args.build / "apps/ptq-quantize", paths.onnx, "-o", target, "--preprocess",
                      paths.preprocess, "--labels", paths.labels, "--threads", "2", "--json", *extra])
        target.with_suffix(".quantize.json").write_text(report)
    return target


def evaluate(model, target, reference, args):
    command = [args.build / "apps/ptq-eval", target, "--threads", "2", "--json"]
    for images in Paths(model, args).evaluation:
        command += ["--images", images]
    if reference:
        command += ["--reference", reference]
    return json.loads(run(command))


def variants(model, args):
    """What to make of a model: a name and ptq-quantize's options."""
    if args.sizes:
        sizes = SIZES[model] if args.sizes == "documented" else args.sizes.split(",")
        return [(size, ["--target-size", size]) for size in sizes]
    if args.alphas:
        return [(f"alpha{alpha}", ["--method", "ptilmpq", "--alpha", alpha])
                for alpha in args.alphas.split(",")]
    return [(f"W{bits}", ["--weight-bits", bits]) for bits in args.bits.split(",")]


def row(model, variant, result):
    return (f"| {model} | {variant} | {result['file_bytes']} | {result['reference_top1']:.2f} "
            f"| {result['top1']:.2f} | {result['top1_change']:+.2f} +- "
            f"{result['top1_change_se']:.2f} | {result['agreement']:.2f} +- "
            f"{result['agreement_se']:.2f} | {result['mean_kl']:.4f} | {result['seconds']:.0f} |")


def measure(model, args):
    paths = Paths(model, args)
    reference = quantize(model, "float", ["--float"], args)
    for variant, options in variants(model, args):
        extra = ["--calibration", paths.calibration, *options, *shlex.split(args.quantize_args)]
        target = quantize(model, variant, extra, args)
        report = json.loads(target.with_suffix(".quantize.json").read_text())
        result = evaluate(model, target, reference, args)
        result.update(model=model, variant=variant, file_bytes=target.stat().st_size,
                      seconds=report["seconds"], recipe=report["recipe"])
        target.with_suffix(".json").write_text(json.dumps(result, indent=1))
        print(row(model, variant, result), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build"))
    parser.add_argument("--shared", default="../shared")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("build/accuracy"))
    parser.add_argument("--bits", default="8")
    parser.add_argument("--sizes", nargs="?", const="documented",
                        help="file sizes instead of widths")
    parser.add_argument("--alphas", help="of PTILMPQ, instead of widths")
    parser.add_argument("--name", default="default", help="folder below --out")
    parser.add_argument("--models", help="default: all; with --sizes those that have sizes")
    parser.add_argument("--quantize-args", default="", help="more options of ptq-quantize")
    args = parser.parse_args()
    args.models_dir = args.out / "models"
    subprocess.run(["sh", f"{args.shared}/unpack.sh", str(args.models_dir)], check=True)
    every = list(SIZES) if args.sizes else IMAGENET + CIFAR
    print(HEADER, flush=True)
    for model in args.models.split(",") if args.models else every:
        measure(model, args)


if __name__ == "__main__":
    main()
