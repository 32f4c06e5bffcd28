#!/usr/bin/env python3
"""Measures mpq against other engines: same models, pictures and cores, interleaved rounds.

    python3 -m venv .venv-peers
    .venv-peers/bin/pip install -r bench/requirements.txt
    .venv-peers/bin/pip install --no-deps -r bench/requirements_no_deps.txt
    python3 -m venv .venv-litert        # only to make .tflite files
    .venv-litert/bin/pip install -r bench/requirements_litert.txt
    bench/make_models.py --build build --shared ../shared --out build/models
    .venv-peers/bin/python bench/compare_peers.py --build build --onnx build/models/onnx \\
        --calibration ../shared/images/calibration --converter .venv-litert/bin/python \\
        --mpq W8=build/models/w8 --mpq W4=build/models/w4 [--models NAME,...] [--threads 1]
        [--json FILE] [--plot FILE.png]

A DIR of --mpq holds NAME.mpq, that of --onnx NAME.onnx and NAME.preprocess.json. Peers quantise
with 300 calibration images once and keep the result in --cache. What each figure means is in
docs/benchmarking.md.
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import sys
import tempfile

import numpy as np

from peers import ENGINES, LIMITABLE_PEERS, RATIO_PEERS, REFERENCE, pictures, results
from peers.comparison import Comparison, Settings
from peers.contestant import Mpq, Peer
from peers.engine import Task


def cpu_name():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def contestants(model, args, work):
    """Everything that takes part for one model; nothing is started yet."""
    task = Task(model, args.onnx, args.calibration, args.cache, args.converter)
    photographs = pictures.listed(args.calibration, None)[::-1][:args.pictures]
    pixels = pathlib.Path(work, f"{model}.pictures.npy")
    np.save(pixels, np.concatenate(
        [pictures.load_pixels(path, task.preprocess) for path in photographs]))
    environment = {"ONEDNN_MAX_CPU_ISA": args.isa.upper()} if args.isa else {}
    peers = [Peer(name, task, pixels, environment) for name in args.engines.split(",") if name]
    return peers + [Mpq(*spec.split("=", 1), model, args.build, photographs, args.isa)
                    for spec in args.mpq]


def print_facts(facts):
    print(f"{facts['cpu']}, {facts['cores']} cores, {facts['threads']} thread(s), "
          f"{facts['streams']} stream(s) for images/s, {facts['rounds']} rounds of "
          f"{facts['seconds']} s, {facts['date']}")
    print("ratios: to the best of " + ", ".join(facts["ratio_peers"]))
    print("private and peak: of the process without its minimum (mpq: the whole of ptq-run)")
    for note in facts["notes"]:
        print(f"note: {note}")


def notes(args):
    if not args.isa:
        return []
    return [f"mpq and OpenVINO (ONEDNN_MAX_CPU_ISA) are limited to {args.isa}; ONNX Runtime, "
            "LiteRT, MNN and ncnn ignore this and use what the CPU has: no ratio is taken to them"]


def write_files(rows, facts, args):
    """Called after each model: a run takes long and may be interrupted."""
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps(results.report(rows, facts), indent=1))
    if args.plot:
        from peers import plot  # needs matplotlib

        plot.draw(rows, f"{facts['cpu']}, {args.threads} thread(s), {facts['date']}", args.plot)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build", help="folder mpq was built in")
    parser.add_argument("--onnx", required=True, help="folder of the float models")
    parser.add_argument("--calibration", required=True, help="folder of calibration photographs")
    parser.add_argument("--mpq", action="append", default=[], metavar="NAME=DIR")
    parser.add_argument("--models", default="efficientnet_lite0,mobilenet_v1,mobilenet_v2,"
                        "resnet18,resnet50")
    parser.add_argument("--engines", default=",".join(ENGINES), help="peers to take part")
    parser.add_argument("--threads", type=int, default=1, help="of the latencies")
    parser.add_argument("--streams", type=int, default=os.cpu_count(),
                        help="of the throughput, 0 for none (default: one a core)")
    parser.add_argument("--isa", default="", help="limit mpq and OpenVINO, e.g. avx2")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each engine in each round")
    parser.add_argument("--pictures", type=int, default=50, help="to compare top-1 classes on")
    parser.add_argument("--cache", default="build/peers", help="folder of the peers' models")
    parser.add_argument("--converter", default=".venv-litert/bin/python",
                        help="Python of the environment that makes .tflite files")
    parser.add_argument("--json", help="write the figures to this file")
    parser.add_argument("--plot", help="draw the figures into this .png or .svg")
    args = parser.parse_args()
    unknown = set(filter(None, args.engines.split(","))) - set(ENGINES)
    if unknown:
        parser.error(f"--engines {','.join(sorted(unknown))}: known are {','.join(ENGINES)}")
    return args


def main():
    args = parse_arguments()
    pathlib.Path(args.cache).mkdir(parents=True, exist_ok=True)
    ratio_peers = [name for name in RATIO_PEERS if not args.isa or name in LIMITABLE_PEERS]
    facts = {"cpu": cpu_name(), "cores": os.cpu_count(), "threads": args.threads,
             "streams": args.streams, "rounds": args.rounds, "seconds": args.seconds,
             "isa": args.isa, "date": datetime.datetime.now().isoformat(timespec="minutes"),
             "ratio_peers": ratio_peers, "notes": notes(args), "engines": {}}
    print_facts(facts)
    settings = Settings(args.threads, args.streams, args.rounds, args.seconds)
    rows = []
    for model in args.models.split(","):
        with tempfile.TemporaryDirectory() as work:
            comparison = Comparison(model, contestants(model, args, work), settings)
            found = comparison.run()
        results.set_ratios(found, ratio_peers)
        results.set_agreement(found, comparison.classes, REFERENCE)
        for engine in comparison.engines:
            if hasattr(engine, "versions"):
                facts["engines"][engine.name] = {**engine.versions, **engine.settings}
        print(f"\n{model}\n{results.heading()}")
        print("\n".join(results.line(row) for row in found), flush=True)
        rows += found
        write_files(rows, facts, args)
    print()
    for name, what in facts["engines"].items():
        print(f"{name:18} " + ", ".join(f"{key} {value}" for key, value in what.items()))


if __name__ == "__main__":
    sys.exit(main())
