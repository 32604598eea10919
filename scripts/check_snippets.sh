#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# check_snippets.sh MAKE [NAME…]: installs into an empty prefix and builds every snippet of the README, word for word, in an
# empty folder outside of the repository; then uninstalls and looks for what is left. NAME picks some: c-static, c-shared,
# pkg-config, cmake, swift. Needs cmake and pkg-config.
set -euo pipefail
make=$1
shift
wanted=("${@:-c-static c-shared pkg-config cmake swift}")
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
' README.md
snippet() { cat "$work/snippets/${1//\//+}"; }

row() { # name, program
  local result
  # As for any library in a folder that the loader does not search.
  result=$(if [ "$1" = pkg-config ]; then LD_LIBRARY_PATH=$PREFIX/lib "$2"; else "$2"; fi)
  case $result in
    [1-9]*) ;; # a number of bytes
    *) echo "check_snippets.sh: $1 printed: $result" >&2; exit 1 ;;
  esac
  table+=$(printf '%-12s %10s bytes   %s' "$1" "$(wc -c < "$2")" "$result")$'\n'
}

folder() { # an empty one with the C program
  mkdir "$work/$1"
  cd "$work/$1"
  snippet app.c > app.c
}

$make install PREFIX="$PREFIX"
for name in ${wanted[*]}; do
  case $name in
    c-static | c-shared | pkg-config)
      folder "$name"
      snippet "$name.sh" > build.sh
      bash -euo pipefail build.sh
      row "$name" ./app
      ;;
    cmake)
      folder cmake
      snippet CMakeLists.txt > CMakeLists.txt
      cmake -S . -B build -DCMAKE_PREFIX_PATH="$PREFIX" > /dev/null
      cmake --build build > /dev/null
      row cmake build/app
      ;;
    swift)
      mkdir -p "$work/swift/app/Sources/app"
      ln -s "$root" "$work/swift/SwiftCodec"
      cd "$work/swift/app"
      snippet Package.swift > Package.swift
      snippet Sources/app/main.swift > Sources/app/main.swift
      for configuration in debug release; do
        swift build -c $configuration
        row "swift $configuration" ".build/$configuration/app"
      done
      ;;
  esac
  cd "$root"
done
"$PREFIX/bin/codec-bench" encode Fixtures/pictures/blobs.png "$work/a.sci" --quality 62.5
"$PREFIX/bin/codec-bench" decode "$work/a.sci" "$work/a.png"
# Only functions of the headers are in the shared library, and nothing stays behind.
$make uninstall PREFIX="$PREFIX" > /dev/null
left=$(find "$PREFIX" -type f -o -type l)
if [ -n "$left" ]; then
  echo "check_snippets.sh: make uninstall leaves $left" >&2
  exit 1
fi
echo
echo "Snippets of README.md, built and run:"
echo "$table"
