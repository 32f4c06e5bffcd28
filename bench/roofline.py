#!/usr/bin/env python3
"""Where the time goes: the table of figures and the roofline plot of docs/performance.md.

    bench/roofline.py build/models/w4/*.mpq --build build --page docs/performance.md \\
        --plot docs/roofline.svg

The table goes between the two "figures" comments of --page, or to standard output. Needs
matplotlib for --plot only.
"""

import argparse
import json
import pathlib
import subprocess

from make_shapes import layers, shape

BEGIN, END = "<!-- figures: bench/roofline.py -->\n", "<!-- end of figures -->"
KINDS = {"Conv": "convolutions", "DepthwiseConv": "depthwise"}


def profile(model, args):
    command = [args.build / "bench/bench", model, "--profile", "--json", "--seconds", args.seconds,
               "--threads", args.threads, *(["--isa", args.isa] if args.isa else [])]
    done = subprocess.run([str(part) for part in command], check=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout)


def traffic(layer):
    """Bytes a convolution has to touch: its input, its output, codes and channel data; or None."""
    found = shape(layer)
    if found is None:
        return None
    _, size, in_channels, *_ = found
    height, width, out_channels = layer["output"]
    return (size * size * in_channels + height * width * out_channels + layer["code_bytes"]
            + layer["side_bytes"])


def kind(step):
    return KINDS.get(step["op"].removesuffix("+residual"), "rest")


def cell(run, wanted):
    """'1.31 ms, 422 GMAC/s' of all steps of a kind."""
    steps = [step for step in run["profile"] if kind(step) == wanted]
    ms = sum(step["min_ms"] for step in steps)
    macs = sum(step["macs"] for step in steps)
    return "" if ms == 0 else f"{ms:.2f} ms" + (f", {macs / ms / 1e6:.0f} GMAC/s" if macs else "")


def table(reports):
    rates = next(iter(reports.values()))["read_bytes_per_second"]
    peak = max(report["runs"][0]["peak_macs_per_second"] for report in reports.values())
    run = next(iter(reports.values()))["runs"][0]
    lines = [f"{run['peak_instruction']}: {peak / 1e9:.0f} GMAC/s a thread; reading "
             f"{rates['l2'] / 1e9:.0f} GB/s from L2, {rates['memory'] / 1e9:.0f} GB/s from memory; "
             f"{run['threads']} thread(s), {run['isa']}.", "",
             "| | ms | MMAC | GMAC/s | of the peak | convolutions | depthwise | rest |",
             "|---|---|---|---|---|---|---|---|"]
    for name, report in reports.items():
        run = report["runs"][0]
        rate = run["macs"] / run["min_ms"] / 1e6
        lines.append(f"| {name} | {run['min_ms']:.2f} | {run['macs'] / 1e6:.0f} | {rate:.0f} | "
                     f"{run['peak_percent']:.0f} % | {cell(run, 'convolutions')} | "
                     f"{cell(run, 'depthwise')} | {cell(run, 'rest')} |")
    return "\n".join(lines) + "\n"


def write_page(path, text):
    page = path.read_text()
    begin, end = page.index(BEGIN) + len(BEGIN), page.index(END)
    path.write_text(page[:begin] + text + page[end:])


def draw(reports, networks, path):
    """One point a convolution: MACs a second over MACs for each byte it has to touch."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    # The same figures, the same file; text as text keeps it small.
    plt.rcParams.update({"svg.hashsalt": "mpq", "svg.fonttype": "none"})
    figure, axes = plt.subplots(figsize=(9, 5), layout="constrained")
    first = next(iter(reports.values()))
    run = first["runs"][0]
    peak = max(report["runs"][0]["peak_macs_per_second"] for report in reports.values())
    peak *= run["threads"]
    ends = [1, 3000]
    for name, rate in first["read_bytes_per_second"].items():
        knee = peak / (rate * run["threads"])
        axes.plot([ends[0], knee, ends[1]], [peak / knee * ends[0] / 1e9, peak / 1e9, peak / 1e9],
                  color="0.3", linestyle="--" if name == "memory" else "-", linewidth=1,
                  label=f"{name}: {rate / 1e9:.0f} GB/s a thread")
    for number, (name, report) in enumerate(reports.items()):
        bytes_of = {layer["name"]: traffic(layer) for layer in networks[name]}
        for wanted, marker in (("convolutions", "o"), ("depthwise", "x")):
            steps = [step for step in report["runs"][0]["profile"]
                     if kind(step) == wanted and step["min_ms"] > 0 and bytes_of.get(step["node"])]
            axes.scatter([step["macs"] / bytes_of[step["node"]] for step in steps],
                         [step["macs"] / step["min_ms"] / 1e6 for step in steps], s=14,
                         color=f"C{number}", marker=marker, linewidths=0.8,
                         label=f"{name}, {wanted}" if steps else None)
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("MACs for each byte of input, output and weights")
    axes.set_ylabel("GMAC/s")
    axes.set_title(f"{first['cpu']}, {run['isa']}, {run['threads']} thread(s); peak "
                   f"{peak / 1e9:.0f} GMAC/s ({run['peak_instruction']})", fontsize=10)
    axes.grid(color="0.92")
    axes.legend(fontsize=7, loc="lower right")
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=pathlib.Path, help=".mpq files")
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--isa", default="")
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--page", type=pathlib.Path, help="page whose table is replaced")
    parser.add_argument("--plot", type=pathlib.Path, help="a .svg or .png")
    args = parser.parse_args()
    reports = {model.stem: profile(model, args) for model in args.models}
    if args.page:
        write_page(args.page, table(reports))
    else:
        print(table(reports), end="")
    if args.plot:
        networks = {model.stem: layers(model, args.build) for model in args.models}
        draw(reports, networks, args.plot)


if __name__ == "__main__":
    main()
