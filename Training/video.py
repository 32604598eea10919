# SPDX-License-Identifier: BSD-3-Clause
"""Networks that code a 4:2:0 frame given its motion-compensated prediction, and what training and evaluation need beside them.

Frames are packed: [B, 96, H/8, W/8] of values in [0, 1] less the middle of their range, luma's 8×8 blocks, then U's and V's 4×4. H and W are multiples of 64.
"""
import ctypes
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

from formats import packing
from integer import YUV420
from networks import Block, Flagship, averaged_weights, conv, depth

ROOT = Path(__file__).resolve().parent.parent
IMAGE = Path(__file__).resolve().parent / 'checkpoints/flagship.pt'
MIDDLE = packing(YUV420)[2].float()[None, :, None, None]
MULTIPLE = 64
WEIGHTS = (6 / 8, 5 / 8, 5 / 8)         # of Y, U, V in distortion: about as the image network weighs them, and as PSNR in dB does where chroma's errors are smaller


def pack(luma, chroma):
    """Packed frames of uint8 or float samples 0…255: luma [B, 1, H, W], chroma [B, 2, H/2, W/2]."""
    x = torch.cat([F.pixel_unshuffle(luma, 8), F.pixel_unshuffle(chroma, 4)], 1).float() / 255
    return x - MIDDLE.to(x.device)


def unpack(x):
    """uint8 luma [B, 1, H, W] and chroma [B, 2, H/2, W/2] of packed frames."""
    x = ((x.float() + MIDDLE.to(x.device)) * 255).round().clamp(0, 255).to(torch.uint8)
    return F.pixel_shuffle(x[:, :64], 8), F.pixel_shuffle(x[:, 64:], 4)


def decoded(x):
    """Packed frames as the decoder keeps them, in 8 bits."""
    middle = MIDDLE.to(x.device)
    return ((x.float() + middle) * 255).round().clamp(0, 255) / 255 - middle


def plane_errors(a, b):
    """Mean squared errors [3, B] of Y, U and V of packed frames."""
    d = (a.float() - b.float()).square()
    return torch.stack([part.mean((1, 2, 3)) for part in (d[:, :64], d[:, 64:80], d[:, 80:])])


# ---- networks -------------------------------------------------------------------------------------------------------

class Intra(Flagship):
    """The flagship with its outermost layers folded to 4:2:0, with as many blocks at 1/16 as the weights that it takes have."""

    TAIL = 0

    def __init__(self):
        super().__init__()
        self.whiten, self.colour = torch.zeros(self.C, 96, 1, 1), torch.zeros(96, 192, 1, 1)

    def fold(self, weights):
        """Takes weights of the image network for RGB."""
        to, back, _ = (m.float() for m in packing(YUV420))
        weights = dict(weights, whiten=torch.einsum('oixy,ij->ojxy', weights['whiten'], to), colour=torch.einsum('ij,joxy->ioxy', back, weights['colour']))
        self.deepen(depth(weights))
        self.load_state_dict(weights, strict=False)
        return self

    def analysis(self, x, r, context=0.0):
        x = F.conv2d(x, self.whiten.to(x.dtype))
        fine = self.e_fine(x)
        x = x + context
        for b in self.e1:
            x = b(x, r)
        return self.finish(torch.cat([self.e_dn(x), fine], 1), r)

    def synthesis(self, y, r, context=0.0):
        x = self.d_up(y * self.igain[r].exp()[:, :, None, None]) + context
        for b in self.d1:
            x = b(x, r)
        return F.conv2d(self.d_out(x), self.colour).float()

    def forward(self, x, points, rounding='hard'):
        """Packed frames decoded, and the bits of each."""
        r = torch.tensor(points, device=x.device)
        bits, y = self.entropy(self.analysis(x, r), points, r, rounding)
        return self.synthesis(y, r), bits


