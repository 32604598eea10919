#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Stands in for HM's and VTM's programs in test_compare.py: their command line as scripts/compare.py uses it, and a codec that
quantises samples. Links of the names TAppEncoder…, TAppDecoder…, EncoderApp…, DecoderApp… lead here."""
import sys
import zlib
from pathlib import Path


def options():
    """-x value, and --Name=value."""
    words, found = iter(sys.argv[1:]), {}
    for word in words:
        name, equals, value = word.partition('=')
        found[name] = value if equals else next(words)
    return found


def main():
    o = options()
    if 'Encoder' in Path(sys.argv[0]).name:
        step = 1 << int(o['-q']) // 8
        raw = Path(o['-i']).read_bytes()
        wanted = {'--InputChromaFormat': '444', '--InputBitDepth': '8', '-f': '1'}
        if len(raw) != 3 * int(o['-wdt']) * int(o['-hgt']) or not Path(o['-c']).exists() or any(o.get(k) != v for k, v in wanted.items()):
            sys.exit('not what an encoder would take')
        Path(o['-b']).write_bytes(zlib.compress(bytes(min(255, b // step * step + step // 2) for b in raw), 9))
    else:
        if o['-d'] != '8':
            sys.exit('not 8 bits')
        Path(o['-o']).write_bytes(zlib.decompress(Path(o['-b']).read_bytes()))


if __name__ == '__main__':
    main()
