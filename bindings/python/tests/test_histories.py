# SPDX-License-Identifier: Apache-2.0
"""Histories: random sequences of what users do to one or two AdamS, against a plain AdamS in float64. How many: histories_runner."""
import pytest
import torch
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

import histories_moves as moves
import histories_states as states
from histories import VBAR, Run, close
from histories_runner import run_histories
from swd.torch import GradScaler, flatten

pytestmark = pytest.mark.filterwarnings("ignore::swd.torch.DecayWarning")

SHAPES = [[(3, 4), (7,), (1,)], [(4,), (2, 2)]]  # of two optimizers
RESERVE = [[(5,), (2, 3)], [(3,)]]
GROUP = {
    "lr": st.sampled_from([1e-3, 0.05, 0.0, "tensor"]),
    "betas": st.sampled_from([(0.9, 0.999), (0.8, 0.95), (0.3, 0.4), (0.0, 0.9)]),
    "eps": st.sampled_from([1e-8, 1e-3]),
    "weight_decay": st.sampled_from([1e-4, 1e-2, 0.3, 0.0]),
    "decay": st.sampled_from(["scheduled", "relative", "decoupled", "l2"]),
    "maximize": st.booleans(),
}
WHOLE = {
    "max_grad_norm": st.sampled_from([None, 0.5, 1e30]),
    "max_decay": st.sampled_from([None, 0.01, 1.0]),
    "nonfinite": st.sampled_from(["skip", "propagate"]),
    "measure_norm": st.booleans(),
    "update_norms": st.booleans(),
    "overlap_norm": st.booleans(),
    "reference_step": st.sampled_from([100, 1, 3]),
}
DTYPES = st.sampled_from([torch.float32, torch.float32, torch.float32, torch.bfloat16, torch.float16])
WHICH, SEED = st.integers(0, 1), st.integers(0, 2 ** 16)
GRADIENTS = st.lists(st.sampled_from(["new", "new", "new", "zero", "none", "keep", "rows"]), min_size=5, max_size=5)
SIZE = st.sampled_from([1.0, 1e-3, 300.0])
ONE = st.integers(0, 9)
THEN = st.sampled_from(["step", "look", "again", None])  # at once, before anything else can make the layout anew
option = st.sampled_from(sorted(GROUP)).flatmap(lambda name: st.tuples(st.just(name), GROUP[name]))
whole = st.sampled_from(sorted(WHOLE)).flatmap(lambda name: st.tuples(st.just(name), WHOLE[name]))


