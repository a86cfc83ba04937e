# SPDX-License-Identifier: Apache-2.0
"""How the state of a parameter is stored: the presets of ``AdamS(states=...)``, the tensors of each by name, and the ways
from and to float32. Called by blocks, narrow and checkpoint.

A narrow second moment is stored over a number of its own, exp_avg_sq_unit, and no narrow array has a name that another
optimizer would take for a moment.
"""
from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Iterable, Mapping, NamedTuple, Sequence

import torch

from .. import Buffer, Buffers, Plan

if TYPE_CHECKING:
    from .. import Segment

UNIT, REMAINDER, REMAINDER_BYTES = "exp_avg_sq_unit", "remainder", "remainder_bytes"  # the last: see remainders
PRESETS = ("fp32", "mixed16", "compact8", "tiny8")


class Slot(NamedTuple):
    """A tensor of the state."""
    name: str
    buffer: Buffer
    dtype: torch.dtype
    scales: bool = False  # one element for each block, not for each of the parameter: see blocks


_WIDE = (Slot("exp_avg", Buffer.EXP_AVG, torch.float32), Slot("exp_avg_sq", Buffer.EXP_AVG_SQ, torch.float32))
_BF16 = (Slot("exp_avg_bf16", Buffer.EXP_AVG, torch.bfloat16),
         Slot("exp_avg_sq_bf16_over_unit", Buffer.EXP_AVG_SQ, torch.bfloat16))
_BLOCK8 = (Slot("exp_avg_block8", Buffer.EXP_AVG, torch.uint8),
           Slot("exp_avg_sq_block8_over_unit", Buffer.EXP_AVG_SQ, torch.uint8),
           Slot("exp_avg_block8_scale", Buffer.EXP_AVG_SCALE, torch.uint8, True),
           Slot("exp_avg_sq_block8_scale", Buffer.EXP_AVG_SQ_SCALE, torch.uint8, True))
_MOMENTS: dict[str, tuple[Slot, ...]] = {"float32": _WIDE, "bfloat16": _BF16, "block8": _BLOCK8}
_LOW: dict[str | None, tuple[Slot, ...]] = {"int16": (Slot(REMAINDER, Buffer.REMAINDER, torch.int16),),
        "int8": (Slot(REMAINDER, Buffer.REMAINDER, torch.int8),), None: ()}
_MAX = Slot("max_exp_avg_sq", Buffer.MAX_EXP_AVG_SQ, torch.float32)
NATIVE = tuple(slot.name for slot in _BF16 + _BLOCK8) + (REMAINDER, REMAINDER_BYTES)


class Form(NamedTuple):
    """What an engine stores of its parameters: words of Plan."""
    param: str = "float32"
    remainder: str | None = None
    moment: str = "float32"

    @property
    def narrow(self) -> bool:
        return self.moment != "float32"

    @property
    def split(self) -> bool:
        """The parameter is bf16 itself, not a copy of a master."""
        return self.param == "bfloat16"

    @property
    def moments(self) -> tuple[Slot, ...]:
        """exp_avg_sq is the second."""
        return _MOMENTS[self.moment]

    def slots(self, amsgrad: bool) -> tuple[Slot, ...]:
        """Moments first."""
        return self.moments + ((_MAX,) if amsgrad else ()) + _LOW[self.remainder]

    def plan(self, segments: Sequence[Segment | int], **options: Any) -> Plan:
        return Plan(segments, param_dtype=self.param, remainder_dtype=self.remainder, moment_dtype=self.moment, **options)


_OF_BF16 = {"fp32": Form("bfloat16", "int16"), "mixed16": Form("bfloat16", "int16", "bfloat16"),
            "compact8": Form("bfloat16", "int8", "block8"), "tiny8": Form("bfloat16", None, "block8")}
_OF_F32 = {"fp32": Form(), "mixed16": Form(moment="bfloat16"), "compact8": Form(moment="block8")}


def form_of(states: str, dtype: torch.dtype, amsgrad: bool) -> Form:
    """The Form of a preset for parameters of a dtype; refuses what does not go together."""
    if states not in PRESETS:
        raise ValueError(f"states: {states!r} is none of {', '.join(PRESETS)}")
    if dtype == torch.float16 and states != "fp32":
        raise ValueError(f"states: {states!r} with float16 parameters, which keep a float32 master: float16 cannot hold its "
                         "exponents; expected 'fp32', or bfloat16 parameters")
    if dtype == torch.float32 and states == "tiny8":
        raise ValueError("states: 'tiny8' is bfloat16 parameters without a remainder; these are float32: expected "
                         "'compact8', which keeps them")
    form = Form() if dtype == torch.float16 else (_OF_BF16 if dtype == torch.bfloat16 else _OF_F32)[states]
    if amsgrad and form.narrow:
        raise ValueError(f"states: {states!r} with amsgrad, whose maximum of rounded moments would only rise")
    return form


