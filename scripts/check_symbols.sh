#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# check_symbols.sh LIBRARY HEADER [PREFIX [EXCEPT]]: the library defines every function of the header but those of EXCEPT
# (separated by commas) and nothing else, and needs nothing of the Swift runtime. PREFIX is that of the binutils.
set -euo pipefail
library=$1 header=$2 prefix=${3:-} except=${4:-}
declared=$(grep -oE '\bsc_[a-z_0-9]+\(' "$header" | tr -d '(' | sort -u | grep -vxF "${except//,/$'\n'}")
symbols() { # arguments of nm
  case $library in
    *.a) "${prefix}nm" "$@" "$library" ;;
    *) "${prefix}nm" -D "$@" "$library" ;;
  esac
}
# Versions of symbols, and the node of the version script itself, are no functions. Apple puts an underscore first.
defined=$(symbols -g --defined-only | awk 'NF == 3 && $2 != "A" { print $3 }' | sed -e 's/@.*//' -e 's/^_sc_/sc_/' | sort -u)
if ! diff <(echo "$declared") <(echo "$defined"); then
  echo "$library: the symbols (>) are not those of $header (<)" >&2
  exit 1
fi
if symbols -u | awk 'NF == 2 { print $2 }' | grep -E '^_?(swift|\$s)'; then
  echo "$library: needs the Swift runtime" >&2
  exit 1
fi
echo "$library: $(echo "$defined" | wc -l) functions, all of them in $(basename "$header")"
