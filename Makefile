# SPDX-License-Identifier: BSD-3-Clause
#
#   make demo         encode and decode a picture at three qualities
#   make test-fast    the tests to run while working
#   make test         every test that this machine can run without emulation
#   make install      libraries, headers and the tool, under PREFIX (packaging/install.mk)
# The other targets are in CONTRIBUTING.md.

SWIFT ?= swift
comma := ,
CC := cc
JOBS ?= $(shell nproc 2>/dev/null || sysctl -n hw.ncpu)
# A machine with little memory: make JOBS=1 …
SWIFTBUILD = $(SWIFT) build -j $(JOBS)
# The kernels are optimised in debug builds, too: the tests run them a lot.
SWIFTTEST = $(SWIFT) test -j $(JOBS) -Xcc -O2 --disable-xctest
# What runs all tests runs them optimised; what runs few of them is built faster without.
OPTIMISED = -c release -Xswiftc -enable-testing --scratch-path .build-release-tests

TOOL = .build/release/codec-bench
# The tool runs where Swift is not installed. (Apple's systems have the runtime.)
STATIC_RUNTIME = $(if $(filter Linux,$(shell uname -s)),--static-swift-stdlib)
OUT = .build/make
INCLUDE = Sources/CSwiftCodec/include
CWARN = -Wall -Wextra -Wpedantic -Werror
SWIFTLIB = $(shell $(SWIFT)c -print-target-info | sed -n 's/.*"runtimeResourcePath": "\(.*\)".*/\1/p')_static
HOST = $(shell uname -m)
EMBEDDED = .build-embedded
# What a C program links with the ordinary static library.
ORDINARY = $(SWIFTLIB)/linux/$(HOST)/swiftrt.o $(1) -L$(SWIFTLIB)/linux -lswiftCore -lstdc++ -lm -ldl -lpthread
# The tests that take little time each; the others are in `make test`.
FAST_TESTS ?= KernelTests|ModelTests|PixelFormatTests/missing|VideoTests/(headers|wrong|joins|every)|PNMTests|BDRateTests|QualityTests|JSONTests|CSVTests
FUZZ_SECONDS ?= 60
PYTHON ?= python3
.DEFAULT_GOAL := help

help:
	@sed -n '3,7p' Makefile | cut -c3-

C_SOURCES = $(shell find Sources examples Tests -name '*.[ch]')

# The C kernels alone: what the targets are stands in these files.
KERNEL_BUILD = $(OUT)/kernels
include Tests/kernels/kernels.mk
MOTION_BUILD = $(OUT)
include Tests/kernels/motion.mk
FILTER_BUILD = $(OUT)
include Tests/kernels/filter.mk
RESIDUAL_BUILD = $(OUT)/residual
include Tests/kernels/residual.mk

.PHONY: help demo tool test test-fast test-long test-debug test-c test-leaks test-memory test-kill compare compare-screens compare-lossless compare-lossless-video test-compare test-arm test-armv7 test-wasm test-asan test-tsan test-simde \
  test-snippets example embedded lint format docs benchmarks benchmark-video golden fixtures fuzz fuzz-coverage fuzz-corpus hostile train export table2 clean

include packaging/install.mk
include examples/examples.mk
include python/python.mk
include web/web.mk

demo: tool
	scripts/demo.sh $(TOOL) demo

tool:
	$(SWIFTBUILD) -c release --product codec-bench $(STATIC_RUNTIME)

# ---- Tests ---------------------------------------------------------------------------------------------------------

test:
	$(SWIFTTEST) $(OPTIMISED)
	$(MAKE) example test-c

# Six times as many cases of the random tests.
test-long:
	SC_LONG=1 $(SWIFTTEST) $(OPTIMISED)

test-fast:
	$(SWIFTTEST) --filter '$(FAST_TESTS)'

# The Swift tests of `make test` with the compiler's checks of a debug build.
test-debug:
	$(SWIFTTEST)

# The header alone, the kernels against the reference, golden pictures from the Embedded library.
test-c: embedded test-kernels test-motion test-filter test-residual
	scripts/check_header.sh $(INCLUDE)/swiftcodec.h
	scripts/check_header.sh Sources/CDefaultModel/include/sc_default_model.h
	$(CC) -std=c11 -O2 -g $(CWARN) -I $(INCLUDE) -o $(OUT)/golden Tests/embedded/golden.c $(OUT)/libswiftcodec.a -lm -lpthread
	$(OUT)/golden Fixtures
	$(if $(filter Linux,$(shell uname -s)),$(MAKE) test-leaks test-memory)

