# SPDX-License-Identifier: Apache-2.0
"""Early: what one engine has reduced before its step, and whether it still counts. Filled by Overlap, asked by it in a step.

What was reduced counts if the gradient is the same tensor, at the same place, of the same version, and if nothing else
has changed that a reduction reads; else it is reduced again. So no order of backward passes, clipping and edits makes a
wrong norm, as far as torch sees what is written; for the rest see Overlap.check.
"""
from __future__ import annotations

from typing import TYPE_CHECKING, Any, Sequence

import torch
import torch.distributed as dist
from torch.utils.weak import TensorWeakRef

from .. import Error, Phase
from . import shards
from .checks import plain
from .orders import as_stored

if TYPE_CHECKING:
    from .engine import Engine
    from .kinds import Grads, Groups
    from .tensors import Member

_BATCH = {"cpu": 1 << 22, "cuda": 1 << 23}  # bytes that wait for a call: small tensors share one, and stay in the cache
_MANY = 16  # runs of segments, beyond which one call for all is cheaper


def _runs(segments: Sequence[int]) -> list[tuple[int, int]]:
    """(first, count) of ascending numbers."""
    runs: list[tuple[int, int]] = []
    for k in segments:
        if runs and sum(runs[-1]) == k:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((k, 1))
    return runs


def _complete(param: Any, grad: Any) -> bool:
    """Whether a gradient that was just accumulated is what a step will read, under torch.distributed."""
    if not shards.is_sharded(param):
        return not (dist.is_available() and dist.is_initialized())
    mesh = param.device_mesh  # where it is not all processes, others may hold replicas, whose gradients are still summed
    return (mesh.size() == dist.get_world_size() and any(placement.is_shard() for placement in param.placements)
            and hasattr(grad, "to_local") and grad.placements == param.placements and grad.device_mesh == mesh
            and mesh.device_type == grad.device.type)  # what is offloaded may still be on its way


def _readable(engine: Engine, member: Member, param: torch.Tensor) -> torch.Tensor | None:
    """The gradient, if the library can read it as it stands."""
    grad = param.grad
    if grad is None or not _complete(param, grad):
        return None
    grad = shards.local(grad)
    if (type(grad) is not torch.Tensor or grad.layout is not torch.strided or grad.dtype != member.grad_dtype
            or grad.device != engine.device or grad.shape != member.shape or member.count == 0 or member.stand_in
            or not as_stored(grad, member.strides) or torch._is_zerotensor(grad) or grad.is_inference()):
        return None
    at = grad.data_ptr()
    return grad if at and (engine.flat is None or at == engine.flat.address_of_grad(member.param)) else None


def _ends(tensor: torch.Tensor) -> torch.Tensor:
    """The first and the last element in memory: a view."""
    return tensor.as_strided((min(2, tensor.numel()),), (max(1, tensor.numel() - 1),))


