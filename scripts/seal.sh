#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# seal.sh ARCHIVE HEADER OUT [PREFIX]: one object of everything in ARCHIVE, in which only the functions that HEADER
# declares are global. The Swift functions that an Embedded archive exports would otherwise replace those of an
# ordinary Swift program that it is linked into. PREFIX is that of the binutils.
set -euo pipefail
archive=$1 header=$2 out=$3 prefix=${4:-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$(dirname "$out")"
names=$(grep -oE '\bsc_[a-z_0-9]+\(' "$header" | tr -d '(' | sort -u)
# What no function of the header reaches is left out.
# shellcheck disable=SC2046
"${prefix}ld" -r --gc-sections $(sed 's/^/--undefined=/' <<< "$names") --whole-archive "$archive" -o "$work/all.o"
# shellcheck disable=SC2046
"${prefix}objcopy" --strip-debug --strip-unneeded $(sed 's/^/--keep-global-symbol=/' <<< "$names") "$work/all.o" "$work/swiftcodec.o"
rm -f "$out"
"${prefix}ar" crs "$out" "$work/swiftcodec.o"
