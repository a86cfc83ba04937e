# SPDX-License-Identifier: Apache-2.0
"""What must not matter: two AdamS take the same steps, in any states. One is left alone; to the other happens what changes no
number: it is saved and loaded, copied, moved in memory, looked at, refused, skipped, its options are toggled and set back.
After each step all their bits are equal; where a device is (or is simulated) that one is there, and has the bits of the CPU's.
How many: histories_runner. The numbers themselves: test_histories, and for narrow states test_narrow and test_states."""
import copy
import pickle

import pytest
import torch
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

import swd
from histories_runner import run_histories
from resume import through_file
from swd.torch import AdamS, GradScaler, flatten

pytestmark = pytest.mark.filterwarnings("ignore::swd.torch.DecayWarning")

SHAPES = [(3, 50), (7,), (70, 64), (1,), (33, 4)]
GROUP = st.fixed_dictionaries({
    "lr": st.sampled_from([1e-3, 0.05]),
    "betas": st.sampled_from([(0.9, 0.999), (0.8, 0.95), (0.0, 0.9)]),
    "weight_decay": st.sampled_from([1e-4, 1e-2, 0.0]),
    "decay": st.sampled_from(["scheduled", "relative", "decoupled", "l2"]),
    "maximize": st.booleans()})
WHOLE = st.fixed_dictionaries({
    "states": st.sampled_from(["fp32", "fp32", "mixed16", "compact8", "tiny8"]), "rounding_seed": st.integers(1, 3),
    "max_grad_norm": st.sampled_from([None, 0.5]), "reference_step": st.sampled_from([100, 3]), "amsgrad": st.booleans()})
COUNTED = ("steps_skipped", "bad", "param_norm", "update_norm")  # differ where steps were skipped, or norms are asked for
SEED, ONE = st.integers(0, 2 ** 16), st.integers(0, 4)
LOOK = st.sampled_from(["stats", "vbar", "log", "memory", "state_dict"])
THEN = st.booleans()  # a step at once, before anything else can make the layout anew


def bits(tensor):
    return torch.as_tensor(tensor).detach().cpu().reshape(-1).view(torch.uint8).clone()


STRANGE = {  # the same gradient as another tensor
    None: lambda grad: grad,
    "elsewhere": torch.clone,
    "other strides": lambda grad: grad.t().contiguous().t() if grad.dim() == 2 else torch.stack([grad, grad], -1)[..., 0],
    "negated lazily": lambda grad: torch._neg_view(-grad),
}


