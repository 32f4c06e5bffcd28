"""What the worker asks of an engine, and the cache of quantised models."""

import dataclasses
import hashlib
import importlib.metadata
import json
import pathlib


@dataclasses.dataclass
class Task:
    """One float model and where its peers' files go."""

    model: str
    onnx: str         # folder with NAME.onnx and NAME.preprocess.json
    calibration: str  # folder of photographs
    cache: str
    converter: str    # Python of the environment that makes .tflite files
    images: int = 300

    @property
    def onnx_file(self):
        return pathlib.Path(self.onnx, f"{self.model}.onnx")

    @property
    def preprocess(self):
        return json.loads(pathlib.Path(self.onnx, f"{self.model}.preprocess.json").read_text())

    def calibration_pixels(self):
        """Preprocessed images one by one, NCHW float32 with a batch of 1."""
        from peers import pictures  # only to quantise: Pillow is no part of the running engine

        for path in pictures.listed(self.calibration, self.images):
            yield pictures.load_pixels(path, self.preprocess)

    def cached(self, suffix):
        return pathlib.Path(self.cache, f"{self.model}.{suffix}")


class Engine:
    """Base of the engines. The constructor is the engine's first call; imports are done before."""

    packages = ()  # distributions whose versions are shown and stamped
    settings = {}  # what else the quantised file depends on; shown too
    suffixes = ()  # files of the quantised model in the cache, the first is opened

    @classmethod
    def versions(cls):
        return {name: importlib.metadata.version(name) for name in cls.packages}

    @classmethod
    def files(cls, task):
        return [task.cached(suffix) for suffix in cls.suffixes]

    @classmethod
    def prepare(cls, task):
        """Makes the quantised model unless the cache has it from the same versions and settings."""
        files = cls.files(task)
        stamp_file = files[0].with_name(files[0].name + ".stamp.json")
        stamp = {"versions": cls.versions(), "settings": cls.settings, "images": task.images,
                 "onnx": hashlib.sha256(task.onnx_file.read_bytes()).hexdigest()}
        fresh = stamp_file.exists() and json.loads(stamp_file.read_text()) == stamp
        if not fresh or not all(file.exists() for file in files):
            stamp_file.unlink(missing_ok=True)
            cls.quantise(task)
            stamp_file.write_text(json.dumps(stamp, indent=1))

    @classmethod
    def quantise(cls, task):
        raise NotImplementedError

    def __init__(self, task, threads):
        raise NotImplementedError

    def set_input(self, pixels):
        """Takes preprocessed float pixels, NCHW; what it costs is not timed."""
        raise NotImplementedError

    def infer(self):
        """Runs on the input set; this is what is timed."""
        raise NotImplementedError

    def logits(self):
        raise NotImplementedError


class Throughput:
    """For engines that serve several streams in one process better than several processes do."""

    def __init__(self, task, streams, pixels):
        raise NotImplementedError

    def count(self, seconds):
        """Images done in about that time, and the time."""
        raise NotImplementedError
