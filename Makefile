# SPDX-License-Identifier: BSD-3-Clause
#
#   make demo       encode and decode a picture at three qualities
#   make test       every test that this machine can run without emulation
# The other targets are in CONTRIBUTING.md.

SWIFT ?= swift
CC := cc
JOBS ?= $(shell nproc 2>/dev/null || sysctl -n hw.ncpu)
# A machine with little memory: make JOBS=1 …
SWIFTBUILD = $(SWIFT) build -j $(JOBS)
# The kernels are optimised in debug builds, too: the tests run them a lot.
SWIFTTEST = $(SWIFT) test -j $(JOBS) -Xcc -O2 --disable-xctest

TOOL = .build/release/codec-bench
OUT = .build/make
INCLUDE = Sources/CSwiftCodec/include
CWARN = -Wall -Wextra -Wpedantic -Werror
SWIFTLIB = $(shell $(SWIFT)c -print-target-info | sed -n 's/.*"runtimeResourcePath": "\(.*\)".*/\1/p')_static
HOST = $(shell uname -m)
EMBEDDED = .build-embedded
ARM = .build-arm
FUZZ_SECONDS ?= 60
PYTHON ?= python3
.DEFAULT_GOAL := help

help:
	@sed -n '3,6p' Makefile | cut -c3-

C_SOURCES = $(shell find Sources examples Tests -name '*.[ch]')

# test-kernels, test-kernels-arm, test-simde, bench-kernels
KERNEL_BUILD = $(OUT)/kernels
include Tests/kernels/kernels.mk
RESIDUAL_BUILD = $(OUT)/kernels
include Tests/kernels/residual.mk

.PHONY: help demo tool test test-release test-c test-arm test-asan test-tsan test-simde example embedded lint format \
  golden fixtures fuzz train export table2 clean

demo: tool
	scripts/demo.sh $(TOOL) demo

tool:
	$(SWIFTBUILD) -c release --product codec-bench

# ---- Tests ---------------------------------------------------------------------------------------------------------

test:
	$(SWIFTTEST)
	$(MAKE) test-c example

# The same tests against optimised code.
test-release:
	$(SWIFTTEST) -c release -Xswiftc -enable-testing --scratch-path .build-release-tests

# The header alone, the kernels against the reference, golden pictures from the Embedded library.
test-c: embedded test-kernels test-residual
	scripts/check_header.sh $(INCLUDE)/swiftcodec.h
	scripts/check_symbols.sh $(OUT)/libswiftcodec.a $(INCLUDE)/swiftcodec.h
	$(CC) -std=c11 -O2 -g $(CWARN) -I $(INCLUDE) -o $(OUT)/golden Tests/embedded/golden.c $(OUT)/libswiftcodec.a -lm -lpthread
	$(OUT)/golden Fixtures

test-arm: $(OUT)/arm-toolset.json test-kernels-arm
	scripts/test_arm.sh "$(SWIFT)" $(JOBS) $(ARM) $(OUT)

# Leaks are looked for in the C program: XCTest and Swift's spare bits confuse the search elsewhere.
test-asan: embedded test-kernels-asan test-residual-asan
	$(CC) -std=c11 -g -fsanitize=address,undefined -I $(INCLUDE) -o $(OUT)/golden-asan Tests/embedded/golden.c \
	  $(OUT)/libswiftcodec.a -lm -lpthread
	$(OUT)/golden-asan Fixtures
	ASAN_OPTIONS=detect_leaks=0 $(SWIFTTEST) --sanitize=address --scratch-path .build-asan

test-tsan:
	TSAN_OPTIONS=halt_on_error=1 $(SWIFTTEST) --sanitize=thread --scratch-path .build-tsan

# ---- Libraries -----------------------------------------------------------------------------------------------------

# The C library without the Swift runtime: only the functions of swiftcodec.h are visible.
embedded:
	$(SWIFTBUILD) -c release --traits Embedded --product SwiftCodec --scratch-path $(EMBEDDED) \
	  -Xswiftc -Xfrontend -Xswiftc -function-sections -Xcc -ffunction-sections
	scripts/seal.sh $(EMBEDDED)/release/libSwiftCodec.a $(INCLUDE)/swiftcodec.h $(OUT)/libswiftcodec.a

