#!/usr/bin/env python3
"""Float logits of the importer and the float executor against ONNX Runtime's.

    compare_onnxruntime.py FLOAT_LOGITS MODEL_FOLDER [EXPECTED_BACKEND]

Runs every model of the folder (.onnx and .onnx.xz) on fixed pseudo-random pixels, once for each
instruction set, and demands ||ours - theirs|| < 1e-4 ||theirs||. Exits with 77 (skipped) where ONNX
Runtime or the models are missing. MPQ_PYTHON names the interpreter to use instead of this one.
"""

import json
import lzma
import os
import pathlib
import subprocess
import sys
import tempfile

LIMIT = 1e-4
BATCH = 2
SKIPPED = 77


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(SKIPPED)


def use_chosen_python():
    python = os.environ.pop("MPQ_PYTHON", None)
    if python:
        os.execv(python, [python, *sys.argv])


def unpack(path, folder):
    """The path of the plain .onnx file."""
    if path.suffix != ".xz":
        return path
    plain = pathlib.Path(folder) / path.stem
    plain.write_bytes(lzma.decompress(path.read_bytes()))
    return plain


def random_pixels(shape, preprocess_file, seed):
    """Pixels 0..255, normalised as the model wants them, in NCHW."""
    pixels = np.random.default_rng(seed).uniform(0, 255, shape)
    if preprocess_file.exists():
        preprocess = json.loads(preprocess_file.read_text())
        mean, std = (
            np.asarray(preprocess[key], float).reshape(1, -1, 1, 1) for key in ("mean", "std")
        )
        pixels = (pixels - mean) / std
    return pixels.astype(np.float32)


def our_logits(program, model, pixels, folder, isa):
    src, dst = (str(pathlib.Path(folder) / name) for name in ("src", "dst"))
    np.ascontiguousarray(pixels.transpose(0, 2, 3, 1)).tofile(src)
    command = [program, str(model), src, dst, str(len(pixels)), *([isa] if isa else [])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return None, done.stderr.strip()
    return np.fromfile(dst, np.float32), done.stdout.strip()


def compare(program, path, backend, isas, folder):
    """Prints one line per instruction set; returns the number of disagreements."""
    model = unpack(path, folder)
    name = model.stem
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    info = session.get_inputs()[0]
    pixels = random_pixels((BATCH, *info.shape[1:]), path.parent / f"{name}.preprocess.json", 1)
    if isinstance(info.shape[0], int):  # a fixed batch
        runs = [session.run(None, {info.name: pixels[i : i + 1]})[0] for i in range(BATCH)]
        theirs = np.concatenate(runs).ravel()
    else:
        theirs = session.run(None, {info.name: pixels})[0].ravel()

    failures = 0
    for isa in isas:
        ours, message = our_logits(program, model, pixels, folder, isa)
        if ours is None and isa and "not on this CPU" in message:
            print(f"{name}: {message}")
            continue
        used_as_asked = message.startswith(backend) and message.endswith(isa)
        if ours is None or ours.shape != theirs.shape or not used_as_asked:
            print(f"{name}: FAILED: {message}")
            failures += 1
            continue
        error = np.linalg.norm(ours - theirs) / np.linalg.norm(theirs)
        agrees = bool(error < LIMIT)
        print(f"{name}: {message}: relative error {error:.1e}{'' if agrees else ' FAILED'}")
        failures += not agrees
    return failures


def main():
    program, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    backend = sys.argv[3] if len(sys.argv) > 3 else ""
    models = sorted(folder.glob("*.onnx")) + sorted(folder.glob("*.onnx.xz"))
    if not models:
        skip(f"{folder}: no models")
    isas = ["", "avx2", "sse4"] if backend.startswith("onednn") else [""]
    with tempfile.TemporaryDirectory() as scratch:
        failures = sum(compare(program, model, backend, isas, scratch) for model in models)
    print(f"{len(models)} models, {failures} failures")
    return 1 if failures else 0


use_chosen_python()
try:
    import numpy as np
    import onnxruntime
except ImportError as error:
    skip(str(error))

if __name__ == "__main__":
    sys.exit(main())
