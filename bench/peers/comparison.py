"""One model: all engines in turn, round by round."""

import dataclasses
import sys

from peers import results
from peers.contestant import EngineFailure

_WARM_UP_SECONDS = 0.3


@dataclasses.dataclass
class Settings:
    threads: int = 1
    streams: int = 0  # 0: no throughput
    rounds: int = 10
    seconds: float = 1.0


class Comparison:
    """One model: opens what can be opened, then goes round the engines."""

    def __init__(self, model, engines, settings):
        self._settings = settings
        self.engines = engines
        self.rows = {engine.name: results.Row(model, engine.name) for engine in engines}
        self.classes = {}

    def _running(self):
        return [engine for engine in self.engines if not self.rows[engine.name].failure]

    def _try(self, engine, step):
        """Runs one step of an engine; the engine's row says why if it fails."""
        try:
            step(engine, self.rows[engine.name])
        except (EngineFailure, KeyError, ValueError, OSError) as error:
            reason = str(error) if isinstance(error, EngineFailure) else repr(error)
            self.rows[engine.name].failure = f"skipped: {reason}"
            print(f"{engine.name} {self.rows[engine.name].failure}", file=sys.stderr)
            engine.close()

    def _open(self, engine, row):
        engine.prepare()
        row.file_bytes = engine.file_bytes
        engine.open(self._settings.threads)
        row.first_result_ms = engine.first_result_ms
        engine.measure(_WARM_UP_SECONDS)
        for field, value in engine.memory().items():
            setattr(row, field, value)
        self.classes[engine.name] = engine.classify()

    def _open_throughput(self, engine, row):
        engine.open_throughput(self._settings.streams)
        row.throughput_way = engine.throughput_way
        engine.throughput(_WARM_UP_SECONDS)

    def _in_rounds(self, measure):
        """Results by engine: every engine once a round, so that all see the same drifts."""
        measured = {engine.name: [] for engine in self.engines}
        for _ in range(self._settings.rounds):
            for engine in self._running():
                self._try(engine, lambda engine, row: measured[row.engine].append(measure(engine)))
        return measured

    def run(self):
        """The rows, ratios and agreement not yet set."""
        for engine in self.engines:
            self._try(engine, self._open)
        rounds = self._in_rounds(lambda engine: engine.measure(self._settings.seconds))
        for engine in self._running():
            self.rows[engine.name].set_latency(rounds[engine.name])
        if self._settings.streams:
            for engine in self._running():
                self._try(engine, self._open_throughput)
            rates = self._in_rounds(lambda engine: engine.throughput(self._settings.seconds))
            for engine in self._running():
                self.rows[engine.name].images_per_second = max(rates[engine.name])
        for engine in self.engines:
            engine.close()
        return list(self.rows.values())
