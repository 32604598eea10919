# SPDX-License-Identifier: BSD-3-Clause
#
# Compilers and emulators of the C checks on other machines, and how a check is made for WebAssembly.
ARM_CC ?= aarch64-linux-gnu-gcc
ARM_RUN ?= qemu-aarch64 -cpu cortex-a72
ARMV7_CC ?= arm-linux-gnueabihf-gcc -march=armv7-a -mfpu=neon-vfpv4 -mfloat-abi=hard
ARMV7_RUN ?= qemu-arm -cpu cortex-a15
# Any clang with the target; the C library and the compiler's helpers are Debian's.
WASM_CC ?= clang --target=wasm32-unknown-wasi -isystem /usr/include/wasm32-wasi -msimd128 -DSC_NO_THREADS
WASM_LD ?= wasm-ld -L/usr/lib/wasm32-wasi
WASM_RUNTIME ?= $(firstword $(wildcard /usr/lib/llvm-*/lib/clang/*/lib/wasi/libclang_rt.builtins-wasm32.a \
  /usr/lib/clang/*/lib/wasi/libclang_rt.builtins-wasm32.a))
NODE ?= node

# $(call wasm-objects,FOLDER,FLAGS,SOURCES,PREFIX): objects of sources whose names differ.
wasm-objects = for source in $(3); do $(WASM_CC) -O2 $(2) -c $$source -o $(1)/$(4)$$(basename $$source .c).o || exit 1; done
# $(call wasm-run,FOLDER,ARGUMENTS): links the folder's objects, and runs them in node.
define wasm-run
$(WASM_LD) /usr/lib/wasm32-wasi/crt1-command.o $(1)/*.o -lc -lm $(WASM_RUNTIME) \
  --stack-first -z stack-size=1048576 -o $(1)/check.wasm
$(NODE) --no-warnings Tests/kernels/wasi.mjs $(1)/check.wasm $(2)
endef
