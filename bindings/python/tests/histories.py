# SPDX-License-Identifier: Apache-2.0
"""An AdamS beside its model in float64, and how they are compared. Between steps they are equal to the bit; a step may
differ by what float32 rounds, and the model goes on from the rounded numbers, so that no bound has to grow. Used by
test_histories."""
import copy

import torch

from masters import remainder_of
from plain_adams import SCHEDULED, Place, PlainAdamS
from swd.torch import AdamS

GROUP = ("lr", "betas", "eps", "weight_decay", "decay", "maximize", "amsgrad")
STATE = {"m": "exp_avg", "v": "exp_avg_sq", "top": "max_exp_avg_sq"}
VBAR = 3e-5  # relative


def number(value):
    return value.item() if isinstance(value, torch.Tensor) else value


def same(have, want):
    return have.shape == want.shape and bool(((have == want) | (have.isnan() & want.isnan())).all())


def close(have, want, bound):
    return abs(have - want) <= bound * abs(want)


def exact(optimizer, param):
    """What the next step starts from, in float64: a 16-bit parameter is a rounded float32 number."""
    state, shown = optimizer.state.get(param, {}), param.detach()
    if "master_param" in state:
        master = state["master_param"]
        return torch.where(master.to(param.dtype) == shown, master, shown.float()).double()
    if "remainder_bytes" in state:
        high = shown.contiguous().view(torch.int16).to(torch.int32)
        return ((high << 16) + remainder_of(state).to(torch.int32)).view(torch.float32).double()
    return shown.double().clone()


class Run:
    """params: a list for each group; options: a dict for each."""

    def __init__(self, params, options, reserve, overlap):
        self.reserve = reserve  # parameters of groups to come
        groups = [{**group, "places": [Place(param.detach().double().clone()) for param in some]}
                  for group, some in zip(options, params)]
        self.plain = PlainAdamS(groups)
        self.optimizer = AdamS([{"params": some, **group} for group, some in zip(options, params)],
                               amsgrad=options[0]["amsgrad"], overlap_norm=overlap)
        self.plain.whole["overlap_norm"] = overlap
        self.read_gradients()

    def params(self):
        return [param for group in self.optimizer.param_groups for param in group["params"]]

    def pairs(self):
        params, places = self.params(), self.plain.places()
        assert len(params) == len(places)
        return list(zip(params, places))

    # ---- After somebody else wrote something: the model takes it ----

    def read_gradients(self):
        for param, place in self.pairs():
            place.grad = None if param.grad is None else param.grad.double().clone()

    def read_state(self, states=None):
        """Values, steps and moments; states: {parameter: state} of another optimizer that went on from ours."""
        for param, place in self.pairs():
            state = (self.optimizer.state if states is None else states).get(param, {})
            place.p, place.step = exact(self.optimizer, param), int(number(state.get("step", 0)))
            for key, name in STATE.items():
                setattr(place, key, state[name].double().clone() if name in state else None)

    # ---- Comparisons ----

    def check(self):
        """That everything is as in the model, to the bit."""
        stats, plain = self.optimizer.stats(), self.plain
        assert (stats["steps_applied"], stats["steps_skipped"]) == (plain.applied, plain.skipped)
        assert stats["vbar_reference"] == plain.reference
        for group, model in zip(self.optimizer.param_groups, plain.groups):
            assert [tuple(map(number, group[key])) if key == "betas" else number(group[key]) for key in GROUP] == [
                model[key] for key in GROUP]
        for k, (param, place) in enumerate(self.pairs()):
            assert same(exact(self.optimizer, param), place.p), f"parameter {k}"
            assert (param.grad is None) == (place.grad is None), f"gradient {k}"
            assert place.grad is None or same(param.grad.double(), place.grad), f"gradient {k}"
            self._check_state(self.optimizer.state.get(param, {}), place, k)

    @staticmethod
    def _check_state(state, place, k):
        assert number(state.get("step", 0)) == place.step, f"step {k}"
        for key, name in STATE.items():
            have, want = state.get(name), getattr(place, key)
            if have is not None and want is None:  # made, and no step yet
                want = place.v.clone() if key == "top" and place.v is not None else torch.zeros_like(place.p)
                setattr(place, key, want)
            assert (have is None) == (want is None) and (have is None or same(have.double(), want)), f"{name} {k}"

    def compare(self, result):
        """After a step that the model did, too. Its own numbers then become those of float32."""
        stats, plain = self.optimizer.stats(), self.plain
        if result == "none":
            return
        assert stats["result"] == result
        if result == "applied":
            if plain.has(*SCHEDULED):
                assert close(stats["vbar"], plain.vbar, VBAR), ("vbar", stats["vbar"], plain.vbar)
            assert close(stats["vbar_reference"], plain.reference, VBAR)
            plain.reference = stats["vbar_reference"]
            if plain.whole["update_norms"]:
                lost = sum(place.lost for place in plain.places() if place.slack) ** 0.5
                assert abs(stats["update_norm"] - lost) <= 1e-4 * lost + 1e-12, ("update_norm", stats["update_norm"], lost)
        for k, (param, place) in enumerate(self.pairs()):
            self._compare(self.optimizer.state.get(param, {}), param, place, k)

    def _compare(self, state, param, place, k):
        slack, place.slack = place.slack, {}
        for key in slack:
            have = exact(self.optimizer, param) if key == "p" else state[STATE[key]].double().clone()
            off = (have - getattr(place, key)).abs()
            assert (off <= slack[key]).all(), (key, k, have, getattr(place, key), slack[key])
            setattr(place, key, have)
        if "master_param" in state and slack:
            assert same(param.detach(), state["master_param"].to(param.dtype)), f"parameter {k} and its master"

    # ---- Copies ----

    def snapshot(self):
        """What a load brings back: the state_dict, in memory of its own, the model, and the parameters."""
        return (copy.deepcopy(self.optimizer.state_dict()), copy.deepcopy(self.plain),
                [param.detach().clone() for param in self.params()])

    def bits(self):
        tensors = [param.detach() for param in self.params()]
        tensors += [value for state in self.optimizer.state.values() for value in state.values()
                    if isinstance(value, torch.Tensor)]
        return [tensor.reshape(-1).view(torch.uint8).clone() for tensor in tensors]
