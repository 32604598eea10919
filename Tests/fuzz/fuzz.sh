#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# fuzz.sh run SWIFT BUILD SECONDS [TARGET…]: libFuzzer under AddressSanitizer and UndefinedBehaviorSanitizer, so many seconds
# of each target. What it finds is left in BUILD/crash-TARGET-*; SC_FUZZ_TARGET=TARGET SC_FUZZ_FIXTURES=Fixtures BUILD/fuzz FILE
# repeats it. New inputs are kept in BUILD/corpus/TARGET, how many were run in BUILD/runs.csv.
# fuzz.sh coverage SWIFT BUILD: the lines of each source file that all inputs reach, to BUILD/coverage.json; lines that none
# reaches to BUILD/uncovered.txt.
# fuzz.sh corpus SWIFT BUILD: makes Fixtures/fuzz anew, of the small inputs among those of BUILD that reach most.
#
# Inputs to start from are those of Fixtures/fuzz, what the targets make themselves, and the files of other tests.
set -euo pipefail
mode=$1 swift=$2 build=$3
all=(models bitstreams video search interface streams pictures layers headers)
bin=$(dirname "$(readlink -f "$(command -v "$swift")")")
export SC_FUZZ_FIXTURES=Fixtures
# Swift's own backtraces can hang under AddressSanitizer, which has others.
export SWIFT_BACKTRACE=enable=no
# Leak detection does not see references that Swift keeps in spare bits.
export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1

headers=()
for folder in CCodecKernels/{include,platform,conv,entropy} CSwiftCodec/include CDefaultModel/include; do headers+=(-I "Sources/$folder"); done
support=()
for file in Mending ModelFileWriter RandomGraph SplitMix; do support+=("Tests/SwiftCodecTests/Support/$file.swift"); done

