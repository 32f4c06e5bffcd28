#!/usr/bin/env python3
"""Cost as the work grows: time per MAC over the input's size and over the batch.

    bench/growth.py build/models/w4/*.mpq --build build [--threads 1] [--isa avx2]
        [--json FILE] [--plot FILE.svg]

Models run at the sizes and batches given: a convolutional model has no fixed input size. The
figures are picoseconds a MAC; "spread" is the longest over the shortest of a line. The time is the
sum of the shortest time of each step: a run of 100 ms is never left alone by a busy machine, its
steps are. The shortest whole run is in the JSON file beside it.
"""

import argparse
import json
import pathlib
import subprocess

SIZES = [128, 160, 192, 224, 256, 320, 384, 448, 512]
BATCHES = [1, 2, 4, 8, 16, 32]


def measure(model, args, size=None, batch=1):
    """One run of bench, longer for large batches: what it reports, and the picoseconds a MAC."""
    command = [args.build / "bench/bench", model, "--seconds", args.seconds * max(1, batch / 8),
               "--threads", args.threads, "--batch", batch, "--json", "--profile"]
    command += ["--input", f"{size}x{size}"] if size else []
    command += ["--isa", args.isa] if args.isa else []
    done = subprocess.run([str(part) for part in command], check=True, stdout=subprocess.PIPE)
    report = json.loads(done.stdout)
    run = report["runs"][0]
    steps_ms = sum(step["min_ms"] for step in run["profile"])
    return {"cpu": report["cpu"], "size": size, "batch": batch, "min_ms": run["min_ms"],
            "steps_ms": steps_ms, "macs": run["macs"],
            "activation_bytes": run["activation_bytes"],
            "ps_per_mac": steps_ms * 1e9 / (run["macs"] * batch)}


def grow(args):
    """All runs: {model: {"size": [...], "batch": [...]}}."""
    found = {}
    for model in args.models:
        found[model.stem] = {
            "size": [measure(model, args, size=size) for size in args.sizes],
            "batch": [measure(model, args, batch=batch) for batch in args.batches]}
    return found


def print_table(found, axis):
    values = [run[axis] for run in next(iter(found.values()))[axis]]
    print(f"\n| ps/MAC, {axis} | " + " | ".join(map(str, values)) + " | spread |")
    print("|---" * (len(values) + 2) + "|")
    for model, runs in found.items():
        cost = [run["ps_per_mac"] for run in runs[axis]]
        print(f"| {model} | " + " | ".join(f"{value:.2f}" for value in cost)
              + f" | {max(cost) / min(cost):.2f} |")


def draw(found, title, path):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    # The same figures, the same file; text as text keeps it small.
    plt.rcParams.update({"svg.hashsalt": "mpq", "svg.fonttype": "none"})
    figure, panels = plt.subplots(1, 2, figsize=(10, 4), layout="constrained", sharey=True)
    for axes, axis, label in zip(panels, ("size", "batch"), ("input, pixels a side", "batch")):
        for model, runs in found.items():
            axes.plot([run[axis] for run in runs[axis]], [run["ps_per_mac"] for run in runs[axis]],
                      marker="o", markersize=3, label=model)
        axes.set_xscale("log", base=2)
        ticks = [run[axis] for run in next(iter(found.values()))[axis]]
        axes.set_xticks(ticks, ticks)
        axes.set_xlabel(label)
        axes.grid(color="0.9")
    panels[0].set_ylabel("picoseconds a MAC")
    panels[0].set_ylim(bottom=0)
    panels[1].legend(fontsize=8)
    figure.suptitle(title, fontsize=10)
    figure.savefig(path, metadata={"Date": None} if str(path).endswith(".svg") else None)


def numbers(text):
    return [int(number) for number in text.split(",")]


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=pathlib.Path, help=".mpq files")
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build"))
    parser.add_argument("--sizes", type=numbers, default=SIZES)
    parser.add_argument("--batches", type=numbers, default=BATCHES)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--isa", default="")
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--plot", type=pathlib.Path, help="a .svg or .png")
    args = parser.parse_args()
    found = grow(args)
    cpu = next(iter(found.values()))["size"][0]["cpu"]
    print(f"{cpu}, {args.threads} thread(s)")
    print_table(found, "size")
    print_table(found, "batch")
    if args.json:
        args.json.write_text(json.dumps(found, indent=1))
    if args.plot:
        draw(found, f"{cpu}, {args.threads} thread(s)", args.plot)


if __name__ == "__main__":
    main()
