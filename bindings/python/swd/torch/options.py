# SPDX-License-Identifier: Apache-2.0
"""Options: looks at what users write into an optimizer and its groups between steps, as at construction. Asked by AdamS.step
before anything is touched."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import checks
from .steady import same

if TYPE_CHECKING:
    from .adams import AdamS

_GROUP = (*checks.GROUP, "differentiable")


class Options:
    """Those that are the very same objects as at the last look need no other one: a microsecond a group."""

    def __init__(self) -> None:
        self._seen: list[Any] = []

    def look(self, optimizer: AdamS) -> None:
        """Raises what the constructor would."""
        now = [getattr(optimizer, name) for name in checks.WHOLE]
        for group in optimizer.param_groups:
            now += map(group.get, _GROUP)
        if same(now, self._seen):
            return
        for group in optimizer.param_groups:
            checks.group(group)
        checks.whole(optimizer)
        self._seen = now
