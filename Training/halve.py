# SPDX-License-Identifier: BSD-3-Clause
"""A checkpoint in half precision, without what only its own run needs: small enough to be kept with the sources.

python halve.py CKPT OUT.pt
"""
import sys

import torch


def main():
    source, out = sys.argv[1:]
    checkpoint = torch.load(source, weights_only=True, map_location='cpu')
    args = {name: value for name, value in checkpoint['args'].items() if name not in ('out', 'data', 'init')}
    weights = {part: {n: p.half() for n, p in checkpoint[part].items()} for part in ('ema', 'source') if part in checkpoint}
    # A tensor that both have is stored once.
    for name, value in weights.get('source', {}).items():
        if name in weights['ema'] and torch.equal(weights['ema'][name], value):
            weights['ema'][name] = value
    torch.save(dict(**weights, step=checkpoint['step'], args=args), out)


if __name__ == '__main__':
    main()
