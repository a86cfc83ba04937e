# SPDX-License-Identifier: Apache-2.0
"""AdamS as PyTorch's own tests of optimizers describe an optimizer: an OptimizerInfo, with the inputs and the errors that
torch.testing has for AdamW. Used by test_torch_cases.py and test_torch_state_cases.py."""
import warnings

import torch

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it looks for packages that torch's own tests use
    from torch.testing._internal import common_optimizers as common

from swd.torch import AdamS

# What AdamW has no word for.
_OWN = (dict(decay="relative", weight_decay=0.1), dict(decay="decoupled", weight_decay=0.1), dict(decay="l2"),
        dict(max_grad_norm=0.5), dict(states="mixed16"), dict(states="compact8"),
        dict(nonfinite="propagate", decay="decoupled", measure_norm=False), dict(overlap_norm=True, max_grad_norm=0.5))


def inputs(device, dtype=None):
    """torch's for AdamW, and ours."""
    theirs = common.optim_inputs_func_adamw(device, dtype)
    return theirs + [common.OptimizerInput(params=None, kwargs=dict(kwargs), desc=f"own: {kwargs}") for kwargs in _OWN]


INFO = common.OptimizerInfo(
    AdamS, optim_inputs_func=inputs, optim_error_inputs_func=common.optim_error_inputs_func_adamw,
    scheduler_inputs=next(info.scheduler_inputs for info in common.optim_db if info.optim_cls is torch.optim.AdamW),
    supported_impls=("foreach", "fused"), supports_fused_on=("cpu", "cuda"), supports_complex=False,
    not_og_supported_flags=("foreach", "fused", "differentiable", "maximize", "capturable"), has_capturable_arg=True)


def all_inputs():
    """Each input without, and with one of, the flags that other optimizers have."""
    return common._get_optim_inputs_including_global_cliquey_kwargs("cpu", torch.float32, INFO)


def linear(contiguous=True):
    """Weight, bias, and a function that lets backward give them gradients and returns the loss."""
    shape = (lambda *sizes: torch.randn(sizes)) if contiguous else (lambda *sizes: torch.randn(*sizes, 2)[..., 0])
    weight, bias, x = torch.nn.Parameter(shape(10, 5)), torch.nn.Parameter(shape(10)), torch.randn(5)

    def loss():
        for param in (weight, bias):
            param.grad = None
        value = (weight.mv(x) + bias).square().sum()
        value.backward()
        return value.item()
    return weight, bias, loss


def advance(schedulers, loss):
    for scheduler in schedulers:
        if isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
            scheduler.step(loss)
        else:
            scheduler.step()
