#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# libraries.sh ARCHIVE OUT [PREFIX]: from the Embedded archive the static libraries that are installed (with the embedded
# model, without it, the model alone), each checked. PREFIX is that of the binutils.
set -euo pipefail
archive=$1 out=$2 prefix=${3:-}
header=Sources/CSwiftCodec/include/swiftcodec.h
model=Sources/CDefaultModel/include/sc_default_model.h

library() { # name, header, functions that are left out
  scripts/seal.sh "$archive" "$2" "$out/$1" "$prefix" "$3"
  scripts/check_symbols.sh "$out/$1" "$2" "$prefix" "$3"
}
library libswiftcodec.a $header ""
library libswiftcodec-core.a $header sc_model_create_embedded,sc_model_create_embedded_inter
library libswiftcodec_model.a $model ""
