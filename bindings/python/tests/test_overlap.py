# SPDX-License-Identifier: Apache-2.0
"""overlap_norm: stories of what happens between backward and step, told twice, without and with it: equal bits, and what was
reduced early is not reduced again. How it is used: test_overlap_uses."""
import pytest
import torch

import swd
from overlap_stories import (STORIES, accumulated, announced, announced_wrongly, clipped, half_thrown_away, in_place,
                             not_finite_by_itself, other_betas, other_options, replaced, taken_away, zeroed)
from overlap_world import World, compare, tell
from swd.torch import DecayWarning, early

pytestmark = pytest.mark.filterwarnings(f"ignore::{DecayWarning.__module__}.DecayWarning")

OPTIONS = {
    "scheduled": {}, "relative": dict(decay="relative", reference_step=3), "decoupled": dict(decay="decoupled"),
    "l2": dict(decay="l2", weight_decay=0.1), "unclipped": dict(max_grad_norm=None), "amsgrad": dict(amsgrad=True),
    "norms": dict(update_norms=True), "groups": dict(groups=True, maximize=True), "optional": dict(optional=True),
    "hook": dict(record_hook=lambda record: record.mul_(2.0), amsgrad=True),
    "propagate": dict(nonfinite="propagate"), "bfloat16": dict(dtype=torch.bfloat16), "float16": dict(dtype=torch.float16),
    "mixed16": dict(states="mixed16"), "compact8": dict(states="compact8", rounding_seed=5),
    "tiny8": dict(states="tiny8", dtype=torch.bfloat16),
    "no norm": dict(nonfinite="propagate", max_grad_norm=None, decay="decoupled", measure_norm=False),
}


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(early, "_BATCH", {"cpu": 1, "cuda": 1})


@pytest.mark.parametrize("flat", [False, True], ids=["list", "flat"])
@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_a_story_ends_as_without(story, flat):
    compare(*(tell(story, overlap, flat=flat) for overlap in (False, True)))


@pytest.mark.parametrize("flat", [False, True], ids=["list", "flat"])
@pytest.mark.parametrize("name", OPTIONS)
def test_options(name, flat):
    for story in (zeroed, clipped, half_thrown_away):
        compare(*(tell(story, overlap, flat=flat, **OPTIONS[name]) for overlap in (False, True)))


@pytest.mark.parametrize("flat", [False, True], ids=["list", "flat"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_step_reduces_nothing_again(dtype, flat, monkeypatch):
    calls, steps, reduce, step = [], [], swd.Plan.reduce, swd.Plan.step
    monkeypatch.setattr(swd.Plan, "reduce", lambda *args, **kw: calls.append(args[4:6]) or reduce(*args, **kw))
    monkeypatch.setattr(swd.Plan, "step", lambda *args: steps.append(1) or step(*args))
    w = World(True, flat, dtype)
    for w.step in range(6):
        zeroed(w)
        before = len(calls)
        w.finish()
        assert len(calls) == before + (w.step in (1, 2))  # those that look for what torch does not see
    assert len(steps) == 1 and w.early == [w.segments()] + [[0]] * 5
    assert len(calls) == 5 * w.segments()[0] + 2


def test_only_what_changed_is_reduced_again():
    for story, left in ((in_place, 2), (replaced, 1), (taken_away, 1), (accumulated, 0), (announced, 0), (clipped, 9),
                        (announced_wrongly, 9), (other_options, 0), (other_betas, 9), (not_finite_by_itself, 0)):
        w = tell(story, True)
        assert w.segments() == [9] and w.early[-1] == [left], story


def test_small_gradients_share_a_call(monkeypatch):
    monkeypatch.setattr(early, "_BATCH", {"cpu": 2000})
    compare(tell(zeroed, False), one := tell(zeroed, True))
    assert one.early[-1] == [2]
    monkeypatch.setattr(early, "_MANY", 0)
    assert tell(in_place, True).early[-1] == [9]
