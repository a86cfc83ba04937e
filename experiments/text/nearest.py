# SPDX-License-Identifier: Apache-2.0
"""The warning beside narrow states: AdamS in plain PyTorch, whose moments have the dtype of the parameters and round as
PyTorch does, to nearest. Of bfloat16 parameters all is bfloat16 then; of float32 ones the step is that of swd.torch.AdamS.
Used by train.py."""
import math

import torch


class NearestAdamS(torch.optim.Optimizer):
    """Scheduled decay and clipping; the running sum of second moments is a Python float."""

    def __init__(self, params, lr, betas, max_grad_norm, eps=1e-8):
        super().__init__(params, dict(lr=lr, betas=betas, eps=eps))
        self.max_grad_norm, self.steps, self.sum = max_grad_norm, 0, 0.0

    @torch.no_grad()
    def step(self):
        all_params = [p for group in self.param_groups for p in group["params"]]
        norm = math.sqrt(sum(p.grad.float().square().sum().item() for p in all_params))
        clip = min(1.0, self.max_grad_norm / (norm + 1e-6))
        self.steps += 1
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            if group is self.param_groups[0]:
                self.sum = beta2 * self.sum + (1 - beta2) * (clip * norm) ** 2
            rest1, rest2 = 1 - beta1**self.steps, 1 - beta2**self.steps
            root = math.sqrt(self.sum / sum(p.numel() for p in all_params) / rest2)
            decay = 1 - group["lr"] * group["weight_decay"] / root
            for p in group["params"]:
                state, grad = self.state[p], p.grad * clip
                if not state:
                    state.update(exp_avg=torch.zeros_like(p), exp_avg_sq=torch.zeros_like(p))
                state["exp_avg"].lerp_(grad, 1 - beta1)
                state["exp_avg_sq"].mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
                p.mul_(decay).addcdiv_(state["exp_avg"], (state["exp_avg_sq"] / rest2).sqrt_().add_(group["eps"]),
                                       value=-group["lr"] / rest1)

    def memory(self):
        """Bytes a parameter, as AdamS.memory() names them."""
        params = list(self.state)
        sizes = {"parameters": sum(p.nbytes for p in params),
                 "states": sum(tensor.nbytes for state in self.state.values() for tensor in state.values())}
        return {name: size / sum(p.numel() for p in params) for name, size in sizes.items()}
