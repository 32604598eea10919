# SPDX-License-Identifier: BSD-3-Clause
#
#   make web          the page, its module, codec and model in .build/make/wasm/web: for any web server
#   make test-web     the module in node, the page in headless Chromium
.PHONY: web test-web
web:
	scripts/build_web.sh "$(SWIFT)" $(JOBS) .build-wasm $(OUT)/wasm

test-web:
	scripts/test_web.sh "$(SWIFT)" $(JOBS) .build-wasm $(OUT)/wasm