def held(state: dict[str, Any]) -> list[str]:
    """The dtypes of moments that a state has whole: more than one where torch merged two state_dicts, see merged."""
    return [moment for moment, slots in _MOMENTS.items() if all(slot.name in state for slot in slots)]


def names_of(moment: str) -> tuple[str, ...]:
    """What belongs to moments of a dtype, and to no others."""
    return tuple(slot.name for slot in _MOMENTS[moment] + ((_MAX,) if moment == "float32" else ()))


def other_form(state: dict[str, Any], own: Form) -> Form | None:
    """The Form in which a state holds narrow moments, other than those of `own`; or None."""
    found = [moment for moment in held(state) if moment not in ("float32", own.moment)]
    return Form(moment=found[0]) if found else None


def check_complete(state: dict[str, Any]) -> None:
    """Refuses narrow moments of which something is missing."""
    for moment in (_BF16, _BLOCK8):
        missing = [slot.name for slot in moment if slot.name not in state]
        if 0 < len(missing) < len(moment):
            raise ValueError(f"{', '.join(missing)}: the state has none, but others of these moments")


def foreign(state: dict[str, Any], own: Form) -> bool:
    """Whether a state holds what an optimizer of this Form stores otherwise, under other names."""
    wide = own.narrow and any(slot.name in state for slot in _WIDE)
    return wide or other_form(state, own) is not None


def _memory(tensor: torch.Tensor) -> torch.Tensor:
    """The elements of a gapless tensor as they lie in memory: a view."""
    return tensor.detach().as_strided((tensor.numel(),), (1,))


def convert(form: Form, device: torch.device, arrays: Mapping[Buffer, Sequence[torch.Tensor]], counts: Sequence[int],
            units: Sequence[float], fp32: Mapping[str, Sequence[torch.Tensor | None]], store: bool) -> None:
    """Between what is stored in a form and float32, for several parameters. arrays: {Buffer: a gapless tensor of each}.
    fp32: {"param" | "exp_avg" | "exp_avg_sq": a gapless float32 tensor or None of each}, read, or written if `store`.
    All of one parameter lie in the same memory order, whichever it is."""
    plan = form.plan(list(counts), backend=device.type, as_list=True)
    words = torch.zeros(plan.state_bytes // 8, dtype=torch.int64, device="cpu")
    for k, unit in enumerate(units):
        plan.set_state(words, k, 0, 0.0, unit)
    words, workspace = words.to(device), torch.empty(plan.workspace_bytes, dtype=torch.uint8, device=device)
    stream = torch.cuda.current_stream(device).cuda_stream if device.type == "cuda" else 0
    plan.init_workspace(workspace, stream)
    for buffer, tensors in arrays.items():
        plan.set_pointers(workspace, buffer, [_memory(tensor) for tensor in tensors], stream=stream)
    ways = {name: [None if tensor is None else _memory(tensor) for tensor in tensors] for name, tensors in fp32.items()}
    (plan.store if store else plan.load)(Buffers(plan, state=words, workspace=workspace), stream=stream, **ways)


def split_master(master: torch.Tensor, param: torch.Tensor) -> torch.Tensor:
    """A float32 master and its bfloat16 parameter as one number: the master where the parameter is its rounding, either
    way at a tie, and the parameter where somebody wrote another value."""
    away = ((master.view(torch.int32) + 0x8000) >> 16).to(torch.int16)
    same = (away == param.contiguous().view(torch.int16).view(param.shape)) | (master.to(torch.bfloat16) == param)
    return torch.where(same, master, param.float())


def joined(param: torch.Tensor, low: torch.Tensor) -> torch.Tensor:
    """A bfloat16 parameter and its remainder of 8 or 16 bits as float32. Where the parameter was set to 0 or infinity since,
    the sum is NaN, and the parameter is what was written: as in kernels/split.h."""
    visible = param.contiguous().view(torch.int16).to(torch.int32) << 16
    both = (visible + (low.to(torch.int32) << (8 if low.dtype == torch.int8 else 0))).view(torch.float32)
    return torch.where(both.isnan(), visible.view(torch.float32), both)


def say_rounded(names: Iterable[str]) -> None:
    warnings.warn(f"states: {', '.join(sorted(names))} of the loaded state lie in another form, and are rounded to what this "
                  "optimizer stores", stacklevel=7)