# build OUTPUT C-FLAGS SWIFT-FLAGS
build() {
  local out=$1 objects=$1-objects source
  mkdir -p "$objects"
  while read -r source; do
    local object=$objects/${source//\//_}.o
    if [ "$object" -nt "$source" ]; then continue; fi
    # shellcheck disable=SC2086
    "$bin/clang" -std=gnu17 -D_GNU_SOURCE -O2 -g $2 "${headers[@]}" -c "$source" -o "$object"
  done < <(find Sources/CCodecKernels -name '*.c')
  if [ -n "$(find "$out" -newer "$out-objects" 2>/dev/null)" ] &&
    [ -z "$(find Sources/SwiftCodec Sources/PictureFiles Tests/fuzz "${support[@]}" "$objects" -newer "$out" -type f)" ]; then return; fi
  # shellcheck disable=SC2046,SC2086
  "${swift}c" -parse-as-library -package-name swiftcodec -O -wmo -g -use-ld=lld -module-name SwiftCodec -suppress-warnings $3 \
    "${headers[@]}" $(find Sources/SwiftCodec Sources/PictureFiles -name '*.swift') Tests/fuzz/*.swift "${support[@]}" \
    "$objects"/*.o -emit-executable -emit-module -emit-module-path "$objects/SwiftCodec.swiftmodule" -o "$out"
}

build_fuzzer() {
  build "$build/fuzz" "-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined" "-sanitize=fuzzer,address"
}

# seeds TARGET PROGRAM: a folder of the inputs that a target starts from.
seeds() {
  local to=$build/seeds/$1
  rm -rf "$to"
  mkdir -p "$to" "$build/corpus/$1"
  LLVM_PROFILE_FILE=/dev/null SC_FUZZ_TARGET=$1 SC_FUZZ_SEEDS=$to "$2"
  case $1 in
    bitstreams) find Fixtures/golden -name '*.sci' -size -4k -exec cp {} "$to" \; ;;
    video) cp Fixtures/golden/*.scv "$to" ;;
    pictures) find Fixtures/files Fixtures/pictures -maxdepth 1 -type f -size -8k ! -name list.txt -exec cp {} "$to" \; ;;
  esac
  if [ -d "Fixtures/fuzz/$1" ] && [ $mode != corpus ]; then cp "Fixtures/fuzz/$1"/* "$to"; fi
}

length() {
  case $1 in
    bitstreams | video | pictures) echo 8192 ;;
    headers) echo 256 ;;
    *) echo 512 ;;
  esac
}

mkdir -p "$build"
case $mode in
  run)
    seconds=$4
    shift 4
    if [ $# -gt 0 ]; then all=("$@"); fi
    build_fuzzer
    for target in "${all[@]}"; do
      seeds "$target" "$build/fuzz"
      log=$build/$target.log start=$SECONDS
      SC_FUZZ_TARGET=$target "$build/fuzz" -max_total_time="$seconds" -max_len="$(length "$target")" -timeout=20 -rss_limit_mb=2048 \
        -artifact_prefix="$build/crash-$target-" -print_final_stats=1 -verbosity=0 "$build/corpus/$target" \
        "$build/seeds/$target" > "$log" 2>&1 || true
      count=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
      found=$(find "$build" -maxdepth 1 -name "crash-$target-*" | wc -l)
      echo "$target,${count:-0},$((SECONDS - start)),$found" >> "$build/runs.csv"
      echo "$target: ${count:-0} inputs in $((SECONDS - start)) s, $(find "$build/corpus/$target" -type f | wc -l) kept, $found found"
      if [ "$found" != 0 ] || [ -z "$count" ]; then
        tail -n 60 "$log"
        exit 1
      fi
    done
    ;;
  coverage)
    build "$build/coverage" "-fsanitize=fuzzer-no-link -fprofile-instr-generate -fcoverage-mapping" \
      "-sanitize=fuzzer -profile-generate -profile-coverage-mapping"
    profiles=()
    for target in "${all[@]}"; do
      seeds "$target" "$build/coverage"
      LLVM_PROFILE_FILE=$build/$target.profraw SC_FUZZ_TARGET=$target "$build/coverage" -runs=0 -verbosity=0 \
        -max_len="$(length "$target")" "$build/corpus/$target" "$build/seeds/$target" > "$build/$target-coverage.log" 2>&1
      profiles+=("$build/$target.profraw")
    done
    "$bin/llvm-profdata" merge -o "$build/all.profdata" "${profiles[@]}"
    "$bin/llvm-cov" export -summary-only "$build/coverage" -instr-profile="$build/all.profdata" Sources > "$build/coverage.json"
    "$bin/llvm-cov" show "$build/coverage" -instr-profile="$build/all.profdata" -show-instantiations=false Sources |
      awk '/^[^ ]*Sources.*:$/ {name = $0; sub(/.*Sources/, "Sources", name)} /^ *[0-9]+\| +0\|/ {print name $0}' > "$build/uncovered.txt"
    ;;
  corpus)
    build_fuzzer
    for target in "${all[@]}"; do
      seeds "$target" "$build/fuzz"
      small=$build/small/$target to=Fixtures/fuzz/$target
      rm -rf "$small" "$build/merged"
      mkdir -p "$small" "$build/merged"
      # What the targets make themselves, and the files of other tests, need not be kept: they come first.
      cp "$build/seeds/$target"/* "$build/merged"
      mkdir -p "$to"
      find "$build/corpus/$target" "$to" -type f -size -2 -exec cp {} "$small" \;
      before=$(mktemp)
      find "$build/merged" -type f -printf '%f\n' | sort > "$before"
      SC_FUZZ_TARGET=$target "$build/fuzz" -merge=1 -max_len="$(length "$target")" "$build/merged" "$small" > "$build/$target-merge.log" 2>&1
      rm -rf "$to"
      mkdir -p "$to"
      find "$build/merged" -type f -printf '%f\n' | sort | comm -13 "$before" - | while read -r name; do cp "$build/merged/$name" "$to"; done
      rm -f "$before"
      echo "$target: $(find "$to" -type f | wc -l) inputs, $(du -bs "$to" | cut -f 1) bytes"
    done
    ;;
esac
