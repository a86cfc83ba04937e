# SPDX-License-Identifier: Apache-2.0
"""AdamS as the paper gives it (arXiv 2011.11152, algorithm AdamS), eager and slow, with the state layout of the authors'
class: step is an int, there is no running sum. Used to make checkpoints, and as an oracle in float64."""
import math

import torch


class EagerAdamS(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-4, amsgrad=False):
        super().__init__(params, dict(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, amsgrad=amsgrad))

    @torch.no_grad()
    def step(self):
        total, count, work = 0.0, 0, []
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state.update(step=0, exp_avg=torch.zeros_like(p), exp_avg_sq=torch.zeros_like(p))
                    if group["amsgrad"]:
                        state["max_exp_avg_sq"] = torch.zeros_like(p)
                state["step"] += 1
                state["exp_avg"].lerp_(p.grad, 1 - beta1)
                state["exp_avg_sq"].lerp_(p.grad * p.grad, 1 - beta2)
                second = state["exp_avg_sq"]
                if group["amsgrad"]:
                    second = torch.maximum(state["max_exp_avg_sq"], second, out=state["max_exp_avg_sq"])
                second = second / (1 - beta2 ** state["step"])
                total, count = total + second.double().sum().item(), count + p.numel()
                work.append((group, p, state, second))
        root = math.sqrt(total / count) if count else 0.0
        for group, p, state, second in work:
            decay = group["lr"] * group["weight_decay"] / root if root else 0.0
            step_size = group["lr"] / (1 - group["betas"][0] ** state["step"])
            p.sub_(decay * p + step_size * state["exp_avg"] / (second.sqrt() + group["eps"]))
