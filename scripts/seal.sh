#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# seal.sh ARCHIVE HEADER OUT [PREFIX [EXCEPT]]: one object of everything in ARCHIVE that the functions of HEADER reach, in
# which only they are global. The Swift functions that an Embedded archive exports would otherwise replace those of an
# ordinary Swift program that it is linked into. PREFIX is that of the binutils. EXCEPT are functions of HEADER, separated
# by commas, that are left out, with all that only they reach.
set -euo pipefail
archive=$1 header=$2 out=$3 prefix=${4:-} except=${5:-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$(dirname "$out")"
names=$(grep -oE '\bsc_[a-z_0-9]+\(' "$header" | tr -d '(' | sort -u | grep -vxF "${except//,/$'\n'}")
rm -f "$out"
if [ "$(uname -s)" = Darwin ] && [ -z "$prefix" ]; then
  # Apple's linker makes what is not listed local in a relocatable object. (By its manual; not run by the tests.)
  sed 's/^/_/' <<< "$names" > "$work/names"
  # shellcheck disable=SC2046
  xcrun ld -r -dead_strip -exported_symbols_list "$work/names" $(sed 's/^/-u _/' <<< "$names") -force_load "$archive" \
    -o "$work/swiftcodec.o"
  xcrun libtool -static -o "$out" "$work/swiftcodec.o"
  exit
fi
# What no function of the header reaches is left out.
# shellcheck disable=SC2046
"${prefix}ld" -r --gc-sections $(sed 's/^/--undefined=/' <<< "$names") --whole-archive "$archive" -o "$work/all.o"
# shellcheck disable=SC2046
"${prefix}objcopy" --strip-debug --strip-unneeded $(sed 's/^/--keep-global-symbol=/' <<< "$names") "$work/all.o" "$work/swiftcodec.o"
"${prefix}ar" crs "$out" "$work/swiftcodec.o"
