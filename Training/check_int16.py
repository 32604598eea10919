# SPDX-License-Identifier: BSD-3-Clause
"""Float network against the integer network of a model file, on whole pictures.

python check_int16.py model.scm CKPT DIR_OF_PICTURES [--points 0 6]
"""
import argparse

import numpy as np
import torch

import integer
from data import list_pictures, read_picture
from evaluate import code, psnr
from integer import COLOUR_PLANES
from networks import causal_mean, code_length, load, normal


def code16(model, net, picture, k, first=0):
    """integer.code, but the first slice with a hyperprior has the bits of its integer means and scales with the checkpoint's contexts.

    An exported model file has no contexts yet, without which those channels cost far more than they were trained for. `first` is the model's rate point
    that is the network's 0.
    """
    if not model.hyper:
        out, *bits = integer.code(model, {COLOUR_PLANES: picture}, k)
        return out[COLOUR_PLANES], *bits
    from export import SCALE_HIGH, SCALE_LOW

    @torch.no_grad()
    def first_bits(differences, scales):
        v, log_scale = differences[None].float(), SCALE_LOW + (SCALE_HIGH - SCALE_LOW) / 255 * scales[None].float()
        return code_length(normal, v, [log_scale], 'hard', causal_mean(v, net.causal[k - first:k - first + 1])).item()

    out, *bits = integer.code(model, {COLOUR_PLANES: picture}, k, net.S[0], first_bits)
    return out[COLOUR_PLANES], *bits


def report(model, net, folder, points=None, first=0):
    """bpp and PSNR, means over pictures. The last column is what leaving out inactive channels changes in the bits."""
    print('rate point   float bpp      dB   int16 bpp      dB    bits %       dB   inactive %')
    for k in points or range(len(net.lambdas)):
        rows = []
        for f in list_pictures(folder):
            picture = read_picture(f)
            out, bits = code(net, picture, k)
            out16, bits16, coded = code16(model, net, picture, first + k, first)
            pixels = picture[..., 0].size
            rows.append([bits / pixels, psnr(out, picture), bits16 / pixels, psnr(out16, picture), coded / pixels])
        b, p, b16, p16, c = np.mean(rows, 0)
        print(f'{k:10} {b:11.4f} {p:7.3f} {b16:11.4f} {p16:7.3f} {100 * (b16 / b - 1):9.3f} {p16 - p:8.4f} {100 * (c / b16 - 1):12.3f}', flush=True)


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument('model')
    a.add_argument('checkpoint')
    a.add_argument('pictures')
    a.add_argument('--points', type=int, nargs='*', help='rate points; all if left out')
    a = a.parse_args()
    model = integer.read_model(a.model)
    report(model, load(a.checkpoint, model.name), a.pictures, a.points)


if __name__ == '__main__':
    main()
