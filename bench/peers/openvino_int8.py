"""OpenVINO with post-training int8 quantisation by NNCF."""

import time

import openvino

from peers import engine


def _compile(task, threads, hint):
    streams = {"NUM_STREAMS": "1"} if hint == "LATENCY" else {}
    return openvino.Core().compile_model(
        str(Engine.files(task)[0]), "CPU",
        {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": hint, **streams})


class Engine(engine.Engine):
    packages = ("openvino", "nncf")
    settings = {"quantiser": "nncf.quantize, its defaults"}
    suffixes = ("openvino-int8.xml", "openvino-int8.bin")

    @classmethod
    def quantise(cls, task):
        import nncf

        crop = task.preprocess["crop"]
        float_model = openvino.convert_model(task.onnx_file)
        float_model.reshape([1, 3, crop, crop])
        dataset = nncf.Dataset(list(task.calibration_pixels()))
        quantised = nncf.quantize(float_model, dataset, subset_size=task.images)
        openvino.save_model(quantised, cls.files(task)[0])

    def __init__(self, task, threads):
        self._request = _compile(task, threads, "LATENCY").create_infer_request()

    def set_input(self, pixels):
        self._input = [pixels]

    def infer(self):
        self._request.infer(self._input)

    def logits(self):
        return self._request.get_output_tensor(0).data


class Throughput(engine.Throughput):
    """One process; OpenVINO's throughput hint chooses the streams."""

    way = "one process, THROUGHPUT hint, AsyncInferQueue"

    def __init__(self, task, streams, pixels):
        self._queue = openvino.AsyncInferQueue(_compile(task, streams, "THROUGHPUT"))
        self._input = [pixels]

    def count(self, seconds):
        done, start = 0, time.perf_counter()
        while time.perf_counter() < start + seconds:
            self._queue.start_async(self._input)
            done += 1
        self._queue.wait_all()
        return done, time.perf_counter() - start
