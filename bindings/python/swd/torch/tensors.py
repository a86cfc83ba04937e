# SPDX-License-Identifier: Apache-2.0
"""Member: one parameter and the tensors that a step reads and writes for it. Made and asked by Engine."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from .. import Buffer
from . import blocks, narrow, remainders, shards
from .orders import as_stored, plain_strides, same_layout
from .states import REMAINDER, REMAINDER_BYTES, UNIT

if TYPE_CHECKING:
    from .memory import Memory
    from .states import Form, Slot

MOMENTS = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")
MASTER, STEP, SUM = "master_param", "step", "exp_avg_sq_sum"
SECOND = (Buffer.EXP_AVG_SQ, Buffer.EXP_AVG_SQ_SCALE)  # what a second moment is stored in: 8-bit codes have scales
SUM_STEP = "exp_avg_sq_sum_step"  # the step a stored sum belongs to; another optimizer carries both, and counts on


class Entry(NamedTuple):
    """A parameter that gets a place in an engine."""
    param: torch.nn.Parameter
    group: int      # number of its group
    state: dict[str, Any]  # optimizer.state[param]
    step: int
    sum: float      # running sum of exp_avg_sq; -1: unknown
    unit: float     # of narrow moments; 0: 1


class Member:
    """One parameter.

    owner    the parameter as the user has it; param: its local part, if it is a DTensor
    shown    the state tensors by name as the user has them: DTensors around those that the step uses
    count    elements that a step updates
    work     what the plan takes for the parameter, gapless: the parameter itself, its float32 master, or a copy of a
             parameter with gaps
    copy     float16, gapless: the parameter itself, or a copy of one with gaps; None where there is no master. What
             others wrote into it a step takes over (take_copy of Plan)
    stored   the state tensors that the step uses, by Buffer
    foreign  names under which a state holds what narrow.settle takes: another form, which somebody put there
    pending  float32 tensors of a loaded state that are to be rounded to what is stored, by the names of Plan.load
    stand_in whether other processes hold all of the parameter. The library moves no number of a segment without elements,
             and a checkpoint takes step and unit from any process: so one element that is 0 is stepped, and nobody counts it
    """
    __slots__ = ("owner", "param", "group", "state", "shown", "strides", "shape", "count", "offset", "gapless", "work", "copy",
                 "grad_dtype", "form", "stored", "pending", "places", "step", "sum", "unit", "address", "scales", "stand_in", "foreign")

    def __init__(self, entry: Entry, grad_dtype: torch.dtype, amsgrad: bool, memory: Memory, offset: int, form: Form,
                 scales: tuple[int, int]) -> None:
        """scales: (first, of all), where the block scales of a flat engine lie."""
        param, state = shards.local(entry.param), entry.state
        self.owner, self.param, self.group, self.state = entry.param, param, entry.group, state
        self.shown: dict[str, torch.Tensor] = {}
        self.grad_dtype, self.offset = grad_dtype, offset
        self.shape, self.strides = param.shape, blocks.strides_of(entry.param, param, form)
        self.stand_in = shards.holds_nothing(entry.param)
        self.count = 1 if self.stand_in else param.numel() - shards.padding(param)
        self.gapless = as_stored(param, self.strides)
        self.form, self.scales = form, scales
        self.step: torch.Tensor
        self.sum: torch.Tensor
        self.unit: torch.Tensor | None = None
        if param.dtype != torch.float16:
            self.copy: torch.Tensor | None = None
            self.work = param if self.gapless else self._take(memory, "work", param.dtype)
            if not self.gapless:
                self.work.copy_(param)
        else:
            self.copy = param if self.gapless else self._take(memory, "copy", param.dtype)
            self.work = self._adopt(MASTER, memory, param)
            if not self.gapless:
                self.copy.copy_(param)
        remainders.take(state, form.remainder)
        self.pending = narrow.settle(self)
        if amsgrad and MOMENTS[2] not in state and MOMENTS[1] in state:
            state[MOMENTS[2]] = state[MOMENTS[1]].clone()
        self.stored = {slot.buffer: self._adopt_slot(slot, memory) for slot in form.slots(amsgrad)}
        if self.stand_in:
            self._stand_in()
        seen = dict(self.stored)
        remainders.pack(state)
        if REMAINDER_BYTES in state:
            del self.shown[REMAINDER]
            self.shown[REMAINDER_BYTES] = state[REMAINDER_BYTES]
            if not self.stand_in:
                seen[Buffer.REMAINDER] = shards.local(state[REMAINDER_BYTES])
        self.foreign = narrow.names_taken(form) - self.shown.keys()
        kept = seen.values() if self.copy is None else (*seen.values(), self.work)
        self.places = [(tensor, tensor.data_ptr(), tensor.shape) for tensor in kept]
        self.address = param.data_ptr() if memory.is_flat else None  # a flat parameter must stay where it is

    def _stand_in(self) -> None:
        self.work = self.work.new_zeros(1)
        self.copy = None if self.copy is None else self.copy.new_zeros(1)
        self.stored = {buffer: tensor.new_zeros(1) for buffer, tensor in self.stored.items()}

    def _take(self, memory: Memory, kind: str, dtype: torch.dtype) -> torch.Tensor:
        return memory.take(kind, dtype, self.shape, self.strides, self.offset)

    def drop_pending(self) -> None:
        """What was pending is stored now."""
        for name in self.pending:
            self.state.pop(MASTER if name == "param" else name, None)
        self.pending = {}

    def _adopt_slot(self, slot: Slot, memory: Memory) -> torch.Tensor:
        if not slot.scales:
            return self._adopt(slot.name, memory, None, slot.dtype)
        old, shape, (first, extent) = self.state.get(slot.name), blocks.scales_of(self.shape, self.strides), self.scales
        new = memory.take(slot.name, slot.dtype, shape, plain_strides(shape), first, extent)
        moment = "exp_avg_sq" if slot.buffer in SECOND else "exp_avg"
        if old is not None and moment not in self.pending:
            new.copy_(self.part(slot.name, old).reshape(shape))  # narrow.settle has seen that it is of as many blocks
        whole = blocks.scale_shape(self.owner.shape)
        self.state[slot.name] = self.shown[slot.name] = shards.like(self.owner, new, whole)
        return new

    def part(self, name: str, shown: torch.Tensor) -> torch.Tensor:
        """What this process has of a tensor of the state, which must be cut as the parameter is."""
        if not shards.same_cut(self.owner, shown):
            raise ValueError(f"{name}: the state has placements {getattr(shown, 'placements', None)}, its parameter "
                             f"{getattr(self.owner, 'placements', None)}; load it with torch.distributed.checkpoint's "
                             "set_optimizer_state_dict")
        return shards.local(shown)

    def _adopt(self, name: str, memory: Memory, initial: torch.Tensor | None,
               dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """The state tensor of that name, in its dtype and in the order of work; keeps what was there."""
        shown = self.state.get(name)
        old = None if shown is None else self.part(name, shown)
        if old is not None and old.shape != self.shape:
            raise ValueError(f"{name}: the state has shape {tuple(old.shape)}, its parameter {tuple(self.shape)}")
        if (shown is not None and old is not None and not memory.is_flat and old.dtype == dtype and old.device == memory.device
                and same_layout(old.stride(), self.strides, self.shape)):
            self.shown[name] = shown
            return old
        new = self._take(memory, name, dtype)
        source = initial if old is None else old
        if source is not None:
            new.copy_(source)
        self.state[name] = self.shown[name] = shards.like(self.owner, new)
        return new

    def keeps_moments(self, state: dict[str, Any]) -> bool:
        """Whether the state still has the tensors that the step uses, where they were. In a DTensor they are inside."""
        return all(state.get(name) is shown for name, shown in self.shown.items()) and all(
            tensor.data_ptr() == place and tensor.shape == shape for tensor, place, shape in self.places)

    def version(self) -> int:
        """Counts what others did in place to exp_avg_sq, codes and scales, as far as torch sees it."""
        inner = [self.stored[buffer] for buffer in SECOND if buffer in self.stored]
        shown = [self.shown[slot.name] for slot in self.form.moments if slot.buffer in SECOND]
        return sum(tensor._version for tensor in inner) + sum(
            outer._version for outer, tensor in zip(shown, inner) if outer is not tensor)

    def fits(self, param: torch.Tensor, group: int, state: dict[str, Any] | None, grad: torch.Tensor | None) -> bool:
        """Whether the member still describes its parameter; the address of the parameter may have changed."""
        return (self.group == group and self.state is state and state.get(STEP) is self.step
                and state.get(SUM) is self.sum and self.keeps_moments(state)
                and (grad is None or grad.dtype == self.grad_dtype)
                and param.device == self.work.device and param.shape == self.shape
                and param.dtype == (self.work if self.copy is None else self.copy).dtype
                and (self.unit is None or state.get(UNIT) is self.unit)
                and self.foreign.isdisjoint(state)
                and as_stored(param, self.strides) == self.gapless
                and (self.address is None or self.address == param.data_ptr()))

    def before_step(self) -> None:
        """Brings the copy of a parameter with gaps up to date with what others wrote, in whatever way: no version counter
        sees .data. Price: two copies a step."""
        if not self.gapless and not self.stand_in:
            (self.work if self.copy is None else self.copy).copy_(self.param)

    def ordered(self, grad: torch.Tensor) -> torch.Tensor:
        """The gradient in the order of work. Price of another order: one copy."""
        if self.stand_in:
            return grad.new_zeros(1)
        if as_stored(grad, self.strides):
            return grad
        return torch.empty_strided(self.shape, self.strides, dtype=grad.dtype, device=grad.device).copy_(grad)

    def after_step(self) -> None:
        """Its version is raised by Engine, with those of the others."""
        if not self.gapless and not self.stand_in:
            self.param.copy_(self.work if self.copy is None else self.copy)
        if self.owner is not self.param:
            torch.autograd.graph.increment_version(self.owner)
