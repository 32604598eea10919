#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# test_wasm.sh SWIFT JOBS BUILD OUT: the Embedded library for wasm32, and the golden files through it in node.
set -euo pipefail
out=$4
scripts/build_wasm.sh "$@"
# shellcheck source=/dev/null
. "$out/tools.sh"
"$bin/clang" --target=wasm32-unknown-wasi -std=gnu17 -O2 -Wall -Wextra -Werror -isystem "$system" -I Sources/CSwiftCodec/include \
  -c Tests/embedded/golden.c -o "$out/golden.o"
"$bin/wasm-ld" --gc-sections --stack-first -z stack-size=1048576 "$libc/crt1-command.o" "$out/golden.o" "$out/stack.o" \
  --whole-archive "$out/libSwiftCodec.a" --no-whole-archive -L"$libc" -lc -lm "$builtins" -o "$out/golden.wasm"
cat > "$out/run.mjs" <<'END'
import { readFile } from "node:fs/promises";
import { WASI } from "node:wasi";
const [program, ...args] = process.argv.slice(2);
const wasi = new WASI({ version: "preview1", args: [program, ...args], preopens: { ".": "." }, returnOnExit: true });
const module = await WebAssembly.compile(await readFile(program));
const instance = await WebAssembly.instantiate(module, { wasi_snapshot_preview1: wasi.wasiImport });
process.exit(wasi.start(instance) ?? 0);
END
# Fast calls into WASI crash node 20 once the program's memory has grown.
node --no-warnings --no-turbo-fast-api-calls "$out/run.mjs" "$out/golden.wasm" Fixtures
