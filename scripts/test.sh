#!/bin/bash
# Builds, runs all tests, and closes with "N passed, N failed[, N skipped]".
# usage: scripts/test.sh [--full]
#   default  release build with warnings as errors: all tests; address and undefined sanitizers:
#            the tests of format, engine and kernels
#   --full   also the other compiler, the thread sanitizer, NEON under qemu-user, clang-format and
#            clang-tidy
set -euo pipefail
cd "$(dirname "$0")/.."

full=false
case ${1-} in
  --full) full=true ;;
  '') ;;
  *)
    echo "usage: $0 [--full]" >&2
    exit 2
    ;;
esac

# Sanitizers report on standard error and end the program, so that the test fails.
export ASAN_OPTIONS=detect_stack_use_after_return=1
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
export TSAN_OPTIONS=halt_on_error=1

results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT

# A check that is no test program: counts as one test.
check() {  # name, command...
  local name=$1 outcome=passed
  shift
  "$@" || outcome=failed
  echo "$name $outcome" >>"$results/checks"
}

# Builds and runs one configuration. A build that fails counts as one failed test.
run_tests() {  # name, build.sh's arguments...; they end with the folder
  local name=$1 dir=${!#}
  shift
  echo "== $name"
  if ! scripts/build.sh "$@"; then
    echo "$name-build failed" >>"$results/checks"
    return
  fi
  rm -f "$dir/meson-logs/testlog.json"
  # The thread sanitizer slows threads that share much tenfold.
  local slowdown=1
  [ "$name" = thread ] && slowdown=5
  meson test -C "$dir" --no-rebuild --print-errorlogs --timeout-multiplier "$slowdown" || true
  cp "$dir/meson-logs/testlog.json" "$results/$name.json" || echo "$name-run failed" >>"$results/checks"
}

if $full; then
  scripts/install_deps.sh --full
else
  scripts/install_deps.sh
fi

run_tests release --werror build
run_tests sanitize --asan --engine --werror build-sanitize
if $full; then
  run_tests clang --clang --werror build-clang
  run_tests thread --tsan --engine --werror build-thread
  run_tests neon --neon --werror build-neon
  check clang-format scripts/check_format.sh
  check clang-tidy scripts/check_tidy.sh build-clang
fi

python3 scripts/count_tests.py "$results"
