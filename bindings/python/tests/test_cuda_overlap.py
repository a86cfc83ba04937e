# SPDX-License-Identifier: Apache-2.0
"""overlap_norm on a CUDA device: the bits of a plain step on the CPU, on one stream and on two, without waiting; and none of it
once a graph was captured. Selected where there is a device."""
import pytest
import torch

from swd.torch import AdamS, early, flatten
from test_cuda import assert_same, make

pytestmark = pytest.mark.cuda


@pytest.fixture(autouse=True)
def in_this_thread(monkeypatch):
    """A simulated device is seen by the thread that asked for it."""
    monkeypatch.setattr(early, "_BATCH", {"cpu": 1, "cuda": 1})
    with torch.autograd.set_multithreading_enabled(False):
        yield


def backward(params, step):
    """Gradients made on the CPU, which backward hands on as they are."""
    for k, param in enumerate(params):
        generator = torch.Generator().manual_seed(100 * step + k)
        given = torch.randn(param.shape, generator=generator).to(param.dtype).to(param.device)
        param.backward(given)


def left(optimizer):
    return sum(count for engine in optimizer._layout.engines for _, count in engine.rest)


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("config", [dict(), dict(amsgrad=True, max_grad_norm=0.5)], ids=str)
def test_the_bits_of_a_plain_step(config, dtype, flat):
    params, twins = make(dtype, "cuda"), make(dtype, "cpu")
    if flat:
        flatten(params)
    one, two = AdamS(params, lr=0.01, overlap_norm=True, **config), AdamS(twins, lr=0.01, **config)
    for step in range(6):
        for optimizer, some in ((one, params), (two, twins)):
            optimizer.zero_grad()
            backward(some, step)
            if step == 4:
                some[1].grad.mul_(2.0)
            optimizer.step()
        assert left(one) == (3 if step == 0 else 1 if step == 4 else 0)
    assert_same(one, two, params, twins)
    assert one.stats() == two.stats()


def test_backward_in_another_stream():
    params, twins, other = make(torch.float32, "cuda"), make(torch.float32, "cpu"), torch.cuda.Stream()
    one, two = AdamS(params, lr=0.01, overlap_norm=True), AdamS(twins, lr=0.01)
    for step in range(5):
        for optimizer, some in ((one, params), (two, twins)):
            optimizer.zero_grad()
        other.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(other):
            backward(params, step)
        torch.cuda.current_stream().wait_stream(other)
        backward(twins, step)
        one.step()
        two.step()
    assert left(one) == 0
    assert_same(one, two, params, twins)


def test_what_torch_does_not_see_is_said_later():
    params = make(torch.float32, "cuda")
    optimizer = AdamS(params, lr=0.01, overlap_norm=True)
    with pytest.warns(UserWarning, match="overlap_norm: a gradient was changed"):
        for step in range(4):
            optimizer.zero_grad()
            backward(params, step)
            params[1].grad.data.mul_(0.5)
            optimizer.step()
            torch.cuda.synchronize()
    assert left(optimizer) == 3


@pytest.mark.parametrize("flat", [False, True])
def test_a_captured_step_reduces_everything(flat):
    params, twins = make(torch.float32, "cuda"), make(torch.float32, "cpu")
    if flat:
        flatten(params)
    one, two = (AdamS(some, lr=0.01, overlap_norm=some is params, capturable=True) for some in (params, twins))
    for step in range(2):
        for optimizer, some in ((one, params), (two, twins)):
            optimizer.zero_grad()
            backward(some, step)
            if step == 0:
                optimizer.step()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        one.step()
    for _ in range(3):
        graph.replay()
        two.step()
    for step in (2, 3):
        for optimizer, some in ((one, params), (two, twins)):
            optimizer.zero_grad(set_to_none=False)
            backward(some, step)
            optimizer.step()
    assert left(one) == 3
    assert_same(one, two, params, twins)


@pytest.mark.filterwarnings("ignore:Synchronization debug mode")
def test_nothing_waits_for_the_device():
    params = make(torch.float32, "cuda")
    optimizer = AdamS(params, lr=0.01, overlap_norm=True)
    given = [torch.randn(param.shape).cuda() for param in params]
    for step in range(13):  # among them steps that look for what torch does not see
        torch.cuda.set_sync_debug_mode("error" if step else "default")
        try:
            optimizer.zero_grad()
            for param, grad in zip(params, given):
                param.backward(grad)
            optimizer.step()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    assert left(optimizer) == 0 and optimizer.stats()["steps_applied"] == 13
