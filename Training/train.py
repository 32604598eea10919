"""Trains a network.

python train.py base|flagship OUT.pt --data DIR --minutes 60 [--resume | --init CKPT] [--optimiser soap]

OUT.pt holds the averaged weights, OUT.pt.resume what an exact continuation needs, OUT.pt.jsonl the log (plot.py draws it).
Training rests while a file OUT.pt.pause exists. SIGINT and SIGTERM save and end it.
"""
import argparse
import json
import math
import os
import signal
import time

import torch

from data import Crops, list_pictures, read_picture
from networks import NETWORKS, load
from optim import SOAP


class Trainer:
    """`options` are the command line's; the schedule runs on steps if they are given, otherwise on time spent training."""

    def __init__(self, options, pictures):
        o = self.options = options
        torch.manual_seed(o.seed)
        torch.set_flush_denormal(True)
        if o.threads:
            torch.set_num_threads(o.threads)
        self.device = 'cuda' if torch.cuda.is_available() else 'cpu'
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        self.bf16 = self.device == 'cuda' or o.bf16
        self.crops = Crops(pictures, o.crop, self.device, o.seed)
        net = NETWORKS[o.network]() if not o.init else load(o.init, o.network)
        self.net = net.train().to(self.device, memory_format=torch.channels_last)
        if not o.init and not o.resume:
            net.initialise(self.crops.batch(o.start_crops))
        self.forward = torch.compile(net) if self.device == 'cuda' else net
        self.points = [k for k in range(len(net.lambdas)) for _ in range(o.per)]      # every rate point in every batch
        self.lambdas = torch.tensor([net.lambdas[k] for k in self.points], device=self.device)
        self.names, self.parameters = zip(*net.named_parameters())
        slow = {id(p) for p in net.transforms()}
        self.rate, self.ratio = o.lr or net.learning_rate, o.ratio or net.ratio
        groups = [{'params': [p for p in self.parameters if (id(p) in slow) == s]} for s in (True, False)]
        self.optimiser = SOAP(groups, self.rate) if o.optimiser == 'soap' else torch.optim.Adam(groups, self.rate, betas=(0.9, 0.99))
        self.average = [p.detach().clone() for p in self.parameters]
        self.step, self.spent, self.totals = 0, 0.0, torch.zeros(2, len(self.points), device=self.device)
        self.usual = torch.zeros(len(net.lambdas), device=self.device)      # cost of a crop, by rate point
        if o.resume:
            self.restore(torch.load(o.out + '.resume', map_location=self.device, weights_only=True))

    def progress(self):
        return self.step / self.options.steps if self.options.steps else self.spent / (60 * self.options.minutes)

    def train_step(self):
        o, start = self.options, time.monotonic()
        rate = self.rate * min(1, (self.step + 1) / o.warm) * (o.lr_end + (1 - o.lr_end) * 0.5 * (1 + math.cos(math.pi * self.progress())))
        for group, ratio in zip(self.optimiser.param_groups, (1, self.ratio)):
            group['lr'] = rate * ratio
        x = self.crops.batch(len(self.points))
        with torch.autocast(self.device, torch.bfloat16, enabled=self.bf16):
            out, bits = self.forward(x, self.points)
        mse, bpp = (out - x).pow(2).mean((1, 2, 3)), bits / o.crop ** 2
        cost = self.lambdas * 255 ** 2 * mse + bpp
        with torch.no_grad():
            self.usual.lerp_(cost.reshape(-1, o.per).mean(1), max(0.01, 1 / (self.step + 1)))
        # The logarithm weighs rate points alike, and pictures, as mean PSNR does. But within a picture flat crops matter less than rich ones, which is
        # what the usual cost of the rate point is added for.
        loss = (cost + self.usual.repeat_interleave(o.per)).log().mean()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, 2.0)
        if torch.isfinite(norm):
            with torch.autocast(self.device, torch.bfloat16, enabled=self.bf16):        # for SOAP's rotations
                self.optimiser.step()
        self.step += 1
        with torch.no_grad():
            torch._foreach_lerp_(self.average, self.parameters, 1 - min(o.ema, (1 + self.step) / (10 + self.step)))
            self.totals += torch.stack([bpp, mse])
        self.spent += time.monotonic() - start
        if self.step % o.log == 0:
            self.write_log(rate, norm.item())
        return loss.item()

    def write_log(self, rate, norm):
        """One line of JSON: means since the last line, by rate point."""
        bpp, mse = (self.totals / self.options.log).reshape(2, -1, self.options.per).mean(2)
        self.totals.zero_()
        lambdas = self.lambdas[::self.options.per]
        line = dict(step=self.step, minutes=round(self.spent / 60, 3), rate=rate, gradient=norm,
                    loss=(lambdas * 255 ** 2 * mse + bpp).log().mean().item(), bpp=bpp.tolist(), psnr=(-10 * mse.log10()).tolist())
        with open(self.options.out + '.jsonl', 'a') as file:
            file.write(json.dumps(line) + '\n')
        print(f"{self.step} {self.spent / 60:.1f} min loss {line['loss']:.4f} " + ' '.join(f'{b:.3f}/{p:.2f}' for b, p in zip(line['bpp'], line['psnr'])), flush=True)

    def save(self):
        averaged = dict(self.net.state_dict(), **dict(zip(self.names, self.average)))
        state = dict(net=self.net.state_dict(), optimiser=self.optimiser.state_dict(), average=self.average, step=self.step, spent=self.spent,
                     totals=self.totals, usual=self.usual, crops=self.crops.generator.get_state(), noise=torch.get_rng_state(),
                     cuda=torch.cuda.get_rng_state() if self.device == 'cuda' else None)
        for path, what in ((self.options.out, dict(ema=averaged, step=self.step, args=vars(self.options))), (self.options.out + '.resume', state)):
            torch.save(what, path + '.tmp')
            os.replace(path + '.tmp', path)

    def restore(self, state):
        self.net.load_state_dict(state['net'])
        self.optimiser.load_state_dict(state['optimiser'])
        self.average, self.step, self.spent = state['average'], state['step'], state['spent']
        self.totals, self.usual = state['totals'], state['usual']
        self.crops.generator.set_state(state['crops'].cpu())
        torch.set_rng_state(state['noise'].cpu())
        if state['cuda'] is not None:
            torch.cuda.set_rng_state(state['cuda'].cpu())


