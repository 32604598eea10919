# SPDX-License-Identifier: BSD-3-Clause
"""Folders of pictures, and random crops of them."""
import glob
from pathlib import Path

import numpy as np
import torch
from PIL import Image


def list_pictures(folder):
    files = sorted(f for e in ('jpg', 'png') for f in glob.glob(f'{folder}/*.{e}'))
    if not files:
        raise SystemExit(f'{folder}: no jpg or png')
    return files


def list_training_pictures(folder):
    """Without those of set-aside.txt, which decisions are measured on."""
    lines = Path(__file__).with_name('set-aside.txt').read_text(encoding='utf-8').splitlines()
    return [f for f in list_pictures(folder) if Path(f).name not in lines]


def read_picture(path):
    """uint8 [H, W, 3]"""
    return np.array(Image.open(path).convert('RGB'))


def activity(crops):
    """Mean difference of neighbouring samples, in every eighth row and column, of uint8 [3, size, size] each: what a crop costs is about in proportion to it.

    Half a grey level is added, so that flat crops can be drawn, too.
    """
    across, down = torch.stack([c[:, ::8] for c in crops]).float(), torch.stack([c[:, :, ::8] for c in crops]).float()
    return across.diff(dim=3).abs().mean((1, 2, 3)) + down.diff(dim=2).abs().mean((1, 2, 3)) + 0.5


class Crops:
    """All pictures as uint8 on the training device; crops with random flips and transposes.

    A picture is drawn with the square root of its area, so that large ones neither drown nor drown in small ones. Every other crop is of the picture at
    half its size if that still holds one: large pictures are smooth from sample to sample, but for those without `halves`. Pictures smaller than a crop are mirrored at their edges.

    Each crop is chosen among a few, with a probability in proportion to its activity: flat ones cost next to nothing and teach the synthesis as little, and
    small photographs have few of them.
    """
    candidates = 6

    def __init__(self, pictures, size, device, seed, halves=True):
        self.size = size
        pictures = [np.pad(p, ((0, max(0, size - p.shape[0])), (0, max(0, size - p.shape[1])), (0, 0)), 'symmetric') for p in pictures]
        smaller = [np.array(Image.fromarray(p).reduce(2)) if min(p.shape[:2]) >= 2 * size else p for p in pictures if halves]
        self.pictures = [torch.from_numpy(p).permute(2, 0, 1).contiguous().to(device) for p in pictures + smaller]
        self.weight = torch.tensor([float(p.shape[0] * p.shape[1]) for p in pictures]).sqrt().repeat(2 if halves else 1)
        self.generator = torch.Generator().manual_seed(seed)        # on the CPU: the same crops on every device

    def integer(self, n):
        return int(torch.randint(n, (1,), generator=self.generator))

    def place(self, picture):
        """The picture, row, column and turn of a crop."""
        p = self.pictures[picture]
        return picture, self.integer(p.shape[1] - self.size + 1), self.integer(p.shape[2] - self.size + 1), self.integer(4)

    def crop(self, picture, y, x, turn):
        """uint8 [3, size, size]"""
        crop = self.pictures[picture][:, y:y + self.size, x:x + self.size]
        crop = crop.flip(2) if turn & 1 else crop
        return crop.transpose(1, 2) if turn & 2 else crop

    def batch(self, count, share=slice(None)):
        """[count, 3, size, size] in [0, 1], or a share of it: which crops it holds does not depend on what others of the batch anyone asks for."""
        drawn = torch.multinomial(self.weight, count * self.candidates, replacement=True, generator=self.generator)
        places, chances = [self.place(i) for i in drawn.tolist()], torch.rand(count, generator=self.generator).tolist()
        crops = []
        for i in range(count)[share]:
            candidates = [self.crop(*place) for place in places[i * self.candidates:(i + 1) * self.candidates]]
            sums = activity(candidates).cumsum(0)
            crops.append(candidates[int((sums[:-1] <= chances[i] * sums[-1]).sum())])
        return torch.stack(crops).float().div_(255).contiguous(memory_format=torch.channels_last)
