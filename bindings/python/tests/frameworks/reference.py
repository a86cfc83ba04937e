# SPDX-License-Identifier: Apache-2.0
"""What every framework is compared with: a loop of swd.torch.AdamS over the batches that the framework gave its model.

Small networks, made alike each time; Seen, which keeps what a model was called with; replay, the loop.
"""
import torch
from torch import nn

import swd.torch

OPTIONS = dict(lr=1e-2, decay="relative", weight_decay=0.1, max_grad_norm=0.5, reference_step=3)
STEPS, HALF = 8, 4


class Net(nn.Module):
    """The loss of a small network on a batch (x, y). Odd sizes, so that ranks hold different parts."""

    def __init__(self, wide):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(8, 37), nn.Linear(37, wide), nn.Linear(wide, 3)])

    def forward(self, x, y):
        for layer in self.layers[:-1]:
            x = torch.tanh(layer(x))
        return (self.layers[-1](x) - y).square().mean() * 20


def make_net(wide=33):
    torch.manual_seed(1)
    return Net(wide)


def llama():
    """A language model of 5,712 parameters, from its configuration."""
    from transformers import LlamaConfig, LlamaForCausalLM
    torch.manual_seed(1)
    return LlamaForCausalLM(LlamaConfig(vocab_size=40, hidden_size=16, intermediate_size=24, num_hidden_layers=2,
                                        num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=16,
                                        initializer_range=0.3))  # gradients large enough to be clipped


def pairs(count=4 * STEPS):
    x = torch.randn(count, 8, generator=torch.Generator().manual_seed(2))
    return torch.utils.data.TensorDataset(x, torch.stack([x[:, 0] * x[:, 1], x[:, 2].sin() * 3, x[:, 3]], 1))


def sentences(count=4 * STEPS):
    tokens = torch.randint(0, 40, (count, 12), generator=torch.Generator().manual_seed(2)).cumsum(1) % 40
    return [dict(input_ids=row, labels=row) for row in tokens]


def loader(dataset, batch_size=4):
    return torch.utils.data.DataLoader(dataset, batch_size=batch_size)


class Seen(list):
    """(args, kwargs) of each call of a model, as it trains."""

    def __init__(self, model):
        super().__init__()
        model.register_forward_pre_hook(self._keep, with_kwargs=True)

    def _keep(self, _, args, kwargs):
        copied = [[a.detach().clone() for a in args], {k: v.clone() if torch.is_tensor(v) else v for k, v in kwargs.items()}]
        self.append(copied)


def loss_of(output):
    return output if torch.is_tensor(output) else output["loss"]


def groups(model, decays=lambda name: True):
    """Two groups, the second without decay; the first alone if all decay."""
    named = [(name, param) for name, param in model.named_parameters() if param.requires_grad]
    made = [{"params": [param for name, param in named if decays(name) == yes]} for yes in (True, False)]
    made[1]["weight_decay"] = 0.0
    return made if made[1]["params"] else made[:1]


def replay(model, batches, options=None, decays=lambda name: True, lrs=None):
    """Trains with AdamS; a batch is the list of the calls of all ranks. Returns the model and the last statistics."""
    optimizer = swd.torch.AdamS(groups(model, decays), **{**OPTIONS, **(options or {})})
    for step, calls in enumerate(batches):
        optimizer.zero_grad()
        for args, kwargs in calls:
            (loss_of(model(*args, **kwargs)) / len(calls)).backward()
        for group in optimizer.param_groups if lrs else ():
            group["lr"] = lrs[step]
        optimizer.step()
    return model, optimizer.stats()


def full(tensor):
    return (tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor).detach().float()


def params(model):
    """{name: whole tensor}, by the names that the network has when nothing is wrapped around it."""
    wrapped = ("_orig_mod.", "_fsdp_wrapped_module.", "module.")
    out = {}
    for name, param in model.named_parameters():
        for part in wrapped:
            name = name.replace(part, "")
        out[name] = full(param)
    return out


def largest_of(numbers):
    """NaN if one is."""
    return torch.tensor(list(numbers), dtype=torch.float64).max().item()


def largest(a, b):
    """The largest absolute difference of two models' parameters."""
    a, b = (x if isinstance(x, dict) else params(x) for x in (a, b))
    assert a.keys() == b.keys(), (a.keys() ^ b.keys())
    return largest_of((a[name] - b[name]).abs().max().item() for name in a)


def apart(stats, wanted):
    """Relative differences of norm and vbar."""
    return {name: abs(stats[key] / wanted[key] - 1) for name, key in (("norm", "grad_norm"), ("vbar", "vbar"))}
