# SPDX-License-Identifier: Apache-2.0
"""AdamS on a CUDA device: the bits of the CPU, graphs, devices of state. Selected where there is a
device."""
import copy

import pytest
import torch

from swd.torch import AdamS, GradScaler, flatten

pytestmark = pytest.mark.cuda

CONFIGS = [dict(), dict(amsgrad=True), dict(decay="decoupled"), dict(decay="l2", maximize=True), dict(max_grad_norm=1.0),
           dict(decay="relative", weight_decay=0.1, reference_step=3)]


def make(dtype, device):
    generator = torch.Generator().manual_seed(4)
    shapes = [(5, 7), (3000,), (2, 3, 4)]
    starts = [torch.randn(shape, generator=generator).to(dtype) for shape in shapes]
    return [torch.nn.Parameter(start.to(device)) for start in starts]


def give_gradients(params, step, missing=False):
    """The same gradients on every device, made on the CPU."""
    for k, p in enumerate(params):
        if missing and (step + k) % 3 == 0:
            p.grad = None
            continue
        generator = torch.Generator().manual_seed(100 * step + k)
        p.grad = torch.randn(p.shape, generator=generator).to(p.dtype).to(p.device)


def assert_same(one, two, ours, theirs):
    for a, b in zip(ours, theirs):
        assert torch.equal(a.detach().cpu(), b.detach().cpu())
        for key, value in one.state[a].items():
            assert torch.equal(value.cpu(), two.state[b][key].cpu()), key


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_cuda_has_the_bits_of_the_cpu(config, dtype, flat):
    params, twins = make(dtype, "cuda"), make(dtype, "cpu")
    if flat:
        flatten(params)
    one, two = AdamS(params, lr=0.01, **config), AdamS(twins, lr=0.01, **config)
    for step in range(5):
        give_gradients(params, step, missing=True)
        give_gradients(twins, step, missing=True)
        one.step()
        two.step()
    assert_same(one, two, params, twins)
    assert one.stats() == two.stats()


def test_parameters_on_several_devices():
    """CPU, the first device and, where there is one, a second: they step like one optimizer on the CPU."""
    mixed, twins = make(torch.float32, "cpu"), make(torch.float32, "cpu")
    for i in (1, 2):
        device = f"cuda:{(i - 1) % torch.cuda.device_count()}"
        mixed[i] = torch.nn.Parameter(mixed[i].detach().to(device))
    for config in CONFIGS:
        one, two = AdamS(mixed, lr=0.01, **config), AdamS(twins, lr=0.01, **config)
        for step in range(3):
            give_gradients(mixed, step)
            give_gradients(twins, step)
            one.step()
            two.step()
        assert one.stats()["vbar"] == pytest.approx(two.stats()["vbar"], rel=1e-12)
        assert all((a.detach().cpu() - b.detach()).abs().max() <= 3e-7 for a, b in zip(mixed, twins))


@pytest.mark.parametrize("flat", [False, True])
def test_a_captured_step_replays_as_eager_steps(flat):
    """Gradients and learning rate change between replays; eager steps with other gradient memory in between."""
    params, twins = make(torch.float32, "cuda"), make(torch.float32, "cuda")
    if flat:
        flatten(params)
    rate = torch.tensor(0.01).cuda()
    one = AdamS(params, lr=rate, capturable=True, max_grad_norm=1.0)
    two = AdamS(twins, lr=0.01, max_grad_norm=1.0)
    give_gradients(params, 0)
    if flat:
        one.step()  # takes the gradients into the flat buffer
    fixed = [p.grad for p in params]

    def load(step):
        give_gradients(twins, step)
        for p, g, twin in zip(params, fixed, twins):
            g.copy_(twin.grad)
            p.grad = g

    if not flat:
        one.step()
    give_gradients(twins, 0)
    two.step()
    graph, stream = torch.cuda.CUDAGraph(), torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    torch.cuda.synchronize()
    with torch.cuda.graph(graph, stream=stream):
        one.step()
    for step in range(1, 9):
        load(step)
        rate.copy_(torch.tensor(0.01 / step))
        two.param_groups[0]["lr"] = rate.item()
        if step in (4, 5):
            for p in params:
                p.grad = p.grad.clone()
            one.step()
        else:
            graph.replay()
        two.step()
    assert_same(one, two, params, twins)
    assert one.stats()["steps_applied"] == 9


