#!/usr/bin/env python3
"""Writes the layer shapes that `bench --kernels` measures, from quantised models.

    bench/make_shapes.py --build build --out bench/shapes build/models/w8/*.mpq

A line of OUT/NAME.txt is one kind of convolution and how often the network has it.
"""

import argparse
import collections
import json
import pathlib
import re
import subprocess

COLUMNS = "# count operator     size in_channels out_channels kernel stride"


def shapes(model, build):
    """Counts of (operator, size, in, out, kernel, stride), in the order of the network."""
    report = json.loads(subprocess.run([build / "apps/ptq-inspect", model, "--json"], check=True,
                                       stdout=subprocess.PIPE).stdout)
    found = collections.Counter()
    for layer in report["layers"]:
        if layer["operator"].removesuffix("+residual") not in ("Conv", "DepthwiseConv"):
            continue
        kernel = int(re.match(r"(\d+)x\1", layer["window"])[1])
        stride = re.search(r"stride (\d+)", layer["window"])
        stride = int(stride[1]) if stride else 1
        height, _, out_channels = layer["output"]
        depthwise = layer["operator"] == "DepthwiseConv"
        in_channels = (out_channels if depthwise
                       else layer["weights"] // (kernel * kernel * out_channels))
        found["depthwise" if depthwise else "conv", height * stride, in_channels, out_channels,
              kernel, stride] += 1
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=pathlib.Path)
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build"))
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("bench/shapes"))
    args = parser.parse_args()
    for model in args.models:
        lines = [f"# The convolutions of {model.stem}, square and padded by half the kernel.",
                 "# Made by bench/make_shapes.py; size is of the input.", COLUMNS]
        for (operator, *numbers), count in shapes(model, args.build).items():
            lines.append("{:7} {:10} {:6} {:11} {:12} {:6} {:6}".format(count, operator, *numbers))
        (args.out / f"{model.stem}.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
