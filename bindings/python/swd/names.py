# SPDX-License-Identifier: Apache-2.0
"""Turns the words that users write ("cuda", "bfloat16", "scheduled") into the numbers of the ABI. Used by plan."""
from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any, Mapping, TypeVar

from ._structs import Backend, Buffer, Decay, Dtype

if TYPE_CHECKING:
    from .plan import Plan

_Kind = TypeVar("_Kind", bound=enum.IntEnum)

_DTYPES = {"none": Dtype.NONE, "float32": Dtype.F32, "f32": Dtype.F32, "bfloat16": Dtype.BF16, "bf16": Dtype.BF16,
           "float16": Dtype.F16, "f16": Dtype.F16, "half": Dtype.F16, "int16": Dtype.I16, "int8": Dtype.I8,
           "block8": Dtype.BLOCK8}
DTYPE_NAMES = {Dtype.F32: "float32", Dtype.BF16: "bfloat16", Dtype.F16: "float16", Dtype.I16: "int16",
               Dtype.I8: "int8", Dtype.BLOCK8: "uint8"}  # of arrays
ELEMENT_BYTES = {Dtype.F32: 4, Dtype.BF16: 2, Dtype.F16: 2, Dtype.I16: 2, Dtype.I8: 1, Dtype.BLOCK8: 1}


def backend(value: Backend | str) -> Backend:
    """A Backend from one, or from "cpu" or "cuda"."""
    return _lookup("backend", value, Backend, {"cpu": Backend.CPU, "cuda": Backend.CUDA})


def dtype(value: Any, name: str) -> Dtype:
    """A Dtype from one, from None, or from a name; a framework's dtype object is taken by the last word of its text."""
    if value is None:
        return Dtype.NONE
    if not isinstance(value, (int, str)):
        value = getattr(value, "name", None) or str(value)
    if isinstance(value, str):
        value = value.rsplit(".", 1)[-1]
    return _lookup(name, value, Dtype, _DTYPES)


def buffer_dtype(plan: Plan, buffer: Buffer) -> Dtype:
    """The Dtype of the elements of a plan's buffer."""
    return {Buffer.PARAM: plan.param_dtype, Buffer.GRAD: plan.grad_dtype, Buffer.EXP_AVG: plan.moment_dtype,
            Buffer.EXP_AVG_SQ: plan.moment_dtype, Buffer.PARAM_COPY: plan.copy_dtype,
            Buffer.REMAINDER: plan.remainder_dtype, Buffer.EXP_AVG_SCALE: Dtype.BLOCK8,
            Buffer.EXP_AVG_SQ_SCALE: Dtype.BLOCK8}.get(buffer, Dtype.F32)


def decay(value: Decay | str) -> Decay:
    """A Decay from one, or from "scheduled", "relative", "decoupled", "l2" or "none"."""
    return _lookup("decay", value, Decay, {mode.name.lower(): mode for mode in Decay})


def _lookup(name: str, value: Any, kind: type[_Kind], words: Mapping[str, _Kind]) -> _Kind:
    if isinstance(value, str):
        if value.lower() not in words:
            raise ValueError(f"{name}: {value!r} is none of {', '.join(words)}")
        return words[value.lower()]
    try:
        return kind(value)
    except ValueError:
        raise ValueError(f"{name}: {value!r} is no {kind.__name__}") from None