class Inter(Intra):
    """Codes what the prediction leaves, with features of the prediction as contexts of all networks.

    The layers by which the contexts come in are zero at first: training starts as plain coding of the difference.
    """

    CONTEXT, FEATURES = 64, 96
    contexts = False

    def __init__(self):
        super().__init__()
        points, c, h = len(self.lambdas), self.CONTEXT, self.FEATURES
        self.c_in = conv(96, c, 1)
        self.cb = nn.ModuleList(Block(points, c, 2 * c, 'replicate') for _ in range(2))
        self.c_an, self.c_sy = conv(c, self.C, 1, gain=0.0), conv(c, self.D, 1, gain=0.0)
        self.c_dn = nn.Conv2d(c, h, 4, 2, 1, padding_mode='replicate')
        nn.init.normal_(self.c_dn.weight, std=(2 / (16 * c)) ** 0.5)
        nn.init.zeros_(self.c_dn.bias)
        self.c_h = conv(h, h, 1, gain=0.0)

    def fold(self, weights):
        """Without blocks at 1/16: what the prediction leaves is no picture."""
        return super().fold({n: p for n, p in weights.items() if not n.startswith('e2.')})

    def context(self, prediction, r):
        """Features of packed predictions at 1/8 for the transforms and, what is added to those of the hyper-latent, at 1/16."""
        x = self.c_in(prediction * 4)
        for b in self.cb:
            x = b(x, r)
        return x, self.c_h(F.relu(self.c_dn(x)))

    def forward(self, x, prediction, points, rounding='hard'):
        """Packed frames decoded, and the bits of each, of packed frames and their predictions."""
        r = torch.tensor(points, device=x.device)
        context, extra = self.context(prediction, r)
        y = self.analysis(x - prediction, r, self.c_an(context))
        bits, y = self.entropy(y, points, r, rounding, extra)
        return prediction + self.synthesis(y, r, self.c_sy(context)), bits


def load_intra(path=IMAGE):
    return Intra().fold(averaged_weights(path)).eval()


def load_inter(path=None, image=IMAGE):
    """The inter network of a checkpoint, or as training starts from the image network."""
    net = Inter().fold(averaged_weights(image))
    if path:
        net.load_state_dict(averaged_weights(path))
    return net.eval()


# ---- motion ---------------------------------------------------------------------------------------------------------

LIBRARY = ROOT / '.build/make/libscmotion.so'       # make motion-library
# As the encoder does by default (VideoEncoder.swift): squared differences that a bit of vectors is worth, by rate point, and by how many rate points intra
# frames are better.
SEARCH = tuple(1.1 * 8 / (6 * x) for x in Flagship.lambdas)
INTRA_OFFSET = 24 * 7 / 100


