# SPDX-License-Identifier: BSD-3-Clause
"""Trains a network.

python train.py base|flagship OUT.pt --data DIR --minutes 60 [--resume | --init CKPT] [--optimiser soap]

OUT.pt holds the averaged weights, OUT.pt.resume what an exact continuation needs, OUT.pt.jsonl the log (plot.py draws it).
Training rests while a file OUT.pt.pause exists. SIGINT and SIGTERM save and end it.

--workers N shares each batch among N processes, which meet once a step, where threads meet at every layer. For processors only.
"""
import argparse
import json
import math
import multiprocessing
import os
import signal
import tempfile
import time
from datetime import timedelta

import torch
import torch.distributed as dist
import torch.nn.functional as F

from data import Crops, list_training_pictures, read_picture
from formats import KB, KG, KR
from networks import NETWORKS, load
from optim import SOAP


def with_halved_chroma(x):
    """RGB [B, 3, H, W] with the chroma of each 2×2 pixels averaged, as the codec sees YUV 4:2:0 and makes it."""
    luma = (x * x.new_tensor([KR, KG, KB])[:, None, None]).sum(1, keepdim=True)
    return luma + F.interpolate(F.avg_pool2d(x - luma, 2), scale_factor=2)


def weighted(latents, rate, distortion, usual):
    """The loss of crops with these rates and distortions [B], whose `latents` reach the distortion only, and whose rate points have the usual costs [B].

    Curves of a set of pictures are of mean bits and of mean PSNR. So a crop's rate counts by the usual cost of its rate point, which weighs rate points
    alike, and its distortion by the inverse of its cost; but within a picture flat crops matter less than rich ones, which is what the usual cost is added
    for. The encoder must not trade one for the other: it gets the gradient of rate and distortion as the rate weighs them.
    """
    of_rate, of_distortion = 0.5 / usual, 1 / ((rate + distortion).detach() + usual)
    for y, factor in zip(latents, (of_rate / of_distortion).split([len(y) for y in latents])):
        y.register_hook(lambda g, factor=factor: g * factor[:, None, None, None])
    return (of_rate * rate + of_distortion * distortion).mean()


