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


def layers(model, build):
    """What ptq-inspect tells of the model's layers, in the order of the network."""
    return json.loads(subprocess.run([build / "apps/ptq-inspect", model, "--json"], check=True,
                                     stdout=subprocess.PIPE).stdout)["layers"]


def shape(layer):
    """(operator, size, in_channels, out_channels, kernel, stride) of a convolution, else None."""
    operator = layer["operator"].removesuffix("+residual")
    if operator not in ("Conv", "DepthwiseConv"):
        return None
    kernel = int(re.match(r"(\d+)x\1", layer["window"])[1])
    stride = re.search(r"stride (\d+)", layer["window"])
    stride = int(stride[1]) if stride else 1
    height, _, out_channels = layer["output"]
    per_output = layer["weights"] // (kernel * kernel * out_channels)
    if operator == "DepthwiseConv":
        return "depthwise", height * stride, out_channels, out_channels, kernel, stride
    return "conv", height * stride, per_output, out_channels, kernel, stride


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
        counts = collections.Counter(map(shape, layers(model, args.build)))
        del counts[None]
        for (operator, *numbers), count in counts.items():
            lines.append("{:7} {:10} {:6} {:11} {:12} {:6} {:6}".format(count, operator, *numbers))
        (args.out / f"{model.stem}.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
