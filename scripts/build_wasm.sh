#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# build_wasm.sh SWIFT JOBS BUILD OUT: the Embedded library for wasm32. Gives OUT/libSwiftCodec.a, with all symbols, OUT/stack.o,
# and OUT/tools.sh, which sets what links it: bin, system, libc, builtins.
# Needs wasi-libc and libclang-rt-dev-wasm32; the Swift toolchain has the compiler and wasm-ld.
set -euo pipefail
swift=$1 jobs=$2 build=$3 out=$4
bin=$(dirname "$(readlink -f "$(command -v "$swift")")")
system=/usr/include/wasm32-wasi libc=/usr/lib/wasm32-wasi
builtins=$({ find /usr/lib/llvm-*/lib/clang /usr/lib/clang -name libclang_rt.builtins-wasm32.a 2>/dev/null || true; } | sort -V | tail -n 1)
[ -n "$builtins" ] || { echo "build_wasm.sh: no libclang_rt.builtins-wasm32.a (libclang-rt-dev-wasm32)" >&2; exit 1; }
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
cp "$build/$triple/release/libSwiftCodec.a" "$out/libSwiftCodec.a"
# Swift's stack protector asks for these.
cat > "$out/stack.c" <<'END'
#include <stdint.h>
uintptr_t __stack_chk_guard = 0x5c0dec;
void __stack_chk_fail(void) { __builtin_trap(); }
END
"$bin/clang" --target=wasm32-unknown-wasi -std=gnu17 -O2 -Wall -Wextra -Werror -isystem $system -c "$out/stack.c" -o "$out/stack.o"
printf '%s=%q\n' bin "$bin" system "$system" libc "$libc" builtins "$builtins" > "$out/tools.sh"
