# SPDX-License-Identifier: Apache-2.0
"""AdamS.log: the statistics as a logger wants them. And what is taken from torch's optimizers without a meaning."""
import pytest
import torch

from swd.torch import AdamS


def step(optimizer, value=1.0):
    for group in optimizer.param_groups:
        for p in group["params"]:
            p.grad = torch.full_like(p, value)
    optimizer.step()


def test_log_is_a_flat_dict_of_floats():
    optimizer = AdamS([torch.nn.Parameter(torch.ones(4))], max_grad_norm=1.0)
    assert optimizer.log() == optimizer.log(wait=False) == {}
    step(optimizer)
    stats, log = optimizer.stats(), optimizer.log()
    assert all(type(value) is float for value in log.values()) and log["lambda_eff"] == stats["lambda_eff"][0]
    assert all(log[name] == stats[name] for name in (
        "grad_norm", "clip_coef", "vbar", "vbar_reference", "largest_decay", "steps_applied", "steps_skipped"))
    assert log["skipped"] == 0.0 and "param_norm" not in log
    step(optimizer, float("nan"))
    log = optimizer.log()
    assert (log["skipped"], log["steps_applied"], log["steps_skipped"]) == (1.0, 1.0, 1.0)


def test_log_over_groups_and_dtypes():
    """Two engines: norms are joined."""
    params = [torch.nn.Parameter(torch.ones(4)), torch.nn.Parameter(torch.ones(5, dtype=torch.bfloat16))]
    optimizer = AdamS([dict(params=[params[0]], weight_decay=0.0), dict(params=[params[1]])], update_norms=True)
    step(optimizer)
    stats, log = optimizer.stats(), optimizer.log()
    assert [log["lambda_eff/0"], log["lambda_eff/1"]] == stats["lambda_eff"]
    assert (log["param_norm"], log["update_norm"]) == (stats["param_norm"], stats["update_norm"]) and "lambda_eff" not in log


def test_log_does_not_lag_on_the_cpu():
    optimizer = AdamS([torch.nn.Parameter(torch.ones(4))])
    for number in range(1, 5):
        step(optimizer)
        assert optimizer.log(wait=False) == optimizer.log() and optimizer.log()["steps_applied"] == number


def test_options_of_other_optimizers():
    """What a script passes to torch.optim.AdamW, with the name of the class changed."""
    param = torch.nn.Parameter(torch.ones(4))
    optimizer = AdamS([param], lr=1e-3, betas=(0.9, 0.95), weight_decay=1e-4, fused=True, foreach=False,
                      differentiable=False)
    step(optimizer)
    assert "fused" not in optimizer.param_groups[0]
    with pytest.raises(ValueError, match="differentiable: the step of AdamS is not"):
        AdamS([param], differentiable=True)
