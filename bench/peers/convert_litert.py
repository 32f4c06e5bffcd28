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


def prepare_graph(onnx_path, prepared_path):
    """Makes the batch 1 and the padding of max pools explicit.

    With an open batch onnx2tf mistakes the layout of additions in residual nets. It pads max pools
    with the lowest float, which ruins the range of the activation: behind a ReLU zeros do as well.
    """
    import onnx

    model = onnx.load(onnx_path)
    graph = model.graph
    for value in [*graph.input, *graph.output]:
        value.type.tensor_type.shape.dim[0].dim_value = 1
    producers = {name: node.op_type for node in graph.node for name in node.output}
    for index in reversed(range(len(graph.node))):  # what is inserted moves only nodes behind it
        node = graph.node[index]
        pads = next((attribute for attribute in node.attribute if attribute.name == "pads"), None)
        if node.op_type != "MaxPool" or not pads or producers[node.input[0]] != "Relu":
            continue
        top, left, bottom, right = pads.ints
        sizes = onnx.helper.make_tensor(f"{node.name}_pads", onnx.TensorProto.INT64, [8],
                                        [0, 0, top, left, 0, 0, bottom, right])
        padded = f"{node.input[0]}_padded"
        graph.initializer.append(sizes)
        graph.node.insert(index, onnx.helper.make_node("Pad", [node.input[0], sizes.name], [padded],
                                                       name=f"{node.name}_pad"))
        node.input[0] = padded
        node.attribute.remove(pads)
    onnx.save(model, prepared_path)


def convert(onnx_path, images, target):
    import onnx2tf
    import tensorflow as tf

    np.save(CHECK_IMAGES, images[:20, 48:176, 48:176])
    prepare_graph(onnx_path, "prepared.onnx")
    network = onnx2tf.convert(input_onnx_file_path="prepared.onnx", disable_model_save=True,
                              non_verbose=True)
    inputs = [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in network.inputs]
    function = tf.function(lambda *pixels: network(pixels)).get_concrete_function(*inputs)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], network)
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