class Motion:
    """Search and compensation by the codec's own functions (sc_motion.h): predictions of frames of one size, of any number of threads.

    `tables` is the MOTN section of a model file, or None for the library's prior.
    """

    def __init__(self, width, height, tables=None, effort=1, library=None):
        self.library = ctypes.CDLL(str(library or os.environ.get('SC_MOTION_LIBRARY', LIBRARY)))
        self.library.sc_motion_predict_size.restype = ctypes.c_size_t
        self.library.sc_motion_predict_frame.restype = ctypes.c_int64
        self.width, self.height, self.tables, self.effort = width, height, tables, effort
        self.bytes = self.library.sc_motion_predict_size(ctypes.c_int32(width), ctypes.c_int32(height))
        self.memory = []

    def predict(self, current, reference, k, previous=None, second=None):
        """(prediction, bits, vectors) from uint8 luma [H, W] of a frame and planes (luma [H, W], chroma [2, ⌈H/2⌉, ⌈W/2⌉]) of its reference.

        `previous` are the vectors of the frame before, [2 ⌈H/16⌉, 2 ⌈W/16⌉, 2] int16 in quarter samples, None after an intra frame; `second` planes of the
        frame before the reference, for blocks with two predictions.
        """
        try:
            memory = self.memory.pop()
        except IndexError:
            memory = np.empty(self.bytes + 64, np.uint8)
        luma, chroma = (np.ascontiguousarray(p) for p in reference)
        second = tuple(np.ascontiguousarray(p) for p in second) if second and previous is not None else None
        current, out = np.ascontiguousarray(current), (np.empty_like(luma), np.empty_like(chroma))
        assert current.shape == luma.shape == (self.height, self.width) and chroma.shape == (2, (self.height + 1) // 2, (self.width + 1) // 2)
        vectors = np.zeros((2 * ((self.height + 15) // 16), 2 * ((self.width + 15) // 16), 2), np.int16)
        address = lambda a: ctypes.c_void_p(a.ctypes.data if a is not None else None)
        planes = lambda y, uv: (ctypes.c_void_p * 3)(y.ctypes.data, uv[0].ctypes.data, uv[1].ctypes.data)
        bits = self.library.sc_motion_predict_frame(
            ctypes.c_void_p(-(-memory.ctypes.data // 64) * 64), ctypes.c_int32(self.width), ctypes.c_int32(self.height), address(current),
            planes(luma, chroma), planes(*second) if second else None, self.tables, ctypes.c_size_t(len(self.tables or b'')), ctypes.c_int32(-1),
            ctypes.c_uint32(round(16 * SEARCH[k])), ctypes.c_int32(self.effort), ctypes.c_int32(-1), address(previous), address(vectors), planes(*out))
        self.memory.append(memory)
        if bits < 0:
            raise ValueError('motion search: invalid arguments')
        return out, bits / 256, vectors


# ---- clips ----------------------------------------------------------------------------------------------------------

class Clip:
    """4:2:0 frames in one array, uint8 [frames, 3 H/2, W]: rows of luma, then rows of U and V side by side. H and W are even."""

    def __init__(self, data):
        self.data, self.height, self.width = data, data.shape[1] * 2 // 3, data.shape[2]

    def __len__(self):
        return len(self.data)

    def crop(self, t, y, x, height, width):
        """uint8 luma [height, width] and chroma [2, height/2, width/2] of frame t; y, x, height and width are even."""
        luma = self.data[t, y:y + height, x:x + width]
        rows = self.data[t, self.height + y // 2:self.height + (y + height) // 2]
        half = self.width // 2
        return luma, np.stack([rows[:, s + x // 2:s + (x + width) // 2] for s in (0, half)])

    def frame(self, t):
        return self.crop(t, 0, 0, self.height, self.width)


def arranged(frames, width, height):
    """[frames, 3 H/2, W] of planar 4:2:0 bytes."""
    data = np.frombuffer(frames, np.uint8).reshape(-1, width * height * 3 // 2)
    luma, chroma = data[:, :width * height].reshape(-1, height, width), data[:, width * height:].reshape(-1, 2, height // 2, width // 2)
    return np.concatenate([luma, np.concatenate([chroma[:, 0], chroma[:, 1]], 2)], 1)


def decode_clip(path):
    """A Clip of a video file, cut to even sides, by ffmpeg or, without it, PyAV."""
    if not shutil.which('ffmpeg'):
        import av
        with av.open(str(path)) as container:
            frames = [f.reformat(format='yuv420p', width=f.width & ~1, height=f.height & ~1).to_ndarray() for f in container.decode(video=0)]
        return Clip(np.stack([arranged(f.tobytes(), f.shape[1], f.shape[0] * 2 // 3)[0] for f in frames]))
    size = subprocess.run(['ffprobe', '-v', 'error', '-select_streams', 'v', '-show_entries', 'stream=width,height', '-of', 'csv=p=0', str(path)],
                          capture_output=True, text=True, check=True).stdout
    width, height = (int(n) & ~1 for n in size.strip().split(',')[:2])
    frames = subprocess.run(['ffmpeg', '-v', 'error', '-i', str(path), '-vf', f'crop={width}:{height}:0:0', '-pix_fmt', 'yuv420p', '-f', 'rawvideo', '-'],
                            capture_output=True, check=True).stdout
    return Clip(arranged(frames, width, height))


def load_clips(folder, cache=None, least=0, count=None, extensions=('mp4', 'mkv', 'webm')):
    """{name: Clip} of the video files of a folder with sides of at least `least`; decoded files are kept in the folder `cache` and mapped from there.

    With `count` only so many, spread over the folder.
    """
    paths, clips = sorted(p for p in Path(folder).iterdir() if p.suffix[1:] in extensions), {}
    if count and paths:
        paths = [paths[i] for i in np.linspace(0, len(paths) - 1, min(count, len(paths))).astype(int)]
    for path in paths:
        kept = Path(cache) / f'{path.stem}.npy' if cache else None
        if kept and kept.exists():
            clip = Clip(np.load(kept, mmap_mode='r'))
        else:
            clip = decode_clip(path)
            if kept:
                kept.parent.mkdir(parents=True, exist_ok=True)
                np.save(f'{kept}.tmp.npy', clip.data)
                os.replace(f'{kept}.tmp.npy', kept)
        if min(clip.width, clip.height) >= least:
            clips[path.stem] = clip
    if not clips:
        raise SystemExit(f'{folder}: no clips')
    return clips


def continued(planes, around=None):
    """Planes (luma [H, W], chroma [2, …]) continued to multiples of 64 by their last rows and columns, or by what the planes `around` have there.

    An inter frame is continued like its prediction: then there is no difference to code beyond the border, which takes 10 % of the bits of CIF otherwise.
    """
    result = []
    for p, outer, multiple in zip(planes, around or planes, (MULTIPLE, MULTIPLE // 2)):
        h, w = p.shape[-2:]
        plane = np.pad(outer, [(0, 0)] * (p.ndim - 2) + [(0, -h % multiple), (0, -w % multiple)], 'edge')
        plane[..., :h, :w] = p
        result.append(plane)
    return tuple(result)


def extended(planes, device='cpu', around=None):
    """A packed frame [1, 96, …] of planes, continued() to multiples of 64."""
    luma, chroma = (torch.from_numpy(p).to(device) for p in continued(planes, around))
    return pack(luma[None, None], chroma[None])


def cut(x, height, width):
    """Planes (luma [height, width], chroma [2, …]) of a packed frame [1, 96, …]."""
    luma, chroma = (p.cpu().numpy() for p in unpack(x))
    return luma[0, 0, :height, :width], chroma[0, :, :(height + 1) // 2, :(width + 1) // 2]


def psnrs(a, b):
    """dB of Y, and the mean (6 Y + U + V) / 8, of planes."""
    errors = [np.square(x.astype(float) - y).mean() for x, y in ((a[0], b[0]), (a[1][0], b[1][0]), (a[1][1], b[1][1]))]
    y, u, v = (10 * np.log10(255 ** 2 / max(e, 1e-3)) for e in errors)
    return y, (6 * y + u + v) / 8


def float_coder(inter):
    """What code_clip() wants: decoded planes and bits of a frame, given its prediction."""
    def code(planes, prediction, k):
        out, bits = inter(extended(planes, around=prediction), extended(prediction), [k], 'coded')
        return cut(out, *planes[0].shape), bits.item()
    return code


@torch.no_grad()
def code_clip(intra, code, clip, k, tables=None, frames=None):
    """Rows (bits, bits of motion, Y, YUV in dB) of each frame: the first one intra, each other one predicted from the two before as decoded.

    code(planes, prediction, k) gives decoded planes and bits of a frame.
    """
    motion, reference, vectors, rows = Motion(clip.width, clip.height, tables), None, None, []
    for t in range(min(len(clip), frames or len(clip))):
        planes, moved = clip.frame(t), 0.0
        if t:
            prediction, moved, vectors = motion.predict(planes[0], reference, k, vectors, older)
            decoded, bits = code(planes, prediction, k)
        else:
            out, bits = intra(extended(planes), [k])
            decoded, bits = cut(out, clip.height, clip.width), bits.item()
        older, reference = reference, decoded
        rows.append((bits + moved, moved, *psnrs(reference, planes)))
    return np.array(rows)
