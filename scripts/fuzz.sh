#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# fuzz.sh SWIFT BUILD SECONDS: libFuzzer under AddressSanitizer, starting from the golden files and small models.
# What it finds is left in BUILD/crash-*; BUILD/fuzz FILE repeats it.
set -euo pipefail
swift=$1 build=$2 seconds=$3
mkdir -p "$build/objects" "$build/corpus"
clang=$(dirname "$(readlink -f "$(command -v "$swift")")")/clang
for source in $(find Sources/CCodecKernels Sources/CDefaultModel -name "*.c"); do
  "$clang" -std=gnu17 -D_GNU_SOURCE -O1 -g -fsanitize=fuzzer-no-link,address -I Sources/CCodecKernels/include -I Sources/CCodecKernels/platform -I Sources/CCodecKernels/conv -I Sources/CCodecKernels/entropy -I Sources/CSwiftCodec/include -I Sources/CDefaultModel/include \
    -c "$source" -o "$build/objects/$(basename "$source" .c).o"
done
# shellcheck disable=SC2046
"${swift}c" -parse-as-library -package-name swiftcodec -O -g -sanitize=fuzzer,address -use-ld=lld -module-name SwiftCodec \
  -I Sources/CCodecKernels/include -I Sources/CCodecKernels/platform -I Sources/CCodecKernels/conv -I Sources/CCodecKernels/entropy -I Sources/CSwiftCodec/include -I Sources/CDefaultModel/include $(find Sources/SwiftCodec -name '*.swift') scripts/fuzz.swift "$build"/objects/*.o \
  -o "$build/fuzz"
for file in Fixtures/golden/*-tiny-*.sci; do
  for kind in 0 1; do
    { printf "\\x0$kind"; cat "$file"; } > "$build/corpus/$kind-$(basename "$file")"
  done
done
for kind in 2 3; do { printf "\\x0$kind"; cat Fixtures/models/tiny.scm; } > "$build/corpus/$kind-tiny.scm"; done
# Leak detection does not see references that Swift keeps in spare bits.
ASAN_OPTIONS=detect_leaks=0 SC_FUZZ_MODEL=Fixtures/models/tiny.scm "$build/fuzz" -max_total_time="$seconds" -max_len=65536 -timeout=20 \
  -artifact_prefix="$build/" -print_final_stats=1 "$build/corpus"
