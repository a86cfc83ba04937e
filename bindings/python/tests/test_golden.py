# SPDX-License-Identifier: Apache-2.0
"""Trajectories of the authors' own AdamS in fp64, through the torch class, as a list and flat."""
import pytest
import torch

from swd.torch import AdamS, flatten
from trajectory import Trajectory

BOUNDS = {"param": 3e-6, "exp_avg": 1e-6, "exp_avg_sq": 3e-6, "max_exp_avg_sq": 3e-6}  # of the largest value


def close(found, wanted, bound):
    return (found.detach().double() - wanted).abs().max().item() <= bound * wanted.abs().max().item()


@pytest.mark.filterwarnings("ignore::swd.torch.DecayWarning")  # the small one decays by 0.028 a step
@pytest.mark.parametrize("flat", [False, True], ids=["list", "flat"])
@pytest.mark.parametrize("name", ["amsgrad", "basic", "clip", "closed_loop", "groups", "missing", "schedule", "small"])
def test_authors_trajectory(name, flat):
    golden = Trajectory(name)
    params = golden.params()
    if flat:
        flatten(params)
    groups = [dict(options, params=[params[k] for k in members]) for options, members in golden.groups]
    optimizer = AdamS(groups, amsgrad=golden.flag("amsgrad"),
                      max_grad_norm=float.fromhex(golden.head["max_grad_norm"]) or None)
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda t: golden.lr_factor[t] if t < len(golden.lr_factor) else 0.0)
    slack = 10.0 if golden.flag("closed_loop") else 1.0  # the authors' own fp32 run deviates by more than this
    done = 0
    for snapshot in golden.snapshots:
        for step in range(done + 1, snapshot.step + 1):
            for k, param in enumerate(params):
                param.grad = golden.gradient(step, k, param)
            optimizer.step()
            scheduler.step()
        done = snapshot.step
        stats = optimizer.stats()
        assert stats["result"] == "applied" and stats["steps_applied"] == done
        assert stats["vbar"] == pytest.approx(snapshot.vbar, rel=2 * slack * 2e-7)
        assert stats["grad_norm"] == pytest.approx(snapshot.grad_norm, rel=2 * slack * 2e-7)
        states = optimizer.state_dict()["state"]
        order = [k for _, members in golden.groups for k in members]
        steps = {k: int(states[i]["step"]) if i in states else 0 for i, k in enumerate(order)}
        assert [steps[k] for k in range(len(params))] == snapshot.segment_steps
        for (key, k), wanted in snapshot.values.items():
            found = params[k] if key == "param" else optimizer.state.get(params[k], {}).get(key)
            if found is None:  # the optimizer has not met a gradient yet
                assert steps[k] == 0 and not wanted.any()
                continue
            assert close(found, wanted, BOUNDS[key] * (slack if key in ("param", "exp_avg") else 1)), (done, key, k)
    assert done >= 300
