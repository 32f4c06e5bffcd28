"""Other engines that bench/compare_peers.py measures, each in a process of its own (worker.py).

An engine is a module with a class `Engine`; what that class must offer is in engine.py.
"""

# Name in the table -> module. Ratios are to the best of RATIO_PEERS.
ENGINES = {
    "openvino-int8": "peers.openvino_int8",
    "onnxruntime-int8": "peers.onnxruntime_int8",
    "litert-int8": "peers.litert_int8",
    "mnn-int8": "peers.mnn_int8",
    "mnn-w4": "peers.mnn_w4",
    "ncnn-fp16": "peers.ncnn_fp16",
    "onnxruntime-float": "peers.onnxruntime_float",
}
RATIO_PEERS = ["openvino-int8", "onnxruntime-int8", "litert-int8"]
# Engines whose instruction set the script can limit; the others use what the CPU has.
LIMITABLE_PEERS = ["openvino-int8"]
REFERENCE = "onnxruntime-float"  # top-1 classes are compared with this one's
