# SPDX-License-Identifier: Apache-2.0
"""torch.compile of a whole training step: AdamS is one opaque call in it, and what it does is what it does without."""
import pytest
import torch
import torch._dynamo

from swd.torch import AdamS


def train(compiled, scheduled, hooks=()):
    """Five steps: the parameters, and how often the compiler had to leave the graph, of what."""
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    torch.manual_seed(2)
    model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1))
    optimizer = AdamS(model.parameters(), lr=1e-2, max_grad_norm=1.0)
    for hook in hooks:
        optimizer.register_step_post_hook(hook)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2) if scheduled else None
    x, y = torch.randn(32, 8), torch.randn(32, 1)

    def step():
        optimizer.zero_grad()
        loss = (model(x) - y).square().mean()
        loss.backward()
        optimizer.step()

    run = torch.compile(step, backend="eager") if compiled else step
    for _ in range(5):
        run()
        if scheduler is not None:
            scheduler.step()
    return list(model.parameters()), dict(torch._dynamo.utils.counters["graph_break"])


@pytest.mark.parametrize("scheduled", [False, True])
def test_a_step_is_one_opaque_call(scheduled):
    """One break for each of zero_grad, backward and step; 0.1 had 59."""
    calls = []
    plain, _ = train(False, scheduled)
    compiled, breaks = train(True, scheduled, [lambda *_: calls.append(torch.compiler.is_compiling())])
    assert all(torch.equal(a, b) for a, b in zip(plain, compiled))
    assert sorted(breaks.values()) == [1, 1, 1], breaks
    for name in ("zero_grad", "backward", "AdamS.step"):
        assert sum(name in text for text in breaks) == 1, breaks
    assert calls == [False] * 5  # hooks run inside that call


def test_a_class_derived_from_adams_is_opaque_too():
    class Derived(AdamS):
        def step(self, closure=None):
            return super().step(closure), "derived"

    param = torch.nn.Parameter(torch.ones(3))
    optimizer, seen = Derived([param]), []
    optimizer.register_step_post_hook(lambda *_: seen.append(1))
    param.grad = torch.ones(3)
    assert optimizer.step() == (None, "derived") and seen and Derived.step.opaque and AdamS.step.opaque
    torch._dynamo.utils.counters.clear()
    torch.compile(lambda: optimizer.step(), backend="eager")()
    assert sum(torch._dynamo.utils.counters["graph_break"].values()) <= 1
