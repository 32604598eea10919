#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The hashes that name the embedded models (docs/format/model.md, section 1), as constants of the library.

model_ids.py          writes Sources/CDefaultModel/models/ids.h: after a model file there has changed
model_ids.py --check  fails if it is not what the model files say
"""
import struct
import sys
from pathlib import Path

MODELS = Path(__file__).resolve().parent.parent / 'Sources/CDefaultModel/models'


def model_hash(data):
    value, words = len(data), struct.unpack(f'<{(len(data) + 7) // 8}Q', data + bytes(-len(data) % 8))
    for word in words:
        value = (value ^ word) * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF
        value ^= value >> 32
    return value


def main():
    lines = ['// SPDX-License-Identifier: BSD-3-Clause', '//', '// What names the models of this folder. Written by scripts/model_ids.py.']
    for path in sorted(MODELS.glob('*.scm')):
        lines.append(f'#define SC_{path.stem.upper()}_ID UINT64_C(0x{model_hash(path.read_bytes()):016X})')
    text, file = '\n'.join(lines) + '\n', MODELS / 'ids.h'
    if '--check' in sys.argv[1:]:
        if not file.exists() or file.read_text() != text:
            print('Sources/CDefaultModel/models/ids.h is not what the models say: scripts/model_ids.py')
            return 1
        return 0
    file.write_text(text)
    return 0


if __name__ == '__main__':
    sys.exit(main())
