#!/bin/bash
# Classifies the photograph of a cat with the shipped model: installs what is missing, builds, runs.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/install_deps.sh
scripts/build.sh build apps/ptq-run
build/apps/ptq-run models/efficientnet_lite0.mpq models/chelsea.png --top-k 5
