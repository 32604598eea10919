# SPDX-License-Identifier: BSD-3-Clause
"""Trains the inter network (video.py) on clips, starting from the image network or from a checkpoint.

python train_video.py OUT.pt --data DIR_OF_CLIPS --minutes 60 [--cache DIR] [--resume | --init CKPT]

Each crop is followed along a chain of frames, forwards and backwards through its clip, one inter frame a step, predicted from what was decoded the step
before; gradients stay within a frame. Errors that a decoder would pile up are thus there to learn from. Motion is searched in the loop with the codec's
own library (make motion-library).

OUT.pt holds the averaged weights in half precision, OUT.pt.resume what training goes on from (chains begin anew), OUT.pt.jsonl the log.
Training rests while a file OUT.pt.pause exists. SIGINT and SIGTERM save and end it.
"""
import argparse
import json
import math
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from optim import SOAP
from video import IMAGE, INTRA_OFFSET, WEIGHTS, Motion, load_clips, load_inter, load_intra, pack, plane_errors, unpack


class Chain:
    """A crop of a clip at rate point k, frame after frame."""

    def __init__(self, k, options, clips, rng):
        self.k, self.size, self.clips, self.rng, self.options = k, options.crop, clips, rng, options
        self.start()
        self.left = int(rng.integers(1, self.left + 1))     # so that chains do not end together

    def start(self):
        """Draws a crop, among three the livelier ones the likelier, and how many frames it is followed."""
        chosen, most = None, -1.0
        for _ in range(3):
            clip = self.clips[self.rng.integers(len(self.clips))]
            y, x = (2 * int(self.rng.integers((n - self.size) // 2 + 1)) for n in (clip.height, clip.width))
            luma = clip.crop(0, y, x, self.size, self.size)[0][::4, ::4].astype(np.int16)
            activity = (np.abs(np.diff(luma, axis=0)).mean() + 1) * self.rng.random()
            if activity > most:
                chosen, most = (clip, y, x), activity
        self.clip, self.y, self.x = chosen
        self.flip = self.rng.random() < 0.5
        self.t, self.step = int(self.rng.integers(len(self.clip))), 1 if self.rng.random() < 0.5 else -1
        self.left = int(self.rng.integers(self.options.shortest, self.options.longest + 1))
        self.older = self.reference = self.vectors = None

    def planes(self):
        """uint8 luma [size, size] and chroma [2, size/2, size/2] of the present frame."""
        planes = self.clip.crop(self.t, self.y, self.x, self.size, self.size)
        return tuple(p[..., ::-1] if self.flip else p for p in planes)

    def advance(self):
        if not 0 <= self.t + self.step < len(self.clip):
            self.step = -self.step
        self.t += self.step
        self.left -= 1


def packed(planes, device):
    """[B, 96, …] of [(luma, chroma)]"""
    luma, chroma = (torch.from_numpy(np.stack(p)).to(device) for p in zip(*planes))
    return pack(luma[:, None], chroma)


class ChainTrainer:
    """Trains a network along chains of frames. A subclass says which network, and how the next frames are coded.

    net has lambdas by rate point, and transforms() that take the smaller steps; `optimiser` makes an optimiser of groups of parameters and a step size.
    """

    clock = staticmethod(time.monotonic)

    def __init__(self, options, clips, net, optimiser):
        o = self.options = options
        self.device = next(net.parameters()).device.type
        self.bf16 = self.device == 'cuda' or o.bf16
        self.net = net.train()
        self.points = [k for k in range(len(net.lambdas)) for _ in range(o.per)]
        self.lambdas = torch.tensor(net.lambdas, device=self.device)
        self.rng = np.random.default_rng(o.seed)
        self.chains = [Chain(k, o, clips, self.rng) for k in self.points]
        self.names, self.parameters = zip(*((n, p) for n, p in net.named_parameters() if p.requires_grad))
        slow = {id(p) for p in net.transforms()}
        self.optimiser = optimiser([{'params': [p for p in self.parameters if (id(p) in slow) == s]} for s in (True, False)], o.lr)
        self.average = [p.detach().clone() for p in self.parameters]
        self.step, self.spent, self.totals = 0, 0.0, torch.zeros(5, len(self.lambdas))
        self.usual = torch.zeros(len(self.lambdas), device=self.device)

    def begin(self, planes, points):
        """What the first frames of chains leave to the next, one element a frame."""
        raise NotImplementedError

    def code_next(self):
        """Packed frames, decoded (None if nothing is), bits of each, bits of motion a pixel of each, and what they leave to the next."""
        raise NotImplementedError

    def progress(self):
        return self.step / self.options.steps if self.options.steps else self.spent / (60 * self.options.minutes)

    def step_size(self):
        """Rises for `warm` steps, holds, and falls along half a cosine."""
        o = self.options
        fallen = max(0.0, min(1.0, self.progress()) - o.hold) / (1 - o.hold)
        return o.lr * min(1, (self.step + 1) / o.warm) * (o.lr_end + (1 - o.lr_end) * 0.5 * (1 + math.cos(math.pi * fallen)))

    def next_frames(self):
        """Planes of the next frame of all chains, whose references are what the frames before left."""
        for chain in self.chains:
            if chain.left <= 0:
                chain.start()
        new = [chain for chain in self.chains if chain.reference is None]
        if new:
            with torch.no_grad(), torch.autocast(self.device, torch.bfloat16, enabled=self.bf16):
                self.keep(new, self.begin(packed([c.planes() for c in new], self.device), [c.k for c in new]))
        for chain in self.chains:
            chain.advance()
        return [chain.planes() for chain in self.chains]

    @staticmethod
    def keep(chains, left):
        for chain, reference in zip(chains, left):
            chain.older, chain.reference = chain.reference, reference

    def train_step(self):
        """Returns the loss."""
        o, start, rate = self.options, self.clock(), self.step_size()
        for group, ratio in zip(self.optimiser.param_groups, (1, o.ratio)):
            group['lr'] = rate * ratio
        x, out, bits, moved, left = self.code_next()
        bpp = bits / o.crop ** 2
        errors = torch.full((3, len(self.points)), 1e-9, device=self.device) if out is None else plane_errors(out, x)
        distortion = sum(w * e for w, e in zip(WEIGHTS, errors))
        cost = self.lambdas[self.points] * 255 ** 2 * distortion + bpp
        with torch.no_grad():
            by_point = self.by_point(cost)
            self.usual = by_point if not self.step else self.usual.lerp(by_point, 0.02)
        loss = torch.log(cost + self.usual[self.points]).mean()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        if torch.isfinite(norm):
            with torch.autocast(self.device, torch.bfloat16, enabled=self.bf16):
                self.optimiser.step()
        with torch.no_grad():
            self.keep(self.chains, left)
            self.totals += torch.stack([self.by_point(bpp), *(self.by_point(e) for e in errors), self.by_point(moved.to(self.device))]).cpu()
            self.step += 1
            torch._foreach_lerp_(self.average, self.parameters, 1 - min(o.ema, (1 + self.step) / (10 + self.step)))
        self.spent += self.clock() - start
        if self.step % o.log == 0:
            self.write_log(rate, norm.item())
        return loss.item()

    def by_point(self, values):
        """Means over each rate point's crops."""
        return values.detach().reshape(len(self.lambdas), -1).mean(1)

    def write_log(self, rate, norm):
        """One line of JSON: means since the last line, by rate point; PSNR is that of the errors' weighted mean."""
        bpp, y, u, v, moved = self.totals / self.options.log
        self.totals.zero_()
        mse = sum(w * e for w, e in zip(WEIGHTS, (y, u, v)))
        loss = (self.lambdas.cpu() * 255 ** 2 * mse + bpp).log().mean().item()
        line = dict(step=self.step, minutes=round(self.spent / 60, 3), rate=rate, gradient=norm, loss=loss, bpp=bpp.tolist(), motion=moved.tolist(),
                    psnr=(-10 * (mse / sum(WEIGHTS)).log10()).tolist())
        with open(self.options.out + '.jsonl', 'a') as file:
            file.write(json.dumps(line) + '\n')
        print(f'{self.step} {self.spent / 60:.1f} min loss {loss:.4f} ' +
              ' '.join(f'{b:.3f}+{m:.3f}/{p:.2f}' for b, m, p in zip(bpp, moved, line['psnr'])), flush=True)

    def weights(self):
        """Those that checkpoints hold."""
        return self.net.state_dict()

    def save(self):
        weights = self.weights()
        averaged = dict(weights, **dict(zip(self.names, self.average)))
        moments = {name: self.optimiser.state[p] for name, p in zip(self.names, self.parameters) if p in self.optimiser.state}
        state = dict(net=weights, moments=moments, average=self.average, step=self.step, spent=self.spent, usual=self.usual)
        halves = {name: value.half() for name, value in averaged.items()}
        for path, what in ((self.options.out + '.resume', state), (self.options.out, dict(ema=halves, step=self.step, minutes=self.spent / 60))):
            torch.save(what, path + '.tmp')
            os.replace(path + '.tmp', path)

    def resume(self):
        state = torch.load(self.options.out + '.resume', map_location=self.device, weights_only=True)
        self.net.load_state_dict(dict(self.net.state_dict(), **state['net']))
        for name, p in zip(self.names, self.parameters):
            if name in state['moments']:
                self.optimiser.state[p] = state['moments'][name]
        self.average, self.step, self.spent, self.usual = state['average'], state['step'], state['spent'], state['usual']

    def run(self):
        """Until the schedule ends or a signal does; rests while OUT.pt.pause exists."""
        stop, saved = [], self.spent
        for s in (signal.SIGINT, signal.SIGTERM):
            signal.signal(s, lambda *_: stop.append(True))
        while self.progress() < 1 and not stop:
            if os.path.exists(self.options.out + '.pause'):
                time.sleep(1)
                continue
            self.train_step()
            if self.spent - saved > 60 * self.options.save:
                self.save()
                saved = self.spent
        self.save()


class Trainer(ChainTrainer):
    """Of the inter network: the reference of a chain is the decoded frame before, the older one that before it."""

    def __init__(self, options, clips):
        o = options
        device = prepared(o)
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        self.intra = load_intra(o.image).to(device)
        super().__init__(o, clips, load_inter(o.init, o.image).to(device, memory_format=torch.channels_last), SOAP)
        tables = open(o.tables, 'rb').read() if o.tables else None
        self.motion = Motion(o.crop, o.crop, tables, o.effort, o.motion)
        self.pool = ThreadPoolExecutor(o.threads or os.cpu_count())
        if o.resume:
            self.resume()

    @staticmethod
    def references(out):
        """Planes of packed decoded frames."""
        luma, chroma = (p.cpu().numpy() for p in unpack(out))
        return [(y[0], uv) for y, uv in zip(luma, chroma)]

    def begin(self, planes, points):
        raised = [min(len(self.net.lambdas) - 1, k + int(INTRA_OFFSET + self.rng.random())) for k in points]
        return self.references(self.intra(planes, raised)[0])

    def code_next(self):
        frames = self.next_frames()

        def predict(chain, planes):
            prediction, bits, chain.vectors = self.motion.predict(planes[0], chain.reference, chain.k, chain.vectors, chain.older)
            return prediction, bits

        predictions, moved = zip(*self.pool.map(predict, self.chains, frames))
        x, prediction = packed(frames, self.device), packed(predictions, self.device)
        with torch.autocast(self.device, torch.bfloat16, enabled=self.bf16):
            out, bits = self.net(x, prediction, self.points, 'mixed')
        return x, out, bits, torch.tensor(moved) / self.options.crop ** 2, self.references(out.detach())


def prepared(options):
    """Sets PyTorch up; returns the device."""
    torch.manual_seed(options.seed)
    torch.set_flush_denormal(True)
    if options.threads:
        torch.set_num_threads(options.threads)
    return 'cuda' if torch.cuda.is_available() else 'cpu'


def parser(description, **defaults):
    """What trainers along chains share, with other defaults."""
    a = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument('--data', required=True, help='folder of video files')
    a.add_argument('--cache', help='folder for decoded clips')
    a.add_argument('--init', help='checkpoint to start from')
    a.add_argument('--resume', action='store_true', help='goes on from OUT.pt.resume')
    a.add_argument('--minutes', type=float, default=60, help='of training time; the schedule ends with it')
    a.add_argument('--steps', type=int, default=0, help='instead of minutes')
    a.add_argument('--crop', type=int, default=192, help="a multiple of 64, and of the network's unit")
    a.add_argument('--per', type=int, default=1, help='crops of each rate point in a batch')
    a.add_argument('--shortest', type=int, default=4, help='frames of a chain')
    a.add_argument('--longest', type=int, default=32)
    a.add_argument('--lr', type=float, default=3e-4, help='of the transforms')
    a.add_argument('--ratio', type=float, default=3.0, help='the other parameters take this times lr')
    a.add_argument('--lr-end', type=float, default=0.02, help='fraction of lr at the end of the cosine')
    a.add_argument('--hold', type=float, default=0.75, help='fraction of the run before the cosine begins')
    a.add_argument('--warm', type=float, default=100, help='steps of warm-up')
    a.add_argument('--ema', type=float, default=0.999)
    a.add_argument('--threads', type=int, default=0)
    a.add_argument('--bf16', action='store_true', help='on a processor too; pays with AVX-512-BF16 or AMX only')
    a.add_argument('--seed', type=int, default=0)
    a.add_argument('--log', type=int, default=25, help='steps between lines of the log')
    a.add_argument('--save', type=float, default=3, help='minutes between checkpoints')
    a.set_defaults(**defaults)
    return a


def parsed(parser, line):
    o = parser.parse_args(line)
    if not 0 <= o.hold < 1 or o.crop % 64 or not 1 <= o.shortest <= o.longest:
        parser.error('0 <= hold < 1, crop a multiple of 64, 1 <= shortest <= longest')
    return o


def arguments(line=None):
    a = parser(__doc__)
    a.add_argument('out')
    a.add_argument('--image', default=str(IMAGE), help='checkpoint of the image network')
    a.add_argument('--effort', type=int, default=1, help='of the motion search, 0…2')
    a.add_argument('--tables', help='file with the MOTN section of a model file')
    a.add_argument('--motion', help='the motion library, if it is elsewhere')
    return parsed(a, line)


def clips_of(options):
    """Those that have a next frame."""
    clips = [c for c in load_clips(options.data, options.cache, options.crop).values() if len(c) > 1]
    print(f'{len(clips)} clips, {sum(map(len, clips))} frames', flush=True)
    return clips


def main():
    options = arguments()
    Trainer(options, clips_of(options)).run()


if __name__ == '__main__':
    main()
