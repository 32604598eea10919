#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# check_symbols.sh ARCHIVE HEADER [PREFIX]: the archive defines every function of the header and nothing else, and
# needs nothing of the Swift runtime.
set -euo pipefail
archive=$1 header=$2 prefix=${3:-}
declared=$(grep -oE '\bsc_[a-z_0-9]+\(' "$header" | tr -d '(' | sort -u)
defined=$("${prefix}nm" -g --defined-only "$archive" | awk 'NF == 3 { print $3 }' | sort -u)
if ! diff <(echo "$declared") <(echo "$defined"); then
  echo "$archive: the symbols (>) are not those of $header (<)" >&2
  exit 1
fi
if "${prefix}nm" -u "$archive" | awk '{ print $2 }' | grep -E '^_?(swift|\$s)'; then
  echo "$archive: needs the Swift runtime" >&2
  exit 1
fi
echo "$archive: $(echo "$defined" | wc -l) functions, all of them in $(basename "$header")"
