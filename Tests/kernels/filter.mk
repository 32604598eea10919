# SPDX-License-Identifier: BSD-3-Clause
#
# The filter of decoded pictures in C alone: make -f Tests/kernels/filter.mk TARGET from the top of the repository, or include
# it there.
#   test-filter         every variant against the specification, pictures in bands against the same without
#   test-filter-asan    the same under AddressSanitizer and UndefinedBehaviorSanitizer
#   test-filter-arm     NEON under qemu
#   test-filter-armv7, test-filter-wasm
#                       on 32 bits: under qemu, in node
#   bench-filter        milliseconds a megapixel
# FILTER_ARGS goes to the program: --seed N --cases N.
include Tests/kernels/tools.mk
FILTER_BUILD ?= .build/make
FILTER_CC ?= $(CC)
FILTER_DIR := Sources/CCodecKernels
FILTER_CFLAGS ?= -std=gnu17 -Wno-psabi -Wall -Wextra -Werror -D_GNU_SOURCE
FILTER_SOURCES := $(wildcard $(FILTER_DIR)/filter/*.c) $(wildcard $(FILTER_DIR)/conv/*.c) $(wildcard $(FILTER_DIR)/entropy/*.c) \
  $(FILTER_DIR)/platform/dispatch.c $(FILTER_DIR)/platform/measure.c
FILTER_FLAGS = $(FILTER_CFLAGS) $(patsubst %,-I$(FILTER_DIR)/%,include platform filter conv entropy)
FILTER_COMMAND = $(FILTER_FLAGS) $(FILTER_SOURCES) Tests/kernels/check_filter.c

.PHONY: test-filter test-filter-asan test-filter-arm test-filter-armv7 test-filter-wasm bench-filter
test-filter:
	@mkdir -p $(FILTER_BUILD)
	$(FILTER_CC) -O2 $(FILTER_COMMAND) -o $(FILTER_BUILD)/check-filter
	$(FILTER_BUILD)/check-filter $(FILTER_ARGS)
test-filter-asan:
	@mkdir -p $(FILTER_BUILD)
	$(FILTER_CC) -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all $(FILTER_COMMAND) \
	  -o $(FILTER_BUILD)/check-filter-asan
	$(FILTER_BUILD)/check-filter-asan --cases 300 $(FILTER_ARGS)
test-filter-arm:
	@mkdir -p $(FILTER_BUILD)
	$(ARM_CC) -O2 -static $(FILTER_COMMAND) -o $(FILTER_BUILD)/check-filter-arm
	$(ARM_RUN) $(FILTER_BUILD)/check-filter-arm --cases 300 $(FILTER_ARGS)
test-filter-armv7:
	@mkdir -p $(FILTER_BUILD)
	$(ARMV7_CC) -O2 -static $(FILTER_COMMAND) -o $(FILTER_BUILD)/check-filter-armv7
	$(ARMV7_RUN) $(FILTER_BUILD)/check-filter-armv7 --cases 300 $(FILTER_ARGS)
test-filter-wasm:
	@rm -rf $(FILTER_BUILD)/filter-wasm && mkdir -p $(FILTER_BUILD)/filter-wasm
	@$(call wasm-objects,$(FILTER_BUILD)/filter-wasm,$(FILTER_FLAGS),$(FILTER_SOURCES) Tests/kernels/check_filter.c)
	$(call wasm-run,$(FILTER_BUILD)/filter-wasm,--cases 300 $(FILTER_ARGS))
bench-filter:
	@mkdir -p $(FILTER_BUILD)
	$(FILTER_CC) -O2 $(FILTER_COMMAND) -o $(FILTER_BUILD)/check-filter
	$(FILTER_BUILD)/check-filter --bench
