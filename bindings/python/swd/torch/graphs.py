# SPDX-License-Identifier: Apache-2.0
"""What those make of a step who record programs: torch.compile meets it as one opaque call, and CUDA graphs capture it
where every group allows that. Used by AdamS.
"""
from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, TypeVar, cast

import torch
from torch._compile import _disable_dynamo

if TYPE_CHECKING:
    from .adams import AdamS

_Call = TypeVar("_Call", bound=Callable[..., Any])


def opaque(function: _Call) -> _Call:
    """A function that torch.compile calls and does not look into. The compiler is loaded when it meets it."""
    return cast(_Call, _disable_dynamo(function))


def hide_step(optimizer_class: Any) -> None:
    """Makes the step of a class opaque with the hooks that torch.optim has put around it."""
    if not getattr(optimizer_class.step, "opaque", False):
        optimizer_class.step = opaque(optimizer_class.step)
        optimizer_class.step.opaque = True


def check_capture(optimizer: AdamS) -> bool:
    """Whether a CUDA graph is being captured; refuses that where a group does not allow it."""
    capturing = torch.cuda.is_initialized() and torch.cuda.is_current_stream_capturing()
    if capturing and not all(group["capturable"] for group in optimizer.param_groups):
        raise RuntimeError("capturable: a step of AdamS is being captured into a CUDA graph, but a group has "
                           "capturable=False")
    return capturing
