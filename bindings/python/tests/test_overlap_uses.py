# SPDX-License-Identifier: Apache-2.0
"""overlap_norm with scalers, several optimizers and engines, closures, copies and compilers; what torch does not see is found,
and nothing is left behind."""
import gc
import os
import subprocess
import sys

import pytest
import torch

import overlap_world
from overlap_stories import zeroed
from overlap_world import World, compare
from swd.torch import AdamS, DecayWarning, GradScaler, early

pytestmark = pytest.mark.filterwarnings(f"ignore::{DecayWarning.__module__}.DecayWarning")


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(early, "_BATCH", {"cpu": 1, "cuda": 1})


@pytest.mark.parametrize("make", [GradScaler, torch.amp.GradScaler])
@pytest.mark.parametrize("unscale", [False, True])
def test_loss_scaling(make, unscale):
    def train(overlap):
        w, scaler = World(overlap, max_grad_norm=None if unscale else 0.4), make("cpu", init_scale=2.0 ** 9, growth_interval=2)
        for w.step in range(7):
            w.optimizer.zero_grad()
            w.backward(scaler.scale(torch.ones(())) * (float("inf") if w.step == 4 else 1.0))
            if unscale:
                scaler.unscale_(w.optimizer)
                if w.step % 2:
                    torch.nn.utils.clip_grad_norm_(w.net.parameters(), 0.1)
            w.finish(lambda: scaler.step(w.optimizer))
            scaler.update()
        w.extra.append(torch.tensor(scaler.get_scale()))
        return w
    one = train(True)
    compare(train(False), one)
    assert one.early[-1] == [9 if unscale else 0]


def test_two_optimizers_of_one_model():
    def train(overlap):
        w = World(overlap, groups=True)
        first, second = ([group] for group in w.optimizer.param_groups)
        w.optimizer = AdamS(first, overlap_norm=overlap, max_grad_norm=0.2)
        other = AdamS(second, overlap_norm=overlap, decay="l2")
        for w.step in range(5):
            other.zero_grad()
            zeroed(w)
            if w.step == 3:
                w.net.turned.grad.mul_(2.0)
            other.step()
            w.finish()
        w.extra += [param for group in second for param in group["params"]]
        return w
    compare(train(False), train(True))


def test_engines_of_several_dtypes():
    def train(overlap):
        w = World(overlap)
        w.net.c.to(torch.bfloat16)
        forward, w.net.c.forward = w.net.c.forward, lambda x: forward(x.bfloat16()).float()
        for w.step in range(5):
            zeroed(w)
            w.finish()
        return w
    one = train(True)
    compare(train(False), one)
    assert one.early[-1] == [0, 0]


def test_a_closure_and_a_hook_that_raises():
    def train(overlap):
        def hook(record):
            if hook.fails:
                raise ArithmeticError
        w, hook.fails = World(overlap, record_hook=hook, amsgrad=True), False
        for w.step in range(6):
            hook.fails = w.step == 3
            try:
                w.finish(lambda: w.optimizer.step(lambda: zeroed(w)))
            except ArithmeticError:
                pass
        return w
    compare(train(False), train(True))


@pytest.mark.parametrize("flat", [False, True], ids=["list", "flat"])
def test_what_torch_does_not_see_is_found(flat):
    def train(overlap):
        w = World(overlap, flat)
        for w.step in range(4):
            zeroed(w)
            w.net.b.weight.grad.data.clamp_(-0.01, 0.01)
            if overlap and w.step == 1:
                with pytest.warns(UserWarning, match="overlap_norm: a gradient was changed") as found:
                    w.finish()
                assert found[0].filename == overlap_world.__file__
            else:
                w.finish()
        return w
    one = train(True)
    compare(train(False), one)
    assert one.early[-1] == [9]


def test_a_dead_optimizer_leaves_no_hooks():
    w = World(True)
    zeroed(w)
    w.finish()
    params = list(w.net.parameters())
    assert all(len(param._post_accumulate_grad_hooks) == 1 for param in params)
    w.optimizer = None
    gc.collect()
    assert not any(param._post_accumulate_grad_hooks for param in params)
    plain = World(False)
    assert not any(getattr(param, "_post_accumulate_grad_hooks", None) for param in plain.net.parameters())


def test_loading_puts_no_second_hook_on_a_parameter():
    w = World(True)
    zeroed(w)
    w.finish()
    for _ in range(3):
        w.optimizer.load_state_dict(w.optimizer.state_dict())
        gc.collect()
    assert all(len(param._post_accumulate_grad_hooks) == 1 for param in w.net.parameters())


def test_gradients_are_not_kept_alive():
    w = World(True)
    zeroed(w)
    w.finish()
    w.net.zero_grad()
    w.backward()
    count = len([1 for thing in gc.get_objects() if type(thing) is torch.Tensor and thing.shape == (5, 70)])
    w.net.zero_grad()
    gc.collect()
    assert len([1 for thing in gc.get_objects() if type(thing) is torch.Tensor and thing.shape == (5, 70)]) < count


def test_compiled_backward_and_option():
    w, plain = World(True), World(False)
    with pytest.raises(TypeError, match="overlap_norm: 1 is neither True nor False"):
        AdamS(w.net.parameters(), overlap_norm=1)
    for one in (w, plain):
        net = torch.compile(one.net, backend="aot_eager")
        for one.step in range(3):
            torch.manual_seed(one.step)
            one.optimizer.zero_grad()
            net(torch.randn(4, 6)).square().mean().backward()
            one.finish()
    compare(plain, w)
    assert w.early[-1] == [0]


@pytest.mark.long
def test_the_benchmark_runs():
    """It ends with an error where bits differ."""
    bench = os.path.join(os.path.dirname(os.path.abspath(__file__)), *[os.pardir] * 3, "bench", "overlap_norm.py")
    said = subprocess.run([sys.executable, bench, "--quick", "--one"], capture_output=True, text=True, check=True).stdout
    assert "both " in said and 28 < float(said.split("overlap ")[1].split()[0]) < 32
