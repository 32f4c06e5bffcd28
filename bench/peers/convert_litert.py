"""Converts an ONNX model to an int8 .tflite file; runs in the environment of the converter.

    python convert_litert.py MODEL.onnx IMAGES.npy OUT.tflite

onnx2tf turns the graph to NHWC and TensorFlow's converter quantises it: weights per channel, static
ranges of activations from the images, int8 at the input and the output. IMAGES.npy holds the
preprocessed images, NHWC float32. Pinned in bench/requirements_litert.txt.
"""

import os
import pathlib
import shutil
import sys
import tempfile

import numpy as np

# onnx2tf fetches photographs of this name to check its result with unless they are here.
CHECK_IMAGES = "calibration_image_sample_data_20x128x128x3_float32.npy"


def fix_batch(onnx_path, fixed_path):
    """A batch of 1: with an open one onnx2tf mistakes the layout of additions in residual nets."""
    import onnx

    model = onnx.load(onnx_path)
    for value in [*model.graph.input, *model.graph.output]:
        value.type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(model, fixed_path)


def convert(onnx_path, images, target):
    import onnx2tf
    import tensorflow as tf

    np.save(CHECK_IMAGES, images[:20, 48:176, 48:176])
    fix_batch(onnx_path, "batch1.onnx")
    onnx2tf.convert(input_onnx_file_path="batch1.onnx", output_folder_path="saved_model",
                    non_verbose=True)
    converter = tf.lite.TFLiteConverter.from_saved_model("saved_model")
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([image[None]] for image in images)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    pathlib.Path(target).write_bytes(converter.convert())


def main():
    onnx_path, images, target = (os.path.abspath(path) for path in sys.argv[1:])
    work = tempfile.mkdtemp()
    os.chdir(work)
    try:
        convert(onnx_path, np.load(images), target)
    finally:
        shutil.rmtree(work)


if __name__ == "__main__":
    main()
