# SPDX-License-Identifier: BSD-3-Clause
#
#   make install PREFIX=/usr/local DESTDIR=       libraries, headers, pkg-config, CMake, the tool, its man page and completions
#   make uninstall PREFIX=… DESTDIR=…             removes exactly those files
#   make dist                                     an archive for each architecture that can be built here, in .build/make/dist
# LIBDIR may be another folder than $(PREFIX)/lib, such as /usr/lib/aarch64-linux-gnu.
PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
DESTDIR ?=

# The version is that of swiftcodec.h.
VERSION_OF = $(shell sed -n 's/^\#define SC_VERSION_$(1) \([0-9]*\)$$/\1/p' $(INCLUDE)/swiftcodec.h)
VERSION := $(call VERSION_OF,MAJOR).$(call VERSION_OF,MINOR).$(call VERSION_OF,PATCH)
SOVERSION := $(call VERSION_OF,MAJOR)

SHARE = $(OUT)/share
ifeq ($(shell uname -s),Darwin)
  SHARED = libswiftcodec.$(VERSION).dylib
  SHARED_LINKS = libswiftcodec.$(SOVERSION).dylib libswiftcodec.dylib
  SHARED_COMMAND = $(CC) -dynamiclib -Wl,-force_load,$(1) -install_name @rpath/libswiftcodec.$(SOVERSION).dylib \
    -current_version $(VERSION) -o $(2)
else
  SHARED = libswiftcodec.so.$(VERSION)
  SHARED_LINKS = libswiftcodec.so.$(SOVERSION) libswiftcodec.so
  SHARED_COMMAND = $(or $(3),$(CC)) -shared -Wl,--whole-archive $(1) -Wl,--no-whole-archive -Wl,--version-script=packaging/swiftcodec.map \
    -Wl,-soname,libswiftcodec.so.$(SOVERSION) -Wl,-z,relro,-z,now,-z,noexecstack -Wl,--no-undefined -lm -lpthread -o $(2)
endif

STATIC_LIBRARIES = libswiftcodec.a libswiftcodec-core.a libswiftcodec_model.a
LIB_FILES = $(STATIC_LIBRARIES) $(SHARED) pkgconfig/swiftcodec.pc cmake/SwiftCodec/SwiftCodecConfig.cmake \
  cmake/SwiftCodec/SwiftCodecConfigVersion.cmake
SHARE_FILES = man/man1/codec-bench.1 bash-completion/completions/codec-bench zsh/site-functions/_codec-bench
HEADERS = $(INCLUDE)/swiftcodec.h Sources/CDefaultModel/include/sc_default_model.h

.PHONY: shared share install install-libraries uninstall dist

shared: embedded
	$(call SHARED_COMMAND,$(OUT)/libswiftcodec.a,$(OUT)/$(SHARED),)
	scripts/check_symbols.sh $(OUT)/$(SHARED) $(INCLUDE)/swiftcodec.h

# The man page and the completions say what --help says.
share: tool
	$(PYTHON) scripts/tool_pages.py $(TOOL) $(VERSION) $(SHARE)

install: shared share
	$(MAKE) install-libraries FROM=$(OUT)
	install -d $(DESTDIR)$(PREFIX)/bin $(addprefix $(DESTDIR)$(PREFIX)/share/,$(dir $(SHARE_FILES)))
	install -m 755 $(TOOL) $(DESTDIR)$(PREFIX)/bin/codec-bench
	for file in $(SHARE_FILES); do install -m 644 $(SHARE)/$$file $(DESTDIR)$(PREFIX)/share/$$file; done

# What a C program needs, from the libraries in FROM.
install-libraries:
	install -d $(DESTDIR)$(PREFIX)/include $(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(LIBDIR)/cmake/SwiftCodec
	install -m 644 $(HEADERS) $(DESTDIR)$(PREFIX)/include
	install -m 644 $(addprefix $(FROM)/,$(STATIC_LIBRARIES)) $(DESTDIR)$(LIBDIR)
	install -m 755 $(FROM)/$(SHARED) $(DESTDIR)$(LIBDIR)
	for link in $(SHARED_LINKS); do ln -sf $(SHARED) $(DESTDIR)$(LIBDIR)/$$link; done
	sed -e 's|@PREFIX@|$(if $(RELOCATABLE),$${pcfiledir}/../..,$(PREFIX))|' -e 's|@LIBDIR@|$(if $(RELOCATABLE),$${prefix}/lib,$(LIBDIR))|' \
	  -e 's|@VERSION@|$(VERSION)|' packaging/swiftcodec.pc.in > $(DESTDIR)$(LIBDIR)/pkgconfig/swiftcodec.pc
	sed -e 's|@INCLUDE_FROM_LIB@|$(shell $(PYTHON) -c 'import os, sys; print(os.path.relpath(*sys.argv[1:]))' $(PREFIX)/include $(LIBDIR))|' \
	  -e 's|@SHARED_NAME@|$(SHARED)|' packaging/SwiftCodecConfig.cmake.in > $(DESTDIR)$(LIBDIR)/cmake/SwiftCodec/SwiftCodecConfig.cmake
	sed -e 's|@VERSION@|$(VERSION)|' packaging/SwiftCodecConfigVersion.cmake.in \
	  > $(DESTDIR)$(LIBDIR)/cmake/SwiftCodec/SwiftCodecConfigVersion.cmake
	chmod 644 $(DESTDIR)$(LIBDIR)/pkgconfig/swiftcodec.pc $(DESTDIR)$(LIBDIR)/cmake/SwiftCodec/*.cmake

uninstall:
	rm -f $(addprefix $(DESTDIR)$(LIBDIR)/,$(LIB_FILES) $(SHARED_LINKS)) \
	  $(addprefix $(DESTDIR)$(PREFIX)/include/,$(notdir $(HEADERS))) \
	  $(addprefix $(DESTDIR)$(PREFIX)/share/,$(SHARE_FILES)) $(DESTDIR)$(PREFIX)/bin/codec-bench
	-rmdir $(DESTDIR)$(LIBDIR)/cmake/SwiftCodec 2>/dev/null

dist: shared share
	scripts/dist.sh "$(MAKE)" $(VERSION) $(OUT)
