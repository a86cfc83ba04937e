# SPDX-License-Identifier: Apache-2.0
"""What every contender works on: flat buffers, cut into tensors, and the hyper-parameters. Used by all files here."""
from dataclasses import dataclass

import torch


@dataclass
class Hyper:
    lr: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.1
    max_grad_norm: float = 1.0

    @property
    def for_torch(self):
        return dict(lr=self.lr, betas=(self.beta1, self.beta2), eps=self.eps, weight_decay=self.weight_decay)


class Tensors:
    """param, grad, exp_avg and exp_avg_sq as one flat buffer each, and views of them as a model's tensors. Moments are
    fp32; who keeps others has them himself."""

    def __init__(self, elements, tensor_count, device, dtype=torch.float32):
        share = elements // tensor_count
        self.sizes = [share] * (tensor_count - 1) + [elements - share * (tensor_count - 1)]
        self.param, self.grad = (torch.zeros(elements, device=device, dtype=dtype) for _ in range(2))
        self.exp_avg, self.exp_avg_sq = (torch.zeros(elements, device=device) for _ in range(2))
        self.parameters = [torch.nn.Parameter(view) for view in self.param.split(self.sizes)]
        self.attach_gradients()

    def attach_gradients(self):
        for p, view in zip(self.parameters, self.grad.split(self.sizes)):
            p.grad = view

    def reset(self, seed=1):
        """Ordinary values, fresh moments."""
        self.fill(self.param, seed, 0.05)
        self.new_gradients(seed)
        self.exp_avg.zero_()
        self.exp_avg_sq.zero_()

    def new_gradients(self, seed):
        self.fill(self.grad, seed + 1000, 0.01)

    @staticmethod
    def fill(target, seed, largest):
        """A pattern of 2^16 values, repeated: drawing 2^26 normal values takes longer than all measurements."""
        generator = torch.Generator().manual_seed(seed)
        pattern = ((torch.rand(1 << 16, generator=generator) * 2 - 1) * largest).to(target.device)
        for piece in target.split(len(pattern)):
            piece.copy_(pattern[:len(piece)])

    def adopt_moments(self, optimizer, step):
        """Makes a torch-like optimizer keep its moments in our buffers, so that all contenders use the same memory."""
        views = zip(self.parameters, self.exp_avg.split(self.sizes), self.exp_avg_sq.split(self.sizes))
        for p, exp_avg, exp_avg_sq in views:
            optimizer.state[p].update(step=step(), exp_avg=exp_avg, exp_avg_sq=exp_avg_sq)
