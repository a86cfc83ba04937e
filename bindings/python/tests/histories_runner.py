# SPDX-License-Identifier: Apache-2.0
"""Runs a state machine of Hypothesis: histories that are always the same, or with SWD_HISTORIES=N so many new ones, of twice as
many calls. Used by test_histories and test_neutral."""
import os

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from swd.torch import early


def run_histories(machine, usual, monkeypatch):
    monkeypatch.setattr(early, "_BATCH", {"cpu": 1, "cuda": 1})  # else gradients so small wait for the step
    count = int(os.environ.get("SWD_HISTORIES") or "0")
    run_state_machine_as_test(machine, settings=settings(
        max_examples=count or usual, stateful_step_count=60 if count else 30, derandomize=not count, database=None, deadline=None,
        suppress_health_check=list(HealthCheck), phases=[Phase.generate], report_multiple_bugs=False))
