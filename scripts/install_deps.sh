#!/bin/bash
# Installs what building and testing need and this Debian (12 or later) does not have yet.
# usage: scripts/install_deps.sh [--full]
#   --full  also what scripts/test.sh --full needs: clang and its tools, Arm cross compiler, qemu
set -euo pipefail

packages=(
  g++ meson ninja-build pkg-config cmake
  libhwy-dev libxxhash-dev                                  # engine
  libdnnl-dev                                               # float models
  libprotobuf-dev protobuf-compiler libonnx-dev libeigen3-dev libopenblas-dev  # quantiser
  libfmt-dev libcli11-dev nlohmann-json3-dev libstb-dev     # tools
  libjs-chart.js                                            # charts of reports (MIT licence)
  doctest-dev python3 python3-numpy python3-pil             # tests
  python3-venv unzip                                        # models/make_efficientnet_lite0.sh
)
case ${1-} in
  --full) packages+=(clang clang-tidy clang-format g++-aarch64-linux-gnu qemu-user) ;;
  '') ;;
  *)
    echo "usage: $0 [--full]" >&2
    exit 2
    ;;
esac

missing=()
for package in "${packages[@]}"; do
  status=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null || true)
  [[ $status == installed ]] || missing+=("$package")
done
if ((${#missing[@]} == 0)); then exit 0; fi

as_root=()
if ((EUID != 0)); then
  if ! command -v sudo >/dev/null; then
    echo "$0: run as root: apt-get install ${missing[*]}" >&2
    exit 1
  fi
  as_root=(sudo)
fi
echo "installing ${missing[*]}"
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
