# SPDX-License-Identifier: BSD-3-Clause
"""Pixel formats: conversions, and the linear maps between their packed planes by which a network's outermost layers fold from one to another."""
import torch
import torch.nn.functional as F

from graph import ALL, Graph
from integer import ANALYSIS, CHROMA, COLOUR_PLANES, GREY, LUMA, PLANES, RGB, SYNTHESIS, YUV420

KR, KB = 0.2126, 0.0722                 # of BT.709
KG = 1 - KR - KB
KU, KV = 2 * (1 - KB), 2 * (1 - KR)
GREY_WEIGHTS = (77 / 256, 150 / 256, 29 / 256)

# Planes of each format as (port, channels, factor of the unshuffle that packs blocks of 8×8 pixels)
PACKED = {RGB: [(COLOUR_PLANES, 3, 8)], GREY: [(LUMA, 1, 8)], YUV420: [(LUMA, 1, 8), (CHROMA, 2, 4)]}


def rgb_to_yuv420(x):
    """[…, 3, H, W] in [0, 1] to luma […, 1, H, W] and chroma […, 2, H/2, W/2] in [0, 1]: BT.709, limited range, chroma averaged over 2×2."""
    r, g, b = x[..., 0, :, :], x[..., 1, :, :], x[..., 2, :, :]
    y = KR * r + KG * g + KB * b
    uv = torch.stack([(b - y) / KU, (r - y) / KV], -3)
    s = uv.shape
    uv = F.avg_pool2d(uv.reshape(-1, 2, *s[-2:]), 2).reshape(*s[:-2], s[-2] // 2, s[-1] // 2)
    return (16 + 219 * y[..., None, :, :]) / 255, (128 + 224 * uv) / 255


def packing(format):
    """(to, back, middle): with values in [0, 1], packed RGB − 1/2 = to · (packed − middle), and back · (packed RGB − 1/2) = packed − middle.

    Packed planes are [n, H/8, W/8], n = 192, 64 or 96; YUV 4:2:0 is BT.709 of limited range, where RGB has its chroma repeated and averaged.
    """
    if format == GREY:
        eye = torch.eye(64, dtype=torch.float64)
        return eye.repeat(3, 1), torch.cat([w * eye for w in GREY_WEIGHTS], 1), torch.full((64,), 0.5, dtype=torch.float64)
    to, back = torch.zeros(192, 96, dtype=torch.float64), torch.zeros(96, 192, dtype=torch.float64)
    luma, chroma = 219 / 255, 224 / 255
    of_planes = ((1, 0, KV), (1, -KB * KU / KG, -KR * KV / KG), (1, KU, 0))                 # R, G, B of Y, U, V
    of_colours = ((-KR / KU, -KG / KU, (1 - KB) / KU), ((1 - KR) / KV, -KG / KV, -KB / KV))     # U, V of R, G, B
    for i in range(8):
        for j in range(8):
            p, q = 8 * i + j, 64 + i // 2 * 4 + j // 2
            for c in range(3):
                to[64 * c + p, p] = of_planes[c][0] / luma
                back[p, 64 * c + p] = (KR, KG, KB)[c] * luma
                for n in range(2):
                    to[64 * c + p, q + 16 * n] = of_planes[c][1 + n] / chroma
                    back[q + 16 * n, 64 * c + p] += of_colours[n][c] / 4 * chroma
    middle = torch.cat([torch.full((64,), (16 + 219 / 2) / 255), torch.full((32,), 128 / 255)]).double()
    return to, back, middle


def folded(analysis, synthesis, format, first, last):
    """Analysis and synthesis of another format from those for RGB, once they are calibrated.

    `first` and `last` are the names of their outermost layers, convolutions 1×1 of packed RGB. All other layers share their integers.
    """
    to, back, middle = packing(format)

    a = Graph(ANALYSIS, analysis.points, analysis.classes, format)
    planes = [a.plane(port, channels, 8 // factor) for port, channels, factor in PACKED[format]]
    planes = [a.unshuffle(f'unshuffle.{i}', x, PACKED[format][i][2]) for i, x in enumerate(planes)]
    x = planes[0]
    if len(planes) > 1:
        x = a.concat('planes', planes)
    for t in a.tensors[len(a.inputs):]:
        t.q, t.bits = 0, 8
    number = analysis.number(first)
    layer, out = analysis.layer(number), analysis.tensors[number]
    weight = layer.weight[:, :, 0, 0].double() @ to
    x = a.conv(first, x, weight[:, :, None, None], layer.bias + weight @ (255 - 510 * middle), out.width_class, activation=layer.activation,
               slope=layer.slope, q=out.q, bits=out.bits)
    numbers = {number: x}
    a.copy(analysis, numbers, number - len(analysis.inputs) + 1)
    a.outputs = {port: numbers[n] for port, n in analysis.outputs.items()}

    s = Graph(SYNTHESIS, synthesis.points, synthesis.classes, format)
    for port, t in zip(synthesis.inputs, synthesis.tensors):
        s.input(port, t.channels, t.bits, t.q, t.divisor, t.width_class)
    number = synthesis.number(last)
    layer, out = synthesis.layer(number), synthesis.tensors[number]
    numbers = {i: i for i in range(len(s.inputs))}
    s.copy(synthesis, numbers, stop=number - len(synthesis.inputs))
    weight, bias = back @ layer.weight[:, :, 0, 0].double(), back @ layer.bias.double() + 255 * middle - 127.5
    rows = 0
    for i, (port, channels, factor) in enumerate(PACKED[format]):
        part = slice(rows, rows + channels * factor ** 2)
        rows = part.stop
        x = s.conv(f'{last}.{i}', numbers[layer.inputs[0]], weight[part, :, None, None], bias[part], ALL, q=out.q, bits=out.bits)
        s.output(port, s.shuffle(f'shuffle.{i}', x, factor))
        s.tensors[-1].q, s.tensors[-1].bits = out.q, out.bits
    assert list(s.outputs) == PLANES[format]
    return a, s
