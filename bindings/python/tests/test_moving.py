# SPDX-License-Identifier: Apache-2.0
"""Parameters whose memory moves between steps are followed."""
import torch

from swd.torch import AdamS, flatten


def test_data_that_moves_is_followed(network):
    """model.float() and friends give parameters new memory; a flat model that is moved falls back to the list."""
    for flat in (False, True):
        model, twin = network(), network()
        if flat:
            flatten(model.parameters())
        one, two = AdamS(model.parameters()), AdamS(twin.parameters())
        for step in range(4):
            if step == 2:
                for p in model.parameters():
                    p.data = p.data.clone()
            x = torch.randn(4, 7)
            for m, o in ((model, one), (twin, two)):
                o.zero_grad()
                m(x).square().mean().backward()
                o.step()
        assert all(torch.equal(a, b) for a, b in zip(model.parameters(), twin.parameters()))


def test_a_parameter_may_move_to_where_its_gradient_was():
    """The library compares the pointers that it gets with those that it has: old ones must not be in the way."""
    params = [torch.nn.Parameter(torch.randn(n)) for n in (100, 50)]
    twins = [torch.nn.Parameter(p.detach().clone()) for p in params]
    one, two = AdamS(params), AdamS(twins)
    for step in range(4):
        for p, q in zip(params, twins):
            q.grad = torch.randn(q.shape)
            if step % 2:
                memory = p.grad
                p.grad = None
                p.data = memory.copy_(p.data)
            p.grad = q.grad.clone()
        one.step()
        two.step()
    assert all(torch.equal(p, q) for p, q in zip(params, twins))
