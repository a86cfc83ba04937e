# SPDX-License-Identifier: Apache-2.0
"""Fetch: the statistics of one engine on their way to the host, without waiting for the device. Used by watch and
report."""
from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

import torch

from .._structs import StatsStruct
from ..stats import Stats, decode, enqueue

if TYPE_CHECKING:
    from .engine import Engine


class Fetch:
    """Asks in the engine's current stream. On CUDA into pinned memory, with an event behind it."""

    def __init__(self, engine: Engine) -> None:
        self._groups = engine.plan.group_count
        self._host = torch.empty(ctypes.sizeof(StatsStruct) + 8 * self._groups, dtype=torch.uint8, device="cpu",
                                 pin_memory=engine.on_cuda)
        self._event: torch.cuda.Event | None = None
        with engine.current_device():
            enqueue(engine.plan, engine.workspace, *self._structs(), engine.stream())
            if engine.on_cuda:
                event = torch.cuda.Event()
                event.record(torch.cuda.current_stream(engine.device))
                self._event = event

    def __del__(self) -> None:
        """PyTorch would give the pinned memory to somebody else while the copy is still on its way."""
        event = getattr(self, "_event", None)
        if event is not None and not event.query():
            event.synchronize()

    def _structs(self) -> tuple[StatsStruct, Any]:
        address = self._host.data_ptr()
        return (StatsStruct.from_address(address),
                (ctypes.c_double * self._groups).from_address(address + ctypes.sizeof(StatsStruct)))

    @property
    def arrived(self) -> bool:
        return self._event is None or self._event.query()

    def result(self) -> Stats:
        """The Stats; waits for them if they have not arrived."""
        if self._event is not None:
            self._event.synchronize()
        return decode(*self._structs())
