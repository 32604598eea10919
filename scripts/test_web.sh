#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# test_web.sh SWIFT JOBS BUILD OUT: builds the web page, runs its module in node and the page in headless Chromium, where a
# picture is encoded and decoded; OUT/web.png is what it looks like. Needs nodejs and chromium.
set -euo pipefail
out=$4
scripts/build_web.sh "$@"
node --no-warnings Tests/web/module.mjs "$out/web" Fixtures
browser=${CHROMIUM:-$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)}
[ -n "$browser" ] || { echo "test_web.sh: no chromium" >&2; exit 1; }
node --no-warnings Tests/web/page.mjs "$browser" "$out/web" Fixtures "$out/web.png"
