# SPDX-License-Identifier: BSD-3-Clause
#
# The C kernels alone: make -f Tests/kernels/kernels.mk TARGET from the top of the repository, or include it there.
#   test-kernels        every variant that this processor has, against the reference
#   test-kernels-asan   the same under AddressSanitizer and UndefinedBehaviorSanitizer
#   test-kernels-arm    NEON under qemu (gcc-aarch64-linux-gnu, libc6-dev-arm64-cross, qemu-user)
#   test-kernels-armv7  NEON of 32 bits under qemu (gcc-arm-linux-gnueabihf, qemu-user)
#   test-kernels-wasm   SIMD128 in node (clang, wasi-libc, libclang-rt-dev-wasm32, nodejs)
#   test-simde          AVX-512 and VNNI emulated (libsimde-dev)
#   bench-kernels       the layers of the paper's networks, in fractions of the machine's peak
# KERNEL_ARGS goes to the program: --seed N --cases N --cpu NAME, or --repeat N --layer TEXT.
include Tests/kernels/tools.mk
KERNEL_BUILD ?= .build/kernels
KERNEL_CFLAGS ?= -std=gnu17 -Wall -Wextra -Werror -D_GNU_SOURCE
KERNEL_CC ?= $(CC)
KERNEL_DIR := Sources/CCodecKernels
KERNEL_SOURCES := $(wildcard $(KERNEL_DIR)/conv/*.c $(KERNEL_DIR)/entropy/*.c) \
  $(KERNEL_DIR)/platform/dispatch.c $(KERNEL_DIR)/platform/parallel.c $(KERNEL_DIR)/platform/crc32c.c
KERNEL_FLAGS = $(KERNEL_CFLAGS) -I$(KERNEL_DIR)/include -I$(KERNEL_DIR)/platform -I$(KERNEL_DIR)/conv \
  -I$(KERNEL_DIR)/entropy
KERNEL_COMMAND = $(KERNEL_FLAGS) $(KERNEL_SOURCES)
KERNEL_CHECK := Tests/kernels/check_kernels.c Tests/kernels/check_entropy.c

.PHONY: test-kernels test-kernels-asan test-kernels-arm test-kernels-armv7 test-kernels-wasm \
  test-simde bench-kernels
test-kernels:
	@mkdir -p $(KERNEL_BUILD)
	$(KERNEL_CC) -O2 $(KERNEL_COMMAND) $(KERNEL_CHECK) -lpthread -o $(KERNEL_BUILD)/check
	$(KERNEL_BUILD)/check $(KERNEL_ARGS)
test-kernels-asan:
	@mkdir -p $(KERNEL_BUILD)
	$(KERNEL_CC) -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all $(KERNEL_COMMAND) \
	  $(KERNEL_CHECK) -lpthread -o $(KERNEL_BUILD)/check-asan
	$(KERNEL_BUILD)/check-asan --cases 500 $(KERNEL_ARGS)
test-kernels-arm:
	@mkdir -p $(KERNEL_BUILD)
	$(ARM_CC) -O2 -static $(KERNEL_COMMAND) $(KERNEL_CHECK) -lpthread -o $(KERNEL_BUILD)/check-arm
	$(ARM_RUN) $(KERNEL_BUILD)/check-arm --cases 500 $(KERNEL_ARGS)
test-kernels-armv7:
	@mkdir -p $(KERNEL_BUILD)
	$(ARMV7_CC) -O2 -static $(KERNEL_COMMAND) $(KERNEL_CHECK) -lpthread -o $(KERNEL_BUILD)/check-armv7
	$(ARMV7_RUN) $(KERNEL_BUILD)/check-armv7 --cases 500 $(KERNEL_ARGS)
test-kernels-wasm:
	@rm -rf $(KERNEL_BUILD)/wasm && mkdir -p $(KERNEL_BUILD)/wasm
	@$(call wasm-objects,$(KERNEL_BUILD)/wasm,$(KERNEL_FLAGS),$(KERNEL_SOURCES) $(KERNEL_CHECK))
	$(call wasm-run,$(KERNEL_BUILD)/wasm,--cases 500 $(KERNEL_ARGS))
test-simde:
	CC="$(KERNEL_CC)" BUILD="$(KERNEL_BUILD)" Tests/simde/check.sh --cases 1000 $(KERNEL_ARGS)
bench-kernels:
	@mkdir -p $(KERNEL_BUILD)
	$(KERNEL_CC) -O2 $(KERNEL_COMMAND) Tests/kernels/bench_kernels.c -lpthread -o $(KERNEL_BUILD)/bench
	$(KERNEL_BUILD)/bench $(KERNEL_ARGS)
