# SPDX-License-Identifier: Apache-2.0
"""What AdamS refuses, and how it says so. Every message starts with the name of the argument."""
from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Iterable

import torch

from . import shards, states

if TYPE_CHECKING:
    from .adams import AdamS

DECAYS = ("scheduled", "relative", "decoupled", "l2")
FOLLOWS_GRADIENTS = ("scheduled", "relative")  # the decays that need vbar
PARAM_DTYPES = (torch.float32, torch.bfloat16, torch.float16)
GROUP = ("lr", "betas", "eps", "weight_decay", "decay", "amsgrad", "maximize", "capturable")
WHOLE = ("max_grad_norm", "max_decay", "nonfinite", "reference_step", "measure_norm", "update_norms", "overlap_norm", "states",
         "shards", "record_hook")
FLT_MIN, FLT_MAX = 2.0 ** -126, 3.4028234663852886e38


def number(name: str, value: Any, *, least: float = 0.0, below: float = math.inf) -> None:
    """A finite number in [least, below); a tensor must hold one element and is not read where that would synchronise."""
    if isinstance(value, torch.Tensor):
        if value.numel() != 1:
            raise ValueError(f"{name}: a tensor of {value.numel()} elements, expected 1")
        if value.is_complex() or not value.is_floating_point():
            raise TypeError(f"{name}: a tensor of {value.dtype}, expected floating point")
        if value.device.type != "cpu":
            return
        value = value.item()
    try:
        value = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name}: {value!r} is no number") from None
    if not (least <= value < below):
        limit = f"below {below}" if below != math.inf else "finite"
        raise ValueError(f"{name}: {value} is out of range, expected at least {least} and {limit}")


def plain(value: Any) -> float:
    """The number in a number or in a tensor on the CPU."""
    return value.item() if isinstance(value, torch.Tensor) else value


def one_number(name: str, value: Any) -> float:
    """That of a loaded state: a number, or a tensor of one element."""
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError):
        shape = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, torch.Tensor) else repr(value)
        raise ValueError(f"{name}: {shape} in the state is no number") from None


def distinct(params: Iterable[Any]) -> None:
    """Refuses a parameter that stands twice in one group: torch's optimizers would step it twice."""
    seen: dict[int, int] = {}
    for i, param in enumerate(params):
        if isinstance(param, tuple):  # with its name
            param = param[-1]
        first = seen.setdefault(id(param), i)
        if first != i:
            raise ValueError(f"params: the same parameter stands in the group twice, at {first} and at {i}")


