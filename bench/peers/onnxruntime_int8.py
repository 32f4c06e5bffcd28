"""ONNX Runtime with its static quantisation."""

import tempfile

from peers import onnxruntime_float


class Engine(onnxruntime_float.Session):
    settings = {"format": "QDQ", "weights": "int8 per channel", "activations": "uint8",
                "ranges": "minmax", "preprocessing": "quant_pre_process"}
    suffixes = ("onnxruntime-int8.onnx",)

    @classmethod
    def quantise(cls, task):
        from onnxruntime.quantization import (CalibrationDataReader, CalibrationMethod, QuantFormat,
                                              QuantType, quantize_static)
        from onnxruntime.quantization.shape_inference import quant_pre_process

        class Reader(CalibrationDataReader):
            def __init__(self):
                self._pixels = task.calibration_pixels()

            def get_next(self):
                pixels = next(self._pixels, None)
                return None if pixels is None else {"input": pixels}

        with tempfile.TemporaryDirectory() as work:
            folded = f"{work}/folded.onnx"
            quant_pre_process(str(task.onnx_file), folded, skip_symbolic_shape=True)
            quantize_static(folded, str(cls.files(task)[0]), Reader(), per_channel=True,
                            quant_format=QuantFormat.QDQ, weight_type=QuantType.QInt8,
                            activation_type=QuantType.QUInt8,
                            calibrate_method=CalibrationMethod.MinMax)
