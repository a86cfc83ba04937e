# SPDX-License-Identifier: Apache-2.0
"""The float32 numbers behind 16-bit parameters, however AdamS keeps them."""
import torch


def master_of(optimizer, param):
    """A float16 parameter has a master; a bfloat16 one is the upper half of what its remainder completes."""
    state = optimizer.state[param]
    if "master_param" in state:
        return state["master_param"].detach().clone()
    visible, low = param.detach().view(torch.int16).to(torch.int32) << 16, remainder_of(state).to(torch.int32)
    sum_of_both = (visible + low).view(torch.float32)
    return torch.where(sum_of_both.isnan(), visible.view(torch.float32), sum_of_both)


def remainder_of(state):
    """As integers, of 8 or 16 bits."""
    return state["remainder"] if "remainder" in state else state["remainder_bytes"].view(torch.int16).squeeze(-1)
