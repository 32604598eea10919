# SPDX-License-Identifier: BSD-3-Clause
"""Trains a system of systems.py on clips, along chains of frames as train_video.py does.

python train_system.py stem OUT.pt --data DIR_OF_CLIPS --minutes 120 [--cache DIR] [--resume | --init CKPT]
python train_system.py slimcae IMAGE.pt … --minutes 60 && python train_system.py slimvc OUT.pt … --minutes 60 --init IMAGE.pt

Minutes are of processor time, so that systems that are trained beside other work get the same. OUT.pt holds the averaged weights of what is trained in
half precision, OUT.pt.resume what training goes on from, OUT.pt.jsonl the log. SIGINT and SIGTERM save and end it.
"""
import argparse
import math
import os
import signal
import time

import numpy as np
import torch

from optim import SOAP
from systems import SYSTEMS, load_system
from train_video import Chain, Trainer, packed
from video import WEIGHTS, load_clips, plane_errors


class SystemTrainer(Trainer):
    """`reference` of a chain is what its last frame left."""

    def __init__(self, options, clips):
        o = self.options = options
        torch.manual_seed(o.seed)
        torch.set_flush_denormal(True)
        if o.threads:
            torch.set_num_threads(o.threads)
        self.device = 'cuda' if torch.cuda.is_available() else 'cpu'
        self.net = load_system(o.system, o.init).train().to(self.device)
        self.points = [k for k in range(len(self.net.lambdas)) for _ in range(o.per)]
        self.lambdas = torch.tensor(self.net.lambdas, device=self.device)
        rng = np.random.default_rng(o.seed)
        self.chains = [Chain(k, o, clips, rng) for k in self.points]
        self.names, self.parameters = zip(*((n, p) for n, p in self.net.named_parameters() if p.requires_grad))
        slow = {id(p) for p in self.net.transforms()}
        groups = [{'params': [p for p in self.parameters if (id(p) in slow) == s]} for s in (True, False)]
        self.optimiser = SOAP(groups, o.lr) if o.soap else torch.optim.Adam(groups, o.lr)
        self.average = [p.detach().clone() for p in self.parameters]
        self.step, self.spent, self.totals = 0, 0.0, torch.zeros(5, len(self.lambdas))
        self.usual = torch.zeros(len(self.lambdas), device=self.device)
        given = torch.load(o.init, weights_only=True, map_location='cpu')['ema'] if o.init else {}
        if not o.resume and hasattr(self.net, 'prepare') and not set(self.names) <= set(given):
            self.net.prepare(self.sample(clips, rng))
            self.average = [p.detach().clone() for p in self.parameters]
        if o.resume:
            self.restore(torch.load(o.out + '.resume', map_location=self.device, weights_only=True))

    def sample(self, clips, rng, count=16):
        """Packed crops, each two of them neighbours in a clip."""
        chains = [Chain(0, self.options, clips, rng) for _ in range(count)]
        planes = []
        for chain in chains:
            planes.append(chain.planes())
            chain.advance()
            planes.append(chain.planes())
        return packed(planes, self.device)

    def next_frames(self):
        """Frames of all chains, packed, and what the frames before left."""
        for chain in self.chains:
            if chain.left <= 0:
                chain.start()
        new = [chain for chain in self.chains if chain.reference is None]
        if new:
            with torch.no_grad():
                memory = self.net.begin(packed([c.planes() for c in new], self.device), [c.k for c in new])
            self.keep(new, memory)
        for chain in self.chains:
            chain.advance()
        frames = packed([chain.planes() for chain in self.chains], self.device)
        return frames, [chain.reference for chain in self.chains]

    @staticmethod
    def keep(chains, memory):
        for chain, left in zip(chains, memory):
            chain.reference = left

    def train_step(self):
        o, start, rate = self.options, time.process_time(), self.step_size()
        for group, ratio in zip(self.optimiser.param_groups, (1, o.ratio)):
            group['lr'] = rate * ratio
        x, before = self.next_frames()
        out, bits, memory = self.net(x, before, self.points, 'mixed')
        bpp = bits / o.crop ** 2
        errors = torch.ones(3, len(self.points)) * 1e-9 if out is None else plane_errors(out, x)
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
            self.optimiser.step()
        with torch.no_grad():
            self.keep(self.chains, [m.detach() for m in memory])
            self.totals += torch.stack([self.by_point(bpp), *(self.by_point(e) for e in errors), torch.zeros(len(self.lambdas))]).cpu()
            self.step += 1
            torch._foreach_lerp_(self.average, self.parameters, 1 - min(o.ema, (1 + self.step) / (10 + self.step)))
        self.spent += time.process_time() - start
        if self.step % o.log == 0:
            self.write_log(rate, norm.item())
        return loss.item()

    def save(self):
        moments = {name: self.optimiser.state[p] for name, p in zip(self.names, self.parameters) if p in self.optimiser.state}
        weights = dict(zip(self.names, (p.detach() for p in self.parameters)))
        state = dict(net=weights, moments=moments, average=self.average, step=self.step, spent=self.spent, usual=self.usual)
        halves = {name: value.half() for name, value in zip(self.names, self.average)}
        for path, what in ((self.options.out + '.resume', state), (self.options.out, dict(ema=halves, step=self.step, minutes=self.spent / 60))):
            torch.save(what, path + '.tmp')
            os.replace(path + '.tmp', path)

    def restore(self, state):
        self.net.load_state_dict(state['net'], strict=False)
        for name, p in zip(self.names, self.parameters):
            if name in state['moments']:
                self.optimiser.state[p] = state['moments'][name]
        self.average, self.step, self.spent, self.usual = state['average'], state['step'], state['spent'], state['usual']


