#!/bin/bash
# Fails if clang-format would change a file.
set -euo pipefail
cd "$(dirname "$0")/.."
git ls-files -z -- '*.cc' '*.h' '*.c' | xargs -0 clang-format --dry-run --Werror
