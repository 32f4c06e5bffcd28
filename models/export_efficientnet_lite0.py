#!/usr/bin/env python3
"""Writes EfficientNet-Lite0 as a float ONNX model from its published PyTorch checkpoint.

The checkpoint is read without PyTorch: it is a pickle of the state dictionary followed by the raw
storages (PyTorch's format before 1.6). The network is described below, after Tan and Le,
"EfficientNet", 2019, and the Lite variant of 2020: no squeeze-and-excitation, ReLU6, stem and head
of fixed width. The same checkpoint gives the same bytes.
"""

import argparse
import collections
import pickle
import struct

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

INPUT_SIZE = 224
CLASSES = 1000
BATCH_NORM_EPSILON = 1e-3
# Blocks, stride of the first, expansion, input channels, output channels. The depthwise kernels
# (3x3 or 5x5) are as large as their weights say.
STAGES = [
    (1, 1, 1, 32, 16),
    (2, 2, 6, 16, 24),
    (2, 2, 6, 24, 40),
    (3, 2, 6, 40, 80),
    (3, 1, 6, 80, 112),
    (4, 2, 6, 112, 192),
    (1, 1, 6, 192, 320),
]

Storage = collections.namedtuple("Storage", "key dtype")
View = collections.namedtuple("View", "storage offset shape strides")


class CheckpointUnpickler(pickle.Unpickler):
    """Knows the four names that a state dictionary needs and refuses all others."""

    TYPES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}

    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, shape, strides, *_: View(storage, offset, shape, strides)
        if module == "torch" and name in self.TYPES:
            return self.TYPES[name]
        raise pickle.UnpicklingError(f"unexpected {module}.{name} in the checkpoint")

    def persistent_load(self, pid):
        kind, dtype, key = pid[:3]
        if kind != "storage":
            raise pickle.UnpicklingError(f"unexpected persistent object {kind!r}")
        return Storage(key, dtype)


def read_checkpoint(path):
    """name -> array"""
    with open(path, "rb") as f:
        if CheckpointUnpickler(f).load() != 0x1950A86A20F9469CFC6C:
            raise SystemExit(f"{path}: not a PyTorch checkpoint of the format before 1.6")
        CheckpointUnpickler(f).load()  # protocol version
        CheckpointUnpickler(f).load()  # sizes of C types
        views = CheckpointUnpickler(f).load()
        dtypes = {view.storage.key: view.storage.dtype for view in views.values()}
        storages = {}
        for key in CheckpointUnpickler(f).load():
            (count,) = struct.unpack("<q", f.read(8))
            storages[key] = np.frombuffer(f.read(count * dtypes[key].itemsize), dtypes[key])
    arrays = {}
    for name, view in views.items():
        storage = storages[view.storage.key]
        byte_strides = [stride * storage.itemsize for stride in view.strides]
        arrays[name] = np.ascontiguousarray(
            np.lib.stride_tricks.as_strided(storage[view.offset:], view.shape, byte_strides))
    return arrays


class Builder:
    def __init__(self, arrays):
        self.arrays = arrays
        self.nodes = []
        self.initializers = []
        self.used = set()

    def weight(self, name):
        self.used.add(name)
        self.initializers.append(numpy_helper.from_array(self.arrays[name], name))
        return name

    def node(self, op, inputs, output, **attributes):
        self.nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        return output

    def conv(self, x, size, weight, batch_norm, stride=1, groups=1, relu6=True):
        """Convolution with TensorFlow's "same" padding, batch norm, ReLU6."""
        kernel = self.arrays[weight].shape[2]
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        before, after = total // 2, total - total // 2
        x = self.node("Conv", [x, self.weight(weight)], weight.removesuffix(".weight"),
                      kernel_shape=[kernel, kernel], strides=[stride, stride], group=groups,
                      pads=[before, before, after, after])
        norms = ["weight", "bias", "running_mean", "running_var"]
        x = self.node("BatchNormalization",
                      [x] + [self.weight(f"{batch_norm}.{norm}") for norm in norms], batch_norm,
                      epsilon=BATCH_NORM_EPSILON)
        return self.node("Clip", [x, "zero", "six"], f"{batch_norm}.relu6") if relu6 else x

    def block(self, index, x, size, stride, expansion, in_channels, out_channels):
        name = f"_blocks.{index}"
        y = x
        if expansion != 1:
            y = self.conv(y, size, f"{name}._expand_conv.weight", f"{name}._bn0")
        y = self.conv(y, size, f"{name}._depthwise_conv.weight", f"{name}._bn1", stride,
                      groups=in_channels * expansion)
        size = -(-size // stride)
        y = self.conv(y, size, f"{name}._project_conv.weight", f"{name}._bn2", relu6=False)
        if stride == 1 and in_channels == out_channels:
            y = self.node("Add", [y, x], f"{name}.add")
        return y, size


def build_model(arrays):
    b = Builder(arrays)
    for name, value in (("zero", 0.0), ("six", 6.0)):
        b.initializers.append(numpy_helper.from_array(np.float32(value), name))
    x = b.conv("input", INPUT_SIZE, "_conv_stem.weight", "_bn0", stride=2)
    size = INPUT_SIZE // 2
    index = 0
    for repeats, stride, expansion, in_channels, out_channels in STAGES:
        for repeat in range(repeats):
            x, size = b.block(index, x, size, stride if repeat == 0 else 1, expansion,
                              in_channels if repeat == 0 else out_channels, out_channels)
            index += 1
    x = b.conv(x, size, "_conv_head.weight", "_bn1")
    x = b.node("GlobalAveragePool", [x], "pool")
    x = b.node("Flatten", [x], "flatten")
    b.node("Gemm", [x, b.weight("_fc.weight"), b.weight("_fc.bias")], "logits", transB=1)

    unused = {name for name in arrays if not name.endswith("num_batches_tracked")} - b.used
    if unused:
        raise SystemExit(f"the checkpoint has more than the network: {sorted(unused)}")
    graph = helper.make_graph(
        b.nodes, "efficientnet_lite0",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT,
                                       ["N", 3, INPUT_SIZE, INPUT_SIZE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", CLASSES])],
        b.initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7,
                              producer_name="mpq models/export_efficientnet_lite0.py")
    onnx.checker.check_model(model)
    return model


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", help="efficientnet-lite0-57934424.pth")
    parser.add_argument("output", help="the .onnx file to write")
    args = parser.parse_args()
    model = build_model(read_checkpoint(args.checkpoint))
    with open(args.output, "wb") as f:
        f.write(model.SerializeToString(deterministic=True))


if __name__ == "__main__":
    main()