def arguments(line=None):
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument('system', choices=SYSTEMS)
    a.add_argument('out')
    a.add_argument('--data', required=True, help='folder of video files')
    a.add_argument('--cache', help='folder for decoded clips')
    a.add_argument('--init', help='checkpoint to start from')
    a.add_argument('--resume', action='store_true', help='goes on from OUT.pt.resume')
    a.add_argument('--minutes', type=float, default=120, help='of processor time; the schedule ends with it')
    a.add_argument('--steps', type=int, default=0, help='instead of minutes')
    a.add_argument('--crop', type=int, default=192, help='a multiple of 64, of 192 for slimcae and slimvc')
    a.add_argument('--per', type=int, default=1, help='crops of each rate point in a batch')
    a.add_argument('--shortest', type=int, default=4, help='frames of a chain')
    a.add_argument('--longest', type=int, default=32)
    a.add_argument('--soap', action='store_true', help='SOAP, not Adam')
    a.add_argument('--lr', type=float, default=3e-4, help='of what the system begins with')
    a.add_argument('--ratio', type=float, default=3.0, help='the other parameters take this times lr')
    a.add_argument('--lr-end', type=float, default=0.02, help='fraction of lr at the end of the cosine')
    a.add_argument('--hold', type=float, default=0.6, help='fraction of the run before the cosine begins')
    a.add_argument('--warm', type=float, default=50, help='steps of warm-up')
    a.add_argument('--ema', type=float, default=0.995)
    a.add_argument('--threads', type=int, default=0)
    a.add_argument('--seed', type=int, default=0)
    a.add_argument('--log', type=int, default=25, help='steps between lines of the log')
    a.add_argument('--save', type=float, default=3, help='minutes between checkpoints')
    o = a.parse_args(line)
    if not 0 <= o.hold < 1 or o.crop % 64 or not 1 <= o.shortest <= o.longest:
        a.error('0 <= hold < 1, crop a multiple of 64, 1 <= shortest <= longest')
    return o


def main():
    options = arguments()
    clips = [c for c in load_clips(options.data, options.cache, options.crop).values() if len(c) > 1]
    print(f'{len(clips)} clips, {sum(map(len, clips))} frames', flush=True)
    trainer, stop = SystemTrainer(options, clips), []
    print(f'{sum(p.numel() for p in trainer.parameters)} parameters', flush=True)
    for s in (signal.SIGINT, signal.SIGTERM):
        signal.signal(s, lambda *_: stop.append(True))
    saved = trainer.spent
    while trainer.progress() < 1 and not stop:
        trainer.train_step()
        if trainer.spent - saved > 60 * options.save:
            trainer.save()
            saved = trainer.spent
    trainer.save()


if __name__ == '__main__':
    main()
