"""MNN: conversion and running, shared by its int8 and 4-bit models.

The package's command line tools (MNN.tools) report their use over the network and install a package
for that with the first pip they find; the extension module behind them, called here, does neither.
"""

import MNN
import numpy as np

from peers import engine


def convert(task, target, *options):
    """Float ONNX to .mnn."""
    import _tools

    _tools.mnnconvert(["mnnconvert", "-f", "ONNX", "--modelFile", str(task.onnx_file),
                       "--MNNModel", str(target), "--bizCode", "compare", *options])
    if not target.exists():
        raise RuntimeError(f"mnnconvert wrote no {target}")


class Engine(engine.Engine):
    packages = ("MNN",)
    memory = "normal"

    def __init__(self, task, threads):
        self._interpreter = MNN.Interpreter(str(self.files(task)[0]))
        self._session = self._interpreter.createSession(
            {"backend": "CPU", "numThread": threads, "precision": "normal", "memory": self.memory})
        self._input = self._interpreter.getSessionInput(self._session)
        self._output = self._interpreter.getSessionOutput(self._session)
        crop = task.preprocess["crop"]
        self._interpreter.resizeTensor(self._input, (1, 3, crop, crop))
        self._interpreter.resizeSession(self._session)
        # The session's own tensors may be int8 or in blocks of channels.
        shape = self._output.getShape()
        self._host_output = MNN.Tensor(shape, MNN.Halide_Type_Float, np.zeros(shape, np.float32),
                                       MNN.Tensor_DimensionType_Caffe)

    def set_input(self, pixels):
        self._host = MNN.Tensor(pixels.shape, MNN.Halide_Type_Float, pixels,
                                MNN.Tensor_DimensionType_Caffe)

    def infer(self):
        self._input.copyFrom(self._host)
        self._interpreter.runSession(self._session)
        self._output.copyToHostTensor(self._host_output)

    def logits(self):
        return np.array(self._host_output.getNumpyData())