def arguments(line=None):
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument('network', choices=NETWORKS)
    a.add_argument('out')
    a.add_argument('--data', required=True, help='folder of jpg or png')
    a.add_argument('--minutes', type=float, default=60, help='of training time; the schedule ends with it')
    a.add_argument('--steps', type=int, default=0, help='instead of minutes')
    a.add_argument('--resume', action='store_true')
    a.add_argument('--init', help='checkpoint to start from')
    a.add_argument('--optimiser', choices=['adam', 'soap'], default='adam')
    a.add_argument('--lr', type=float, help='of the transforms')
    a.add_argument('--ratio', type=float, help='the other parameters take this times lr')
    a.add_argument('--lr-end', type=float, default=0.02, help='fraction of lr at the end of the cosine')
    a.add_argument('--warm', type=float, default=500, help='steps of warm-up')
    a.add_argument('--ema', type=float, default=0.999)
    a.add_argument('--per', type=int, default=1, help='crops of each rate point in a batch')
    a.add_argument('--crop', type=int, default=192)
    a.add_argument('--start-crops', type=int, default=112, help='crops that a fresh start is fitted to')
    a.add_argument('--threads', type=int, default=0)
    a.add_argument('--bf16', action='store_true', help='on a processor too; pays with AVX-512-BF16 or AMX only')
    a.add_argument('--seed', type=int, default=0)
    a.add_argument('--log', type=int, default=25, help='steps between lines of the log')
    a.add_argument('--save', type=float, default=5, help='minutes between checkpoints')
    return a.parse_args(line)


def main():
    options = arguments()
    trainer = Trainer(options, [read_picture(f) for f in list_pictures(options.data)])
    stop = []
    for s in (signal.SIGINT, signal.SIGTERM):
        signal.signal(s, lambda *_: stop.append(True))
    saved = time.monotonic()
    while trainer.progress() < 1 and not stop:
        if os.path.exists(options.out + '.pause'):
            time.sleep(1)
            continue
        trainer.train_step()
        if time.monotonic() - saved > 60 * options.save:
            trainer.save()
            saved = time.monotonic()
    trainer.save()


if __name__ == '__main__':
    main()
