#!/bin/bash
# Builds everything: programs in DIR/apps and DIR/bench, libengine in DIR/engine/core.
# usage: scripts/build.sh [VARIANT...] [DIR] [TARGET...]
#   VARIANT  --gcc or --clang: the compiler (default: $CXX, or what meson finds)
#            --asan: address and undefined sanitizers    --tsan: thread sanitizer
#            --neon: for 64-bit Arm, engine only         --engine: engine only (edge build)
#            --debug: no optimisation, assertions        --werror: warnings are errors
#            -DOPTION=VALUE: any meson option
#   DIR      default: build, with the variants' names appended
#   TARGET   ninja targets, default: all
# scripts/install_deps.sh installs what it needs.
set -euo pipefail
cd "$(dirname "$0")/.."

engine_only=(-Donednn=disabled -Dquantizer=disabled -Dapps=disabled)
sanitizer=(--buildtype=debug -Doptimization=1)  # compiles fast, runs fast enough
options=()
dir=build
use_compiler() {  # C++ and C; meson finds ccache by itself only for its default compiler
  local cache=
  if command -v ccache >/dev/null; then cache='ccache '; fi
  export CXX="$cache$1" CC="$cache$2"
}
while [[ ${1-} == -* ]]; do
  case $1 in
    --gcc) use_compiler g++ gcc ;;
    --clang) use_compiler clang++ clang ;;
    # shellcheck disable=SC2054  # commas are meson's
    --asan) options+=(-Db_sanitize=address,undefined -Db_lundef=false "${sanitizer[@]}") ;;
    --tsan) options+=(-Db_sanitize=thread -Db_lundef=false "${sanitizer[@]}") ;;
    --neon) options+=(--cross-file cross/aarch64-linux-gnu.ini "${engine_only[@]}") ;;
    --engine) options+=("${engine_only[@]}") ;;
    --debug) options+=(--buildtype=debug) ;;
    --werror) options+=(--werror) ;;
    -D?*=*) options+=("$1") ;;
    -h | --help)
      sed -n '2,/^set/{/^#/s/^# \?//p}' "$0"
      exit 0
      ;;
    *)
      echo "$0: unknown variant $1; see $0 --help" >&2
      exit 2
      ;;
  esac
  case $1 in
    --werror | -D*) ;;
    *) dir+=${1#-} ;;
  esac
  shift
done
if (($# > 0)); then
  dir=$1
  shift
fi

if [[ ! -f $dir/build.ninja ]]; then
  mkdir -p "$dir"
  if ! meson setup "$dir" "${options[@]}" >"$dir/setup.log"; then
    cat "$dir/setup.log" >&2
    exit 1
  fi
fi
ninja -C "$dir" "$@"
