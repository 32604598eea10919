# SPDX-License-Identifier: BSD-3-Clause
#
# The residual layer's kernels alone: make -f Tests/kernels/residual.mk TARGET from the top of the repository.
#   test-residual        round trips, and the vector code against plain C
#   test-residual-asan   the same, and mutated payloads, under AddressSanitizer and UndefinedBehaviorSanitizer
#   test-residual-arm    NEON under qemu
#   test-residual-armv7, test-residual-wasm
#                        on 32 bits: under qemu, in node
include Tests/kernels/tools.mk
RESIDUAL_BUILD ?= .build/kernels
RESIDUAL_CC ?= $(CC)
RESIDUAL_DIR := Sources/CCodecKernels/residual
RESIDUAL_CFLAGS ?= -std=gnu17 -Wall -Wextra -Wpedantic -Werror -ffp-contract=off
RESIDUAL_COMMAND = $(RESIDUAL_CFLAGS) -ISources/CCodecKernels/include -I$(RESIDUAL_DIR)
RESIDUAL_SOURCES = $(wildcard $(RESIDUAL_DIR)/*.c)
COMMA := ,
# The specification under names of its own, beside what is shipped.
RESIDUAL_PLAIN = -DSC_RESIDUAL_PLAIN -include Tests/kernels/residual_plain.h

# $(call residual-check,FOLDER,COMPILER,RUNNER,ARGUMENTS)
define residual-check
@mkdir -p $(1)
for f in $(RESIDUAL_SOURCES); do $(2) -O2 -c $(RESIDUAL_COMMAND) $(RESIDUAL_PLAIN) $$f \
  -o $(1)/plain_$$(basename $$f .c).o || exit 1; done
$(2) -O2 $(RESIDUAL_COMMAND) $(RESIDUAL_SOURCES) Tests/kernels/check_residual.c $(1)/plain_residual*.o -lm \
  -o $(1)/check_residual
$(3) $(1)/check_residual $(4) $(KERNEL_ARGS)
endef

.PHONY: test-residual test-residual-asan test-residual-arm test-residual-armv7 test-residual-wasm
test-residual:
	$(call residual-check,$(RESIDUAL_BUILD),$(RESIDUAL_CC),,)
test-residual-asan:
	$(call residual-check,$(RESIDUAL_BUILD)/asan,$(RESIDUAL_CC) -g -fsanitize=address$(COMMA)undefined -fno-sanitize-recover=all,,--mutations 5000)
test-residual-arm:
	$(call residual-check,$(RESIDUAL_BUILD)/arm,$(ARM_CC) -static,$(ARM_RUN),--cases 60)
test-residual-armv7:
	$(call residual-check,$(RESIDUAL_BUILD)/armv7,$(ARMV7_CC) -static,$(ARMV7_RUN),--cases 60)
test-residual-wasm:
	@rm -rf $(RESIDUAL_BUILD)/wasm && mkdir -p $(RESIDUAL_BUILD)/wasm
	@$(call wasm-objects,$(RESIDUAL_BUILD)/wasm,$(RESIDUAL_COMMAND) $(RESIDUAL_PLAIN),$(RESIDUAL_SOURCES),plain_)
	@$(call wasm-objects,$(RESIDUAL_BUILD)/wasm,$(RESIDUAL_COMMAND),$(RESIDUAL_SOURCES) Tests/kernels/check_residual.c)
	$(call wasm-run,$(RESIDUAL_BUILD)/wasm,--cases 60 $(KERNEL_ARGS))
