# SPDX-License-Identifier: Apache-2.0
"""AdamS, the torch.optim.Optimizer. What a step does stands in layout, engine and run; checkpoints in checkpoint."""
from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import torch
from torch.optim import Optimizer

from . import checkpoint, checks, graphs, loading, report, run
from .agreement import Agreement
from .homes import Homes
from .image import Counters
from .layout import Layout, arrange
from .options import Options
from .overlap import Overlap
from .steady import params_of
from .watch import Watch

if TYPE_CHECKING:
    from torch.optim.optimizer import ParamsT

    from .kinds import Hook


class AdamS(Optimizer):
    """Adam with Scheduled Weight Decay, clipping and loss scaling in one step: ``torch.optim.AdamW``'s place.

    params: parameters or groups, as everywhere in torch.optim, on CPU or CUDA. float32; bfloat16, which is the upper half
    of a float32 number whose lower half is ``state[p]["remainder_bytes"]``; float16, with a float32 master
    (``state[p]["master_param"]``). Gradients: float32, bfloat16, and but for bfloat16 parameters float16.
    states: what is stored of moments and bfloat16 parameters: "fp32"; "mixed16", bfloat16 moments; "compact8", 8-bit
    moments and 24 bits of a bfloat16 parameter; "tiny8", of bfloat16 parameters 16 bits. 12, 8, 5 and 4 bytes a
    bfloat16 parameter, 12, 8 and 6 a float32 one. Rounded stochastically, from rounding_seed; no amsgrad. See
    docs/narrow_states.md and memory().
    lr: a number or a tensor of one element; on the device it is read there. betas, eps: as in AdamW.

    weight_decay: under scheduled decay it has the unit of a gradient, and acts like AdamW's weight_decay divided by
    sqrt(vbar), the root of the mean second moment of all parameters. AdamW's 0.01 is far too much for most networks:
    take relative decay, or ``weight_decay_from_adamw``, which converts. ``stats()["lambda_eff"]`` tells, and after
    steps 1, 10, 100 and every 1,000th a ``DecayWarning`` says when a step takes too much (no step that is captured or
    replayed as a CUDA graph is looked at).

    decay: "scheduled" (SWD), "relative" (SWD in AdamW's unit: the first reference_step steps are AdamW's, and their vbar
    is what later ones are relative to; ``vbar_reference``), "decoupled" (AdamW) or "l2" (Adam); per group, like lr,
    betas, eps, weight_decay, maximize. amsgrad, maximize: as in AdamW; amsgrad is the same for all groups.
    max_grad_norm: clips the norm of all gradients together, inside the step: no clip_grad_norm_ before it.
    capturable: the step may be captured into a CUDA graph after one that was not: no synchronisation, and the step
    counters of a state_dict stay on the device. lr should then be a tensor, as everything else is frozen in the graph.
    max_decay: no step takes more than this share of a parameter; None: 0.1. nonfinite: "skip" leaves everything as it is
    when a gradient is NaN or infinite, "propagate" lets it spread (never under a GradScaler). update_norms: measure
    param_norm and update_norm. measure_norm: False saves the pass over the gradients where nothing needs their norm
    (nonfinite="propagate", no clipping, no scheduled or relative group); the statistics then lack it.
    overlap_norm: each gradient joins the norm as soon as backward has accumulated it, while it is in the cache, and the
    step reads it once instead of twice; the same bits. What is changed or accumulated later is read again: see accumulate.
    fused, foreach, differentiable=False: taken from torch's optimizers and without a meaning here, so that changing the
    name of the class is enough.

    shards: DTensors (FSDP2, HSDP, tensor parallel) need nothing. Where plain tensors are parts of a model
    (ZeroRedundancyOptimizer, FullyShardedDataParallel, own shards, pipeline stages): "world", or the process group or
    device mesh of all processes that hold parts, each element counted once. False: each process has its own model.
    record_hook: the general form: a function that gets the norm record, some float64 on the device, between the passes,
    and sums all of it over processes in place, as ``lambda r: torch.distributed.all_reduce(r)``.
    Sharded, every process must call step and vbar() alike; all need the same amsgrad, update_norms and decay of each
    group, which decide how often is summed. What is reported is the whole model's, on each of them.

    The step works on raw gradients and never writes them. It is one unit: a skipped step changes no parameter, moment
    or counter, to the bit. Results are the same bits on CPU and CUDA, for any number of threads, and after a resume.
    """
    overlap_norm = _loaded = _said_shards = False  # of optimizers that an older version pickled
    _step_supports_amp_scaling = True  # torch.amp.GradScaler hands over scale and verdict instead of unscaling

    def __init__(self, params: ParamsT, lr: float | torch.Tensor = 1e-3,
                 betas: tuple[float | torch.Tensor, float | torch.Tensor] = (0.9, 0.999), eps: float = 1e-8,
                 weight_decay: float = 1e-4, *, decay: str = "scheduled", amsgrad: bool = False, maximize: bool = False,
                 max_grad_norm: float | None = None, capturable: bool = False, max_decay: float | None = None,
                 nonfinite: str = "skip", update_norms: bool = False, measure_norm: bool = True,
                 reference_step: int = 100, shards: Any = None, record_hook: Hook | None = None,
                 fused: bool | None = None, foreach: bool | None = None, differentiable: bool = False,
                 states: str = "fp32", rounding_seed: int = 0, overlap_norm: bool = False) -> None:
        self.max_grad_norm, self.max_decay, self.nonfinite = max_grad_norm, max_decay, nonfinite
        self.update_norms, self.measure_norm, self.overlap_norm = update_norms, measure_norm, overlap_norm
        self.shards, self.record_hook, self._overlap = shards, record_hook, Overlap(self)
        checks.seed(rounding_seed)
        self.states, self.counters = states, Counters(seed=rounding_seed)
        self._noted, self._agreement, self._log = self.counters, Agreement(), report.Log()
        self.reference_step, self._watch, self._options, self._homes = reference_step, Watch(), Options(), Homes()
        self._layout: Layout | None = None
        defaults = dict(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, decay=decay, amsgrad=amsgrad,
                        maximize=maximize, capturable=capturable)
        checks.group({**defaults, "differentiable": differentiable})
        super().__init__(params, defaults)
        checks.whole(self)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Adds a group, as torch.optim.Optimizer does; a parameter that is given twice is refused."""
        if isinstance(param_group, dict) and not isinstance(param_group.get("params"), (torch.Tensor, set, type(None))):
            param_group["params"] = list(param_group["params"])
            checks.distinct(param_group["params"])
        super().add_param_group(param_group)
        try:
            group = self.param_groups[-1]
            for option in ("shards", "record_hook"):  # ZeroRedundancyOptimizer gives its keywords to groups, too
                group.pop(option, None)
            group.setdefault("swd", checkpoint.saved_counters(self._noted))  # as in the other groups
            for param in group["params"]:
                checks.parameter(param)
            checks.group(group)
            checks.whole(self)
            self._overlap.follow(self)
        except Exception:
            self.param_groups.pop()
            raise

    # ---- The step ----

    def _patch_step_function(self) -> None:
        super()._patch_step_function()
        graphs.hide_step(type(self))

    def step(self, closure: Any = None) -> Any:
        """One optimizer step; returns what the closure returned."""
        capturing = graphs.check_capture(self)
        with torch.enable_grad():
            loss = None if closure is None else closure()
        with torch.no_grad():
            layout, grads = arrange(self)
            own = None if capturing else self._agreement.begin(self, layout.joint)
            run.run(self, layout.engines, grads, layout.joint.hook, own)
            if not capturing:
                self._watch.look(self, layout.engines)
                self._agreement.look(layout.engines, layout.joint)
        return loss

    def accumulate(self) -> AbstractContextManager[None]:
        """For all backward passes of an accumulation but the last, with overlap_norm: what they leave is not reduced, as
        the last one changes it. Without it the step is the same to the bit, and reads are wasted."""
        return self._overlap.pause()

    @graphs.opaque
    def zero_grad(self, set_to_none: bool = True) -> None:
        """As everywhere; parameters of swd.torch.flatten keep their gradient views, which are cleared in place."""
        self._overlap.end(self._layout.engines if self._layout else ())
        super().zero_grad(set_to_none)
        self._homes.zero_grad(params_of(self.param_groups))

    # ---- What happened ----

    def stats(self) -> dict[str, Any]:
        """What the latest step measured and decided, as a dict. Waits for the device.

        result: "applied", "skipped_nonfinite", "skipped_overflow", "skipped_underflow", "skipped_invalid",
        "skipped_sum_unknown", "skipped_vbar" (a second moment is damaged: damaged_parameter), or "none" before a step.
        grad_norm: of the unscaled gradients, before clipping. clip_coef. vbar: the mean second moment the step used.
        inv_sqrt_vbar. vbar_reference: what relative decay refers to, 0 before. lambda_eff: each group's decay in AdamW's
        unit. largest_decay: the largest share a step takes. steps_applied, steps_skipped. bad: non-finite gradients
        seen. param_norm, update_norm: with update_norms, else None. clipped, large_decay, decay_capped, nonfinite:
        flags. damaged_parameter: the first, counted as in a state_dict, in whose exp_avg_sq a load found NaN or
        infinity, else None.
        """
        return report.stats(self)

    def log(self, wait: bool = True) -> dict[str, float]:
        """The numbers of stats() for a logger: a flat dict of floats. {} before the first step.

        grad_norm, clip_coef, vbar, vbar_reference, largest_decay, steps_applied, steps_skipped, skipped (1: the latest
        step was), lambda_eff (lambda_eff/0, /1, ... with several groups), and with update_norms param_norm and
        update_norm. wait=False does not wait for the device: it gives the newest that has arrived, and asks for the
        present."""
        return report.log(self, wait)

    def vbar(self) -> float:
        """The mean second moment of all parameters with state, as the next step would use it without its gradient: what
        converts weight_decay. 0 before the first step. Waits for the device."""
        with torch.no_grad():
            return report.vbar(self)

    @property
    def vbar_reference(self) -> float:
        """Relative decay: the vbar that weight_decay refers to; 0: not set yet. Reading it waits for the device.

        It is that of step reference_step, or what you assign; 0 has it taken anew at the next step from there on: do that
        when what gradients mean changes, as with another loss, or layers that thaw."""
        return checkpoint.live_numbers(self)[1].reference

    @vbar_reference.setter
    def vbar_reference(self, value: float) -> None:
        checkpoint.set_reference(self, value)

    def weight_decay_from_adamw(self, weight_decay: float) -> float:
        """AdamW's weight_decay in SWD's unit, at the present vbar: after loading an AdamW checkpoint, or some steps."""
        return report.from_adamw(weight_decay, self.vbar())

    def memory(self) -> dict[str, float]:
        """Bytes a stepped parameter, as a dict: parameters, gradients, states, workspace, all. {} before the first step."""
        return report.memory(self)

    # ---- Checkpoints ----

    def state_dict(self) -> dict[str, Any]:
        """As everywhere, in the form of torch.optim.AdamW: see swd.torch.checkpoint. A resume is the same to the bit.
        Step counters and sums are those of now; moments are the live tensors."""
        return checkpoint.pack(self, super().state_dict())

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Loads a state_dict of AdamS, of torch's Adam and AdamW, or of the authors' AdamS. Running sums that are not
        there are taken from exp_avg_sq at the next step. A group of Adam or AdamW brings its weight_decay only where
        this group's decay is not scheduled: the units differ. Relative decay has theirs, and takes a reference after
        reference_step more steps."""
        loading.load(self, super().load_state_dict, state_dict)

    def __getstate__(self) -> dict[str, Any]:
        return {**checkpoint.pickled(self, super().__getstate__()), "_log": report.Log()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._layout, self._overlap, self._options, self._homes = None, Overlap(self), Options(), Homes()
        checkpoint.complete_groups(self)
        self._overlap.follow(self)
