"""MNN with weights of 4 bits; activations are quantised as it runs."""

from peers import mnn


class Engine(mnn.Engine):
    settings = {"tool": "mnnconvert --weightQuantBits 4 --hqq", "memory": "low"}
    suffixes = ("mnn-w4.mnn",)
    memory = "low"

    @classmethod
    def quantise(cls, task):
        mnn.convert(task, cls.files(task)[0], "--weightQuantBits", "4", "--hqq")
