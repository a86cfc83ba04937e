# SPDX-License-Identifier: Apache-2.0
"""Fetch: the statistics of one engine on their way to the host, without waiting for the device. Used by watch and
report."""
import ctypes

import torch

from ..stats import StatsStruct, decode, enqueue


class Fetch:
    """Asks in the engine's current stream. On CUDA into pinned memory, with an event behind it."""

    def __init__(self, engine):
        self._groups = engine.plan.group_count
        self._host = torch.empty(ctypes.sizeof(StatsStruct) + 8 * self._groups, dtype=torch.uint8, device="cpu",
                                 pin_memory=engine.on_cuda)
        self._event = None
        with engine.current_device():
            enqueue(engine.plan, engine.workspace, *self._structs(), engine.stream())
            if engine.on_cuda:
                event = torch.cuda.Event()
                event.record(torch.cuda.current_stream(engine.device))
                self._event = event

    def __del__(self):
        """PyTorch would give the pinned memory to somebody else while the copy is still on its way."""
        if getattr(self, "_event", None) is not None and not self._event.query():
            self._event.synchronize()

    def _structs(self):
        address = self._host.data_ptr()
        return (StatsStruct.from_address(address),
                (ctypes.c_double * self._groups).from_address(address + ctypes.sizeof(StatsStruct)))

    @property
    def arrived(self):
        return self._event is None or self._event.query()

    def result(self):
        """The Stats; waits for them if they have not arrived."""
        if self._event is not None:
            self._event.synchronize()
        return decode(*self._structs())
