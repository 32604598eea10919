# SPDX-License-Identifier: BSD-3-Clause
"""Teaches a flagship another domain, pictures of another kind, without forgetting: trains what is new, beside weights that stay as they are.

python adapt.py FOLDER --init flagship.pt --minutes 60 -o grown.pt [--resume] [options of train.py]

FOLDER has pictures of that domain alone. grown.pt is a checkpoint of the network `grown` that holds the flagship's weights, too; export_grown.py makes a
model file with both domains of it and of the flagship's.
"""
import sys

import torch

import train
from networks import GrownFlagship, as_deep, averaged_weights


class Adapter(train.Trainer):
    def network(self):
        source = averaged_weights(self.options.init)
        net = as_deep(GrownFlagship, source)
        net.start_from(source)
        self.kept = dict(source=source)
        return net

    def save(self):
        self.check()
        super().save()

    def check(self):
        """What the flagship has must be as it was."""
        own = self.net.own()
        for name, value in self.net.state_dict().items():
            if name not in own and not torch.equal(value.cpu(), self.kept['source'][name]):
                raise RuntimeError(f'{name} has changed')


def arguments(line):
    """Those of train.py; the folder stands first and the checkpoint behind -o."""
    folder, *line = line
    if '-o' not in line or '--init' not in line:
        raise SystemExit('adapt.py FOLDER --init flagship.pt -o grown.pt; see its text')
    at = line.index('-o')
    options = train.arguments(['grown', line[at + 1], '--data', folder, *line[:at], *line[at + 2:]])
    options.halves = False      # screens are shown as they are
    return options


if __name__ == '__main__':
    train.run(arguments(sys.argv[1:] or ['-']), Adapter)
