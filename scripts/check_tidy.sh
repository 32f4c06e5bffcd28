#!/bin/bash
# Runs clang-tidy over every source that a clang build compiled; fails on any finding.
# usage: scripts/check_tidy.sh [BUILD_DIR]
set -euo pipefail
cd "$(dirname "$0")/.."
dir=${1:-build-clang}
run-clang-tidy -quiet -p "$dir" "^$PWD/(format|engine|quantize|apps|bench|examples|tests)/.*" \
  2>/dev/null >"$dir/clang-tidy.log" && exit 0
sed 's/\x1b\[[0-9;]*m//g' "$dir/clang-tidy.log" | grep -E '(warning|error):' | sort -u
exit 1
