#!/usr/bin/env python3
"""The comparison with other engines, with engines made up here: rounds, failures, ratios, table."""

import json
import os
import pathlib
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "bench"))

from peers import comparison, contestant, results  # noqa: E402
from peers.engine import Task  # noqa: E402

FAKE_ENGINE = '''
from peers import engine

class Engine(engine.Engine):
    settings = {"kind": "fake"}
    suffixes = ("fake",)

    @classmethod
    def quantise(cls, task):
        print("a line on standard output is no answer")
        cls.files(task)[0].write_bytes(b"12345")

    def __init__(self, task, threads):
        if threads > 4:
            raise ValueError("at most 4 threads\\nand a second line")
        print("noise")

    def set_input(self, pixels):
        pass

    def infer(self):
        self._memory = bytearray(8 << 20)

    def logits(self):
        pass
'''


class FakeEngine:
    """Answers with given latencies; fails in the round given."""

    versions, settings, file_bytes, first_result_ms = {"fake": "1"}, {}, 1000, 5.0
    throughput_way = "fake"

    def __init__(self, name, latencies, log, fails_in=None, classes=(1, 2, 3, 4)):
        self.name, self._latencies, self._log = name, list(latencies), log
        self._fails_in, self._classes = fails_in, list(classes)
        self.closed = False

    def prepare(self):
        pass

    def open(self, threads):
        pass

    def memory(self):
        return {"private_bytes": 100, "peak_bytes": 200, "minimum_private_bytes": 10,
                "minimum_peak_bytes": 20}

    def classify(self):
        return self._classes

    def measure(self, seconds):
        if seconds < 1:  # the warm-up
            return None
        self._log.append(self.name)
        if self._log.count(self.name) - 1 == self._fails_in:
            raise contestant.EngineFailure("it broke")
        latency = self._latencies[self._log.count(self.name) - 1]
        return contestant.Round(latency, 2 * latency, 3 * latency)

    def open_throughput(self, streams):
        pass

    def throughput(self, seconds):
        return 1e3 / self._latencies[0]

    def close(self):
        self.closed = True


class RoundTest(unittest.TestCase):
    def test_figures_of_a_round(self):
        figures = contestant.Round.of([float(i) for i in range(100, -1, -1)])
        self.assertEqual((figures.min_ms, figures.median_ms, figures.p95_ms), (0, 50, 95))
        self.assertEqual(contestant.Round.of([4.0]), contestant.Round(4.0, 4.0, 4.0))


