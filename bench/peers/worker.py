"""One engine and one model in a process of its own: commands and answers are lines of JSON.

Commands come on standard input, as {"do": NAME, ...}. Answers go to what was standard output when
the process started; what the engines print goes to standard error. An answer with "error" is a
failure of the command alone.
"""

import ctypes
import importlib
import json
import os
import signal
import sys
import time

from peers import ENGINES, memory
from peers.engine import Task


class Worker:
    """State between commands: the engine's module, then the model opened."""

    def __init__(self):
        self._engine = self._throughput = None

    def load(self, engine, task, pictures):
        """Imports the engine, of ENGINES or any module; nothing of it is called yet."""
        self._task = Task(**task)
        self._pictures = []
        if pictures:
            import numpy as np

            self._pictures = np.load(pictures, mmap_mode="r")
        self._module = importlib.import_module(ENGINES.get(engine, engine))
        kind = self._module.Engine
        return {"versions": kind.versions(), "settings": kind.settings,
                "throughput": getattr(self._module, "Throughput", None) is not None,
                "memory": memory.of_process()}

    def prepare(self):
        self._module.Engine.prepare(self._task)
        files = self._module.Engine.files(self._task)
        return {"bytes": sum(file.stat().st_size for file in files)}

    def _picture(self, i):
        return self._pictures[i:i + 1].copy()

    def open(self, threads):
        pixels = self._picture(0)
        start = time.perf_counter()
        self._engine = self._module.Engine(self._task, threads)
        self._engine.set_input(pixels)
        self._engine.infer()
        self._engine.logits()
        return {"ms": 1e3 * (time.perf_counter() - start)}

    def open_throughput(self, streams):
        pixels = self._picture(0)
        self._throughput = self._module.Throughput(self._task, streams, pixels)
        return {"way": self._throughput.way}

    def measure(self, seconds):
        times, now = [], time.perf_counter()
        end = now + seconds
        while now < end:
            start = now
            self._engine.infer()
            now = time.perf_counter()
            times.append(1e3 * (now - start))
        return {"times_ms": times}

    def count(self, seconds):
        done, took = self._throughput.count(seconds)
        return {"images": done, "seconds": took}

    def memory(self):
        return memory.of_process()

    def classify(self):
        classes = []
        for i in range(len(self._pictures)):
            self._engine.set_input(self._picture(i))
            self._engine.infer()
            classes.append(int(self._engine.logits().argmax()))
        self._engine.set_input(self._picture(0))
        return {"classes": classes}


def die_with_parent():
    """A stopped process would otherwise stay for ever."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def main():
    die_with_parent()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    worker = Worker()
    for line in sys.stdin:
        command = json.loads(line)
        try:
            answer = getattr(worker, command.pop("do"))(**command)
        except Exception as error:  # whatever an engine raises becomes a line of the table
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
