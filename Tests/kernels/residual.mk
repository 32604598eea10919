# SPDX-License-Identifier: BSD-3-Clause
#
# The residual layer's kernels alone: make -f Tests/kernels/residual.mk TARGET from the top of the repository.
#   test-residual        round trips, and the vector code against plain C
#   test-residual-asan   the same, and mutated payloads, under AddressSanitizer and UndefinedBehaviorSanitizer
#   test-residual-arm    NEON under qemu
RESIDUAL_BUILD ?= .build/kernels
RESIDUAL_CC ?= $(CC)
RESIDUAL_ARM_CC ?= aarch64-linux-gnu-gcc
RESIDUAL_DIR := Sources/CCodecKernels/residual
RESIDUAL_CFLAGS ?= -std=gnu17 -Wall -Wextra -Wpedantic -Werror -ffp-contract=off
RESIDUAL_COMMAND = $(RESIDUAL_CFLAGS) -ISources/CCodecKernels/include -I$(RESIDUAL_DIR)
RESIDUAL_SOURCES = $(wildcard $(RESIDUAL_DIR)/*.c)
# The specification under names of its own, beside what is shipped.
RESIDUAL_PLAIN = -DSC_RESIDUAL_PLAIN -include Tests/kernels/residual_plain.h

.PHONY: test-residual test-residual-asan test-residual-arm
test-residual:
	@mkdir -p $(RESIDUAL_BUILD)
	for f in $(RESIDUAL_SOURCES); do $(RESIDUAL_CC) -O2 -c $(RESIDUAL_COMMAND) $(RESIDUAL_PLAIN) $$f \
	  -o $(RESIDUAL_BUILD)/plain_$$(basename $$f .c).o || exit 1; done
	$(RESIDUAL_CC) -O2 $(RESIDUAL_COMMAND) $(RESIDUAL_SOURCES) Tests/kernels/check_residual.c \
	  $(RESIDUAL_BUILD)/plain_residual*.o -lm -o $(RESIDUAL_BUILD)/check_residual
	$(RESIDUAL_BUILD)/check_residual $(KERNEL_ARGS)
test-residual-asan: RESIDUAL_CFLAGS += -g -fsanitize=address,undefined -fno-sanitize-recover=all
test-residual-asan:
	@$(MAKE) -f Tests/kernels/residual.mk test-residual RESIDUAL_BUILD=$(RESIDUAL_BUILD)/asan \
	  RESIDUAL_CFLAGS="$(RESIDUAL_CFLAGS)" KERNEL_ARGS="--mutations 5000 $(KERNEL_ARGS)"
test-residual-arm:
	@mkdir -p $(RESIDUAL_BUILD)/arm
	for f in $(RESIDUAL_SOURCES); do $(RESIDUAL_ARM_CC) -O2 -c $(RESIDUAL_COMMAND) $(RESIDUAL_PLAIN) $$f \
	  -o $(RESIDUAL_BUILD)/arm/plain_$$(basename $$f .c).o || exit 1; done
	$(RESIDUAL_ARM_CC) -O2 -static $(RESIDUAL_COMMAND) $(RESIDUAL_SOURCES) Tests/kernels/check_residual.c \
	  $(RESIDUAL_BUILD)/arm/plain_residual*.o -lm -o $(RESIDUAL_BUILD)/arm/check_residual
	qemu-aarch64 $(RESIDUAL_BUILD)/arm/check_residual --cases 60 $(KERNEL_ARGS)