# The C program against the ordinary static library and against the Embedded one: they agree on every byte.
example: embedded
	$(SWIFTBUILD) -c release --product SwiftCodec
	$(CC) -std=c99 -O2 $(CWARN) -I $(INCLUDE) -o $(OUT)/roundtrip-static examples/roundtrip.c \
	  $(SWIFTLIB)/linux/$(HOST)/swiftrt.o .build/release/libSwiftCodec.a -L$(SWIFTLIB)/linux -lswiftCore -lstdc++ \
	  -lm -ldl -lpthread
	$(CC) -std=c99 -O2 $(CWARN) -I $(INCLUDE) -o $(OUT)/roundtrip-embedded examples/roundtrip.c $(OUT)/libswiftcodec.a \
	  -lm -lpthread
	$(OUT)/roundtrip-static | tee $(OUT)/roundtrip-static.txt
	$(OUT)/roundtrip-embedded > $(OUT)/roundtrip-embedded.txt
	cmp $(OUT)/roundtrip-static.txt $(OUT)/roundtrip-embedded.txt
	@echo "The static and the Embedded library agree."

$(OUT)/arm-toolset.json: scripts/arm-toolset.json.in
	mkdir -p $(OUT)
	sed -e "s|@SWIFT_BIN@|$$(dirname $$(readlink -f $$(command -v $(SWIFT))))|" \
	  -e "s|@INCLUDE@|/usr/aarch64-linux-gnu/include|" $< > $@

# ---- Source --------------------------------------------------------------------------------------------------------

lint:
	$(SWIFT) format lint --strict --recursive Package.swift Sources Tests
	clang-format --dry-run -Werror $(C_SOURCES)

format:
	$(SWIFT) format -i --recursive Package.swift Sources Tests
	clang-format -i $(C_SOURCES)

# Makes the pictures of Fixtures/pictures again (needs NumPy and Pillow).
fixtures:
	$(PYTHON) scripts/make_fixtures.py Fixtures/pictures

# Encodes the golden files again. Only for a knowing change of the encoder or of the embedded model: the pixels that
# existing files decode to never change. Before the first release: make golden GOLDEN=format after a change of FORMAT.md.
GOLDEN ?= 1
golden:
	SC_WRITE_GOLDEN=$(GOLDEN) $(SWIFTTEST) --filter GoldenTests

# Random and mutated files under AddressSanitizer: make fuzz FUZZ_SECONDS=600
fuzz:
	scripts/fuzz.sh "$(SWIFT)" .build-fuzz $(FUZZ_SECONDS)

# ---- Training and evaluation ------------------------------------------------------------------------------------------

# A short training run and its log's curve: make train DATA=folder-of-pictures MINUTES=2 NETWORK=flagship
NETWORK ?= base
MINUTES ?= 2
DATA ?= Fixtures/pictures
CHECKPOINT ?= $(OUT)/$(NETWORK).pt
train:
	mkdir -p $(OUT)
	$(PYTHON) Training/train.py $(NETWORK) $(CHECKPOINT) --data $(DATA) --minutes $(MINUTES) $(ARGUMENTS)

# A model file from a checkpoint, with entropy models fitted on the same pictures (PNG or PNM for the latter)
MODEL ?= $(OUT)/$(NETWORK).scm
export: tool
	$(PYTHON) Training/export.py $(NETWORK) $(CHECKPOINT) --data $(DATA) -o $(MODEL).float.scm $(ARGUMENTS)
	$(TOOL) fit --model $(MODEL).float.scm --images $(DATA) -o $(MODEL)

# The paper's second table on a folder of pictures: make table2 PICTURES=…
table2: tool
	scripts/table2.sh $(TOOL) "$(PICTURES)" $(OUT)/table2 Fixtures/models/base.scm

clean:
	rm -rf .build .build-* demo
