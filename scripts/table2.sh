#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The second table of Galpin et al. (BD-rate over the plain int16 network with one CDF a channel) beside ours.
# Usage: table2.sh TOOL PICTURES OUT [MODEL [THREADS]]. Results that are already in OUT are used again.
set -euo pipefail
tool=$1 pictures=$2 out=$3 model=${4:-} threads=${5:-$(nproc 2>/dev/null || echo 1)}
mkdir -p "$out"
options=(--threads "$threads")
[ -n "$model" ] && options+=(--model "$model")

# name, entropy model, RDOQ, the paper's figure
rows=(
  "Base|static|off|0"
  "Contexts|threshold|off|-11.07"
  "Contexts + RDOQ|threshold|full|-18.56"
  "Weighted|weighted|off|"
  "Weighted + RDOQ fast|weighted|fast|"
  "Weighted + RDOQ full|weighted|full|"
)
for row in "${rows[@]}"; do
  IFS='|' read -r name entropy rdoq _ <<<"$row"
  file="$out/$entropy-$rdoq.json"
  [ -s "$file" ] && continue
  echo "measuring $name" >&2
  "$tool" eval "$pictures" --entropy "$entropy" --rdoq "$rdoq" --name "$name" --json "$file.part" \
    --csv "${file%.json}.csv" "${options[@]}" >"${file%.json}.txt"
  mv "$file.part" "$file"
done

rate() { # BD-rate of two files in percent
  "$tool" bdrate "$1" "$2" | grep -oE -- '-?[0-9]+\.[0-9]+ %' | head -1 | tr -d ' %'
}
printf '%-20s %10s %10s %22s\n' "BD-rate over Base" "paper" "here" "over the same, no RDOQ"
for row in "${rows[@]}"; do
  IFS='|' read -r name entropy rdoq paper <<<"$row"
  file="$out/$entropy-$rdoq.json"
  here=0.00 gain=
  [ "$name" != Base ] && here=$(rate "$out/static-off.json" "$file")
  [ "$rdoq" != off ] && gain="$(rate "$out/$entropy-off.json" "$file") %"
  printf '%-20s %10s %10s %22s\n' "$name" "${paper:+$paper %}" "$here %" "$gain"
done
