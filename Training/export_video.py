# SPDX-License-Identifier: BSD-3-Clause
"""Checkpoint of an inter network to a model file for 4:2:0 frames.

python export_video.py CKPT --data DIR_OF_TRAINING_CLIPS -o inter.scm [--check DIR_OF_CLIPS]

Calibrates on chains of frames, as the networks are used; the motion library is needed as in training. Contexts of the entropy models are fitted afterwards.
"""
import argparse
from pathlib import Path

import numpy as np
import torch

import integer
from export import add_block, calibrate, entropy_graphs, gaussian_cdfs, mixture_cdfs, modes, moves, observe_entropy
from formats import packing
from graph import Graph, entropy_point, write_model
from integer import (ANALYSIS, CHROMA, CONTEXT, CONTEXTS, DECODED, HYPER_ANALYSIS, HYPER_LATENT, LATENT, LUMA, PREDICTED_CHROMA, PREDICTED_LUMA,
                     REPLICATE, STATIC, SYNTHESIS, YUV420)
from video import IMAGE, MULTIPLE, Clip, code_clip, continued, float_coder, load_clips, load_inter, load_intra

Q = 7           # of the latent: most of it is zero, and what noise adds to values near 1/2 costs bits; saturates beyond 256
FEATURES_8, FEATURES_16 = CONTEXTS, CONTEXTS + 256      # contexts 0 and 1: at 1/8 for the transforms, at 1/16 for the entropy networks


# ---- graphs ---------------------------------------------------------------------------------------------------------

def packed_planes(g, ports):
    """Packed planes, 64 and 32 channels at 1/8, of ports for luma and chroma."""
    return [g.unshuffle(f'unshuffle.{x}', x, factor) for x, factor in [(g.inputs.index(port), 8 - 4 * (i % 2)) for i, port in enumerate(ports)]]


def add_planes(g, *ports):
    for i, port in enumerate(ports):
        g.plane(port, 1 + i % 2, 1 + i % 2)


def inter_graphs(net):
    """Context network, analysis, synthesis, hyper-analysis, hyper-synthesis and slices of an Inter."""
    points, middle = len(net.lambdas), packing(YUV420)[2]
    offset = 0.5 - middle                   # packed value = integer / 510 + offset

    c = Graph(CONTEXT, points)
    add_planes(c, PREDICTED_LUMA, PREDICTED_CHROMA)
    x = c.concat('planes', packed_planes(c, (PREDICTED_LUMA, PREDICTED_CHROMA)))
    weight = 4 * net.c_in.weight.double()
    x = c.conv('c_in', x, weight / 510, net.c_in.bias.double() + weight[:, :, 0, 0] @ offset)
    for i, block in enumerate(net.cb):
        x = add_block(c, f'cb.{i}', x, block, REPLICATE)
    c.output(FEATURES_8, x)
    x = c.conv('c_dn', x, net.c_dn.weight, net.c_dn.bias, stride=2, border=REPLICATE, activation=integer.RELU)
    c.output(FEATURES_16, c.conv('c_h', x, net.c_h.weight, net.c_h.bias))

    a = Graph(ANALYSIS, points, format=YUV420)
    ports = LUMA, CHROMA, PREDICTED_LUMA, PREDICTED_CHROMA
    add_planes(a, *ports)
    context = a.input(FEATURES_8, net.CONTEXT, None, None, 8)
    x = a.concat('planes', packed_planes(a, ports))
    x = a.conv('whiten', x, torch.cat([net.whiten, -net.whiten], 1) / 510, torch.zeros(net.C))
    fine = a.conv('e_fine', x, net.e_fine.weight, net.e_fine.bias, stride=2)
    x = a.add('context', x, a.conv('c_an', context, net.c_an.weight, net.c_an.bias))
    for i, block in enumerate(net.e1):
        x = add_block(a, f'e1.{i}', x, block)
    x = a.concat('concat', [a.conv('e_dn', x, net.e_dn.weight, net.e_dn.bias, stride=2), fine])
    a.output(LATENT, a.gain('gain', x, net.gain.exp(), q=Q, bits=15))

    s = Graph(SYNTHESIS, points, format=YUV420)
    y = s.input(DECODED, net.M, 15, Q, 16)
    add_planes(s, PREDICTED_LUMA, PREDICTED_CHROMA)
    context = s.input(FEATURES_8, net.CONTEXT, None, None, 8)
    planes = packed_planes(s, (PREDICTED_LUMA, PREDICTED_CHROMA))
    x = s.transposed('d_up', s.gain('igain', y, net.igain.exp()), net.d_up.weight, net.d_up.bias)
    x = s.add('context', x, s.conv('c_sy', context, net.c_sy.weight, net.c_sy.bias))
    for i, block in enumerate(net.d1):
        x = add_block(s, f'd1.{i}', x, block)
    colour = 255 * net.colour[:, :, 0, 0].double()
    weight, bias = colour @ net.d_out.weight[:, :, 0, 0].double(), colour @ net.d_out.bias.double()
    for i, (port, part, factor) in enumerate(((LUMA, slice(64), 8), (CHROMA, slice(64, 96), 4))):
        # A plane's integer is 2 · sample − 255: half of it, and the result's 128 with rounding down, are the sample itself where nothing is added.
        n = part.stop - (part.start or 0)
        half = s.gain(f'half.{i}', planes[i], torch.full((points, n), 0.5), q=6, bits=13)
        difference = s.conv(f'd_out.{i}', x, weight[part, :, None, None], bias[part], q=6, bits=15)
        s.output(port, s.shuffle(f'shuffle.{i}', s.add(f'sum.{i}', difference, half), factor))
    return [c, a, s, *entropy_graphs(net, FEATURES_16, Q)]


