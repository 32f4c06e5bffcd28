"""MNN with its offline quantisation: integer weights and activations."""

import json
import pathlib
import tempfile

from peers import mnn


class Engine(mnn.Engine):
    settings = {"tool": "mnnquant", "activations": "KL", "weights": "MAX_ABS, per channel"}
    suffixes = ("mnn-int8.mnn",)

    @classmethod
    def quantise(cls, task):
        import _tools
        from PIL import Image

        from peers import pictures

        preprocess = task.preprocess
        with tempfile.TemporaryDirectory() as work:
            mnn.convert(task, pathlib.Path(work, "float.mnn"))
            images = pathlib.Path(work, "images")
            images.mkdir()
            for i, path in enumerate(pictures.listed(task.calibration, task.images)):
                Image.fromarray(pictures.crop_pixels(path, preprocess)).save(images / f"{i:04}.png")
            config = pathlib.Path(work, "config.json")
            config.write_text(json.dumps({
                "format": "RGB", "mean": preprocess["mean"],
                "normal": [1 / std for std in preprocess["std"]],
                "width": preprocess["crop"], "height": preprocess["crop"], "path": str(images),
                "used_image_num": task.images, "feature_quantize_method": "KL",
                "weight_quantize_method": "MAX_ABS"}))
            _tools.mnnquant(["mnnquant", f"{work}/float.mnn", str(cls.files(task)[0]),
                             str(config)])