class Neutral(RuleBasedStateMachine):
    device = "cpu"  # of the one to which things happen

    @initialize(whole=WHOLE, groups=st.lists(GROUP, min_size=2, max_size=2), dtype=st.sampled_from([torch.float32, torch.bfloat16]),
                mixed=st.booleans(), flat=st.booleans(), overlap=st.booleans(), then=THEN)
    def start(self, whole, groups, dtype, mixed, flat, overlap, then):
        if whole["states"] == "tiny8":
            dtype, mixed = torch.bfloat16, False
        self.whole = {**whole, "amsgrad": whole["amsgrad"] and whole["states"] == "fp32", "overlap_norm": overlap}
        self.groups = groups
        torch.manual_seed(1)
        values = [torch.randn(shape).to(torch.float32 if mixed and k % 2 else dtype) for k, shape in enumerate(SHAPES)]
        self.calm, self.other = ([torch.nn.Parameter(value.clone().to(device)) for value in values]
                                 for device in ("cpu", self.device))
        if flat:
            flatten(self.other)
        self.alone, self.optimizer = self.make(self.calm), self.make(self.other)
        self.then(then)

    def make(self, params, **whole):
        return AdamS([{"params": params[:3], **self.groups[0]}, {"params": params[3:], **self.groups[1]}], **{**self.whole, **whole})

    # ---- Steps ----

    def give(self, params, grads):
        for param, grad in zip(params, grads):
            param.grad = None
            if grad is not None:
                (param * grad.to(param.device)).sum().backward()

    def then(self, step):
        if step:
            self.step(seed=2, absent=None, strange=None, log_scale=0)

    @rule(seed=SEED, absent=st.sampled_from([None, None, 0, 1, 4]), strange=st.sampled_from(list(STRANGE)), log_scale=st.sampled_from([0, 0, 7]))
    def step(self, seed, absent, strange, log_scale):
        if self.device == "cuda" and strange == "negated lazily":  # the simulated operations overlook that
            strange = "elsewhere"
        torch.manual_seed(seed)
        grads = [None if k == absent else (1e-2 * torch.randn(p.shape)).to(p.dtype) for k, p in enumerate(self.calm)]
        self.give(self.calm, grads)
        self.alone.step()
        self.give(self.other, grads)
        if log_scale:
            self.give(self.other, [None if grad is None else grad * 2.0 ** log_scale for grad in grads])
            scaler = GradScaler(self.device, init_scale=2.0 ** log_scale)
            scaler.scale(torch.zeros((), device=self.device))
            scaler.step(self.optimizer)
        else:
            for param in self.other:
                if strange and param.grad is not None:
                    param.grad = STRANGE[strange](param.grad)
            self.optimizer.step()
        self.compare()

    def compare(self):
        for k, (p, q) in enumerate(zip(self.calm, self.other)):
            assert torch.equal(bits(p), bits(q))
            one, two = self.alone.state.get(p, {}), self.optimizer.state.get(q, {})
            assert set(one) == set(two) or not one  # a skipped step makes a state of zeros, which counts for nothing
            for name in set(one) - ({"exp_avg_sq_sum"} if self.groups[k > 2]["decay"] == "l2" else set()):  # asked for or not
                assert torch.equal(bits(one[name]), bits(two[name])), name
        have, want = self.optimizer.stats(), self.alone.stats()
        assert {k: v for k, v in have.items() if k not in COUNTED} == {k: v for k, v in want.items() if k not in COUNTED}

    # ---- What must not matter ----

    @rule(fresh=st.booleans(), times=st.integers(1, 2), then=THEN)
    def through_a_file(self, fresh, times, then):
        for _ in range(times):
            saved = through_file(self.optimizer.state_dict())
            if fresh:
                new = self.make(self.other, rounding_seed=9)  # the checkpoint's counts
                for name in ("overlap_norm", "update_norms"):
                    setattr(new, name, getattr(self.optimizer, name))
                self.optimizer = new
            self.optimizer.load_state_dict(saved)
        self.then(then)

    @rule(pickled=st.booleans(), flat=st.booleans(), then=THEN)
    def copied(self, pickled, flat, then):
        both = (self.other, self.optimizer)
        self.other, self.optimizer = pickle.loads(pickle.dumps(both)) if pickled else copy.deepcopy(both)
        if flat:
            flatten(self.other)
        self.then(then)

    @rule(one=ONE, then=THEN)
    def moved(self, one, then):
        """Not moments: these count as edited then, and their sum is taken anew."""
        self.other[one].data = self.other[one].data.clone()
        self.then(then)

    @rule(one=ONE, look=LOOK, then=THEN)
    def swapped(self, one, look, then):
        """Other numbers in a parameter's place for a while, as an average of weights is for an evaluation."""
        param = self.other[one]
        was, param.data = param.data, torch.zeros_like(param)
        getattr(self.optimizer, look)()
        param.data = was
        self.then(then)

    @rule(one=LOOK, then=THEN)
    def looked_at(self, one, then):
        getattr(self.optimizer, one)()
        self.then(then)

    @rule(group=st.integers(0, 1), option=st.sampled_from([("maximize", None), ("decay", "l2"), ("decay", "scheduled"), ("lr", 1.0)]),
          look=st.booleans(), then=THEN)
    def toggled(self, group, option, look, then):
        group, (name, value) = self.optimizer.param_groups[group], option
        was = group[name]
        group[name] = not was if name == "maximize" else value
        if look:
            self.optimizer.vbar()
        group[name] = was
        self.then(then)

    @rule(name=st.sampled_from(["overlap_norm", "update_norms"]), threads=st.integers(1, 3), then=THEN)
    def set_for_good(self, name, threads, then):
        setattr(self.optimizer, name, not getattr(self.optimizer, name))
        torch.set_num_threads(threads)
        self.then(then)

    @rule(how=st.sampled_from(["nan", "verdict", "betas", "closure"]), one=ONE, then=THEN)
    def not_stepped(self, how, one, then):
        grads = [torch.ones_like(p) for p in self.other]
        if how == "nan":
            grads[one].view(-1)[-1] = float("nan")
        self.give(self.other, grads)
        if how == "nan":
            self.optimizer.step()
        elif how == "verdict":
            self.optimizer.found_inf = torch.ones((), device=self.device)
            self.optimizer.step()
            del self.optimizer.found_inf
        elif how == "betas":
            group = self.optimizer.param_groups[1]
            group["betas"], was = (0.5, 1.0), group["betas"]
            with pytest.raises((ValueError, swd.Error)):
                self.optimizer.step()
            group["betas"] = was
        else:
            with pytest.raises(ZeroDivisionError):
                self.optimizer.step(lambda: 1 / 0)
        self.then(then)


class NeutralOnCuda(Neutral):
    device = "cuda"


@pytest.fixture(autouse=True)
def threads_are_as_they_were():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def test_what_must_not_matter_does_not(monkeypatch):
    run_histories(Neutral, 40, monkeypatch)


@pytest.mark.cuda
def test_nor_does_it_on_cuda(monkeypatch):
    run_histories(NeutralOnCuda, 10, monkeypatch)
