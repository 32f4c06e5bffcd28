"""ncnn with weights stored as fp16; its int8 tools are not in the package."""

import importlib.metadata
import pathlib
import shutil
import subprocess
import tempfile

import ncnn
import numpy as np

from peers import engine


class Engine(engine.Engine):
    packages = ("ncnn", "pnnx")
    settings = {"converter": "pnnx, fp16=1"}
    suffixes = ("ncnn-fp16.bin", "ncnn-fp16.param")

    @classmethod
    def quantise(cls, task):
        crop = task.preprocess["crop"]
        with tempfile.TemporaryDirectory() as work:
            model = pathlib.Path(work, "model.onnx")
            shutil.copy(task.onnx_file, model)
            # Not through its Python module, which imports torch.
            converter = importlib.metadata.distribution("pnnx").locate_file("pnnx/pnnx")
            subprocess.run([converter, model, f"inputshape=[1,3,{crop},{crop}]", "fp16=1"],
                           check=True, cwd=work)
            for file in cls.files(task):
                shutil.copy(f"{work}/model.ncnn{file.suffix}", file)

    def __init__(self, task, threads):
        weights, graph = self.files(task)
        self._net = ncnn.Net()
        self._net.opt.num_threads = threads
        self._net.load_param(str(graph))
        self._net.load_model(str(weights))

    def set_input(self, pixels):
        self._pixels = ncnn.Mat(pixels[0]).clone()

    def infer(self):
        with self._net.create_extractor() as extractor:
            extractor.input(self._net.input_names()[0], self._pixels)
            _, self._output = extractor.extract(self._net.output_names()[0])

    def logits(self):
        return np.array(self._output)