# ---- calibration ----------------------------------------------------------------------------------------------------

def plane_ports(planes, prediction):
    """{port: samples} of a frame and of its prediction, each (luma [H, W], chroma [2, …]), continued to multiples of 64."""
    (y, uv), (py, puv) = continued(planes, prediction), continued(prediction)
    return {LUMA: y, CHROMA: uv.transpose(1, 2, 0)}, {PREDICTED_LUMA: py, PREDICTED_CHROMA: puv.transpose(1, 2, 0)}


def planes_of(ports, height, width):
    return ports[LUMA][:height, :width, 0], ports[CHROMA].transpose(2, 0, 1)[:, :(height + 1) // 2, :(width + 1) // 2]


def observer(graphs):
    """A coder (video.code_clip) that runs the float graphs, whose tensors' peaks it leaves behind."""
    context, analysis, synthesis, *entropy = graphs

    def code(planes, prediction, k):
        frame, predicted = plane_ports(planes, prediction)
        known = integer.plane_inputs(frame | predicted, MULTIPLE)
        known |= context.run(known, k)
        known |= analysis.run(known, k)
        out = synthesis.run(known | {DECODED: observe_entropy(entropy, known, k)}, k)
        return planes_of({port: integer.samples((v * 64).floor().long(), 6, v.shape[1:]) for port, v in out.items()}, *planes[0].shape), 0.0
    return code


def integer_coder(model):
    """A coder (video.code_clip) that runs a model file."""
    def code(planes, prediction, k):
        frame, predicted = plane_ports(planes, prediction)
        out, bits, coded = integer.code(model, frame, k, format=YUV420, known=integer.plane_inputs(predicted, MULTIPLE))
        return planes_of(out, *planes[0].shape), bits
    return code


def middles(clips, size=320):
    """The middle of each clip."""
    for clip in clips:
        h, w = (min(n, size) for n in (clip.height, clip.width))
        y, x = (clip.height - h) // 4 * 2, (clip.width - w) // 4 * 2
        frames = [clip.crop(t, y, x, h, w) for t in range(len(clip))]
        yield Clip(np.stack([np.concatenate([luma, np.concatenate(list(chroma), 1)]) for luma, chroma in frames]))


def export(net, intra, clips, path, headroom, frames, motion=None):
    """Writes the model twice: the activity of channels is counted with the integer network of the first."""
    points, graphs, last = range(len(net.lambdas)), inter_graphs(net), {}
    observe = observer(graphs)
    for i, clip in enumerate(clips):
        for k in points:
            def code(planes, prediction, k):
                last[i, k] = planes, prediction
                return observe(planes, prediction, k)
            code_clip(intra, code, clip, k, motion, frames)
    calibrate(graphs, headroom)
    print(f'largest latent: {graphs[1].tensors[graphs[1].outputs[LATENT]].peaks.max():.1f}')
    differences, bounds = gaussian_cdfs()
    hyper = [mixture_cdfs(net.bz, k, net.Z) for k in points]

    def write(activity):
        """`activity` is [rate point][table][channel]."""
        entropy = [entropy_point(modes(h), a[0], h) for h, a in zip(hyper, activity)]
        entropy += [entropy_point([0] * net.M, a[1], differences, bounds) for a in activity]
        text = 'Predicts 4:2:0 frames from motion-compensated ones: the flagship with contexts from the prediction.'
        write_model(path, 'inter', text, net.lambdas, graphs, [(STATIC, entropy)], motion)

    write([[[0.5] * net.Z, [0.5] * net.M] for _ in points])
    model, counts = integer.read_model(path), [[np.zeros(net.Z), np.zeros(net.M)] for _ in points]
    for (_, k), frame in last.items():
        known = integer.plane_inputs({port: p for part in plane_ports(*frame) for port, p in part.items()}, MULTIPLE)
        known |= model.run(CONTEXT, k, known)
        known |= model.run(ANALYSIS, k, known, YUV420)
        known |= model.run(HYPER_ANALYSIS, k, known)
        counts[k][0] += moves(known[HYPER_LATENT], modes(hyper[k]))
        counts[k][1] += moves(integer.code_slices(model, known, k)[1], [0] * net.M)
    write([[(c + 0.5) / (len(clips) + 1) for c in row] for row in counts])
    for g in graphs:
        print(f'role {g.role}: {g.macs(0):.0f} MAC/pixel')


def check(model, net, intra, clips, frames, points):
    """Float against integers on the first frames of clips: bits without those of motion, and YUV PSNR, means over inter frames."""
    print('clip, rate point   float bpp      dB   int16 bpp      dB    bits %       dB')
    every = []
    for name, clip in clips.items():
        for k in points:
            rows = [code_clip(intra, coder, clip, k, model.motion, frames)[1:].mean(0) for coder in (float_coder(net), integer_coder(model))]
            (b, p), (b16, p16) = (((r[0] - r[1]) / (clip.width * clip.height), r[3]) for r in rows)
            every.append((100 * (b16 / b - 1), p16 - p))
            print(f'{name[:12]:12} {k:5} {b:11.4f} {p:7.3f} {b16:11.4f} {p16:7.3f} {every[-1][0]:9.3f} {every[-1][1]:8.4f}', flush=True)
    print('mean {:+.3f} % {:+.4f} dB'.format(*np.mean(every, 0)))


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument('checkpoint')
    a.add_argument('--image', default=IMAGE, help='checkpoint of the image network')
    a.add_argument('--data', required=True, help='folder of training clips')
    a.add_argument('-o', required=True, dest='out')
    a.add_argument('--clips', type=int, default=10, help='for calibration')
    a.add_argument('--frames', type=int, default=4, help='of each, the intra frame counted')
    a.add_argument('--headroom', type=float, default=1.5, help='over the largest activation seen')
    a.add_argument('--tables', help='file with the payload of the section MOTN')
    a.add_argument('--check', help='folder of test clips')
    a.add_argument('--check-frames', type=int, default=4)
    a.add_argument('--only', nargs='*', help='names of test clips')
    a.add_argument('--points', type=int, nargs='*', default=[0, 2, 4, 6], help='of the check')
    a = a.parse_args()
    net, intra = load_inter(a.checkpoint, a.image), load_intra(a.image)
    tables = Path(a.tables).read_bytes() if a.tables else None
    export(net, intra, list(middles(load_clips(a.data, least=MULTIPLE, count=a.clips).values())), a.out, a.headroom, a.frames, tables)
    if a.check:
        clips = {name: clip for name, clip in load_clips(a.check).items() if not a.only or name in a.only}
        check(integer.read_model(a.out), net, intra, clips, a.check_frames, a.points)


if __name__ == '__main__':
    main()
