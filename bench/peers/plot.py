"""Latency against file size and against memory, one line of panels a model."""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter  # noqa: E402

_PANELS = [("file_bytes", "model file, MB"), ("private_bytes", "private memory, MB")]


def _scatter(axes, rows, field):
    known = [row for row in rows if row.min_ms is not None and getattr(row, field) is not None]
    named = []  # where our names are
    for row in known:
        value = getattr(row, field)
        ours = row.engine.startswith("mpq")
        # A process may take no more private memory than the engine's imports did.
        x = max(value / 1e6, 0.1)
        axes.scatter(x, row.min_ms, s=36, color="tab:red" if ours else "tab:blue",
                     marker="o" if ours else "s", zorder=3)
        # Our points lie close together: names that would overlap are stacked.
        stacked = sum(abs(x / other - 1) < 0.5 for other in named) if ours else 0
        axes.annotate(row.engine, (x, row.min_ms), fontsize=6.5, textcoords="offset points",
                      xytext=(6, 3 + 8 * stacked if ours else -2))
        named += [x] if ours else []
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.margins(x=0.3, y=0.2)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    axes.grid(which="major", color="0.9", zorder=0)


def draw(rows, title, path):
    """Writes a .png or .svg. Red circles are mpq, blue squares the others; lower left is better."""
    models = list(dict.fromkeys(row.model for row in rows))
    figure, panels = plt.subplots(len(models), len(_PANELS), squeeze=False,
                                  figsize=(11, 3.4 * len(models)), layout="constrained")
    for model, line in zip(models, panels):
        for axes, (field, label) in zip(line, _PANELS):
            _scatter(axes, [row for row in rows if row.model == model], field)
            axes.set_title(model, fontsize=9)
            axes.set_xlabel(label)
            axes.set_ylabel("latency, ms (minimum)")
    figure.suptitle(title, fontsize=10)
    figure.savefig(path, dpi=120)
    plt.close(figure)