# Memory that errors lose, which glibc's allocator tells: freed blocks that a thread keeps would count as used.
# Of the Embedded library, and of the ordinary one if `make example` has built it.
LEAK_CYCLES ?= 1000
LEAKS = GLIBC_TUNABLES=glibc.malloc.tcache_count=0
test-leaks:
	$(CC) -std=gnu11 -O2 -g $(CWARN) -I $(INCLUDE) -o $(OUT)/leaks Tests/embedded/leaks.c $(OUT)/libswiftcodec.a -lm -lpthread
	$(LEAKS) $(OUT)/leaks Fixtures $(LEAK_CYCLES)
	if [ -f .build/release/libSwiftCodec.a ]; then \
	  $(CC) -std=gnu11 -O2 -g $(CWARN) -I $(INCLUDE) -o $(OUT)/leaks-static Tests/embedded/leaks.c $(call ORDINARY,.build/release/libSwiftCodec.a) \
	  && $(LEAKS) $(OUT)/leaks-static Fixtures $(LEAK_CYCLES); fi

# Little memory, and an allocator of the program's own, of both as well.
test-memory:
	$(CC) -std=c11 -O2 -g $(CWARN) -I $(INCLUDE) -o $(OUT)/memory Tests/embedded/memory.c $(OUT)/libswiftcodec.a -lm -lpthread
	$(OUT)/memory $(MEGAPIXELS)
	if [ -f .build/release/libSwiftCodec.a ]; then \
	  $(CC) -std=c11 -O2 -g $(CWARN) -I $(INCLUDE) -o $(OUT)/memory-static Tests/embedded/memory.c $(call ORDINARY,.build/release/libSwiftCodec.a) \
	  && $(OUT)/memory-static $(MEGAPIXELS); fi

# Signals, full disks, folders that may not be written to.
test-kill: tool
	$(PYTHON) scripts/test_kill.py $(TOOL)

# Under emulation: 64-bit ARM, 32-bit ARM, WebAssembly in node.
test-arm: test-kernels-arm test-motion-arm test-filter-arm test-residual-arm
	scripts/test_arm.sh aarch64 "$(SWIFT)" $(JOBS) .build-aarch64 $(OUT)/aarch64
	$(call SHARED_COMMAND,$(OUT)/aarch64/libswiftcodec.a,$(OUT)/aarch64/$(SHARED),aarch64-linux-gnu-gcc)

test-armv7: test-kernels-armv7 test-motion-armv7 test-filter-armv7 test-residual-armv7
	scripts/test_arm.sh armv7 "$(SWIFT)" $(JOBS) .build-armv7 $(OUT)/armv7
	$(call SHARED_COMMAND,$(OUT)/armv7/libswiftcodec.a,$(OUT)/armv7/$(SHARED),arm-linux-gnueabihf-gcc)

test-wasm: test-kernels-wasm test-motion-wasm test-filter-wasm test-residual-wasm
	scripts/test_wasm.sh "$(SWIFT)" $(JOBS) .build-wasm $(OUT)/wasm

# Every snippet of README.md and docs/installing.md, word for word, in an empty folder. Needs cmake and pkg-config.
test-snippets:
	scripts/check_snippets.sh "$(MAKE)"

# Optimised, the compiler's checks and the sanitizers at once. Swift's own handler of crashes would hide what they say.
SANITIZED = SWIFT_BACKTRACE=enable=no $(SWIFTTEST) -c release -Xswiftc -enable-testing

# Leaks are looked for in the C programs: XCTest and Swift's spare bits confuse the search elsewhere. The C code is under
# UndefinedBehaviorSanitizer as well.
# make test-asan ASAN_TESTS='HostileTests|VideoTests': only these of the Swift tests.
ASAN_TESTS ?= .
test-asan: embedded test-kernels-asan test-motion-asan test-filter-asan test-residual-asan
	$(CC) -std=c11 -g -fsanitize=address,undefined -I $(INCLUDE) -o $(OUT)/golden-asan Tests/embedded/golden.c \
	  $(OUT)/libswiftcodec.a -lm -lpthread
	$(OUT)/golden-asan Fixtures
	ASAN_OPTIONS=detect_leaks=0:handle_sigill=1 $(SANITIZED) --sanitize=address -Xcc -fsanitize=undefined \
	  -Xcc -fno-sanitize-recover=undefined --scratch-path .build-asan --filter '$(ASAN_TESTS)'