def differ(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Whether any number does: a bool tensor. NaN is NaN."""
    return ((one != other) & ~(one.isnan() & other.isnan())).any()


class _Seen:
    """A gradient as it was reduced. The views of a flat buffer and the buffer count their versions apart. Those of DTensors do
    not count what foreach operations do, clip_grad_norm_ say, so of these two elements are kept."""
    __slots__ = ("shown", "grad", "marks", "ends")

    def __init__(self, engine: Engine, shown: torch.Tensor, grad: torch.Tensor) -> None:
        self.grad = TensorWeakRef(grad)
        self.shown = self.grad if shown is grad else TensorWeakRef(shown)
        self.marks = self._look(engine, shown, grad)
        self.ends = None if shown is grad else _ends(grad).clone()

    @staticmethod
    def _look(engine: Engine, shown: torch.Tensor, grad: torch.Tensor) -> tuple[int, ...]:
        return (grad.data_ptr(), grad._version, shown._version, 0 if engine.flat is None else engine.flat.grad._version)

    def still(self, engine: Engine, shown: torch.Tensor | None, grad: torch.Tensor | None) -> bool:
        return (shown is not None and grad is not None and self.shown() is shown and self.grad() is grad
                and self.marks == self._look(engine, shown, grad))


class Early:
    """What one engine has reduced before its step."""

    def __init__(self) -> None:
        self.seen: dict[int, _Seen] = {}
        self._numbers: Any = None  # what reductions read besides gradients
        self._waiting: dict[int, torch.Tensor] = {}  # parameters
        self._bytes, self._stream = 0, None

    def forget(self) -> None:
        self.seen, self._waiting, self._bytes = {}, {}, 0

    def join(self, engine: Engine) -> None:
        """One workspace is for one stream at a time: this one waits for that of the last call."""
        if engine.on_cuda:
            stream: Any = torch.cuda.current_stream(engine.device)
            if self._stream is not None and self._stream != stream:
                stream.wait_stream(self._stream)
            self._stream = stream

    def take(self, engine: Engine, k: int, param: torch.Tensor, groups: Groups) -> None:
        """What is done for each parameter by itself runs with cold caches, so it is little."""
        self._waiting[k] = param
        self._bytes += param.nbytes
        if self._bytes >= _BATCH[engine.device.type]:
            try:
                self._reduce(engine, groups)
            except Error:  # the step meets it, too, and says so
                self.forget()

    @staticmethod
    def _read(engine: Engine, groups: Groups) -> Any:
        return (engine.image.words._version, engine.pointers.moves,
                [tuple(map(plain, group["betas"])) for group in groups])

    def _begin(self, engine: Engine, groups: Groups) -> None:
        self._numbers, struct = self._read(engine, groups), engine.args.struct
        for slot, betas in zip(engine.slots, self._numbers[-1]):
            slot.beta1, slot.beta2 = betas
            slot.lr, slot.lr_pointer = 0.0, None
        struct.flags, struct.has_grad, struct.found_inf, struct.loss_scale_pointer = 0, None, None, None

    def _reduce(self, engine: Engine, groups: Groups) -> None:
        waiting, self._waiting, self._bytes = self._waiting, {}, 0
        grads = {k: (param.grad, _readable(engine, engine.members[k], param)) for k, param in waiting.items()}
        self.join(engine)
        if not self.seen:
            self._begin(engine, groups)
        for first, count in _runs(sorted(k for k, (_, grad) in grads.items() if grad is not None)):
            some = [grads[k] for k in range(first, first + count)]
            addresses = [grad.data_ptr() for _, grad in some if grad is not None]
            if not engine.flat and not engine.pointers.put(engine, first, addresses):
                continue
            seen = {first + i: _Seen(engine, shown, grad) for i, (shown, grad) in enumerate(some)
                    if shown is not None and grad is not None}  # before it is read
            engine.plan.reduce(engine.buffers, engine.args, Phase.GRAD, first, count, engine.stream())
            self.seen.update(seen)

    def rest(self, engine: Engine, grads: Grads, groups: Groups) -> list[tuple[int, int]]:
        """(first, count) of the segments that the step must reduce. After Engine.prepare."""
        if not self.seen or self._numbers != self._read(engine, groups):
            self.seen = {}
            return [(0, len(engine.members))]
        final = grads if engine.flat else engine.keep
        self.seen = {k: seen for k, seen in self.seen.items()
                     if seen.still(engine, engine.members[k].owner.grad, final[k])}
        runs = _runs([k for k in range(len(engine.members)) if k not in self.seen])
        return runs if len(runs) <= _MANY else [(0, len(engine.members))]

    def changed(self) -> torch.Tensor | None:
        """Whether elements of DTensors are others than they were: a bool on their device. None: there are no DTensors."""
        pairs = [(_ends(grad), seen.ends) for seen in self.seen.values()
                 if seen.ends is not None and (grad := seen.grad()) is not None]
        return differ(*(torch.cat(some) for some in zip(*pairs))) if pairs else None
