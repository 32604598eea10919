"""Float network against the integer network of a model file, on whole pictures.

python check_int16.py model.scm CKPT DIR_OF_PICTURES
"""
import argparse

import numpy as np
import torch
import torch.nn.functional as F

import export
import integer
from data import list_pictures, read_picture


def psnr(a, b):
    return 10 * np.log10(255 ** 2 / np.square(a.astype(float) - b).mean())


@torch.no_grad()
def float_result(net, picture, k):
    """Picture and bits of the float network with hard rounding and its own density."""
    h, w = picture.shape[:2]
    x = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
    x = F.pad(x, (0, -w % 16, 0, -h % 16), mode='replicate')
    y = net.analysis(x, k).round()
    out = (net.synthesis(y, k)[0, :, :h, :w].clamp(0, 1) * 255).round().permute(1, 2, 0)
    return out.numpy(), -torch.log2(net.by(y, k)).sum().item()


def report(model, net, folder, points=None):
    """bpp and PSNR, means over pictures; the last column leaves inactive channels out, as a bitstream does."""
    print('rate point   float bpp      dB   int16 bpp      dB    bits %       dB   inactive %')
    files = list_pictures(folder)
    for k in points or range(len(model.lambdas)):
        rows = []
        for f in files:
            picture = read_picture(f)
            out, bits = float_result(net, picture, k)
            latent = integer.analyse(model, picture, k)
            out16 = integer.samples(model, model.run(integer.SYNTHESIS, latent, k), picture.shape)
            bits16, coded = integer.code_length(model.entropy[0][k], latent)
            pixels = picture.shape[0] * picture.shape[1]
            rows.append([bits / pixels, psnr(out, picture), bits16 / pixels, psnr(out16, picture), coded / pixels])
        b, p, b16, p16, c = np.mean(rows, 0)
        print(f'{k:10} {b:11.4f} {p:7.3f} {b16:11.4f} {p16:7.3f} {100 * (b16 / b - 1):9.3f} {p16 - p:8.4f} {100 * (c / b16 - 1):12.3f}', flush=True)


def main():
    a = argparse.ArgumentParser(description=__doc__)
    a.add_argument('model')
    a.add_argument('checkpoint')
    a.add_argument('pictures')
    a.add_argument('--points', type=int, nargs='*')
    a = a.parse_args()
    report(integer.read_model(a.model), export.load(a.checkpoint), a.pictures, a.points)


if __name__ == '__main__':
    main()
