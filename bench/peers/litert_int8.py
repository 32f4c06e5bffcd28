"""LiteRT (TensorFlow Lite's successor) with XNNPACK on a full-integer .tflite file."""

import pathlib
import subprocess
import tempfile

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from peers import engine


class Engine(engine.Engine):
    packages = ("ai-edge-litert",)
    settings = {"converter": "onnx2tf 1.29.24, tensorflow 2.19.0", "weights": "int8 per channel",
                "activations": "int8", "input and output": "int8"}
    suffixes = ("litert-int8.tflite",)

    @classmethod
    def quantise(cls, task):
        if not pathlib.Path(task.converter).exists():
            raise RuntimeError(f"no converter environment at {task.converter} (--converter)")
        pixels = np.concatenate(list(task.calibration_pixels())).transpose(0, 2, 3, 1)
        with tempfile.TemporaryDirectory() as work:
            np.save(f"{work}/images.npy", pixels)
            script = pathlib.Path(__file__).with_name("convert_litert.py")
            subprocess.run([task.converter, script, task.onnx_file, f"{work}/images.npy",
                            cls.files(task)[0]], check=True)

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
