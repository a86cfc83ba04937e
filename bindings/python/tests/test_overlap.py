# SPDX-License-Identifier: Apache-2.0
"""overlap_norm: stories of what happens between backward and step, told twice, without and with it: equal bits, and what was
reduced early is not reduced again. What torch does not see is found."""
import copy
import gc
import os
import pickle
import subprocess
import sys
import threading

import pytest
import torch

import swd
from swd.torch import AdamS, DecayWarning, GradScaler, early, flatten

pytestmark = pytest.mark.filterwarnings(f"ignore::{DecayWarning.__module__}.DecayWarning")


class Net(torch.nn.Module):
    """The third layer is used at every other step, and one parameter lies in another order."""

    def __init__(self, dtype=torch.float32, optional=False):
        super().__init__()
        self.a, self.b, self.c = torch.nn.Linear(6, 70), torch.nn.Linear(70, 5), torch.nn.Linear(5, 5)
        self.n, self.turned = torch.nn.LayerNorm(70), torch.nn.Parameter(torch.randn(5, 3).t())
        self.to(dtype)
        self.optional, self.calls = optional, 0

    def forward(self, x):
        self.calls += 1
        out = self.b(torch.tanh(self.n(self.a(x))))
        if not self.optional or self.calls % 2:
            out = self.c(out)
        return out @ self.turned.t()


class World:
    """A network, its optimizer, and how much of it was early at each step."""

    def __init__(self, overlap, flat=False, dtype=torch.float32, optional=False, groups=False, **options):
        torch.manual_seed(3)
        self.net, self.step, self.early, self.extra = Net(dtype, optional), 0, [], []
        params = list(self.net.parameters())
        if flat:
            flatten(params)
        given = [{"params": params[:3], "lr": 0.02}, {"params": params[3:], "betas": (0.5, 0.9)}] if groups else params
        self.optimizer = AdamS(given, **{**dict(lr=0.01, max_grad_norm=0.4, overlap_norm=overlap), **options})

    def backward(self, scale=1.0):
        x = torch.randn(4, 6).to(self.net.turned.dtype)
        (self.net(x).float().square().mean() * scale).backward()

    def finish(self, step=None):
        (step or self.optimizer.step)()
        self.early.append([sum(count for _, count in engine.rest) for engine in self.optimizer._layout.engines])

    def bits(self):
        params = [param for group in self.optimizer.param_groups for param in group["params"]]
        state = [value for entry in self.optimizer.state.values() for value in entry.values()]
        return [tensor.detach().clone().double() for tensor in [*params, *state, *self.extra]]

    def segments(self):
        return [len(engine.members) for engine in self.optimizer._layout.engines]


def zeroed(w):
    w.optimizer.zero_grad()
    w.backward()


def clipped(w):
    zeroed(w)
    torch.nn.utils.clip_grad_norm_(w.net.parameters(), 0.1)


def in_place(w):
    zeroed(w)
    w.net.b.weight.grad.mul_(3.0)
    w.net.a.bias.grad[:2] = 0.5


def replaced(w):
    zeroed(w)
    w.net.b.weight.grad = w.net.b.weight.grad * 3.0


def replaced_in_its_place(w):
    """The new tensor lies where the old one lay, and has its version."""
    zeroed(w)
    where, w.net.n.weight.grad = w.net.n.weight.grad.data_ptr(), None
    kept = []
    for _ in range(50):
        kept.append(torch.full((70,), 0.25))
        if kept[-1].data_ptr() == where:
            break
    w.net.n.weight.grad = kept[-1]


def taken_away(w):
    zeroed(w)
    if w.step > 2:
        w.net.b.bias.grad = None


def accumulated(w):
    w.optimizer.zero_grad(set_to_none=w.step % 2 == 0)
    for _ in range(3):
        w.backward()


def announced(w):
    w.optimizer.zero_grad()
    with w.optimizer.accumulate():
        w.backward()
        w.backward()
    w.backward()


def announced_wrongly(w):
    zeroed(w)
    with w.optimizer.accumulate():
        w.backward()


def thrown_away(w):
    zeroed(w)
    w.net.zero_grad(set_to_none=w.step % 2 == 0)
    w.backward()


