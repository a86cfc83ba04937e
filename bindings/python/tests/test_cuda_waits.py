# SPDX-License-Identifier: Apache-2.0
"""AdamS on a CUDA device never waits for it: steps, logs, looks at the decay. Selected where there is a device."""
import pytest
import torch

import swd
from swd.torch import AdamS, DecayWarning, GradScaler
from swd.torch.fetch import Fetch
from test_cuda import assert_same, give_gradients, make

pytestmark = pytest.mark.cuda


def without_synchronising(optimizer, params, step_once, steps=12):
    """Steps; all but the first, which builds, where PyTorch raises if it would wait for the device, as at a copy from
    pageable memory. The look at step 10 is among them."""
    for step in range(steps):
        give_gradients(params, step)
        torch.cuda.set_sync_debug_mode("error" if step else "default")
        try:
            step_once()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    assert optimizer.stats()["steps_applied"] == steps


@pytest.mark.filterwarnings("ignore:Synchronization debug mode")
@pytest.mark.parametrize("make_scaler", [None, torch.amp.GradScaler, GradScaler])
@pytest.mark.parametrize("lr", [lambda: 0.01, lambda: torch.tensor(0.01), lambda: torch.tensor(0.01).cuda(),
                                lambda: torch.tensor(0.01).double().cuda()], ids=["float", "cpu", "cuda", "cuda64"])
def test_a_step_never_synchronises(lr, make_scaler):
    params = make(torch.float32, "cuda")
    optimizer = AdamS(params, lr=lr(), max_grad_norm=1.0)
    if make_scaler is None:
        without_synchronising(optimizer, params, optimizer.step)
        return
    scaler = make_scaler("cuda", init_scale=4.0)
    scaler.scale(torch.ones((), device="cuda"))

    def step_once():
        scaler.step(optimizer)
        scaler.update()

    without_synchronising(optimizer, params, step_once)


@pytest.mark.filterwarnings("ignore:Synchronization debug mode")
@pytest.mark.parametrize("several", [False, True], ids=["one engine", "two engines"])
@pytest.mark.parametrize("number", [float, torch.tensor], ids=["number", "tensor"])
def test_numbers_on_the_host_never_synchronise(number, several):
    """What a scaler leaves at the optimizer, on the host: it goes into the call by value, with the bits of a pointer."""
    params, twins = ([p for dtype in (torch.float32, torch.bfloat16)[:1 + several] for p in make(dtype, device)]
                     for device in ("cuda", "cpu"))
    one, two = AdamS(params, lr=0.01, max_grad_norm=1.0), AdamS(twins, lr=0.01, max_grad_norm=1.0)
    one.grad_scale, one.found_inf = number(4.0), number(0.0)
    without_synchronising(one, params, one.step)
    two.grad_scale, two.found_inf = torch.tensor(4.0), torch.tensor(0.0)
    for step in range(12):
        give_gradients(twins, step)
        two.step()
    assert_same(one, two, params, twins)
    one.found_inf = number(1.0)
    before = [p.detach().cpu() for p in params]
    one.step()
    assert one.stats()["result"] == "skipped_nonfinite" and one.stats()["steps_skipped"] == 1
    assert all(torch.equal(a, p.detach().cpu()) for a, p in zip(before, params))


@pytest.mark.filterwarnings("ignore:Synchronization debug mode")
def test_a_log_that_does_not_wait():
    """It lags: what it gives was asked for at an earlier call."""
    params = make(torch.float32, "cuda")
    optimizer, logs = AdamS(params), []

    def step_once():
        optimizer.step()
        logs.append(optimizer.log(wait=False))

    without_synchronising(optimizer, params, step_once, steps=4)
    torch.cuda.synchronize()
    last = optimizer.log(wait=False)
    assert 0 < last["steps_applied"] <= 4 and optimizer.log()["steps_applied"] == 4
    assert all(log == {} or 0 < log["steps_applied"] <= k + 1 for k, log in enumerate(logs))


def test_statistics_on_their_way_keep_their_memory():
    params = make(torch.float32, "cuda")
    optimizer = AdamS(params)
    give_gradients(params, 0)
    optimizer.step()
    fetch = Fetch(optimizer._layout.engines[0])
    event = fetch._event
    del fetch
    assert event.query()


def test_a_look_at_the_decay_warns_when_it_has_arrived():
    params = make(torch.float32, "cuda")
    optimizer = AdamS(params, lr=0.1, weight_decay=0.2)
    with pytest.warns(DecayWarning, match="a step takes"):
        for step in range(3):
            give_gradients(params, step)
            optimizer.step()
            torch.cuda.synchronize()


def test_statistics_are_waited_for_before_they_are_read(monkeypatch):
    """Here it waits: a damaged moment of a checkpoint is looked for once, when the state is taken over."""
    params = make(torch.float32, "cuda")
    optimizer = AdamS(params)
    give_gradients(params, 0)
    optimizer.step()
    optimizer.load_state_dict(optimizer.state_dict())
    waits, wait = [], torch.cuda.Stream.synchronize
    monkeypatch.setattr(torch.cuda.Stream, "synchronize", lambda stream: waits.append(stream) or wait(stream))
    optimizer.vbar()
    assert waits == [torch.cuda.current_stream()]


def test_a_captured_step_and_all_behind_it_send_every_pointer(monkeypatch):
    """A graph holds the pointers of its capture, and a replay puts them back."""
    params = make(torch.float32, "cuda")
    optimizer = AdamS(params, capturable=True)
    give_gradients(params, 0)
    for _ in range(3):
        optimizer.step()
    sent, send = [], swd.Plan.set_pointers

    def set_pointers(plan, workspace, buffer, addresses, first=0, stream=0):
        sent.append((buffer, first, len(addresses)))
        send(plan, workspace, buffer, addresses, first, stream)

    monkeypatch.setattr(swd.Plan, "set_pointers", set_pointers)
    optimizer.step()
    assert not sent  # nothing moved
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        optimizer.step()
    everything = {(buffer, 0, len(params)) for buffer in (swd.Buffer.PARAM, swd.Buffer.GRAD, swd.Buffer.EXP_AVG, swd.Buffer.EXP_AVG_SQ)}
    assert set(sent) == everything
    sent.clear()
    graph.replay()
    optimizer.step()
    assert set(sent) == everything
    torch.cuda.synchronize()