def flag(name: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise TypeError(f"{name}: {value!r} is neither True nor False")


def learning_rate(value: Any) -> None:
    number("lr", value)
    if isinstance(value, torch.Tensor) and value.requires_grad:
        raise ValueError("lr: a tensor that requires grad, but the step is not differentiable")


def group(options: dict[str, Any]) -> None:
    """Checks the hyper-parameters of one parameter group."""
    for name in GROUP:
        if name not in options:
            raise ValueError(f"{name}: a group has none; groups are added by add_param_group")
    learning_rate(options["lr"])
    betas = options["betas"]
    if not isinstance(betas, (tuple, list)) or len(betas) != 2:
        raise ValueError(f"betas: {betas!r} is no pair")
    for i, beta in enumerate(betas):
        if isinstance(beta, torch.Tensor) and beta.device.type != "cpu":
            raise ValueError(f"betas[{i}]: a tensor on {beta.device}, which each step would have to wait for; expected a "
                             "number, or a tensor on the CPU")
        number(f"betas[{i}]", beta, below=1.0)
    number("eps", options["eps"])
    if not FLT_MIN <= float(options["eps"]) <= FLT_MAX:
        raise ValueError(f"eps: {options['eps']} is not a normal number in float32")
    if isinstance(options["weight_decay"], torch.Tensor):
        raise TypeError("weight_decay: a tensor, expected a number")
    number("weight_decay", options["weight_decay"])
    if options["decay"] not in DECAYS:
        raise ValueError(f"decay: {options['decay']!r} is none of {', '.join(DECAYS)}")
    for name in ("amsgrad", "maximize", "capturable"):
        flag(name, options[name])
    if options.get("differentiable"):
        raise ValueError("differentiable: the step of AdamS is not, expected False")


def seed(value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2 ** 63:
        raise ValueError(f"rounding_seed: {value!r} is no number from 0 to 2^63 - 1")


def whole(optimizer: AdamS) -> None:
    """Checks what holds for all groups together: the options of the optimizer, and that groups agree on amsgrad."""
    if optimizer.max_grad_norm is not None:
        number("max_grad_norm", optimizer.max_grad_norm)
        if not float(optimizer.max_grad_norm) > 0.0:
            raise ValueError("max_grad_norm: 0 would clip everything away; None is no clipping")
    if optimizer.max_decay is not None:
        number("max_decay", optimizer.max_decay)
        if not float(optimizer.max_decay) > 0.0:
            raise ValueError("max_decay: expected more than 0, or None")
    step = optimizer.reference_step
    if isinstance(step, bool) or not isinstance(step, int) or not 1 <= step < 2 ** 63:
        raise ValueError(f"reference_step: {step!r} is no number of a step, expected 1 or more")
    if optimizer.nonfinite not in ("skip", "propagate"):
        raise ValueError(f"nonfinite: {optimizer.nonfinite!r} is neither 'skip' nor 'propagate'")
    flag("update_norms", optimizer.update_norms)
    if not (optimizer.shards is None or optimizer.shards is False or is_group(optimizer.shards)):
        raise TypeError(f"shards: {optimizer.shards!r} is neither 'world', nor a process group, nor a device mesh (False: "
                        "each process has a model of its own)")
    if not (optimizer.record_hook is None or callable(optimizer.record_hook)):
        raise TypeError(f"record_hook: {optimizer.record_hook!r} is no function")
    flag("measure_norm", optimizer.measure_norm)
    flag("overlap_norm", optimizer.overlap_norm)
    groups = optimizer.param_groups
    if optimizer.states not in states.PRESETS:
        raise ValueError(f"states: {optimizer.states!r} is none of {', '.join(states.PRESETS)}")
    for group in groups:
        for dtype in {param.dtype for param in group["params"]}:
            if dtype in PARAM_DTYPES:
                states.form_of(optimizer.states, dtype, group["amsgrad"])
    if any(group["amsgrad"] != groups[0]["amsgrad"] for group in groups):
        raise ValueError("amsgrad: must be the same in every group, as the groups share the mean of exp_avg_sq")
    if not optimizer.measure_norm:
        if optimizer.nonfinite != "propagate" or optimizer.max_grad_norm is not None:
            raise ValueError("measure_norm: False needs nonfinite='propagate' and no max_grad_norm")
        if any(group["decay"] in FOLLOWS_GRADIENTS for group in groups):
            raise ValueError("measure_norm: False needs groups without scheduled or relative decay")


def _may_overlap(tensor: torch.Tensor) -> bool:
    """Whether elements may share memory: no order of the dimensions nests them."""
    extent = 1
    for stride, size in sorted(zip(tensor.stride(), tensor.shape)) if tensor.numel() else ():
        if size > 1 and stride < extent:
            return True
        extent += stride * (size - 1)
    return False


def is_group(value: Any) -> bool:
    """Whether it is "world", a process group or a device mesh, by what it can do: torch.distributed may not be there."""
    return isinstance(value, str) and value == "world" or hasattr(value, "get_group") or hasattr(value, "_device_types")


def no_fsdp1(params: Iterable[torch.Tensor]) -> None:
    """Refuses what FSDP1 made of a model, where nobody sums over its ranks."""
    if any(shards.is_fsdp1(param) for param in params):
        raise ValueError("shards: these parameters are this rank's parts of what FullyShardedDataParallel shards, and would "
                         "be clipped and decayed by the norm of these parts; pass shards=\"world\", or the process group that "
                         "it shards over (under NO_SHARD, where each rank has the whole model, shards=False)")


def parameter(param: torch.Tensor) -> None:
    """Refuses a parameter that the library cannot update, by what it is."""
    param = shards.local(param)
    if type(param).__torch_dispatch__ is not torch.Tensor.__torch_dispatch__:
        raise TypeError(f"params: a {type(param).__name__}, a tensor without memory of its own (a wrapper around others, "
                        "or a fake one); give the tensors that it is made of")
    if param.is_complex():
        raise TypeError(f"params: complex parameters ({param.dtype}) are not supported")
    if param.layout is not torch.strided:
        raise TypeError(f"params: sparse parameters ({param.layout}) are not supported")
    if param.dtype not in PARAM_DTYPES:
        raise TypeError(f"params: dtype {param.dtype} is not supported, expected float32, bfloat16 or float16")
    if _may_overlap(param):
        raise ValueError(f"params: a tensor whose elements share memory (shape {tuple(param.shape)}, strides "
                         f"{param.stride()})")
    if param.device.type not in ("cpu", "cuda"):
        raise TypeError(f"params: device {param.device} is not supported, expected cpu or cuda")


def memory() -> None:
    """Refuses to build where new tensors have no memory."""
    kind = type(torch.empty(0, device="cpu"))
    if kind is not torch.Tensor:
        raise RuntimeError(f"AdamS: a step where new tensors are of type {kind.__name__} and have no memory (under "
                           "FakeTensorMode, say); step outside of that")


def gradient(param: torch.Tensor, grad: torch.Tensor) -> None:
    """Refuses a gradient that the library cannot read."""
    if grad.layout is not torch.strided:
        raise RuntimeError(f"AdamS does not support sparse gradients ({grad.layout})")
    if grad.dtype not in PARAM_DTYPES:
        raise RuntimeError(f"AdamS does not support gradients of {grad.dtype}")
    if grad.device != param.device:
        raise RuntimeError(f"AdamS: a gradient lies on {grad.device}, its parameter on {param.device}")