# What runs on several threads.
TSAN_TESTS ?= KernelTests|NetworkTests/stripes|HyperpriorTests/severalSegments|ResidualTests/segments|PixelFormatTests/roundTrips|VideoTests/decoder|VideoTests/everySetting|RDOQTests/threads|ThreadTests
test-tsan:
	TSAN_OPTIONS=halt_on_error=1 $(SANITIZED) --sanitize=thread --scratch-path .build-tsan --filter '$(TSAN_TESTS)'

# ---- Libraries -----------------------------------------------------------------------------------------------------

# The C library without the Swift runtime: only the functions of swiftcodec.h are visible.
# An archive that is already there would keep the objects of sources that are gone.
embedded:
	rm -f $(EMBEDDED)/release/libSwiftCodec.a
	$(SWIFTBUILD) -c release --traits Embedded --product SwiftCodec --scratch-path $(EMBEDDED) \
	  -Xswiftc -Xfrontend -Xswiftc -function-sections -Xcc -ffunction-sections
	scripts/libraries.sh $(EMBEDDED)/release/libSwiftCodec.a $(OUT)

# The C program against the ordinary static library and against the Embedded one: they agree on every byte.
example: embedded
	rm -f .build/release/libSwiftCodec.a
	$(SWIFTBUILD) -c release --product SwiftCodec
	$(CC) -std=c99 -O2 $(CWARN) -I $(INCLUDE) -o $(OUT)/roundtrip-static examples/roundtrip.c \
	  $(call ORDINARY,.build/release/libSwiftCodec.a)
	$(CC) -std=c99 -O2 $(CWARN) -I $(INCLUDE) -o $(OUT)/roundtrip-embedded examples/roundtrip.c $(OUT)/libswiftcodec.a \
	  -lm -lpthread
	$(OUT)/roundtrip-static | tee $(OUT)/roundtrip-static.txt
	$(OUT)/roundtrip-embedded > $(OUT)/roundtrip-embedded.txt
	cmp $(OUT)/roundtrip-static.txt $(OUT)/roundtrip-embedded.txt
	@echo "The static and the Embedded library agree."

# ---- Source --------------------------------------------------------------------------------------------------------

lint:
	$(SWIFT) format lint --strict --recursive Package.swift Sources Tests
	clang-format --dry-run -Werror $(C_SOURCES)
	$(PYTHON) scripts/rooms.py --self-test
	$(PYTHON) scripts/rooms.py --check docs/design/rooms.md
	$(PYTHON) scripts/format_example.py --check docs/format/example.md
	$(PYTHON) scripts/benchmarks.py --check
	$(PYTHON) scripts/model_ids.py --check
	$(PYTHON) scripts/fuzz_report.py --check
	$(PYTHON) scripts/check_documents.py

# The pages that are written from the sources and the fixtures.
docs:
	$(PYTHON) scripts/rooms.py --markdown docs/design/rooms.md
	$(PYTHON) scripts/format_example.py --write docs/format/example.md

# Measures again and writes docs/benchmarks and the table of the README: make benchmarks KODAK=folder. Hours, on a quiet machine.
KODAK ?=
benchmarks: tool
	$(PYTHON) scripts/benchmarks.py --tool $(TOOL) --kodak "$(KODAK)" $(ARGUMENTS)

# Speed and memory of video beside x264 and x265: make benchmark-video CLIP=720p.y4m, on a quiet machine.
benchmark-video: tool
	$(PYTHON) scripts/benchmark_video.py $(TOOL) "$(CLIP)" docs/benchmarks/video-speed.md $(ARGUMENTS)

# Encoders that are there beside ours: make compare PICTURES=folder ARGUMENTS="--codecs ours0,avif6 --csv rows.csv"; of the
# Kodak pictures, make compare KODAK=folder writes docs/benchmarks/compare.md as well. Needs NumPy, SciPy and Pillow.
PICTURES ?= $(or $(KODAK),Fixtures/pictures)
COMPARED = docs/benchmarks/data/compare.csv
compare: tool
	$(PYTHON) scripts/compare.py $(TOOL) "$(PICTURES)" $(if $(KODAK),--csv $(COMPARED) --page docs/benchmarks/compare.md \
	  --plot docs/benchmarks/compare.svg --points 0$(comma)2$(comma)5$(comma)7) $(ARGUMENTS)

