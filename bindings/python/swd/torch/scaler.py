# SPDX-License-Identifier: Apache-2.0
"""GradScaler that lets AdamS look for infinities itself: no pass over the gradients of its own."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from .. import Result
from .adams import AdamS

if TYPE_CHECKING:
    from .engine import Engine


def _verdict(engine: Engine) -> torch.Tensor:
    """1.0 if the gradients made the latest step of this engine be skipped; a tensor on its device, nothing is read."""
    first = engine.plan.stats_address(engine.workspace) - engine.workspace.data_ptr()
    result = engine.workspace[first:first + 4].view(torch.int32)
    skipped = (result >= Result.SKIPPED_NONFINITE) & (result <= Result.SKIPPED_UNDERFLOW)
    return skipped.to(torch.float32).reshape(())


class GradScaler(torch.amp.GradScaler):
    """torch.amp.GradScaler for AdamS, and as it is for other optimizers.

    torch's own works with AdamS too, but reads and writes all gradients once more to look for infinities. Here the
    step's first pass does it: the scale goes into the step as a pointer, and the verdict comes out of the library's
    statistics on the device. After unscale_, which makes that pass, the step obeys what it found. A step that the
    library skipped because gradients were not finite, or because unscaled they would overflow or underflow, counts as
    one with infinities.
    """

    def _check_inf_per_device(self, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
        if not isinstance(optimizer, AdamS):
            return super()._check_inf_per_device(optimizer)
        state = self._per_optimizer_states[id(optimizer)]
        found: dict[str, Any] = {}  # nothing is known yet; step() fills it in
        state["found_inf_per_device"] = found
        return found

    def step(self, optimizer: torch.optim.Optimizer, *args: Any, **kwargs: Any) -> Any:
        """Steps the optimizer. An AdamS finds out by itself whether the gradients are finite; others are as in PyTorch."""
        if not self._enabled or not isinstance(optimizer, AdamS):
            return super().step(optimizer, *args, **kwargs)
        try:
            result = super().step(optimizer, *args, **kwargs)
        finally:  # a step that was refused leaves them, and the next one without a scaler would be divided by the scale
            for name in ("grad_scale", "found_inf"):
                vars(optimizer).pop(name, None)
        engines = optimizer._layout.engines if optimizer._layout else []
        # All engines decide alike, so the first one speaks for all; what unscale_ found is part of their decision.
        found = _verdict(engines[0]) if engines else torch.zeros((), device=None if self._scale is None else self._scale.device)
        self._per_optimizer_states[id(optimizer)]["found_inf_per_device"] = {found.device: found}
        return result
