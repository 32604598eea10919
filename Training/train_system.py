# SPDX-License-Identifier: BSD-3-Clause
"""Trains a system of systems.py on clips, along chains of frames as train_video.py does.

python train_system.py stem OUT.pt --data DIR_OF_CLIPS --minutes 120 [--cache DIR] [--resume | --init CKPT]
python train_system.py slimcae IMAGE.pt … --minutes 60 && python train_system.py slimvc OUT.pt … --minutes 60 --init IMAGE.pt

Minutes are of processor time, so that systems that are trained beside other work get the same. OUT.pt holds the averaged weights of what is trained in
half precision, OUT.pt.resume what training goes on from, OUT.pt.jsonl the log. SIGINT and SIGTERM save and end it.
"""
import time

import torch

from optim import SOAP
from systems import SYSTEMS, load_system
from train_video import Chain, ChainTrainer, clips_of, packed, parsed, parser, prepared


class SystemTrainer(ChainTrainer):
    """`reference` of a chain is what its last frame left."""

    clock = staticmethod(time.process_time)

    def __init__(self, options, clips):
        o = options
        device = prepared(o)
        net = load_system(o.system, o.init).to(device)
        super().__init__(o, clips, net, SOAP if o.soap else torch.optim.Adam)
        given = torch.load(o.init, weights_only=True, map_location='cpu')['ema'] if o.init else {}
        if o.resume:
            self.resume()
        elif hasattr(net, 'prepare') and not set(self.names) <= set(given):
            net.prepare(self.sample(clips, self.rng))
            self.average = [p.detach().clone() for p in self.parameters]

    def sample(self, clips, rng, count=16):
        """Packed crops, each two of them neighbours in a clip."""
        chains = [Chain(0, self.options, clips, rng) for _ in range(count)]
        planes = []
        for chain in chains:
            planes.append(chain.planes())
            chain.advance()
            planes.append(chain.planes())
        return packed(planes, self.device)

    def begin(self, planes, points):
        return self.net.begin(planes, points)

    def code_next(self):
        x = packed(self.next_frames(), self.device)
        with torch.autocast(self.device, torch.bfloat16, enabled=self.bf16):
            out, bits, memory = self.net(x, [chain.reference for chain in self.chains], self.points, 'mixed')
        return x, out, bits, torch.zeros(len(self.points)), [m.detach() for m in memory]

    def weights(self):
        """Those that are trained: the others are another checkpoint's."""
        return {name: p.detach() for name, p in zip(self.names, self.parameters)}


def arguments(line=None):
    a = parser(__doc__, minutes=120, hold=0.6, warm=50, ema=0.995)
    a.add_argument('system', choices=SYSTEMS)
    a.add_argument('out')
    a.add_argument('--soap', action='store_true', help='SOAP, not Adam')
    return parsed(a, line)


def main():
    options = arguments()
    trainer = SystemTrainer(options, clips_of(options))
    print(f'{sum(p.numel() for p in trainer.parameters)} parameters', flush=True)
    trainer.run()


if __name__ == '__main__':
    main()
