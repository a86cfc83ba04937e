# SPDX-License-Identifier: Apache-2.0
"""The peers: for each a name, the formula it computes, and a function that makes its step. A maker that raises
ImportError (or fails to build) is a missing peer, which run.py reports. Used by run.py."""
from dataclasses import dataclass
from typing import Callable

import torch

from adams import EagerAdamS


@dataclass
class Contender:
    name: str
    decay: str        # libswd's mode that computes the same: decoupled or scheduled
    clip: bool        # clips the global norm; without it libswd runs without its first pass
    make: Callable    # (Tensors, Hyper) -> step()
    devices: tuple = ("cpu", "cuda")
    quick: bool = False
    own_buffers: bool = False  # holds its arrays itself, so the values to check are at step.param()
    states: str = "fp32"  # what libswd stores beside it; narrow ones are compared with an fp64 run, not with each other


def torch_adamw(clip, **flavour):
    def make(tensors, hyper):
        optimizer = torch.optim.AdamW(tensors.parameters, **hyper.for_torch, **flavour)
        on = tensors.param.device if flavour.get("fused") else "cpu"
        tensors.adopt_moments(optimizer, lambda: torch.zeros((), device=on))

        def step():
            if clip:
                torch.nn.utils.clip_grad_norm_(tensors.parameters, hyper.max_grad_norm)
            optimizer.step()
        return step
    return make


def torch_adamw_scaler(tensors, hyper):
    """What a loop with automatic mixed precision does: unscale, clip, step, update of the scale."""
    optimizer = torch.optim.AdamW(tensors.parameters, **hyper.for_torch, fused=True)
    tensors.adopt_moments(optimizer, lambda: torch.zeros((), device=tensors.param.device))
    scaler = torch.amp.GradScaler(tensors.param.device.type, init_scale=1.0)
    scaler.scale(torch.ones(1, device=tensors.param.device))  # creates the scale

    def step():
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(tensors.parameters, hyper.max_grad_norm)
        scaler.step(optimizer)
        scaler.update(1.0)
    return step


def eager_adams(tensors, hyper):
    optimizer = EagerAdamS(tensors.parameters, **hyper.for_torch)
    tensors.adopt_moments(optimizer, lambda: 0)

    def step():
        torch.nn.utils.clip_grad_norm_(tensors.parameters, hyper.max_grad_norm)
        optimizer.step()
    return step


def deepspeed_cpu_adam(tensors, hyper):
    from deepspeed.ops.adam import DeepSpeedCPUAdam
    optimizer = DeepSpeedCPUAdam(tensors.parameters, **hyper.for_torch, adamw_mode=True)
    tensors.adopt_moments(optimizer, lambda: 0)
    return optimizer.step


def fused_adam_of(package):
    def make(tensors, hyper):
        from importlib import import_module
        optimizer = import_module(package).FusedAdam(tensors.parameters, **hyper.for_torch, adam_w_mode=True)
        return optimizer.step
    return make


def bitsandbytes_adamw(tensors, hyper):
    import bitsandbytes
    return bitsandbytes.optim.AdamW32bit(tensors.parameters, **hyper.for_torch).step


def bitsandbytes_adamw8bit(tensors, hyper):
    """Dynamic 8-bit codes, nearest, one fp32 scale in 256. bf16 parameters are rounded to nearest."""
    import bitsandbytes
    return bitsandbytes.optim.AdamW8bit(tensors.parameters, **hyper.for_torch).step


def torchao_adamw8bit(tensors, hyper):
    """The same codes. bf16 parameters are rounded stochastically. torch.compile makes its step."""
    from torchao.optim import AdamW8bit
    return AdamW8bit(tensors.parameters, **hyper.for_torch,
                     bf16_stochastic_round=tensors.param.dtype == torch.bfloat16).step


def flashoptim_adamw(tensors, hyper):
    """8-bit codes with one fp16 scale in 32, parameters of 24 bits. Written in Triton."""
    import flashoptim
    return flashoptim.FlashAdamW(tensors.parameters, **hyper.for_torch).step


def optax_adamw(tensors, hyper):
    """One jitted function with donated buffers. JAX owns its arrays."""
    import jax
    import optax
    rule = optax.chain(optax.clip_by_global_norm(hyper.max_grad_norm),
                       optax.adamw(hyper.lr, hyper.beta1, hyper.beta2, hyper.eps, weight_decay=hyper.weight_decay))
    held = {"param": [jax.numpy.asarray(p.detach().cpu().numpy().copy()) for p in tensors.parameters], "grad": None}
    held["state"] = rule.init(held["param"])

    @jax.jit
    def update(grad, state, param):
        updates, state = rule.update(grad, state, param)
        return optax.apply_updates(param, updates), state
    update = jax.jit(update, donate_argnums=(1, 2))

    def load_gradients():
        held["grad"] = [jax.numpy.asarray(p.grad.cpu().numpy().copy()) for p in tensors.parameters]

    def step():
        held["param"], held["state"] = update(held["grad"], held["state"], held["param"])
        jax.block_until_ready(held["param"])
    load_gradients()
    step.load_gradients = load_gradients
    step.param = lambda: torch.cat([torch.from_numpy(p.__array__().copy()) for p in held["param"]])
    return step


CONTENDERS = [
    Contender("torch_adamw_fused_clip", "decoupled", True, torch_adamw(True, fused=True), quick=True),
    Contender("torch_adamw_foreach_clip", "decoupled", True, torch_adamw(True, foreach=True)),
    Contender("torch_adamw_fused", "decoupled", False, torch_adamw(False, fused=True)),
    Contender("torch_adamw_fused_scaler_clip", "decoupled", True, torch_adamw_scaler, ("cuda",),
              quick=True),
    Contender("eager_adams_clip", "scheduled", True, eager_adams, quick=True),
    Contender("deepspeed_cpu_adam", "decoupled", False, deepspeed_cpu_adam, ("cpu",), quick=True),
    Contender("optax_adamw_clip_jit", "decoupled", True, optax_adamw, ("cpu",), own_buffers=True),
    Contender("apex_fused_adam", "decoupled", False, fused_adam_of("apex.optimizers"), ("cuda",)),
    Contender("te_fused_adam", "decoupled", False, fused_adam_of("transformer_engine.pytorch.optimizers"), ("cuda",)),
    Contender("deepspeed_fused_adam", "decoupled", False, fused_adam_of("deepspeed.ops.adam"), ("cuda",)),
    Contender("bitsandbytes_adamw32", "decoupled", False, bitsandbytes_adamw, ("cuda",)),
    Contender("bitsandbytes_adamw8bit_bf16", "decoupled", False, bitsandbytes_adamw8bit, states="compact8"),
    Contender("bitsandbytes_adamw8bit_f32", "decoupled", False, bitsandbytes_adamw8bit, states="f32-block8"),
    Contender("torchao_adamw8bit_bf16", "decoupled", False, torchao_adamw8bit, states="compact8"),
    Contender("torchao_adamw8bit_f32", "decoupled", False, torchao_adamw8bit, states="f32-block8"),
    Contender("flashoptim_adamw_bf16", "decoupled", False, flashoptim_adamw, states="compact8"),
]
