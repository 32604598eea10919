#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# demo.sh CODEC-BENCH DIRECTORY [PICTURE]: a picture at three qualities, encoded to files and decoded from them.
set -euo pipefail
tool=$1 out=$2 picture=${3:-Fixtures/pictures/scene.png}
mkdir -p "$out"
echo "$picture: $(wc -c < "$picture") bytes of PNG"
for quality in 0 50 100; do
  echo
  echo "quality $quality"
  "$tool" encode "$picture" "$out/quality-$quality.sci" --quality $quality
  "$tool" decode "$out/quality-$quality.sci" "$out/quality-$quality.png"
done
echo
echo "The decoded pictures are in $out/."
