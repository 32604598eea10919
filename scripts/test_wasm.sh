#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# test_wasm.sh SWIFT JOBS BUILD OUT: the Embedded library for wasm32, and the golden files through it in node.
# Needs wasi-libc, libclang-rt-dev-wasm32 and nodejs; the Swift toolchain has the compiler and wasm-ld.
set -euo pipefail
swift=$1 jobs=$2 build=$3 out=$4
bin=$(dirname "$(readlink -f "$(command -v "$swift")")")
system=/usr/include/wasm32-wasi libc=/usr/lib/wasm32-wasi
builtins=$({ find /usr/lib/llvm-*/lib/clang /usr/lib/clang -name libclang_rt.builtins-wasm32.a 2>/dev/null || true; } | sort -V | tail -n 1)
[ -n "$builtins" ] || { echo "test_wasm.sh: no libclang_rt.builtins-wasm32.a (libclang-rt-dev-wasm32)" >&2; exit 1; }
triple=wasm32-unknown-none-wasm
mkdir -p "$out"
cat > "$out/toolset.json" <<END
{
  "schemaVersion": "1.0",
  "rootPath": "$bin",
  "swiftCompiler": { "extraCLIOptions": ["-Xcc", "-isystem", "-Xcc", "$system", "-Xcc", "-D__wasi__", "-Xcc", "-DSC_NO_THREADS"] },
  "cCompiler": {
    "extraCLIOptions": ["--target=wasm32-unknown-wasi", "-isystem", "$system", "-DSC_NO_THREADS", "-msimd128", "-O3"]
  }
}
END
# It would keep the objects of sources that are gone.
rm -f "$build/$triple/release/libSwiftCodec.a"
$swift build -c release --traits Embedded --product SwiftCodec -j "$jobs" --scratch-path "$build" --triple $triple \
  --toolset "$PWD/$out/toolset.json" -Xswiftc -Xfrontend -Xswiftc -function-sections -Xcc -ffunction-sections
# Swift's stack protector asks for these.
cat > "$out/stack.c" <<'END'
#include <stdint.h>
uintptr_t __stack_chk_guard = 0x5c0dec;
void __stack_chk_fail(void) { __builtin_trap(); }
END
for file in Tests/embedded/golden.c "$out/stack.c"; do
  "$bin/clang" --target=wasm32-unknown-wasi -std=gnu17 -O2 -Wall -Wextra -Werror -isystem $system -I Sources/CSwiftCodec/include -c "$file" \
    -o "$out/$(basename "$file" .c).o"
done
"$bin/wasm-ld" --gc-sections --stack-first -z stack-size=1048576 $libc/crt1-command.o "$out/golden.o" "$out/stack.o" \
  --whole-archive "$build/$triple/release/libSwiftCodec.a" --no-whole-archive -L$libc -lc -lm "$builtins" -o "$out/golden.wasm"
cat > "$out/run.mjs" <<'END'
import { readFile } from "node:fs/promises";
import { WASI } from "node:wasi";
const [program, ...args] = process.argv.slice(2);
const wasi = new WASI({ version: "preview1", args: [program, ...args], preopens: { ".": "." }, returnOnExit: true });
const module = await WebAssembly.compile(await readFile(program));
const instance = await WebAssembly.instantiate(module, { wasi_snapshot_preview1: wasi.wasiImport });
process.exit(wasi.start(instance) ?? 0);
END
node --no-warnings "$out/run.mjs" "$out/golden.wasm" Fixtures
