#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# build_web.sh SWIFT JOBS BUILD OUT: OUT/web, a folder to put on any web server: the page, the ES module, the codec without a
# model as WebAssembly, the model. Needs what build_wasm.sh needs.
set -euo pipefail
out=$4
scripts/build_wasm.sh "$@"
# shellcheck source=/dev/null
. "$out/tools.sh"
mkdir -p "$out/web"
# Everything of the header but the embedded models, which would be in the program.
exports=$(grep -oE '\bsc_[a-z_0-9]+\(' Sources/CSwiftCodec/include/swiftcodec.h | tr -d '(' | sort -u | grep -v '^sc_model_create_embedded')
# shellcheck disable=SC2046
"$bin/wasm-ld" --gc-sections --strip-all --no-entry --stack-first -z stack-size=1048576 "$libc/crt1-reactor.o" "$out/stack.o" \
  "$out/libSwiftCodec.a" -L"$libc" -lc -lm "$builtins" $(sed 's/^/--export=/' <<< "$exports") --export=malloc --export=free \
  --export=_initialize -o "$out/web/swiftcodec.wasm"
cp web/index.html web/swiftcodec.js web/worker.js Sources/CDefaultModel/models/flagship.scm "$out/web"
(cd "$out/web" && for file in swiftcodec.wasm flagship.scm; do
  echo "$file: $(wc -c < $file) bytes, $(gzip -9c $file | wc -c) compressed"
done)
