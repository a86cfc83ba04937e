# SPDX-License-Identifier: Apache-2.0
"""AdamS as a user of PyTorch would write it from the paper (arXiv 2011.11152, the AdamS algorithm), one tensor
operation after the other. A baseline: what the same step costs without a kernel of its own. Used by torch_peers.py."""
import torch


class EagerAdamS(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0):
        super().__init__(params, dict(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self, closure=None):
        assert closure is None
        live = [(group, p, self.state[p])
                for group in self.param_groups for p in group["params"] if p.grad is not None]
        total, count = 0.0, 0
        for group, p, state in live:
            beta1, beta2 = group["betas"]
            if not state:
                state.update(step=0, exp_avg=torch.zeros_like(p), exp_avg_sq=torch.zeros_like(p))
            state["step"] += 1
            state["exp_avg"].mul_(beta1).add_(p.grad, alpha=1 - beta1)
            state["exp_avg_sq"].mul_(beta2).addcmul_(p.grad, p.grad, value=1 - beta2)
            # The schedule: the mean of the bias-corrected second moment over all parameters.
            total = total + state["exp_avg_sq"].sum() / (1 - beta2 ** state["step"])
            count += p.numel()
        root = (total / count) ** 0.5
        for group, p, state in live:
            beta1, beta2 = group["betas"]
            v_hat = state["exp_avg_sq"] / (1 - beta2 ** state["step"])
            step_size = group["lr"] / (1 - beta1 ** state["step"])
            p.mul_(1 - group["lr"] * group["weight_decay"] / root)
            p.addcdiv_(state["exp_avg"], v_hat.sqrt_().add_(group["eps"]), value=-step_size)
