#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# fuzz.sh run SWIFT BUILD SECONDS [TARGET…]: libFuzzer under AddressSanitizer and UndefinedBehaviorSanitizer, so many seconds
# of each target, starting from Fixtures. What it finds is left in BUILD/crash-TARGET-*; SC_FUZZ_TARGET=TARGET BUILD/fuzz FILE
# repeats it. New inputs are kept in BUILD/corpus/TARGET.
# fuzz.sh coverage SWIFT BUILD: lines of each source file that all corpora of BUILD and Fixtures reach.
set -euo pipefail
mode=$1 swift=$2 build=$3
all=(models bitstreams video search interface pictures layers)
bin=$(dirname "$(readlink -f "$(command -v "$swift")")")
export SC_FUZZ_FIXTURES=Fixtures
# Leak detection does not see references that Swift keeps in spare bits.
export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1

headers=()
for folder in CCodecKernels/{include,platform,conv,entropy} CSwiftCodec/include CDefaultModel/include; do headers+=(-I "Sources/$folder"); done

# build OUTPUT C-FLAGS SWIFT-FLAGS
build() {
  local out=$1 objects=$1-objects source
  mkdir -p "$objects"
  while read -r source; do
    local object=$objects/${source//\//_}.o
    if [ "$object" -nt "$source" ]; then continue; fi
    # shellcheck disable=SC2086
    "$bin/clang" -std=gnu17 -D_GNU_SOURCE -O1 -g $2 "${headers[@]}" -c "$source" -o "$object"
  done < <(find Sources/CCodecKernels -name '*.c')
  # shellcheck disable=SC2046,SC2086
  "${swift}c" -parse-as-library -package-name swiftcodec -O -wmo -g -use-ld=lld -module-name SwiftCodec -suppress-warnings $3 \
    "${headers[@]}" $(find Sources/SwiftCodec Sources/PictureFiles -name '*.swift') Tests/fuzz/targets.swift \
    "$objects"/*.o -o "$out"
}

# A folder of the inputs that a target starts from.
seeds() {
  local to=$build/seeds/$1
  rm -rf "$to"
  mkdir -p "$to" "$build/corpus/$1"
  case $1 in
    models) cp Fixtures/models/tiny*.scm "$to" ;;
    bitstreams) cp Fixtures/golden/*.sci "$to" ;;
    video) cp Fixtures/golden/*.scv "$to" ;;
    pictures) find Fixtures/files -maxdepth 1 -type f -size -8k ! -name list.txt -exec cp {} "$to" \; ;;
  esac
  if [ -d "Fixtures/fuzz/$1" ]; then cp "Fixtures/fuzz/$1"/* "$to"; fi
  # libFuzzer asks for at least one.
  if [ -z "$(ls "$to")" ]; then seq 1 60 > "$to/numbers"; fi
}

case $mode in
  run)
    seconds=$4
    shift 4
    if [ $# -gt 0 ]; then all=("$@"); fi
    mkdir -p "$build"
    build "$build/fuzz" "-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined" \
      "-sanitize=fuzzer,address"
    for target in "${all[@]}"; do
      seeds "$target"
      echo "== $target"
      length=8192
      if [ "$target" = interface ] || [ "$target" = search ] || [ "$target" = layers ]; then length=512; fi
      SC_FUZZ_TARGET=$target "$build/fuzz" -max_total_time="$seconds" -max_len=$length -timeout=20 -rss_limit_mb=2048 \
        -artifact_prefix="$build/crash-$target-" -print_final_stats=1 -verbosity=0 "$build/corpus/$target" \
        "$build/seeds/$target" 2>&1 | grep -Ev '^(INFO|stat::(average|new|slowest))' || true
      if compgen -G "$build/crash-$target-*" > /dev/null; then
        echo "found: $(ls "$build"/crash-"$target"-*)"
        exit 1
      fi
    done
    ;;
  coverage)
    mkdir -p "$build"
    build "$build/coverage" "-fsanitize=fuzzer-no-link -fprofile-instr-generate -fcoverage-mapping" \
      "-sanitize=fuzzer -profile-generate -profile-coverage-mapping"
    profiles=()
    for target in "${all[@]}"; do
      seeds "$target"
      LLVM_PROFILE_FILE=$build/$target.profraw SC_FUZZ_TARGET=$target "$build/coverage" -runs=0 -verbosity=0 \
        "$build/corpus/$target" "$build/seeds/$target" > "$build/$target.log" 2>&1
      profiles+=("$build/$target.profraw")
    done
    "$bin/llvm-profdata" merge -o "$build/all.profdata" "${profiles[@]}"
    "$bin/llvm-cov" report "$build/coverage" -instr-profile="$build/all.profdata" Sources |
      awk '/^-|^Filename/ {next} NF >= 10 {printf "%-55s %6d lines %8s\n", $1, $8, $10}'
    ;;
esac
