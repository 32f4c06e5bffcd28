#!/usr/bin/env python3
"""Reads a .mpq file and prints what it says as JSON.

An independent reader, written from docs/mpq_format.md with nothing but Python's standard library:
it proves the specification and serves as an example. It checks what parsing needs, not everything
that a reader must reject; ptq-inspect --check does.

  mpq_read.py model.mpq                 the whole model without weights
  mpq_read.py model.mpq --levels        ... with the levels of every layer
  mpq_read.py model.mpq --no-checksums  faster on large files
"""

import argparse
import json
import math
import struct
import sys

MAGIC = b"\x89MPQ\r\n\x1a\n"
SECTIONS = {1: "graph", 2: "channels", 3: "codes", 4: "floats", 5: "preprocessing", 6: "labels",
            7: "provenance"}
OPERATORS = ["Conv", "DepthwiseConv", "MaxPool", "AvgPool", "GlobalAvgPool", "Add", "Concat",
             "Clip", "SlicePad"]
CONVOLUTIONS = ("Conv", "DepthwiseConv")
WINDOW = ["kernel_h", "kernel_w", "stride_h", "stride_w", "dilation_h", "dilation_w", "pad_top",
          "pad_left", "pad_bottom", "pad_right"]


class FormatError(Exception):
    pass


# --- XXH3-64, seed 0: https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md ---

MASK = (1 << 64) - 1
P32_1, P32_2, P32_3 = 0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D
P64_1, P64_2, P64_3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
P64_4, P64_5 = 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5
PRIME_MX1, PRIME_MX2 = 0x165667919E3779F9, 0x9FB21C651E98DF25
SECRET = bytes.fromhex(
    "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671f"
    "cb79e64eccc0e578825ad07dccff7221b8084674f743248ee03590e6813a264c"
    "3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8"
    "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364"
    "eac5ac8334d3ebc3c581a0fffa1363eb170ddd51b7f0da49d316552629d4689e"
    "2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e")


def read64(data, offset):
    return int.from_bytes(data[offset:offset + 8], "little")


def read32(data, offset):
    return int.from_bytes(data[offset:offset + 4], "little")


def fold128(a, b):
    product = a * b
    return (product & MASK) ^ (product >> 64)


def avalanche(h):
    h ^= h >> 37
    h = h * PRIME_MX1 & MASK
    return h ^ h >> 32


def avalanche64(h):
    h ^= h >> 33
    h = h * P64_2 & MASK
    h ^= h >> 29
    h = h * P64_3 & MASK
    return h ^ h >> 32


def mix16(data, offset, secret_offset):
    return fold128(read64(data, offset) ^ read64(SECRET, secret_offset),
                   read64(data, offset + 8) ^ read64(SECRET, secret_offset + 8))


def hash_up_to_16(data):
    n = len(data)
    if n == 0:
        return avalanche64(read64(SECRET, 56) ^ read64(SECRET, 64))
    if n <= 3:
        combined = data[0] << 16 | data[n >> 1] << 24 | data[n - 1] | n << 8
        return avalanche64(combined ^ read32(SECRET, 0) ^ read32(SECRET, 4))
    if n <= 8:
        flip = read64(SECRET, 8) ^ read64(SECRET, 16)
        h = (read32(data, n - 4) + (read32(data, 0) << 32)) ^ flip
        h ^= (h << 49 | h >> 15) & MASK ^ (h << 24 | h >> 40) & MASK
        h = h * PRIME_MX2 & MASK
        h ^= (h >> 35) + n
        h = h * PRIME_MX2 & MASK
        return h ^ h >> 28
    low = read64(data, 0) ^ read64(SECRET, 24) ^ read64(SECRET, 32)
    high = read64(data, n - 8) ^ read64(SECRET, 40) ^ read64(SECRET, 48)
    swapped = int.from_bytes(low.to_bytes(8, "little"), "big")
    return avalanche(n + swapped + high + fold128(low, high) & MASK)