# Pictures of screens, by rate point and by quality, beside x265 and AVIF with its tools for screens, to docs/benchmarks/screens.md:
# make compare-screens SCREENS=folder. Kept in data/screens.csv as above.
compare-screens: tool
	$(PYTHON) scripts/compare.py $(TOOL) "$(SCREENS)" --codecs ours0$(comma)ours0q$(comma)ours2q$(comma)avif6$(comma)avif6s$(comma)x265 \
	  --points 0$(comma)2$(comma)4$(comma)6 --csv docs/benchmarks/data/screens.csv --page docs/benchmarks/screens.md --title "Pictures of screens" \
	  --command "make compare-screens" $(ARGUMENTS)

# Lossless, bounded errors and the scale of qualities beside PNG, WebP, JPEG XL and JPEG-LS, to docs/benchmarks/lossless.md:
# make compare-lossless KODAK=folder SCREENS=folder PNGSUITE=folder. Needs NumPy and Pillow.
compare-lossless: tool
	$(PYTHON) scripts/compare_lossless.py $(TOOL) kodak="$(KODAK)" screens="$(SCREENS)" pngsuite="$(PNGSUITE)" \
	  fixtures=Fixtures/pictures --csv docs/benchmarks/data/lossless.csv --page docs/benchmarks/lossless.md $(ARGUMENTS)

# Video: make compare-lossless-video CLIPS="a.mkv b.mkv", to docs/benchmarks/lossless-video.md. Needs NumPy, Pillow and ffmpeg.
compare-lossless-video: tool
	$(PYTHON) scripts/compare_lossless_video.py $(TOOL) $(CLIPS) --page docs/benchmarks/lossless-video.md $(ARGUMENTS)

# The same with stand-ins for HM and VTM.
test-compare: tool
	test -x $(PYTHON_ENVIRONMENT)/bin/python || $(PYTHON) -m venv $(PYTHON_ENVIRONMENT)
	$(PYTHON_ENVIRONMENT)/bin/pip install --quiet numpy pillow scipy
	$(PYTHON_ENVIRONMENT)/bin/python Tests/compare/test_compare.py $(TOOL)

format:
	$(SWIFT) format -i --recursive Package.swift Sources Tests
	clang-format -i $(C_SOURCES)

# Makes the pictures of Fixtures/pictures again (needs NumPy and Pillow).
fixtures:
	$(PYTHON) scripts/make_fixtures.py Fixtures/pictures

# Encodes the golden files again. Only for a knowing change of the encoder or of the embedded model: the pixels that
# existing files decode to never change. Before the first release: make golden GOLDEN=format after a change of docs/format.
GOLDEN ?= 1
golden:
	SC_WRITE_GOLDEN=$(GOLDEN) $(SWIFTTEST) --filter GoldenTests

# Mutated inputs under AddressSanitizer and UndefinedBehaviorSanitizer, so many seconds of each target:
# make fuzz FUZZ_SECONDS=600 FUZZ_TARGETS=models
fuzz:
	Tests/fuzz/fuzz.sh run "$(SWIFT)" .build-fuzz $(FUZZ_SECONDS) $(FUZZ_TARGETS)

# The lines that all inputs so far reach, by file, and with the numbers of inputs docs/benchmarks/fuzz-coverage.md.
fuzz-coverage:
	Tests/fuzz/fuzz.sh coverage "$(SWIFT)" .build-fuzz
	$(PYTHON) scripts/fuzz_report.py .build-fuzz

# Fixtures/fuzz anew, of the small ones among all inputs so far.
fuzz-corpus:
	Tests/fuzz/fuzz.sh corpus "$(SWIFT)" .build-fuzz

# Files made to exhaust whoever reads them; then a search for worse ones.
hostile: tool
	$(PYTHON) Fixtures/hostile/hostile.py cases $(TOOL)
	$(PYTHON) Fixtures/hostile/hostile.py search $(TOOL) $(FUZZ_SECONDS)

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
	$(TOOL) fit --model $(MODEL).float.scm --images $(DATA) --without Training/set-aside.txt -o $(MODEL)

# The paper's second table on a folder of pictures: make table2 PICTURES=…
table2: tool
	scripts/table2.sh $(TOOL) "$(PICTURES)" $(OUT)/table2 Fixtures/models/base.scm

clean:
	rm -rf .build .build-* demo
