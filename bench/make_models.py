#!/usr/bin/env python3
"""Makes the .mpq files that speed is measured with: W8, W4, W3, W2 and mixed widths.

    bench/make_models.py --build build --shared ../shared --out build/models \
        [--sets w8,w4,w3,w2,mixed] [--models NAME,...] [--images 64]

Writes OUT/SET/NAME.mpq and makes everything anew on each call. "mixed" gives the layers 2, 3, 4 and
8 bits in turn: it shows what a change of width from layer to layer costs and, like w2, is no model
anybody would classify with. Calibration uses images/calibration of the shared folder.
"""

import argparse
import json
import pathlib
import subprocess

from measure_accuracy import IMAGENET, Paths, run

MIXED_BITS = [2, 3, 4, 8]
SETS = ["w8", "w4", "w3", "w2", "mixed"]


def mixed_recipe(uniform_model, build):
    """A recipe that goes through the layers with weights of a quantised model in turn."""
    report = json.loads(run([build / "apps/ptq-inspect", uniform_model, "--json"]))
    names = [layer["name"] for layer in report["layers"] if layer.get("weights")]
    return {"layers": {name: MIXED_BITS[i % len(MIXED_BITS)] for i, name in enumerate(names)}}


def make(name, model, args):
    paths = Paths(model, args)
    target = args.out / name / f"{model}.mpq"
    target.parent.mkdir(parents=True, exist_ok=True)
    # Speed does not depend on how weights are rounded: the fast way.
    options = ["--rounding", "nearest", "--weight-bits", name.removeprefix("w")]
    if name == "mixed":
        recipe = args.out / name / f"{model}.recipe.json"
        uniform = args.out / "w8" / f"{model}.mpq"
        if not uniform.exists():
            make("w8", model, args)
        recipe.write_text(json.dumps(mixed_recipe(uniform, args.build), indent=1))
        options = ["--rounding", "nearest", "--recipe", recipe]
    run([args.build / "apps/ptq-quantize", paths.onnx, "-o", target, "--preprocess",
         paths.preprocess, "--labels", paths.labels, "--calibration", paths.calibration,
         "--images", args.images, "--threads", "2", *options])
    print(f"{target}: {target.stat().st_size} bytes", flush=True)
    return target


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build"))
    parser.add_argument("--shared", default="../shared")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("build/models"))
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--models", default=",".join(IMAGENET))
    parser.add_argument("--images", type=int, default=64, help="to calibrate with")
    args = parser.parse_args()
    args.models_dir = args.out / "onnx"
    subprocess.run(["sh", f"{args.shared}/unpack.sh", str(args.models_dir)], check=True)
    for model in args.models.split(","):
        for name in args.sets.split(","):
            make(name, model, args)


if __name__ == "__main__":
    main()
