# SPDX-License-Identifier: Apache-2.0
"""One step over the engines of an optimizer: alone in one call, several through their summed norm records. Called by
AdamS.step."""
import torch

from .. import Phase
from .._structs import StepFlag


def _on_device(tensor, engine):
    """A float32 of one element where the engine computes. The caller keeps it."""
    if tensor.device == engine.device and tensor.dtype == torch.float32:
        return tensor
    return tensor.to(device=engine.device, dtype=torch.float32)


def _write_groups(engine, groups, keep):
    for slot, group in zip(engine.args.groups, groups):
        lr = group["lr"]
        slot.lr_pointer = None
        if not isinstance(lr, torch.Tensor):
            slot.lr = lr
        elif lr.device.type == "cpu":
            slot.lr = lr.item()
        else:
            lr = _on_device(lr, engine)
            keep.append(lr)
            slot.lr, slot.lr_pointer = 0.0, lr.data_ptr()
        slot.beta1, slot.beta2 = group["betas"]
        slot.eps, slot.weight_decay = group["eps"], group["weight_decay"]


def _write_numbers(engine, optimizer):
    struct, keep = engine.args.struct, []
    _write_groups(engine, optimizer.param_groups, keep)
    scaled = any(getattr(optimizer, name, None) is not None for name in ("grad_scale", "found_inf"))
    if optimizer.nonfinite == "propagate" and not scaled:  # a scaler lives on steps that are skipped
        struct.flags = StepFlag.PROPAGATE | (0 if optimizer.measure_norm else StepFlag.SKIP_NORM)
    else:
        struct.flags = 0
    struct.max_grad_norm = float(optimizer.max_grad_norm or 0.0)
    struct.max_decay = float(optimizer.max_decay or 0.0)
    for member, name in (("loss_scale_pointer", "grad_scale"), ("found_inf", "found_inf")):
        value = getattr(optimizer, name, None)
        if isinstance(value, (int, float)):
            value = torch.tensor(float(value))
        if value is not None:
            value = _on_device(value, engine)
            keep.append(value)
        setattr(struct, member, None if value is None else value.data_ptr())
    return keep


def _together(engines, phases, device, hook):
    """The same step in pieces. The records of all engines are summed, so that all decide alike; the hook may add those
    of other processes. If it raises, only workspaces were written, and the next step reduces everything again."""
    for phase in phases:
        total = torch.zeros(8, dtype=torch.float64, device=device)
        for engine in engines:
            with engine.current_device():
                engine.plan.reduce(engine.buffers, engine.args, phase, stream=engine.stream())
                engine.plan.fold(engine.buffers, engine.args, phase, engine.record, engine.stream())
            total += engine.record.to(device)
        if hook is not None:
            hook(total)
        for engine in engines:
            with engine.current_device():
                engine.record.copy_(total)
                engine.plan.finalize(engine.buffers, engine.args, phase, engine.record, engine.stream())
    for engine in engines:
        with engine.current_device():
            engine.plan.update(engine.buffers, engine.args, engine.stream())


def run(optimizer, engines, grads):
    """Does the step. Nothing is changed if a call is refused."""
    hook, groups = optimizer.record_hook, optimizer.param_groups
    if hook is None and all(grad is None for some in grads for grad in some):
        return
    keep = []
    for engine, some in zip(engines, grads):
        with engine.current_device():
            engine.prepare(some)
            keep.append(_write_numbers(engine, optimizer))
    measured = not any(engine.args.struct.flags & StepFlag.SKIP_NORM for engine in engines)
    if not measured or hook is None and len(engines) == 1:  # without the norm nothing couples the engines
        for engine in engines:
            with engine.current_device():
                engine.plan.step(engine.buffers, engine.args, engine.stream())
    else:
        two_rounds = groups[0]["amsgrad"] and any(group["decay"] == "scheduled" for group in groups)
        device = engines[0].device if engines else groups[0]["params"][0].device
        _together(engines, (Phase.GRAD, Phase.MAX) if two_rounds else (Phase.GRAD,), device, hook)
    for engine, some in zip(engines, grads):
        engine.finish(some)
