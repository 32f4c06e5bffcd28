"""What takes part in a comparison: peers in their workers, and mpq through its own programs."""

import contextlib
import dataclasses
import json
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import time

from peers import memory

# OpenVINO reports its import over the network, from a process of its own, unless in CI.
_NO_TELEMETRY = {"CI": "true"}
_STARTS = 3  # processes that time load to first result; the shortest counts


class EngineFailure(Exception):
    """An engine that cannot be measured, and why; the comparison goes on without it."""


@dataclasses.dataclass
class Round:
    """Latencies of one round, in milliseconds."""

    min_ms: float
    median_ms: float
    p95_ms: float

    @classmethod
    def of(cls, times_ms):
        ordered = sorted(times_ms)
        return cls(ordered[0], statistics.median(ordered),
                   ordered[round(0.95 * (len(ordered) - 1))])


class WorkerProcess:
    """Talks to peers/worker.py. Between commands the process is stopped: idle threads may spin.

    It has a session of its own because the kernel hangs up process groups with stopped members.
    """

    def __init__(self, environment, log):
        bench = pathlib.Path(__file__).resolve().parent.parent
        self._log = log
        with open(log, "w", encoding="utf-8") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "peers.worker"], text=True, stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=errors, start_new_session=True,
                env={**os.environ, "PYTHONPATH": str(bench), **_NO_TELEMETRY, **environment})

    def begin(self, do, **arguments):
        self._process.send_signal(signal.SIGCONT)
        try:
            print(json.dumps({"do": do, **arguments}), file=self._process.stdin, flush=True)
        except BrokenPipeError:
            pass  # end() says how it ended

    def end(self):
        line = self._process.stdout.readline()
        if not line:
            raise EngineFailure(f"process ended with {self._process.wait()}, see {self._log}")
        self._process.send_signal(signal.SIGSTOP)
        answer = json.loads(line)
        if "error" in answer:
            raise EngineFailure(answer["error"].splitlines()[0])
        return answer

    def call(self, do, **arguments):
        self.begin(do, **arguments)
        return self.end()

    def close(self):
        self._process.kill()
        self._process.wait()  # not communicate(): a child it left could hold the pipes open
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


class Peer:
    """An engine of this package."""

    def __init__(self, name, task, pictures, environment):
        self.name = name
        self._load = {"engine": name, "task": dataclasses.asdict(task),
                      "pictures": str(pictures)}
        self._environment = environment
        self._log = task.cached(f"{name}.log")
        self._workers, self._streams = [], []
        self.throughput_way = ""

    def _start(self):
        worker = WorkerProcess(self._environment, self._log)
        self._workers.append(worker)
        return worker, worker.call("load", **self._load)

    def prepare(self):
        worker, loaded = self._start()
        self.versions, self.settings = loaded["versions"], loaded["settings"]
        self._own_throughput = loaded["throughput"]
        self.file_bytes = worker.call("prepare")["bytes"]
        worker.close()

    def open(self, threads):
        first = []
        for _ in range(_STARTS):
            worker, loaded = self._start()
            first.append(worker.call("open", threads=threads)["ms"])
        self.first_result_ms = min(first)
        self._worker = worker
        self._minimum = loaded["memory"]
        for other in self._workers[:-1]:
            other.close()

    def memory(self):
        """Of the process without its minimum: the interpreter and the imports."""
        now = self._worker.call("memory")
        return {"private_bytes": now["private"] - self._minimum["private"],
                "peak_bytes": now["peak"] - self._minimum["peak"],
                "minimum_private_bytes": self._minimum["private"],
                "minimum_peak_bytes": self._minimum["peak"]}

    def measure(self, seconds):
        return Round.of(self._worker.call("measure", seconds=seconds)["times_ms"])

    def classify(self):
        return self._worker.call("classify")["classes"]

    def open_throughput(self, streams):
        count = 1 if self._own_throughput else streams
        self._streams = [self._start()[0] for _ in range(count)]
        if self._own_throughput:
            answer = self._streams[0].call("open_throughput", streams=streams)
            self.throughput_way = answer["way"]
        else:
            self.throughput_way = f"{streams} processes, one thread each"
            for stream in self._streams:
                stream.call("open", threads=1)

    def throughput(self, seconds):
        """Images a second of all streams together."""
        if self._own_throughput:
            answer = self._streams[0].call("count", seconds=seconds)
            return answer["images"] / answer["seconds"]
        for stream in self._streams:
            stream.begin("measure", seconds=seconds)
        times = [stream.end()["times_ms"] for stream in self._streams]
        return sum(1e3 * len(each) / sum(each) for each in times)

    def close(self):
        for worker in self._workers:
            worker.close()


class Mpq:
    """Our engine: its bench program for speed, ptq-run for memory, start and classes."""

    settings = {}

    def __init__(self, name, folder, model, build, pictures, isa):
        self.name = f"mpq-{name}"
        self._model = pathlib.Path(folder, f"{model}.mpq")
        self._bench, self._run = (pathlib.Path(build, program)
                                  for program in ("bench/bench", "apps/ptq-run"))
        self._pictures = pictures
        self._isa = ["--isa", isa] if isa else []

    def prepare(self):
        for file in (self._model, self._bench, self._run):
            if not file.exists():
                raise EngineFailure(f"{file}: not found")
        self.file_bytes = self._model.stat().st_size
        version = self._output([self._run, "--version"]).split()[-1]
        self.versions = {"mpq": version}

    @staticmethod
    def _output(command):
        done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True)
        if done.returncode:
            raise EngineFailure(done.stderr.strip() or f"exit status {done.returncode}")
        return done.stdout

    def _run_command(self, pictures):
        return [self._run, self._model, *pictures, "--threads", self._threads, "--json",
                "--top-k", 1, *self._isa]

    def open(self, threads):
        """Times whole processes of ptq-run: start, checksums, decoding, result, end."""
        self._threads = threads
        times = []
        for _ in range(_STARTS + 1):
            start = time.perf_counter()
            self._output(self._run_command(self._pictures[:1]))
            times.append(1e3 * (time.perf_counter() - start))
        self.first_result_ms = min(times[1:])

    def memory(self):
        """The most of a whole ptq-run process that classifies the pictures; nothing subtracted."""
        command = [str(part) for part in self._run_command(self._pictures)]
        private = peak = 0
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            while process.poll() is None:
                try:
                    now = memory.of_process(process.pid)
                except (FileNotFoundError, KeyError, ProcessLookupError):
                    break  # it ended between poll and read
                private, peak = max(private, now["private"]), max(peak, now["peak"])
                time.sleep(0.0005)
        return {"private_bytes": private, "peak_bytes": peak,
                "minimum_private_bytes": 0, "minimum_peak_bytes": 0}

    def _bench_command(self, threads, seconds):
        return [self._bench, self._model, "--threads", threads, "--seconds", seconds, "--json",
                *self._isa]

    def measure(self, seconds):
        run = json.loads(self._output(self._bench_command(self._threads, seconds)))["runs"][0]
        return Round(run["min_ms"], run["median_ms"], run["p95_ms"])

    def classify(self):
        images = json.loads(self._output(self._run_command(self._pictures)))["images"]
        return [image["classes"][0]["class"] for image in images]

    def open_throughput(self, streams):
        self._stream_count = streams
        self.throughput_way = f"bench --streams {streams}"

    def throughput(self, seconds):
        command = [*self._bench_command(1, seconds), "--streams", self._stream_count]
        return json.loads(self._output(command))["runs"][0]["images_per_second"]

    def close(self):
        pass
