# SPDX-License-Identifier: Apache-2.0
"""A user's file, for mypy --strict: test_types.py has it checked with the package. It is never run."""
from typing import Dict, List

import jax
import torch

import swd
import swd.jax
from swd.torch import AdamS, DecayWarning, Flat, GradScaler, adamw_state_dict, flatten


def train(model: torch.nn.Module, batches: List[torch.Tensor]) -> Dict[str, float]:
    flats: List[Flat] = flatten(model.parameters())
    optimizer = AdamS(model.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1, decay="relative",
                      max_grad_norm=1.0, fused=True, foreach=None, differentiable=False)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10)
    scaler = GradScaler("cpu")
    for batch in batches:
        loss: torch.Tensor = model(batch).sum()
        torch.autograd.backward([scaler.scale(loss)])
        scaler.step(optimizer)
        scaler.update()
        scheduler.step()
        optimizer.zero_grad(set_to_none=True)
    norm: float = optimizer.log(wait=False).get("grad_norm", 0.0)
    optimizer.vbar_reference = optimizer.vbar()
    optimizer.load_state_dict(optimizer.state_dict())
    torch.optim.AdamW(model.parameters()).load_state_dict(adamw_state_dict(optimizer))
    assert issubclass(DecayWarning, UserWarning) and flats[0].param.numel() > 0
    return {"norm": norm, **optimizer.memory()}


def plain(count: int) -> float:
    plan = swd.Plan([swd.Segment(count)], decay="decoupled")
    arrays = [swd.host_bytes(4 * count) for _ in range(4)]
    state, workspace = swd.host_bytes(plan.state_bytes), swd.host_bytes(plan.workspace_bytes)
    plan.init_workspace(workspace)
    buffers = plan.buffers(param=arrays[0], grad=arrays[1], exp_avg=arrays[2], exp_avg_sq=arrays[3], state=state,
                           workspace=workspace)
    plan.step(buffers, plan.args(swd.Group(lr=0.1)))
    stats: swd.Stats = plan.stats(workspace)
    return stats.grad_norm


def jax_step(params: Dict[str, jax.Array], grads: Dict[str, jax.Array]) -> float:
    optimizer = swd.jax.adams(lambda count: 0.1 / (1 + count), mask={"w": True}, decay="relative", mesh=None)
    state: swd.jax.AdamSState = optimizer.load(params, grads, grads, count=1)
    params, state = optimizer.apply(*optimizer.update(grads, state, params), params)
    return optimizer.stats(state).grad_norm + float(state.count)