class Trainer:
    """`options` are the command line's; the schedule runs on steps if they are given, otherwise on time spent training.

    `kept` goes into the checkpoint as it is.

    Workers hold the same weights and averages, bit for bit: each steps some of the parameters with the mean of all gradients, and gives them to the others.
    """

    kept = {}

    def __init__(self, options, pictures, worker=0):
        o = self.options = options
        self.worker = worker
        if o.per % o.workers:
            raise SystemExit('--per must be a multiple of --workers')
        if o.workers > 1 and torch.cuda.is_available():
            raise SystemExit('--workers is for processors')
        torch.manual_seed(o.seed)
        torch.set_flush_denormal(True)
        if o.threads:
            torch.set_num_threads(o.threads)
        self.device = 'cuda' if torch.cuda.is_available() else 'cpu'
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        self.bf16 = self.device == 'cuda' or o.bf16
        self.crops = Crops(pictures, o.crop, self.device, o.seed, o.halves)
        net = self.network()
        self.net = net.train().to(self.device, memory_format=torch.channels_last)
        if not o.init and not o.resume:
            net.initialise(self.crops.batch(o.start_crops))
        self.code, self.decode = (torch.compile(f) if self.device == 'cuda' else f for f in (net.code, net.decode))
        self.points = [k for k in range(len(net.lambdas)) for _ in range(o.per // o.workers)]      # every rate point in every worker's batch
        self.lambdas = torch.tensor([net.lambdas[k] for k in self.points], device=self.device)
        self.names, self.parameters = zip(*((n, p) for n, p in net.named_parameters() if p.requires_grad))
        self.shares = [[] for _ in range(o.workers)]        # parameters that each worker steps
        for p in sorted(self.parameters, key=torch.numel, reverse=True):
            min(self.shares, key=lambda share: sum(map(torch.numel, share))).append(p)
        slow = {id(p) for p in net.transforms()}
        self.rate, self.ratio = o.lr or net.learning_rate, o.ratio or net.ratio
        groups = [{'params': [p for p in self.shares[worker] if (id(p) in slow) == s]} for s in (True, False)]
        self.optimiser = SOAP(groups, self.rate) if o.optimiser == 'soap' else torch.optim.Adam(groups, self.rate, betas=(0.9, 0.99))
        self.average = [p.detach().clone() for p in self.parameters]
        self.step, self.spent, self.seconds, self.totals = 0, 0.0, 0.0, torch.zeros(2, len(net.lambdas), device=self.device)
        self.usual = torch.zeros(len(net.lambdas), device=self.device)      # cost of a crop, by rate point
        if o.resume:
            self.restore(torch.load(o.out + '.resume', map_location=self.device, weights_only=True))

    def network(self):
        """What the run starts from."""
        o = self.options
        return NETWORKS[o.network]() if not o.init else load(o.init, o.network, grow=True)

    def progress(self):
        return self.step / self.options.steps if self.options.steps else self.spent / (60 * self.options.minutes)

    def step_size(self):
        """Rises for `warm` steps, holds, and falls along half a cosine."""
        o = self.options
        fallen = max(0.0, self.progress() - o.hold) / (1 - o.hold)
        return self.rate * min(1, (self.step + 1) / o.warm) * (o.lr_end + (1 - o.lr_end) * 0.5 * (1 + math.cos(math.pi * fallen)))

    def train_step(self, stop=False):
        """Returns the loss, and whether any worker wants to stop."""
        o, start, rate = self.options, time.monotonic(), self.step_size()
        for group, ratio in zip(self.optimiser.param_groups, (1, self.ratio)):
            group['lr'] = rate * ratio
        count, share = len(self.points) * o.workers, slice(self.worker, None, o.workers)
        x = self.crops.batch(count, share)
        if o.yuv420:
            halved = (torch.rand(count, generator=self.crops.generator)[share] < o.yuv420)[:, None, None, None].to(self.device)
            x = torch.where(halved, with_halved_chroma(x), x)
        with torch.autocast(self.device, torch.bfloat16, enabled=self.bf16):
            latents, bits = self.code(x, self.points)
            out = self.decode(latents, self.points)
        out = torch.where(halved, with_halved_chroma(out), out) if o.yuv420 else out
        mse, bpp = F.mse_loss(out, x, reduction='none').mean((1, 2, 3)), bits / o.crop ** 2
        cost = self.lambdas * 255 ** 2 * mse + bpp
        usual = self.usual if self.step else self.by_point(cost.detach())
        loss = weighted(latents, bpp, cost - bpp, usual.repeat_interleave(o.per // o.workers))
        self.net.zero_grad(set_to_none=True)        # also of what other workers step
        loss.backward()
        with torch.no_grad():
            loss, stop, seconds, *parts = self.mean_of_workers([loss.detach(), torch.tensor(float(stop)), torch.tensor(self.seconds),
                                                                self.by_point(bpp), self.by_point(mse)])
            self.totals += torch.stack(parts)
            cost = self.by_point(self.lambdas) * 255 ** 2 * parts[1] + parts[0]
            self.usual.lerp_(cost, max(0.01, 1 / (self.step + 1)))
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, 2.0)
        if torch.isfinite(norm):
            with torch.autocast(self.device, torch.bfloat16, enabled=self.bf16):        # for SOAP's rotations
                self.optimiser.step()
            self.exchange()
        self.step += 1
        with torch.no_grad():
            torch._foreach_lerp_(self.average, self.parameters, 1 - min(o.ema, (1 + self.step) / (10 + self.step)))
        self.spent += seconds.item()        # of the step before, which the workers agree on
        self.seconds = time.monotonic() - start
        if self.step % o.log == 0 and not self.worker:
            self.write_log(rate, norm.item())
        return loss.item(), stop.item() > 0

    def by_point(self, values):
        """Means over each rate point's crops."""
        return values.reshape(len(self.usual), -1).mean(1)

    def mean_of_workers(self, values):
        """Means over the workers, of the gradients in place and of the tensors `values`."""
        if self.options.workers == 1:
            return values
        tensors = [p.grad for p in self.parameters] + values
        flat = torch.cat([t.float().flatten() for t in tensors])
        dist.all_reduce(flat)
        means = [m.view(t.shape) for m, t in zip((flat / self.options.workers).split([t.numel() for t in tensors]), tensors)]
        for p, m in zip(self.parameters, means):
            p.grad.copy_(m)
        return means[len(self.parameters):]

    @torch.no_grad()
    def exchange(self):
        """Gives each worker's parameters to the others."""
        for worker, share in enumerate(self.shares if self.options.workers > 1 else []):
            flat = torch.cat([p.flatten() for p in share])
            dist.broadcast(flat, worker)
            for p, new in zip(share, flat.split([p.numel() for p in share])):
                p.copy_(new.view(p.shape))

    def moments(self):
        """The optimiser's state of every parameter, by name; None but on the first worker."""
        mine = {name: self.optimiser.state[p] for name, p in zip(self.names, self.parameters) if p in self.optimiser.state}
        if self.options.workers == 1:
            return mine
        parts = [None] * self.options.workers if not self.worker else None
        dist.gather_object(mine, parts)
        return None if self.worker else {name: state for part in parts for name, state in part.items()}

    def write_log(self, rate, norm):
        """One line of JSON: means since the last line, by rate point."""
        bpp, mse = self.totals / self.options.log
        self.totals.zero_()
        lambdas = self.by_point(self.lambdas)
        line = dict(step=self.step, minutes=round(self.spent / 60, 3), rate=rate, gradient=norm,
                    loss=(lambdas * 255 ** 2 * mse + bpp).log().mean().item(), bpp=bpp.tolist(), psnr=(-10 * mse.log10()).tolist())
        with open(self.options.out + '.jsonl', 'a') as file:
            file.write(json.dumps(line) + '\n')
        print(f"{self.step} {self.spent / 60:.1f} min loss {line['loss']:.4f} " + ' '.join(f'{b:.3f}/{p:.2f}' for b, p in zip(line['bpp'], line['psnr'])), flush=True)

    def save(self):
        """All workers call it at the same step; the first one writes."""
        moments = self.moments()
        if self.worker:
            return
        averaged = dict(self.net.state_dict(), **dict(zip(self.names, self.average)))
        state = dict(net=self.net.state_dict(), moments=moments, average=self.average, step=self.step, spent=self.spent,
                     totals=self.totals, usual=self.usual, crops=self.crops.generator.get_state())
        for path, what in ((self.options.out, dict(ema=averaged, step=self.step, args=vars(self.options), **self.kept)), (self.options.out + '.resume', state)):
            torch.save(what, path + '.tmp')
            os.replace(path + '.tmp', path)

    def restore(self, state):
        self.net.load_state_dict(state['net'])
        names = dict(zip(self.parameters, self.names))
        for p in self.shares[self.worker]:
            self.optimiser.state[p] = state['moments'][names[p]]
        self.average, self.step, self.spent = state['average'], state['step'], state['spent']
        self.totals, self.usual = state['totals'], state['usual']
        self.crops.generator.set_state(state['crops'].cpu())


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
    a.add_argument('--hold', type=float, default=0.0, help='fraction of the run before the cosine begins')
    a.add_argument('--warm', type=float, default=500, help='steps of warm-up')
    a.add_argument('--ema', type=float, default=0.999)
    a.add_argument('--per', type=int, default=1, help='crops of each rate point in a batch')
    a.add_argument('--crop', type=int, default=192)
    a.add_argument('--yuv420', type=float, default=0.0, help='part of the crops that are coded as YUV 4:2:0: chroma is averaged, of the result, too')
    a.add_argument('--start-crops', type=int, default=112, help='crops that a fresh start is fitted to')
    a.add_argument('--threads', type=int, default=0, help='of each worker')
    a.add_argument('--workers', type=int, default=1, help='processes that share a batch; --per must be a multiple')
    a.add_argument('--bf16', action='store_true', help='on a processor too; pays with AVX-512-BF16 or AMX only')
    a.add_argument('--seed', type=int, default=0)
    a.add_argument('--log', type=int, default=25, help='steps between lines of the log')
    a.add_argument('--save', type=float, default=5, help='minutes between checkpoints')
    a.set_defaults(halves=True)
    options = a.parse_args(line)
    if not 0 <= options.hold < 1:
        a.error('--hold must be at least 0 and below 1')
    return options


def work(worker, options, pictures, meeting, kind=Trainer):
    if options.workers > 1:
        os.environ.setdefault('GLOO_SOCKET_IFNAME', 'lo')
        dist.init_process_group('gloo', f'file://{meeting}', timedelta(days=30), options.workers, worker)     # a pause may be long
    trainer = kind(options, pictures, worker)
    stop = []
    for s in (signal.SIGINT, signal.SIGTERM):
        signal.signal(s, lambda *_: stop.append(True))
    saved, done = trainer.spent, False
    while trainer.progress() < 1 and not done:
        if os.path.exists(options.out + '.pause'):
            time.sleep(1)
            continue
        _, done = trainer.train_step(bool(stop))
        if trainer.spent - saved > 60 * options.save:
            trainer.save()
            saved = trainer.spent
    trainer.save()


def run(options, kind=Trainer):
    pictures = [read_picture(f) for f in list_training_pictures(options.data)]
    with tempfile.TemporaryDirectory() as folder:
        for worker in range(1, options.workers):        # forks, which share the pictures
            multiprocessing.get_context('fork').Process(target=work, args=(worker, options, pictures, f'{folder}/meeting', kind), daemon=True).start()
        work(0, options, pictures, f'{folder}/meeting', kind)


def main():
    run(arguments())


if __name__ == '__main__':
    main()
