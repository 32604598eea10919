#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# check_snippets.sh MAKE [NAME…]: installs into an empty prefix and builds every snippet of README.md and docs/installing.md,
# word for word, in an empty folder outside of the repository; then uninstalls and looks for what is left. NAME picks some:
# tool, c-static, c-shared, pkg-config, cmake, swift, python, browser. Prints a table, and writes it to $SNIPPETS_PAGE if that
# is set, with $SNIPPETS_NOTE; $FIRST_PICTURE is the seconds that a clone and `make demo` took (.ci/run). Needs cmake, pkg-config and what `make web`
# needs; without chromium the browser is left out, and the table says so.
set -euo pipefail
make=$1
shift
all="tool c-static c-shared pkg-config cmake swift python browser"
wanted=${*:-$all}
root=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PREFIX=$work/prefix PKG_CONFIG_PATH=$work/prefix/lib/pkgconfig
mkdir "$work/snippets"
table=

# The fenced block behind each <!-- snippet: NAME -->.
awk -v out="$work/snippets/" '
  /^<!-- snippet: / { name = $3; gsub("/", "+", name); next }
  /^```/ && name { if (open) { close(out name); name = ""; open = 0 } else { open = 1 }; next }
  open { print > (out name) }
' README.md docs/installing.md
snippet() {
  touch "$work/used-${1//\//+}"
  cat "$work/snippets/${1//\//+}"
}

begin() { # an empty folder for a way
  started=$SECONDS
  mkdir "$work/$1"
  cd "$work/$1"
}

row() { # way, what it made or -, what it printed: a number of bytes and more
  case $3 in
    [1-9]*) ;;
    *) echo "check_snippets.sh: $1 printed: $3" >&2; exit 1 ;;
  esac
  local size=
  if [ "$2" != - ]; then size=$(wc -c < "$2"); fi
  table+="| $1 | $3 | $size | $((SECONDS - started)) |"$'\n'
}

started=$SECONDS
snippet install.sh | sed "s|^make |$make |" > "$work/install.sh"
bash -euo pipefail "$work/install.sh"
row "make install" "$PREFIX/lib/libswiftcodec.so" "$(find "$PREFIX" -type f -o -type l | wc -l) files"
for name in $wanted; do
  case $name in
    tool)
      begin tool
      cp "$root/Fixtures/pictures/blobs.png" photo.png
      snippet tool.sh > tool.sh
      PATH=$PREFIX/bin:$PATH bash -euo pipefail tool.sh > /dev/null
      row codec-bench "$PREFIX/bin/codec-bench" "$(wc -c < photo.sci) bytes"
      ;;
    c-static | c-shared | pkg-config)
      begin "$name"
      snippet app.c > app.c
      snippet "$name.sh" > build.sh
      bash -euo pipefail build.sh
      # As for any library in a folder that the loader does not search.
      row "C, $name" app "$(if [ "$name" = pkg-config ]; then export LD_LIBRARY_PATH=$PREFIX/lib; fi; ./app)"
      ;;
    cmake)
      begin cmake
      snippet app.c > app.c
      snippet CMakeLists.txt > CMakeLists.txt
      cmake -S . -B build -DCMAKE_PREFIX_PATH="$PREFIX" > /dev/null
      cmake --build build > /dev/null
      row "C, CMake" build/app "$(build/app)"
      ;;
    swift)
      begin swift
      mkdir -p app/Sources/app
      ln -s "$root" SwiftCodec
      cd app
      snippet Package.swift > Package.swift
      snippet Sources/app/main.swift > Sources/app/main.swift
      for configuration in debug release; do
        started=$SECONDS
        swift build -c $configuration
        row "Swift package by path, $configuration" ".build/$configuration/app" "$(".build/$configuration/app")"
      done
      ;;
    python)
      begin python
      python3 -m venv environment
      # shellcheck source=/dev/null
      . environment/bin/activate
      snippet python.sh > python.sh
      (cd "$root" && bash -euo pipefail "$work/python/python.sh" > /dev/null)
      snippet app.py > app.py
      row Python - "$(python app.py)"
      deactivate
      ;;
    browser)
      browser=${CHROMIUM:-$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)}
      if [ -z "$browser" ]; then
        table+="| browser page | left out: no chromium | | |"$'\n'
        touch "$work/used-web.sh" "$work/used-page.html"
        continue
      fi
      begin browser
      snippet web.sh | sed "s|^make |$make |" > web.sh
      (cd "$root" && bash -euo pipefail "$work/browser/web.sh" > /dev/null)
      snippet page.html > page.html
      text=$(node --no-warnings "$root/Tests/web/snippet.mjs" "$browser" page.html . "$root/.build/make/wasm/web")
      row "browser page" - "$text"
      ;;
  esac
  cd "$root"
done
for file in "$work"/snippets/*; do
  if [ "$wanted" = "$all" ] && [ ! -e "$work/used-${file##*/}" ]; then
    echo "check_snippets.sh: the snippet ${file##*/} is not tried" >&2
    exit 1
  fi
done
# Nothing stays behind.
started=$SECONDS
$make uninstall PREFIX="$PREFIX" > /dev/null
left=$(find "$PREFIX" -type f -o -type l)
if [ -n "$left" ]; then
  echo "check_snippets.sh: make uninstall leaves $left" >&2
  exit 1
fi
table+="| make uninstall | nothing is left | | $((SECONDS - started)) |"$'\n'
if [ -n "${FIRST_PICTURE:-}" ]; then
  table+="| git clone and make demo | the first decoded picture | | $FIRST_PICTURE |"$'\n'
fi
print() {
  echo "| way | result | size of the program or library, bytes | seconds |"
  echo "|---|---|---|---|"
  printf %s "$table"
}
echo
echo "Snippets of README.md and docs/installing.md, built and run:"
print
if [ -n "${SNIPPETS_PAGE:-}" ]; then
  {
    echo "# Installing"
    echo
    echo "Written by \`make test-snippets\` (\`scripts/check_snippets.sh\`): each way of README.md and docs/installing.md, word for word, in an empty folder. Commit $(git rev-parse --short=10 HEAD), $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1), $(nproc) processors, $(date +%F)${SNIPPETS_NOTE:+, $SNIPPETS_NOTE}. Seconds are elapsed, builds included; what an earlier line has built is there."
    echo
    print
  } > "$SNIPPETS_PAGE"
fi