def half_thrown_away(w):
    """What was reduced must not join a step in which it has no gradient."""
    zeroed(w)
    w.net.zero_grad()
    w.net.a(torch.randn(2, 6).to(w.net.a.bias.dtype)).float().square().mean().backward()


def other_betas(w):
    zeroed(w)
    w.optimizer.param_groups[0]["betas"] = (0.7, 0.9 + 0.01 * w.step)


def other_options(w):
    zeroed(w)
    w.optimizer.param_groups[0].update(lr=0.03, weight_decay=0.01 * w.step)
    w.optimizer.max_grad_norm = 0.1 + w.step


def state_edited(w):
    zeroed(w)
    state = w.optimizer.state.get(w.net.b.weight)
    if state:
        state["step"].fill_(3)
        w.optimizer.state[w.net.a.weight]["exp_avg_sq"].mul_(2.0)


def state_replaced(w):
    zeroed(w)
    if w.step:
        w.optimizer.state[w.net.a.weight]["exp_avg"] = torch.ones_like(w.net.a.weight)


def asked(w):
    zeroed(w)
    w.extra.append(torch.tensor(w.optimizer.vbar()))
    w.optimizer.stats(), w.optimizer.state_dict()


def loaded(w):
    zeroed(w)
    w.optimizer.load_state_dict(copy.deepcopy(w.optimizer.state_dict()))


def parameter_moved(w):
    """The memory of the old parameter may be a gradient's at the next step."""
    zeroed(w)
    w.net.a.weight.data = w.net.a.weight.data.clone()
    w.net.n.weight.data = w.net.n.weight.data.clone()


def not_finite(w):
    zeroed(w)
    if w.step == 2:
        w.net.b.weight.grad[0, 0] = float("nan")


def not_finite_by_itself(w):
    w.optimizer.zero_grad()
    w.backward(float("inf") if w.step in (1, 3) else 1.0)


def thawed(w):
    w.net.c.requires_grad_(w.step > 2)
    zeroed(w)


def added(w):
    zeroed(w)
    if w.step == 2:
        new = torch.nn.Parameter(torch.randn(80))
        w.optimizer.add_param_group({"params": [new], "lr": 0.1})
    for group in w.optimizer.param_groups[1:]:
        for param in group["params"]:
            (param * torch.randn_like(param)).sum().backward()


def toggled(w):
    w.optimizer.overlap_norm = w.optimizer.overlap_norm is not (w.step == 3)
    zeroed(w)


def threaded(w):
    thread = threading.Thread(target=zeroed, args=(w,))
    thread.start()
    thread.join()


def twice(w):
    zeroed(w)
    w.optimizer.step()


def by_the_model(w):
    w.net.zero_grad()
    w.backward()


def copied(w):
    zeroed(w)
    if w.step == 2:
        w.net, w.optimizer = copy.deepcopy((w.net, w.optimizer))
    elif w.step == 4:
        w.net, w.optimizer = pickle.loads(pickle.dumps((w.net, w.optimizer)))


STORIES = [zeroed, clipped, in_place, replaced, replaced_in_its_place, taken_away, accumulated, announced, announced_wrongly,
           thrown_away, half_thrown_away, other_betas, other_options, state_edited, state_replaced, asked, loaded,
           parameter_moved, not_finite, not_finite_by_itself, thawed, added, toggled, threaded, twice, by_the_model, copied]
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


def tell(story, overlap, steps=6, **options):
    w = World(overlap, **options)
    for w.step in range(steps):
        story(w)
        w.finish()
    return w


def compare(one, two):
    a, b = one.bits(), two.bits()
    assert len(a) == len(b) and all(torch.equal(x.nan_to_num(7.0), y.nan_to_num(7.0)) for x, y in zip(a, b))
    assert str(one.optimizer.stats()) == str(two.optimizer.stats())


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
                assert found[0].filename == __file__
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


def test_the_benchmark_runs():
    """It ends with an error where bits differ."""
    bench = os.path.join(os.path.dirname(os.path.abspath(__file__)), *[os.pardir] * 3, "bench", "overlap_norm.py")
    said = subprocess.run([sys.executable, bench, "--quick", "--one"], capture_output=True, text=True, check=True).stdout
    assert "both " in said and 28 < float(said.split("overlap ")[1].split()[0]) < 32
