# SPDX-License-Identifier: BSD-3-Clause
"""SOAP: Adam in the eigenbasis of the gradient's covariances over output and input channels (Vyas et al. 2024)."""
import torch


class SOAP(torch.optim.Optimizer):
    """For weights [a, b, …] with a, b > 1 the gradient is rotated by the eigenvectors of its covariances over a and over b, and the
    moments live there; everything else is plain Adam. The basis is refined every `every` steps by one power iteration and QR.
    """

    def __init__(self, groups, lr, betas=(0.9, 0.99), eps=1e-8, covariance=0.95, every=10):
        super().__init__(groups, dict(lr=lr, betas=betas, eps=eps, covariance=covariance, every=every))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group['params']:
                if p.grad is not None:
                    self.update(p, group)

    def update(self, p, group):
        (b1, b2), s, g = group['betas'], self.state[p], p.grad.float()
        rotates = g.dim() == 4 and min(g.shape[:2]) > 1
        if not s:
            s['step'], s['m'], s['v'] = torch.zeros(()), torch.zeros_like(g), torch.zeros_like(g)
            if rotates:
                s['left'], s['right'] = torch.zeros(len(g), len(g), device=g.device), torch.zeros(g.shape[1], g.shape[1], device=g.device)
        if rotates:
            self.covariances(s, g, group)
            g = rotate(g, s['u'].T, s['w'].T)
        s['step'] += 1
        n = s['step'].item()
        s['m'].lerp_(g, 1 - b1)
        s['v'].lerp_(g.square(), 1 - b2)
        u = (s['m'] / (1 - b1 ** n)) / ((s['v'] / (1 - b2 ** n)).sqrt() + group['eps'])
        p.add_(rotate(u, s['u'], s['w']) if rotates else u, alpha=-group['lr'])

    def covariances(self, s, g, group):
        left, right = g.flatten(1), g.transpose(0, 1).flatten(1)
        weight = 1 - group['covariance'] if s['step'] else 1.0
        s['left'].lerp_((left @ left.T).float(), weight)
        s['right'].lerp_((right @ right.T).float(), weight)
        if not s['step']:
            s['u'], s['w'] = (torch.linalg.eigh(c)[1] for c in (s['left'], s['right']))
        elif s['step'] % group['every'] == 0:
            # eigenvectors keep the order of their present eigenvalues, and the second moments move with them
            turn = []
            for name, covariance, dim in (('u', s['left'], 0), ('w', s['right'], 1)):
                old = s[name]
                order = ((old.T @ covariance) * old.T).sum(1).argsort(descending=True)
                s['v'] = s['v'].index_select(dim, order)
                s[name] = torch.linalg.qr((covariance @ old[:, order]).float())[0]
                turn.append(s[name].T @ old)
            s['m'] = rotate(s['m'], *turn)


def rotate(g, u, w):
    """u g wᵀ, for every position of the kernel."""
    turned = (u @ g.flatten(1)).reshape(g.shape).transpose(0, 1)
    return (w @ turned.flatten(1)).reshape(turned.shape).transpose(0, 1).float()
