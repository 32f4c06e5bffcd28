"""Figures of a comparison: from rounds to rows, ratios and the table."""

import dataclasses
import statistics


@dataclasses.dataclass
class Row:
    """One engine on one model. Latencies are there unless `failure`; the rest may be absent."""

    model: str
    engine: str
    failure: str = ""
    min_ms: float | None = None
    median_ms: float | None = None
    p95_ms: float | None = None
    ratio: float | None = None
    images_per_second: float | None = None
    throughput_ratio: float | None = None
    throughput_way: str = ""
    private_bytes: int | None = None
    peak_bytes: int | None = None
    minimum_private_bytes: int | None = None
    minimum_peak_bytes: int | None = None
    first_result_ms: float | None = None
    file_bytes: int | None = None
    agreement: float | None = None  # share of pictures with the float model's top-1 class

    def set_latency(self, rounds):
        """The minimum over all rounds; medians of the rounds' medians and 95th percentiles."""
        self.min_ms = min(each.min_ms for each in rounds)
        self.median_ms = statistics.median(each.median_ms for each in rounds)
        self.p95_ms = statistics.median(each.p95_ms for each in rounds)


def set_ratios(rows, peers):
    """Speed of each row of one model over the best of `peers`; absent if none of them ran."""
    measured = [row for row in rows if row.engine in peers]
    best_ms = min((row.min_ms for row in measured if row.min_ms), default=None)
    best_rate = max((row.images_per_second for row in measured if row.images_per_second),
                    default=None)
    for row in rows:
        if best_ms and row.min_ms:
            row.ratio = best_ms / row.min_ms
        if best_rate and row.images_per_second:
            row.throughput_ratio = row.images_per_second / best_rate


def set_agreement(rows, classes, reference):
    """`classes`: engine -> top-1 of each picture."""
    for row in rows:
        if row.engine in classes and reference in classes:
            same = [a == b for a, b in zip(classes[row.engine], classes[reference], strict=True)]
            row.agreement = sum(same) / len(same)


_COLUMNS = [  # heading, field, unit, decimals, width
    ("min ms", "min_ms", 1, 2, 7), ("median", "median_ms", 1, 2, 7), ("p95", "p95_ms", 1, 2, 7),
    ("ratio", "ratio", 1, 2, 6), ("images/s", "images_per_second", 1, 0, 9),
    ("ratio", "throughput_ratio", 1, 2, 6), ("private", "private_bytes", 1e6, 1, 8),
    ("peak MB", "peak_bytes", 1e6, 1, 8), ("first ms", "first_result_ms", 1, 1, 9),
    ("file MB", "file_bytes", 1e6, 2, 8), ("agree %", "agreement", 0.01, 0, 8)]


def heading():
    return f"{'engine':18}" + "".join(f"{name:>{width}}" for name, _, _, _, width in _COLUMNS)


def line(row):
    """A row of the table; an engine that failed says why."""
    if row.failure:
        return f"{row.engine:18}  -- {row.failure}"
    text = f"{row.engine:18}"
    for _, field, unit, decimals, width in _COLUMNS:
        value = getattr(row, field)
        text += f"{'-':>{width}}" if value is None else f"{value / unit:{width}.{decimals}f}"
    return text


def report(rows, facts):
    """The content of the JSON file."""
    return {**facts, "rows": [dataclasses.asdict(row) for row in rows]}
