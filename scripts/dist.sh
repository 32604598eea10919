#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# dist.sh MAKE VERSION OUT: archives of what `make install` installs, in OUT/dist: for this machine with the tool, for every
# other architecture whose libraries lie in OUT/<architecture> without it. They may be
# unpacked anywhere.
set -euo pipefail
make=$1 version=$2 out=$3
mkdir -p "$out/dist"
work=$(mktemp -d)
prefix=/p
trap 'rm -rf "$work"' EXIT
system=$(uname -s | tr '[:upper:]' '[:lower:]')

pack() { # architecture
  local name=swiftcodec-$version-$system-$1
  mv "$work/staged$prefix" "$work/$name"
  cp LICENSE CHANGELOG.md "$work/$name"
  # The same files give the same archive.
  tar -C "$work" --sort=name --owner=0 --group=0 --numeric-owner --mtime="@${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}" \
    -cf - "$name" | gzip -9n > "$out/dist/$name.tar.gz"
  (cd "$out/dist" && sha256sum "$name.tar.gz" | tee "$name.tar.gz.sha256")
  rm -rf "$work/staged" "${work:?}/$name"
}

$make -s install PREFIX=$prefix DESTDIR="$work/staged" RELOCATABLE=1
pack "$(uname -m)"
for arch in aarch64 armv7; do
  if [ -e "$out/$arch/libswiftcodec.a" ] && [ "$arch" != "$(uname -m)" ]; then
    $make -s install-libraries FROM="$out/$arch" PREFIX=$prefix DESTDIR="$work/staged" RELOCATABLE=1
    pack $arch
  else
    echo "$arch: not built here (make test-arm and make test-armv7 build them)"
  fi
done
