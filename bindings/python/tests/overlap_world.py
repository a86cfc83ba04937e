# SPDX-License-Identifier: Apache-2.0
"""A small network with an AdamS, with overlap_norm or without: told a story a step, and compared. Used by test_overlap and
test_overlap_uses."""
import torch

from swd.torch import AdamS, flatten


class Net(torch.nn.Module):
    """The third layer is used at every other step, and one parameter lies in another order."""

    def __init__(self, dtype=torch.float32, optional=False):
        super().__init__()
        self.a, self.b, self.c = torch.nn.Linear(6, 70), torch.nn.Linear(70, 5), torch.nn.Linear(5, 5)
        self.n, self.turned = torch.nn.LayerNorm(70), torch.nn.Parameter(torch.randn(5, 3).t())
        self.to(dtype)
        self.optional, self.calls = optional, 0

    def forward(self, x):
        self.calls += 1
        out = self.b(torch.tanh(self.n(self.a(x))))
        if not self.optional or self.calls % 2:
            out = self.c(out)
        return out @ self.turned.t()


class World:
    """A network, its optimizer, and how much of it was early at each step."""

    def __init__(self, overlap, flat=False, dtype=torch.float32, optional=False, groups=False, **options):
        torch.manual_seed(3)
        self.net, self.step, self.early, self.extra = Net(dtype, optional), 0, [], []
        params = list(self.net.parameters())
        if flat:
            flatten(params)
        given = [{"params": params[:3], "lr": 0.02}, {"params": params[3:], "betas": (0.5, 0.9)}] if groups else params
        self.optimizer = AdamS(given, **{**dict(lr=0.01, max_grad_norm=0.4, overlap_norm=overlap), **options})

    def backward(self, scale=1.0):
        x = torch.randn(4, 6).to(self.net.turned.dtype)
        (self.net(x).float().square().mean() * scale).backward()

    def finish(self, step=None):
        (step or self.optimizer.step)()
        self.early.append([sum(count for _, count in engine.rest) for engine in self.optimizer._layout.engines])

    def bits(self):
        params = [param for group in self.optimizer.param_groups for param in group["params"]]
        state = [value for entry in self.optimizer.state.values() for value in entry.values()]
        return [tensor.detach().clone().double() for tensor in [*params, *state, *self.extra]]

    def segments(self):
        return [len(engine.members) for engine in self.optimizer._layout.engines]


def tell(story, overlap, steps=6, **options):
    w = World(overlap, **options)
    for w.step in range(steps):
        story(w)
        w.finish()
    return w


def compare(one, two):
    a, b = one.bits(), two.bits()
    assert len(a) == len(b) and all(torch.equal(x.nan_to_num(7.0), y.nan_to_num(7.0)) for x, y in zip(a, b))
    assert str(one.optimizer.stats()) == str(two.optimizer.stats())
