# SPDX-License-Identifier: Apache-2.0
"""What load_state_dict refuses: with the cause, and with nothing changed."""
import pytest
import torch
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_optimizer_state_dict, set_optimizer_state_dict

from swd.torch import AdamS, flatten

FLATTENED = StateDictOptions(flatten_optimizer_state_dict=True)


def net_of(flat):
    torch.manual_seed(0)
    net = torch.nn.Linear(4, 4)
    if flat:
        flatten(net.parameters())
    return net, AdamS(net.parameters())


def backward(net):
    net(torch.ones(1, 4)).square().sum().backward()


@pytest.mark.parametrize("flat", [False, True])
def test_a_flattened_state_dict_where_gradients_exist(flat):
    """torch makes no states there, and hands over empty ones."""
    net, optimizer = net_of(flat)
    for _ in range(5):
        backward(net)
        optimizer.step()
    saved = get_optimizer_state_dict(net, optimizer, options=FLATTENED)
    other_net, other = net_of(flat)
    backward(other_net)
    for _ in range(2):
        with pytest.raises(ValueError, match="is of 5 steps, and has a state of no parameter"):
            set_optimizer_state_dict(other_net, other, saved, options=FLATTENED)
        assert other.stats()["steps_applied"] == 0 and not other.state
    for param in other_net.parameters():  # as the error says
        param.grad = None
    set_optimizer_state_dict(other_net, other, saved, options=FLATTENED)
    assert other.vbar() == optimizer.vbar() > 0


def test_a_parameter_that_never_had_a_gradient():
    """A flattened state_dict does not tell its state, which is none, from one that is missing."""
    net = torch.nn.ModuleDict({"used": torch.nn.Linear(4, 4), "unused": torch.nn.Linear(4, 4)})
    optimizer, other = AdamS(net.parameters()), AdamS(net.parameters())
    backward(net["used"])
    optimizer.step()
    saved = get_optimizer_state_dict(net, optimizer, options=FLATTENED)
    optimizer.zero_grad()
    with pytest.raises(ValueError, match="no state of parameter 'unused.weight': it had no gradient yet"):
        set_optimizer_state_dict(net, other, saved, options=FLATTENED)
    other.load_state_dict(optimizer.state_dict())  # not flattened, as the error says
    assert net["unused"].weight not in other.state and other.vbar() == optimizer.vbar()