class Histories(RuleBasedStateMachine):
    @initialize(layout=st.sampled_from(["list", "flat", "one flat"]), dtypes=st.lists(DTYPES, min_size=8, max_size=8),
                same_dtype=st.booleans(), groups=st.lists(st.fixed_dictionaries(GROUP), min_size=4, max_size=4),
                amsgrad=st.booleans(), order=st.permutations(range(8)), seed=SEED, then=THEN, overlap=st.booleans())
    def start(self, layout, dtypes, same_dtype, groups, amsgrad, order, seed, then, overlap):
        torch.manual_seed(seed)
        shapes = [shape for k in (0, 1) for shape in SHAPES[k] + RESERVE[k]]
        params = [torch.nn.Parameter(torch.randn(shape).to(dtypes[0 if same_dtype else k])) for k, shape in enumerate(shapes)]
        for part in {"list": (), "flat": (range(5), range(5, 8)), "one flat": (range(8),)}[layout]:
            flatten(params[k] for k in order if k in part)
        groups = [moves.group_options(group, amsgrad) for group in groups]
        self.runs = [Run([params[:2], params[2:3]], groups[:2], params[3:5], overlap),
                     Run([params[5:6], params[6:7]], groups[2:], params[7:], overlap)]
        self.saved, self.witnesses = [[], []], []
        for which in (0, 1):
            self.then(which, then)

    def then(self, which, what):
        if what == "step":
            self.step_plainly(which, ["new"], 1, 1.0)
        elif what == "look":
            self.look(which)
        elif what == "again":
            states.again(self.runs[which].optimizer)
            self.look(which)

    # ---- Steps ----

    def step_plainly(self, which, kinds, seed, size):
        run = self.runs[which]
        moves.new_gradients(run, kinds, seed, size)
        moves.make_finite(run)
        result = run.plain.step()
        run.optimizer.step()
        run.compare(result)

    @rule(which=WHICH, kinds=GRADIENTS, seed=SEED, size=SIZE)
    def step(self, which, kinds, seed, size):
        self.step_plainly(which, kinds, seed, size)

    @rule(which=WHICH, kinds=GRADIENTS, seed=SEED, size=SIZE)
    def steps(self, which, kinds, seed, size):
        for k in range(3):
            self.step_plainly(which, kinds, seed + k, size)

    @rule(which=WHICH, kinds=GRADIENTS, seed=SEED, scale=st.sampled_from([1.0, 2.0 ** 10, 2.0 ** -5, 2.0 ** 127]),
          make=st.sampled_from([GradScaler, torch.amp.GradScaler]), damage=st.sampled_from([None, None, float("nan"), float("inf")]),
          one=ONE)
    def step_scaled(self, which, kinds, seed, scale, make, damage, one):
        run = self.runs[which]
        moves.new_gradients(run, kinds, seed, 1.0)
        if damage is not None:
            moves.damage_gradient(run, one, damage)
        if all(place.grad is None for place in run.plain.places()):
            return
        bad = not all(torch.isfinite(place.grad).all() for place in run.plain.places() if place.grad is not None)
        result = run.plain.step(scale, found=bad, scaled=True)
        scaler = make("cpu", init_scale=scale, growth_interval=1000)
        scaler.scale(torch.zeros(()))
        scaler.step(run.optimizer)
        run.compare(result)
        scaler.update()
        backs_off = result != "applied" if make is GradScaler else bad
        assert scaler.get_scale() == (scale / 2 if backs_off else scale)

    @rule(which=WHICH, how=st.sampled_from(["found", "nan", "huge"]), one=ONE)
    def step_skipped(self, which, how, one):
        """By a verdict, a gradient that is not finite, or one that would make second moments infinite."""
        run = self.runs[which]
        if all(place.grad is None for place in run.plain.places()) or how == "huge" and not run.plain.whole["measure_norm"]:
            return  # nobody looks then
        propagates = run.plain.whole["nonfinite"] == "propagate"
        if how == "huge" and propagates:  # an infinite gradient of before would go through
            moves.make_finite(run)
        if how != "found":
            moves.damage_gradient(run, one, float("nan") if how == "nan" else 1e30)
        if how == "nan" and propagates:
            moves.make_finite(run)
        if how == "found":
            run.optimizer.found_inf = torch.ones(())
        result = run.plain.step(found=how == "found", scaled=how == "found")
        run.optimizer.step()
        if how == "found":
            del run.optimizer.found_inf
        run.compare(result)
        moves.damage_gradient(run, one, 0.5)

    @rule(which=WHICH, how=st.sampled_from(sorted(moves.REFUSALS)))
    def step_refused(self, which, how):
        moves.REFUSALS[how](self.runs[which])

    # ---- Everything else ----

    @rule(which=WHICH, group=ONE, option=option, then=THEN)
    def set_option(self, which, group, option, then):
        moves.set_option(self.runs[which], group, *option)
        self.then(which, then)

    @rule(which=WHICH, option=whole, then=THEN)
    def set_whole(self, which, option, then):
        moves.set_whole(self.runs[which], *option)
        self.then(which, then)

    @rule(which=WHICH, name=st.sampled_from(["amsgrad", "maximize", "update_norms"]), then=THEN)
    def toggle(self, which, name, then):
        moves.toggle(self.runs[which], name)
        self.then(which, then)

    @rule(which=WHICH, value=st.sampled_from([0.0, 0.25]))
    def set_reference(self, which, value):
        self.runs[which].optimizer.vbar_reference = self.runs[which].plain.reference = value

    @rule(which=WHICH, options=st.fixed_dictionaries(GROUP), then=THEN)
    def add_group(self, which, options, then):
        moves.add_group(self.runs[which], options)
        self.then(which, then)

    @rule(which=WHICH, set_to_none=st.booleans())
    def zero_grad(self, which, set_to_none):
        moves.zero_grad(self.runs[which], set_to_none)

    @rule(which=WHICH, how=st.sampled_from(sorted(states.EDITS)), one=ONE, then=THEN)
    def edit(self, which, how, one, then):
        states.edit(self.runs[which], how, one)
        self.then(which, then)

    @rule(which=WHICH, kinds=GRADIENTS, seed=SEED)
    def adamw_beside(self, which, kinds, seed):
        states.adamw_beside(self.runs[which], kinds, seed)

    @rule(which=WHICH, steps=st.integers(0, 2), saves=st.integers(0, 2), kinds=GRADIENTS, seed=SEED, then=THEN)
    def through_adamw(self, which, steps, saves, kinds, seed, then):
        states.through_adamw(self.runs[which], steps, saves, kinds, seed)
        self.then(which, then)

    @rule(which=WHICH)
    def save(self, which):
        self.saved[which] = [*self.saved[which][-1:], self.runs[which].snapshot()]

    @rule(which=WHICH, one=ONE, fresh=st.booleans(), in_file=st.booleans(), then=THEN)
    def load(self, which, one, fresh, in_file, then):
        states.load(self.runs[which], self.saved[which], one, fresh, in_file)
        self.then(which, then)

    @rule(which=WHICH, pickled=st.booleans(), flat=st.booleans())
    def copy(self, which, pickled, flat):
        self.witnesses = [*self.witnesses[-1:], states.copy_run(self.runs[which], pickled, flat)]

    @rule(which=WHICH)
    def look_once(self, which):
        self.look(which)

    def look(self, which):
        run = self.runs[which]
        run.optimizer.log(), run.optimizer.memory(), run.optimizer.state_dict()
        vbar = run.optimizer.vbar()
        assert close(vbar, run.plain.vbar_now(), VBAR), ("vbar()", vbar, run.plain.vbar_now())

    @invariant()
    def everything_is_as_in_the_model(self):
        for run in getattr(self, "runs", ()):
            run.check()
        for run, bits in getattr(self, "witnesses", ()):
            now = run.bits()
            assert len(now) == len(bits) and all(map(torch.equal, now, bits))


def test_histories(monkeypatch):
    run_histories(Histories, 60, monkeypatch)