class ComparisonTest(unittest.TestCase):
    def compare(self, *engines, streams=2):
        settings = comparison.Settings(threads=1, streams=streams, rounds=3, seconds=1)
        self.comparison = comparison.Comparison("net", list(engines), settings)
        return self.comparison.run()

    def test_engines_take_turns_and_the_minimum_counts(self):
        log = []
        rows = self.compare(FakeEngine("a", [4, 2, 3], log), FakeEngine("b", [9, 8, 7], log))
        self.assertEqual(log, ["a", "b"] * 3)
        self.assertEqual([row.min_ms for row in rows], [2, 7])
        self.assertEqual([row.median_ms for row in rows], [6, 16])
        self.assertEqual([row.p95_ms for row in rows], [9, 24])
        self.assertEqual([row.images_per_second for row in rows], [250, 1e3 / 9])
        self.assertTrue(all(engine.closed for engine in self.comparison.engines))

    def test_a_failure_ends_one_engine_only_and_is_seen(self):
        log = []
        rows = self.compare(FakeEngine("a", [4, 2, 3], log, fails_in=1),
                            FakeEngine("b", [9, 8, 7], log))
        self.assertEqual(log, ["a", "b", "a", "b", "b"])
        self.assertIn("it broke", results.line(rows[0]))
        self.assertIsNone(rows[0].min_ms)
        self.assertEqual(rows[1].min_ms, 7)

    def test_ratios_are_to_the_best_peer_that_ran(self):
        log = []
        rows = self.compare(FakeEngine("slow", [8] * 3, log), FakeEngine("fast", [4] * 3, log),
                            FakeEngine("broken", [1] * 3, log, fails_in=2),
                            FakeEngine("other", [1] * 3, log), FakeEngine("ours", [2] * 3, log))
        results.set_ratios(rows, ["slow", "fast", "broken"])
        self.assertEqual([row.ratio for row in rows], [0.5, 1, None, 4, 2])
        self.assertEqual([row.throughput_ratio for row in rows], [0.5, 1, None, 4, 2])

    def test_no_ratio_without_a_peer(self):
        rows = self.compare(FakeEngine("ours", [2] * 3, []), streams=0)
        results.set_ratios(rows, ["slow"])
        self.assertIsNone(rows[0].ratio)
        self.assertIsNone(rows[0].images_per_second)
        self.assertIn(" - ", results.line(rows[0]))

    def test_agreement_with_the_reference(self):
        log = []
        rows = self.compare(FakeEngine("float", [1] * 3, log),
                            FakeEngine("ours", [1] * 3, log, classes=(1, 2, 9, 4)))
        results.set_agreement(rows, self.comparison.classes, "float")
        self.assertEqual([row.agreement for row in rows], [1, 0.75])

    def test_table_and_report(self):
        row = results.Row("net", "ours", min_ms=1.234, median_ms=2, p95_ms=3, ratio=1.5,
                          private_bytes=1_900_000, file_bytes=2_500_000, agreement=0.98)
        columns = results.line(row).split()
        self.assertEqual(columns[:5], ["ours", "1.23", "2.00", "3.00", "1.50"])
        self.assertEqual(columns[-2:], ["2.50", "98"])
        self.assertEqual(len(results.line(row)), len(results.heading()))
        report = json.loads(json.dumps(results.report([row], {"cpu": "x"})))
        self.assertEqual(report["cpu"], "x")
        self.assertEqual(report["rows"][0]["private_bytes"], 1_900_000)


class WorkerTest(unittest.TestCase):
    """A made-up engine in a real worker process."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        (self.folder / "fake_engine.py").write_text(FAKE_ENGINE)
        (self.folder / "net.onnx").write_bytes(b"float")
        self.task = Task("net", str(self.folder), "", str(self.folder), "")

    def peer(self, name="fake_engine"):
        path = os.pathsep.join([str(ROOT / "bench"), str(self.folder)])
        peer = contestant.Peer(name, self.task, "", {"PYTHONPATH": path})
        self.addCleanup(peer.close)
        return peer

    def test_an_engine_is_prepared_opened_and_timed(self):
        peer = self.peer()
        peer.prepare()
        self.assertEqual(peer.file_bytes, 5)
        peer.open(threads=1)
        self.assertGreater(peer.first_result_ms, 0)
        figures = peer.measure(0.02)
        self.assertLessEqual(figures.min_ms, figures.median_ms)
        self.assertLessEqual(figures.median_ms, figures.p95_ms)
        used = peer.memory()
        self.assertGreater(used["minimum_private_bytes"], 1 << 20)
        self.assertGreater(used["peak_bytes"], 8 << 20)
        peer.open_throughput(2)
        self.assertGreater(peer.throughput(0.02), 0)

    def test_a_model_is_kept_until_its_settings_change(self):
        self.peer().prepare()
        (self.folder / "net.fake").write_bytes(b"kept")
        peer = self.peer()
        peer.prepare()
        self.assertEqual(peer.file_bytes, 4)
        (self.folder / "net.onnx").write_bytes(b"another float model")
        peer.prepare()
        self.assertEqual(peer.file_bytes, 5)

    def test_what_goes_wrong_is_told_in_one_line(self):
        peer = self.peer()
        peer.prepare()
        with self.assertRaisesRegex(contestant.EngineFailure, "^ValueError: at most 4 threads$"):
            peer.open(threads=5)
        with self.assertRaisesRegex(contestant.EngineFailure, "No module named 'no_engine'"):
            self.peer("no_engine").prepare()
        (self.folder / "crash.py").write_text("import os\nos._exit(3)")
        with self.assertRaisesRegex(contestant.EngineFailure, "ended with 3, see .*crash.log"):
            self.peer("crash").prepare()


if __name__ == "__main__":
    unittest.main()
