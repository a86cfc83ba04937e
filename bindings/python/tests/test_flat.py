# SPDX-License-Identifier: Apache-2.0
"""flatten: one flat buffer trains as separate tensors do, to the bit, and keeps values, shapes and views."""
import copy

import pytest
import torch

from swd.torch import AdamS, flatten


@pytest.mark.parametrize("set_to_none", [True, False])
@pytest.mark.parametrize("clear", ["optimizer", "model"])
def test_flat_trains_as_the_list_does(network, clear, set_to_none):
    model, twin = network(), network()
    flats = flatten(model.parameters())
    assert len(flats) == 1
    one, two = AdamS(model.parameters(), max_grad_norm=1.0), AdamS(twin.parameters(), max_grad_norm=1.0)
    for _ in range(5):
        x = torch.randn(4, 7)
        for m, o in ((model, one), (twin, two)):
            (o if clear == "optimizer" else m).zero_grad(set_to_none)
            m(x).square().mean().backward()
            o.step()
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), twin.parameters()))
    bounds = range(flats[0].param.data_ptr(), flats[0].param.data_ptr() + 4 * flats[0].extent)
    assert all(p.data_ptr() in bounds for p in model.parameters())
    assert flats[0].grad.data_ptr() <= model[0].weight.grad.data_ptr()
    assert one._layout.engines[0].flat is flats[0] and two._layout.engines[0].flat is None


def test_flat_keeps_values_shapes_and_views(network):
    model = network()
    before = copy.deepcopy(model.state_dict())
    model[0].weight.grad = torch.ones(11, 7)
    conv = torch.nn.Parameter(torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last))
    values = conv.detach().clone()
    flat, = flatten(list(model.parameters()) + [conv, conv])
    once, = flatten([torch.nn.Parameter(param.detach()) for param in (*model.parameters(), conv)])
    assert flat.extent == once.extent
    assert all(torch.equal(a, b) for a, b in zip(before.values(), model.state_dict().values()))
    assert torch.equal(conv.detach(), values) and conv.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(model[0].weight.grad, torch.ones(11, 7)) and not model[2].bias.grad.any()
    flat.param.fill_(2.0)
    assert (model[2].weight == 2.0).all()
    flat.grad.fill_(1.0)
    flat.zero_grad()
    assert not model[0].weight.grad.any()
