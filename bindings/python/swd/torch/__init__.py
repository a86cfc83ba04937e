# SPDX-License-Identifier: Apache-2.0
"""AdamS for PyTorch.

    AdamS               in the place of torch.optim.AdamW and clip_grad_norm_
    GradScaler          in the place of torch.amp.GradScaler: no pass over the gradients of its own
    flatten             parameters and gradients in flat buffers: two launches per step, no pointer table
    adamw_state_dict    a checkpoint for torch.optim.AdamW or Adam, with weight_decay in its unit
    DecayWarning        what AdamS warns with before weight decay destroys a model
"""
from .adams import AdamS
from .export import adamw_state_dict
from .flat import Flat, flatten
from .scaler import GradScaler
from .watch import DecayWarning

__all__ = ["AdamS", "DecayWarning", "Flat", "GradScaler", "adamw_state_dict", "flatten"]
