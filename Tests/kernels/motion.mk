# SPDX-License-Identifier: BSD-3-Clause
#
# Motion in C alone: make -f Tests/kernels/motion.mk TARGET from the top of the repository, or include it there.
#   test-motion         every variant against the specification, the code of vectors, hostile streams, search
#   test-motion-asan    the same under AddressSanitizer and UndefinedBehaviorSanitizer
#   test-motion-arm     NEON under qemu
#   test-motion-armv7, test-motion-wasm
#                       on 32 bits: under qemu, in node
#   bench-motion        speed and quality: make bench-motion MOTION_ARGS="--tables FILE CLIP.y4m …"
#   fit-motion          Training/motion.motn from the clips of a folder (ffmpeg): make fit-motion VIDEO=…
#   motion-library      the functions as a shared library, for Training/
# MOTION_ARGS goes to the program: --seed N --cases N [--tables FILE].
include Tests/kernels/tools.mk
MOTION_BUILD ?= .build/make
VIDEO ?= clips
MOTION_CC ?= $(CC)
MOTION_DIR := Sources/CCodecKernels
MOTION_CFLAGS ?= -std=gnu17 -Wall -Wextra -Werror -D_GNU_SOURCE
MOTION_SOURCES := $(wildcard $(MOTION_DIR)/motion/*.c) $(wildcard $(MOTION_DIR)/conv/*.c) \
  $(MOTION_DIR)/platform/dispatch.c $(MOTION_DIR)/platform/parallel.c $(MOTION_DIR)/platform/measure.c $(wildcard $(MOTION_DIR)/entropy/*.c)
MOTION_FLAGS = $(MOTION_CFLAGS) -I$(MOTION_DIR)/include -I$(MOTION_DIR)/platform -I$(MOTION_DIR)/conv -I$(MOTION_DIR)/entropy
MOTION_COMMAND = $(MOTION_FLAGS) $(MOTION_SOURCES)

.PHONY: test-motion test-motion-asan test-motion-arm test-motion-armv7 test-motion-wasm bench-motion fit-motion motion-library
test-motion:
	@mkdir -p $(MOTION_BUILD)
	$(MOTION_CC) -O2 $(MOTION_COMMAND) Tests/kernels/check_motion.c -lpthread -o $(MOTION_BUILD)/check-motion
	$(MOTION_BUILD)/check-motion --tables Training/motion.motn $(MOTION_ARGS)
test-motion-asan:
	@mkdir -p $(MOTION_BUILD)
	$(MOTION_CC) -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all $(MOTION_COMMAND) \
	  Tests/kernels/check_motion.c -lpthread -o $(MOTION_BUILD)/check-motion-asan
	$(MOTION_BUILD)/check-motion-asan $(MOTION_ARGS)
test-motion-arm:
	@mkdir -p $(MOTION_BUILD)
	$(ARM_CC) -O2 -static $(MOTION_COMMAND) Tests/kernels/check_motion.c -lpthread -o $(MOTION_BUILD)/check-motion-arm
	$(ARM_RUN) $(MOTION_BUILD)/check-motion-arm --cases 300 $(MOTION_ARGS)
test-motion-armv7:
	@mkdir -p $(MOTION_BUILD)
	$(ARMV7_CC) -O2 -static $(MOTION_COMMAND) Tests/kernels/check_motion.c -lpthread -o $(MOTION_BUILD)/check-motion-armv7
	$(ARMV7_RUN) $(MOTION_BUILD)/check-motion-armv7 --cases 300 $(MOTION_ARGS)
test-motion-wasm:
	@rm -rf $(MOTION_BUILD)/motion-wasm && mkdir -p $(MOTION_BUILD)/motion-wasm
	@$(call wasm-objects,$(MOTION_BUILD)/motion-wasm,$(MOTION_FLAGS),$(MOTION_SOURCES) Tests/kernels/check_motion.c)
	$(call wasm-run,$(MOTION_BUILD)/motion-wasm,--cases 300 $(MOTION_ARGS))
$(MOTION_BUILD)/bench-motion: $(MOTION_SOURCES) Tests/kernels/bench_motion.c $(MOTION_DIR)/include/sc_motion.h
	@mkdir -p $(MOTION_BUILD)
	$(MOTION_CC) -O2 $(MOTION_COMMAND) Tests/kernels/bench_motion.c -lpthread -lm -o $@
bench-motion: $(MOTION_BUILD)/bench-motion
	$(MOTION_BUILD)/bench-motion $(MOTION_ARGS)
# Seven frames of every fourth clip are enough.
fit-motion: $(MOTION_BUILD)/bench-motion
	ls $(VIDEO)/*.mp4 | awk 'NR % 4 == 1' | while read clip; do \
	  ffmpeg -v error -nostdin -i "$$clip" -frames:v 7 -pix_fmt yuv420p -f yuv4mpegpipe - || exit 1; done | \
	  $(MOTION_BUILD)/bench-motion --fit Training/motion.motn --sets 4 $(MOTION_ARGS) -
motion-library:
	@mkdir -p $(MOTION_BUILD)
	$(MOTION_CC) -O2 -shared -fPIC $(MOTION_COMMAND) -lpthread -o $(MOTION_BUILD)/libscmotion.so