def hash_up_to_240(data):
    n = len(data)
    acc = n * P64_1
    if n <= 128:
        for i in range((n - 1) // 32, -1, -1):
            acc += mix16(data, 16 * i, 32 * i)
            acc += mix16(data, n - 16 * (i + 1), 32 * i + 16)
        return avalanche(acc & MASK)
    for i in range(8):
        acc += mix16(data, 16 * i, 16 * i)
    acc = avalanche(acc & MASK)
    for i in range(8, n // 16):
        acc += mix16(data, 16 * i, 16 * (i - 8) + 3)
    acc += mix16(data, n - 16, 136 - 17)
    return avalanche(acc & MASK)


def accumulate(acc, data, offset, secret_offset):
    values = struct.unpack_from("<8Q", data, offset)
    secrets = struct.unpack_from("<8Q", SECRET, secret_offset)
    for i in range(8):
        key = values[i] ^ secrets[i]
        acc[i ^ 1] += values[i]
        acc[i] += (key & 0xFFFFFFFF) * (key >> 32)
    for i in range(8):
        acc[i] &= MASK


def hash_long(data):
    n = len(data)
    acc = [P32_3, P64_1, P64_2, P64_3, P64_4, P32_2, P64_5, P32_1]
    stripes_per_block = (192 - 64) // 8
    num_stripes = (n - 1) // 64
    for stripe in range(num_stripes):
        k = stripe % stripes_per_block
        accumulate(acc, data, 64 * stripe, 8 * k)
        if k == stripes_per_block - 1:
            for i in range(8):
                acc[i] ^= acc[i] >> 47
                acc[i] = (acc[i] ^ read64(SECRET, 128 + 8 * i)) * P32_1 & MASK
    accumulate(acc, data, n - 64, 192 - 64 - 7)
    result = n * P64_1
    for i in range(4):
        result += fold128(acc[2 * i] ^ read64(SECRET, 11 + 16 * i),
                          acc[2 * i + 1] ^ read64(SECRET, 19 + 16 * i))
    return avalanche(result & MASK)


def xxh3_64(data):
    try:
        import xxhash  # many times faster, not needed
        return xxhash.xxh3_64_intdigest(data)
    except ImportError:
        pass
    if len(data) <= 16:
        return hash_up_to_16(data)
    return hash_up_to_240(data) if len(data) <= 240 else hash_long(data)


# --- Fields ---


class Fields:
    """A section being read."""

    def __init__(self, data):
        self.data, self.pos = data, 0

    def bytes(self, count):
        if count > len(self.data) - self.pos:
            raise FormatError(f"{count} bytes wanted, {len(self.data) - self.pos} left")
        self.pos += count
        return self.data[self.pos - count:self.pos]

    def values(self, code, count=1):
        return struct.unpack(f"<{count}{code}", self.bytes(count * struct.calcsize(code)))

    def u8(self):
        return self.bytes(1)[0]

    def u32(self):
        return self.values("I")[0]

    def s32(self):
        return self.values("i")[0]

    def f32(self):
        return self.values("f")[0]

    def varint(self):
        value = 0
        for shift in range(0, 35, 7):
            byte = self.u8()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if shift > 0 and byte == 0 or value >= 1 << 32:
                    break
                return value
        raise FormatError("bad varint")

    def text(self):
        return self.bytes(self.varint()).decode("utf-8")

    def align(self, alignment):
        if any(self.bytes(-self.pos % alignment)):
            raise FormatError("padding is not zero")

    def end(self):
        if self.pos != len(self.data):
            raise FormatError(f"{len(self.data) - self.pos} bytes too many")


# --- Frame ---


def read_sections(data, check):
    if data[:8] != MAGIC:
        raise FormatError("not an .mpq file")
    version, count, size = struct.unpack_from("<IIQ", data, 8)
    if version != 0:
        raise FormatError(f"version {version}")
    if size != len(data):
        raise FormatError(f"the file has {len(data)} bytes, its header says {size}")
    table_end = 24 + 32 * count
    if check and xxh3_64(data[:table_end]) != read64(data, table_end):
        raise FormatError("checksum of the header")
    sections, position = {}, table_end + 8
    for i in range(count):
        number, flags, offset, length, checksum = struct.unpack_from("<IIQQQ", data, 24 + 32 * i)
        if offset != (position + 63) // 64 * 64 or length > size - offset:
            raise FormatError(f"section {number} is not where it should be")
        if any(data[position:offset]):
            raise FormatError("padding is not zero")
        body = data[offset:offset + length]
        position = offset + length
        if check and xxh3_64(body) != checksum:
            raise FormatError(f"checksum of section {number}")
        if number in SECTIONS:
            sections[SECTIONS[number]] = Fields(body)
        elif flags & 1:
            raise FormatError(f"unknown required section {number}")
    if (position + 63) // 64 * 64 + 64 != size or any(data[position:]):
        raise FormatError("the end of the file")
    return sections


# --- Graph ---


def read_tensor(f):
    tensor = {"name": f.text(), "type": ["f32", "u8", "s16"][f.u8()]}
    for key in ("height", "width", "channels"):
        tensor[key] = f.varint()
    if tensor["type"] != "f32":
        tensor["scale"] = f.f32()
    if tensor["type"] == "u8":
        tensor["zero_point"] = f.u8()
        tensor["bits"] = f.u8()
    return tensor


def read_node(f, is_float):
    op = OPERATORS[f.u8()]
    flags = f.u8()
    node = {"op": op, "name": f.text(), "inputs": [f.varint() for _ in range(f.varint())],
            "output": f.varint()}
    if op in CONVOLUTIONS + ("MaxPool", "AvgPool", "SlicePad"):
        node["window"] = {key: f.varint() for key in WINDOW}
    if op in ("MaxPool", "AvgPool"):
        node["ceil_mode"] = bool(flags & 1)
    if op == "AvgPool":
        node["count_include_pad"] = bool(flags & 2)
    if op in CONVOLUTIONS:
        node["groups"] = f.varint()
        node["weights"] = f.varint()
    if op == "SlicePad":
        node["channels_before"] = f.varint()
        node["channels_after"] = f.varint()
    if flags & 4:
        node["clip"] = [None if math.isinf(x) else x for x in f.values("f", 2)]
    if not is_float:
        if op not in ("Concat", "SlicePad"):
            node["code_lo"] = f.u8()
        if op in ("MaxPool", "AvgPool", "GlobalAvgPool", "Add", "Clip"):
            node["code_hi"] = f.u8()
        if op == "Conv" and len(node["inputs"]) == 2:
            node["multipliers"] = list(f.values("i", 1))
        if op in ("AvgPool", "GlobalAvgPool", "Add", "Clip"):
            node["multipliers"] = list(f.values("i", 2 if op == "Add" else 1))
            node["shift"] = f.u8()
    return node


def read_weights_record(f, is_float):
    weights = {key: f.varint() for key in ("out_channels", "kernel_h", "kernel_w", "in_channels")}
    if not is_float:
        weights["level_set"] = ["uniform", "two-region", "table"][f.u8()]
        weights["blocks"] = f.varint()
        weights["stream_bytes"] = f.varint()
    return weights


def read_graph(f):
    num_tensors, num_nodes, num_weights = f.varint(), f.varint(), f.varint()
    graph = {"input": f.varint(), "output": f.varint()}
    is_float = f.u8() == 1
    graph["kind"] = "float" if is_float else "integer"
    graph["tensors"] = [read_tensor(f) for _ in range(num_tensors)]
    graph["nodes"] = [read_node(f, is_float) for _ in range(num_nodes)]
    graph["layers"] = [read_weights_record(f, is_float) for _ in range(num_weights)]
    f.end()
    return graph


# --- Level sets and codes ---


def read_channels(f, layers):
    for layer in layers:
        values = f.values("I", 2 * layer["out_channels"])
        signed = [v - (1 << 32) if v >> 31 else v for v in values[0::2]]
        layer["channels"] = [list(pair) for pair in zip(signed, values[1::2])]
        layer["block_bits"] = list(f.bytes(layer["blocks"]))
        if layer["level_set"] == "two-region":
            layer["shapes"] = list(f.bytes(layer["blocks"]))
        if layer["level_set"] == "table":
            layer["tables"] = {bits: list(f.values("b", 1 << bits))
                               for bits in sorted(set(layer["block_bits"]))}
    f.end()


def two_region_levels(bits, shape):
    step, dense, spare = (shape & 3) + 1, shape >> 2 & 31, shape >> 7
    zero = (1 << bits - 1) - 1 + spare
    levels = []
    for code in range(1 << bits):
        rank = abs(code - zero)
        magnitude = rank if rank <= dense else dense + step * (rank - dense)
        levels.append(magnitude if code >= zero else -magnitude)
    return levels


def block_levels(layer, block):
    bits = layer["block_bits"][block]
    if layer["level_set"] == "uniform":
        return [code - (1 << bits - 1) for code in range(1 << bits)]
    if layer["level_set"] == "two-region":
        return two_region_levels(bits, layer["shapes"][block])
    return layer["tables"][bits]


def unpack_tile(packed, bits):
    codes, start, rest = [0] * 64, 0, bits
    for width in (8, 4, 2, 1):
        if rest < width:
            continue
        rest -= width
        run = 8 * width
        for i in range(64):
            plane_bits = packed[start + i % run] >> i // run * width & (1 << width) - 1
            codes[i] |= plane_bits << rest
        start += run
    return codes


def layer_runs(graph, node, layer):
    """Number of runs, values in a run."""
    taps = layer["kernel_h"] * layer["kernel_w"]
    if node["op"] == "DepthwiseConv":
        return 1, taps
    rows = (node["inputs"][0] == graph["input"] and layer["in_channels"] % 4 != 0 and
            node["window"]["dilation_w"] == 1 and node["groups"] == 1)
    if rows:
        return layer["kernel_h"], layer["kernel_w"] * layer["in_channels"]
    return taps, layer["in_channels"]


def decode_levels(graph, node, layer, stream):
    """Levels in the order [output channel][row][column][input channel]."""
    groups = 1 if node["op"] == "DepthwiseConv" else node["groups"]
    channels_per_group = layer["out_channels"] // groups
    blocks_per_group = (channels_per_group + 15) // 16
    runs, run_values = layer_runs(graph, node, layer)
    quads_per_run = (run_values + 3) // 4
    levels = [0] * (layer["out_channels"] * runs * run_values)
    pos = 0
    for block in range(groups * blocks_per_group):
        first = block % blocks_per_group * 16
        channel0 = block // blocks_per_group * channels_per_group + first
        real_channels = min(16, channels_per_group - first)
        bits, table = layer["block_bits"][block], block_levels(layer, block)
        for quad in range(runs * quads_per_run):
            tile = unpack_tile(stream[pos:pos + 8 * bits], bits)
            pos += 8 * bits
            run, value0 = quad // quads_per_run, quad % quads_per_run * 4
            for i, code in enumerate(tile):
                value = value0 + i % 4
                if i // 4 < real_channels and value < run_values:
                    row = (channel0 + i // 4) * runs + run
                    levels[row * run_values + value] = table[code]
                elif table[code] != 0:
                    raise FormatError(f"block {block}, quad {quad}: padding is not level 0")
    if pos != len(stream):
        raise FormatError(f"a stream of {len(stream)} bytes, expected {pos}")
    return levels


def read_codes(f, graph):
    nodes = {node["weights"]: node for node in graph["nodes"] if "weights" in node}
    for i, layer in enumerate(graph["layers"]):
        f.align(64)
        stream = f.bytes(layer["stream_bytes"])
        layer["levels"] = decode_levels(graph, nodes[i], layer, stream)
    f.end()


def read_floats(f, layers):
    for layer in layers:
        count = (layer["out_channels"] * layer["kernel_h"] * layer["kernel_w"] *
                 layer["in_channels"])
        f.align(64)
        layer["values"] = list(f.values("f", count))
        f.align(64)
        layer["bias"] = list(f.values("f", layer["out_channels"]))
    f.end()


# --- The rest ---


def read_preprocessing(f, is_float):
    preprocessing = {"resize_short_side": f.u32(), "crop_height": f.u32(), "crop_width": f.u32(),
                     "interpolation": ["nearest", "bilinear", "bicubic"][f.u8()],
                     "channel_order": ["RGB", "BGR"][f.u8()],
                     "mean": list(f.values("f", 3)), "std": list(f.values("f", 3))}
    if not is_float:
        preprocessing["input_codes"] = list(f.bytes(768))
    f.end()
    return preprocessing


def read_model(data, check_checksums=True, with_levels=True):
    sections = read_sections(data, check_checksums)
    graph = read_graph(sections["graph"])
    is_float = graph["kind"] == "float"
    if not is_float:
        read_channels(sections["channels"], graph["layers"])
    if with_levels:
        if is_float:
            read_floats(sections["floats"], graph["layers"])
        else:
            read_codes(sections["codes"], graph)
    model = {"graph": graph,
             "preprocessing": read_preprocessing(sections["preprocessing"], is_float)}
    if "labels" in sections:
        f = sections["labels"]
        model["labels"] = [f.text() for _ in range(f.varint())]
        f.end()
    if "provenance" in sections:
        f = sections["provenance"]
        model["provenance"] = [[f.text(), f.text()] for _ in range(f.varint())]
        f.end()
    return model


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--levels", action="store_true", help="decode the weights, too")
    parser.add_argument("--no-checksums", action="store_true")
    args = parser.parse_args()
    try:
        with open(args.model, "rb") as file:
            data = file.read()
        model = read_model(data, not args.no_checksums, args.levels)
    except (OSError, FormatError, KeyError, IndexError, struct.error, ValueError) as error:
        print(f"mpq_read.py: {args.model}: {error!r}", file=sys.stderr)
        return 1
    json.dump(model, sys.stdout, separators=(",", ":"), ensure_ascii=False)
    print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
