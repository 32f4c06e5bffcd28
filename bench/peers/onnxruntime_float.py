"""ONNX Runtime on the float model: the reference of the classes."""

import onnxruntime

from peers import engine


class Session(engine.Engine):
    """Runs any ONNX model."""

    packages = ("onnxruntime",)

    def __init__(self, task, threads):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            str(self.files(task)[0]), options, providers=["CPUExecutionProvider"])
        self._name = self._session.get_inputs()[0].name

    def set_input(self, pixels):
        self._input = {self._name: pixels}

    def infer(self):
        self._output = self._session.run(None, self._input)

    def logits(self):
        return self._output[0]


class Engine(Session):
    @classmethod
    def files(cls, task):
        return [task.onnx_file]

    @classmethod
    def prepare(cls, task):
        pass  # the float model itself
