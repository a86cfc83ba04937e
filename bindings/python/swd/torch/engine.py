# SPDX-License-Identifier: Apache-2.0
"""Engine: one library plan over parameters of one device, dtype and direction, with its workspace and state image.
Made by layout, driven by run."""
from __future__ import annotations

import contextlib
import itertools
import warnings
from typing import TYPE_CHECKING, Any

import torch

from .. import Buffer, Buffers, Error, Group, Segment, StepArgs
from .._structs import StatsStruct
from . import audit, narrow, shards, sharing, versions
from .checks import FOLLOWS_GRADIENTS
from .early import Early
from .flat import common_flat
from .image import StateImage
from .memory import Memory
from .pointers import Pointers
from .states import UNIT
from .tensors import MASTER, SECOND, STEP, SUM, SUM_STEP, Member

if TYPE_CHECKING:
    from .adams import AdamS
    from .image import Counters
    from .kinds import Grads, Groups
    from .states import Form
    from .tensors import Entry


def _threads() -> int:
    return min(torch.get_num_threads(), 1024)  # the result does not depend on it


class Engine:
    def __init__(self, entries: list[Entry], *, device: torch.device, grad_dtype: torch.dtype, maximize: bool,
                 counted: bool, form: Form, optimizer: AdamS) -> None:
        """entries: what the plan shall hold, see tensors.Entry. counted: whether the norms count it here. load() comes next."""
        groups, self.counted, self.steps = optimizer.param_groups, counted, 0
        self.tolerances: tuple[tuple[float, ...], torch.Tensor] = (), torch.empty(0)
        self.device, self.on_cuda = device, device.type == "cuda"
        if self.on_cuda and torch.cuda.is_current_stream_capturing():
            raise RuntimeError("AdamS: the first step with these parameters cannot be captured; run one before")
        amsgrad = groups[0]["amsgrad"]
        self.flat = common_flat([entry.param for entry in entries])
        if self.flat:
            entries = sorted(entries, key=lambda entry: self._offset(entry.param))
        memory = Memory(device, self.flat.extent if self.flat else None)
        self.form = form
        self.members = self._make_members(entries, grad_dtype, amsgrad, memory)
        copy = self.members[0].copy if self.members else None
        self.has_copy = copy is not None
        # Every plan gets all groups, so that all agree on whether a group is scheduled.
        first = narrow.first_elements(optimizer) if self.form.narrow else {}
        self.plan = self.form.plan(
            [Segment(m.count, m.offset, m.group, index=first[m.owner] + shards.first_element(m.owner) if first else 0)
             for m in self.members],
            decay=[group["decay"] for group in groups], backend=device.type, grad_dtype=str(grad_dtype),
            copy_dtype=None if copy is None else str(copy.dtype), as_list=self.flat is None,
            amsgrad=amsgrad, maximize=maximize, update_norms=optimizer.update_norms, indexed=bool(first),
            take_copy=self.has_copy,
            threads=0 if self.on_cuda else _threads())
        self.workspace = torch.empty(self.plan.workspace_bytes, dtype=torch.uint8, device=device)
        self.record = torch.zeros(self.plan.record_doubles, dtype=torch.float64, device=device)
        self.one = torch.ones(1, dtype=torch.float32, device=device)  # a found_inf that is known on the host
        self.args = StepArgs(self.plan, [Group() for _ in groups])
        self.slots: Any = self.args.groups  # one for each group
        self.tables = self._make_tables()
        self.keep: Grads = []
        self.addresses: list[int] | None = None  # of the gradients of a step that Steady vouches for
        self.params = [member.param for member in self.members]
        self.second_moments = [[member.stored[buffer] for member in self.members] for buffer in SECOND
                               if self.members and buffer in self.members[0].stored]
        self.pointers, self.has_grad = Pointers(), torch.empty(0)
        self.early, self.rest = Early(), [(0, len(self.members))]  # (first, count) of what a step is to reduce
        with self.current_device():
            self.plan.init_workspace(self.workspace, self.stream())
            self._adopt_state(entries, optimizer.counters)
            self.buffers = self._make_buffers(memory)

    # ---- Building ----

    def load(self, entries: list[Entry], optimizer: AdamS) -> None:
        """Rounds what is pending, and looks at the sums. What is written here cannot be taken back."""
        with self.current_device():
            narrow.load_pending(self)
            if self.flat is None:
                self.pointers.send(self, self.tables)
            self._check_sums(entries, optimizer)
        self.versions = versions.of(self)

    def _offset(self, param: torch.Tensor) -> int:
        return self.flat.offset_of(param) if self.flat else 0

    def _adopt_state(self, entries: list[Entry], counters: Counters) -> None:
        """The state image, and each parameter's step and sum as views of it."""
        units = [0.0 if "exp_avg_sq" in member.pending else entry.unit
                 for member, entry in zip(self.members, entries)] if self.form.narrow else None
        self.image = StateImage(self.plan, self.device, counters, [entry.step for entry in entries],
                                [entry.sum for entry in entries], units)
        for k, member in enumerate(self.members):
            member.step, member.sum = member.state[STEP], member.state[SUM] = self.image.steps[k], self.image.sums[k]
            member.state.pop(SUM_STEP, None)
            if self.image.units is not None:
                member.unit = member.state[UNIT] = self.image.units[k]
            else:
                member.state.pop(UNIT, None)

    def _make_members(self, entries: list[Entry], grad_dtype: torch.dtype, amsgrad: bool,
                      memory: Memory) -> list[Member]:
        scales = [32 * -(-shards.local(entry.param).numel() // 4096) for entry in entries]  # bytes
        return [Member(entry, grad_dtype, amsgrad, memory, self._offset(entry.param),
                       self.form, (first, sum(scales)))
                for entry, first in zip(entries, itertools.accumulate(scales, initial=0))]

    def _make_buffers(self, memory: Memory) -> Buffers:
        arrays: dict[str, Any] = {}
        if self.flat:
            slots = self.form.slots(Buffer.MAX_EXP_AVG_SQ in self.members[0].stored)
            arrays = {slot.buffer.name.lower(): memory.bases[slot.name] for slot in slots}
            arrays.update(param=self.flat.param, grad=self.flat.grad)
            if MASTER in memory.bases:
                arrays.update(param=memory.bases[MASTER], param_copy=self.flat.param)
        return Buffers(self.plan, state=self.image.words, workspace=self.workspace, **arrays)

    def _check_sums(self, entries: list[Entry], optimizer: AdamS) -> None:
        """Sums that no checkpoint gave are taken from exp_avg_sq, and so are those that are not its sums: that is said.
        The others keep their bits. A damaged moment is said, too: where the decay needs the sums, all further steps
        would be skipped."""
        if all(entry.step == 0 and entry.sum == 0.0 for entry in entries):
            return
        wrong = int(audit.retake(self, optimizer.param_groups, True).sum())
        if wrong:
            warnings.warn(f"exp_avg_sq_sum: for {wrong} parameters the state has another sum than that of exp_avg_sq, "
                          "which was changed elsewhere; it is taken from exp_avg_sq", stacklevel=6)
        damaged = self.plan.stats(self.workspace, self.stream(), self.synchronize).damaged_segment
        if damaged and optimizer.nonfinite == "skip" and any(
                group["decay"] in FOLLOWS_GRADIENTS for group in optimizer.param_groups):
            member = self.members[damaged - 1]
            raise ValueError(f"exp_avg_sq: that of a parameter of shape {tuple(member.shape)} in group {member.group} "
                             "holds NaN or infinity, and scheduled and relative decay divide by its mean")

    # ---- Where ----

    def current_device(self) -> contextlib.AbstractContextManager[Any]:
        return torch.cuda.device(self.device) if self.on_cuda else contextlib.nullcontext()

    def stream(self) -> int:
        return torch.cuda.current_stream(self.device).cuda_stream if self.on_cuda else 0

    def synchronize(self) -> None:
        if self.on_cuda:
            torch.cuda.current_stream(self.device).synchronize()

    # ---- Pointers ----

    def _make_tables(self) -> dict[Buffer, list[torch.Tensor | None]]:
        """The tensors behind each pointer table but that of the gradients."""
        tables: dict[Buffer, list[torch.Tensor | None]] = {Buffer.PARAM: [member.work for member in self.members]}
        if self.has_copy:
            tables[Buffer.PARAM_COPY] = [member.copy for member in self.members]
        for buffer in self.members[0].stored if self.members else ():
            tables[buffer] = [member.stored[buffer] for member in self.members]
        return tables

    def _mark_gradients(self, present: list[bool]) -> None:
        """The flat layout's word for a missing gradient: a byte per segment."""
        if all(present):
            self.args.struct.has_grad = None
            return
        if not len(self.has_grad):
            self.has_grad = torch.empty(len(present), dtype=torch.uint8, device=self.device)
        self.has_grad.fill_(1)
        for k in (k for k, here in enumerate(present) if not here):
            self.has_grad[k:k + 1].zero_()
        self.args.struct.has_grad = self.has_grad.data_ptr()

    # ---- The step ----

    def norms(self) -> torch.Tensor:
        """param_norm and update_norm of the latest step, where the library keeps them: a view."""
        first = (self.plan.stats_address(self.workspace) - self.workspace.data_ptr() + StatsStruct.param_norm.offset)
        return self.workspace[first:first + 16].view(torch.float64)

    def prepare(self, grads: Grads, groups: Groups) -> None:
        """Everything a step needs before its first launch. grads: a tensor or None for each member."""
        audit.keep(self, groups)
        if self.addresses is not None:
            self.args.struct.has_grad, self.keep = None, grads
            try:
                if self.flat is None:
                    self.pointers.move(self, self.tables, grads, self.addresses)
                return
            except Error as error:
                if error.name != "SWD_ERR_OVERLAP":
                    raise
                self.addresses = None  # two gradients share memory
        for member, grad in zip(self.members, grads):
            if grad is not None:
                member.before_step()
        if self.flat:
            self.flat.gather((member.param, grad) for member, grad in zip(self.members, grads) if grad is not None)
            self._mark_gradients([grad is not None for grad in grads])
            return
        # A gradient that was put into another order must live until the step has read it.
        self.keep = sharing.apart([None if grad is None else member.ordered(grad) for member, grad in zip(self.members, grads)])
        self.pointers.move(self, self.tables, self.keep)

    def finish(self, grads: Grads) -> None:
        if self.addresses is not None:
            versions.increment(self.params)
            self.keep, self.addresses = [], None
            return
        self.keep = []
        stepped = [member for member, grad in zip(self.members, grads) if grad is not None]
        for member in stepped:
            member.after_step()
        versions.increment([member.param for member in stepped])
