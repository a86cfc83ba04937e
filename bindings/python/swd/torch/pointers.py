# SPDX-License-Identifier: Apache-2.0
"""Pointers: what the plan of an engine was last told of where its tensors lie. Driven by Engine, for lists."""
from __future__ import annotations

from typing import TYPE_CHECKING, Mapping, Sequence

import torch

from .. import Buffer

if TYPE_CHECKING:
    from .engine import Engine

_MOVING = (Buffer.PARAM, Buffer.PARAM_COPY)  # others stay where they are as long as the engine lives


class Pointers:
    def __init__(self) -> None:
        self._sent: dict[Buffer, list[int | None]] = {}
        self._captured, self.moves = False, 0  # moves: calls that told of others than gradients

    def move(self, engine: Engine, tables: Mapping[Buffer, Sequence[torch.Tensor | None]],
             grads: Sequence[torch.Tensor | None], known: list[int] | None = None) -> None:
        """Before a step. known: the addresses of the gradients, where no other tensor has moved. A graph holds the
        pointers of its capture, so everything is sent while one is captured, and always afterwards: a replay changes
        the tables behind our back."""
        self._captured = self._captured or (engine.on_cuda and torch.cuda.is_current_stream_capturing())
        if known is not None and not self._captured:
            self._send(engine, Buffer.GRAD, list(known))
            return
        self.send(engine, tables if self._captured else {b: t for b, t in tables.items() if b in _MOVING})
        self.send(engine, {Buffer.GRAD: grads})

    def told_of(self, params: list[int]) -> bool:
        """Whether the library has these addresses of the parameters, or of their copies, where a master is the parameter."""
        return self._sent.get(Buffer.PARAM_COPY, self._sent.get(Buffer.PARAM)) == params

    def send(self, engine: Engine, tables: Mapping[Buffer, Sequence[torch.Tensor | None]]) -> None:
        """Sends what changed since the last call."""
        for buffer, tensors in tables.items():
            self._send(engine, buffer, [None if tensor is None else tensor.data_ptr() for tensor in tensors])

    def _send(self, engine: Engine, buffer: Buffer, addresses: list[int | None]) -> None:
        old = self._sent.get(buffer)
        first, last = 0, len(addresses)
        if old is not None and not self._captured:
            while first < last and old[first] == addresses[first]:
                first += 1
            while last > first and old[last - 1] == addresses[last - 1]:
                last -= 1
        if last > first:
            if buffer != Buffer.GRAD:
                self.moves += 1
                if Buffer.GRAD in self._sent:
                    self._forget_gradients(engine)
            engine.plan.set_pointers(engine.workspace, buffer, addresses[first:last], first, engine.stream())
        self._sent[buffer] = addresses

    def put(self, engine: Engine, first: int, addresses: list[int]) -> bool:
        """Some gradients before the step; False: nothing was sent, as a graph was captured or no step has been."""
        sent = self._sent.get(Buffer.GRAD)
        if self._captured or sent is None:
            return False
        if sent[first:first + len(addresses)] != addresses:
            engine.plan.set_pointers(engine.workspace.data_ptr(), Buffer.GRAD, addresses, first, engine.stream())
            sent[first:first + len(addresses)] = addresses
        return True

    def _forget_gradients(self, engine: Engine) -> None:
        """The library compares what it gets with what it has, and memory of old gradients may be a parameter's now."""
        nothing: list[int | None] = [None] * len(self._sent[Buffer.GRAD])
        if not engine.on_cuda and self._sent[Buffer.GRAD] != nothing:
            engine.plan.set_pointers(engine.workspace, Buffer.GRAD, nothing)
            self._sent[Buffer.GRAD] = nothing