@pytest.mark.filterwarnings("ignore:The CUDA Graph is empty")
def test_capture_needs_capturable_and_a_step_before():
    params = make(torch.float32, "cuda")
    optimizer = AdamS(params)
    give_gradients(params, 0)
    for capturable, message in ((False, "capturable=False"), (True, "cannot be captured")):
        optimizer.param_groups[0]["capturable"] = capturable
        with torch.cuda.graph(torch.cuda.CUDAGraph()):
            with pytest.raises(RuntimeError, match=message):
                optimizer.step()
    optimizer.step()
    assert optimizer.stats()["steps_applied"] == 1


@pytest.mark.parametrize("capturable", [False, True])
def test_checkpoints_move_between_devices(capturable):
    params, twins = make(torch.float32, "cuda"), make(torch.float32, "cpu")
    one, two = AdamS(params, capturable=capturable), AdamS(twins)
    for step in range(3):
        give_gradients(params, step)
        one.step()
    state_dict = one.state_dict()
    assert state_dict["state"][0]["step"].device.type == ("cuda" if capturable else "cpu")
    assert state_dict["state"][0]["exp_avg"].device.type == "cuda"
    two.load_state_dict(copy.deepcopy(state_dict))
    with torch.no_grad():
        for a, b in zip(params, twins):
            b.copy_(a)
    back = [torch.nn.Parameter(p.detach().clone()) for p in params]
    three = AdamS(back)
    three.load_state_dict(two.state_dict())
    for step in range(3, 6):
        for some, optimizer in ((params, one), (twins, two), (back, three)):
            give_gradients(some, step)
            optimizer.step()
    assert_same(one, two, params, twins)
    assert_same(three, two, back, twins)


def test_nonfinite_step_changes_nothing():
    params = make(torch.float32, "cuda")
    optimizer = AdamS(params)
    give_gradients(params, 0)
    optimizer.step()
    before = [p.detach().cpu() for p in params]
    params[1].grad = torch.full((3000,), float("nan")).cuda()
    optimizer.step()
    assert all(torch.equal(a, p.detach().cpu()) for a, p in zip(before, params))
    assert optimizer.stats()["result"] == "skipped_nonfinite"


@pytest.mark.parametrize("make_scaler", [torch.amp.GradScaler, GradScaler])
def test_scaler_takes_the_verdict_from_the_device(make_scaler):
    params = make(torch.float32, "cuda")
    optimizer, scaler = AdamS(params), make_scaler("cuda", init_scale=1024.0)
    scaler.scale(torch.ones((), device="cuda"))
    for step, wanted in enumerate((1024.0, 512.0, 512.0)):
        give_gradients(params, step)
        if step == 1:
            params[0].grad = torch.full((5, 7), float("inf")).cuda()
        scaler.step(optimizer)
        scaler.update()
        assert scaler.get_scale() == wanted
    assert (optimizer.stats()["steps_applied"], optimizer.stats()["steps_skipped"]) == (2, 1)


def test_steps_on_another_stream():
    params, twins = make(torch.float32, "cuda"), make(torch.float32, "cpu")
    one, two = AdamS(params), AdamS(twins)
    for step in range(4):
        give_gradients(params, step)
        give_gradients(twins, step)
        torch.cuda.synchronize()
        with torch.cuda.stream(torch.cuda.Stream()):
            one.step()
        torch.cuda.synchronize()
        two.step()
    assert_same(one, two, params, twins)


def test_a_reference_by_hand_reaches_a_captured_step():
    """vbar_reference is written into the state that a graph reads, in stream order."""
    params, twins = make(torch.float32, "cuda"), make(torch.float32, "cpu")
    options = dict(lr=0.01, decay="relative", weight_decay=0.3, reference_step=3)
    one, two = AdamS(params, capturable=True, **options), AdamS(twins, **options)
    give_gradients(params, 0)
    give_gradients(twins, 0)
    one.step()
    two.step()
    graph, stream = torch.cuda.CUDAGraph(), torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    torch.cuda.synchronize()
    with torch.cuda.graph(graph, stream=stream):
        one.step()
    for reference in (None, None, 0.25, 0.0):
        if reference is not None:
            one.vbar_reference = two.vbar_reference = reference
        graph.replay()
        two.step()
        assert one.vbar_reference == two.vbar_reference
        assert_same(one, two, params, twins)
    assert one.vbar_reference == one.stats()["vbar"] > 0
