"""LiteRT (TensorFlow Lite's successor) with XNNPACK on a full-integer .tflite file."""

import os
import pathlib
import subprocess
import tempfile

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from peers import engine


def _converter_versions():
    requirements = pathlib.Path(__file__).parent.parent / "requirements_litert.txt"
    return ", ".join(line for line in requirements.read_text().splitlines() if line[0] != "#")


class Engine(engine.Engine):
    packages = ("ai-edge-litert",)
    settings = {"converter": _converter_versions(), "weights": "int8 per channel",
                "activations": "int8", "input and output": "int8"}
    suffixes = ("litert-int8.tflite",)

    @classmethod
    def quantise(cls, task):
        converter = pathlib.Path(task.converter).absolute()
        if not converter.exists():
            raise RuntimeError(f"no converter environment at {converter} (--converter)")
        pixels = np.concatenate(list(task.calibration_pixels())).transpose(0, 2, 3, 1)
        with tempfile.TemporaryDirectory() as work:
            np.save(f"{work}/images.npy", pixels)
            script = pathlib.Path(__file__).with_name("convert_litert.py")
            # onnx2tf calls other programs of its environment.
            path = f"{converter.parent}{os.pathsep}{os.environ['PATH']}"
            subprocess.run([converter, script, task.onnx_file, f"{work}/images.npy",
                            cls.files(task)[0]], check=True, env={**os.environ, "PATH": path})

    def __init__(self, task, threads):
        self._interpreter = Interpreter(str(self.files(task)[0]), num_threads=threads)
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]
        self._output = self._interpreter.get_output_details()[0]

    def set_input(self, pixels):
        scale, zero = self._input["quantization"]
        codes = np.rint(pixels.transpose(0, 2, 3, 1) / scale + zero)
        self._codes = np.clip(codes, -128, 127).astype(np.int8)

    def infer(self):
        self._interpreter.set_tensor(self._input["index"], self._codes)
        self._interpreter.invoke()

    def logits(self):
        return self._interpreter.get_tensor(self._output["index"])
