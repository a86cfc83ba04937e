# SPDX-License-Identifier: Apache-2.0
"""libswd's step on the memory of torch tensors, through its Python package. Used by run.py and errors.py."""
import torch

# The storage of a plan, by the names of bench_step.
STATES = {
    "fp32": dict(),
    "master16": dict(param_dtype="bfloat16", remainder_dtype="int16"),
    "mixed16": dict(param_dtype="bfloat16", remainder_dtype="int16", moment_dtype="bfloat16"),
    "compact8": dict(param_dtype="bfloat16", remainder_dtype="int8", moment_dtype="block8"),
    "tiny8": dict(param_dtype="bfloat16", moment_dtype="block8"),
    "f32-bf16": dict(moment_dtype="bfloat16"),
    "f32-block8": dict(moment_dtype="block8"),
}
TORCH = {"float32": torch.float32, "bfloat16": torch.bfloat16, "int16": torch.int16, "int8": torch.int8,
         "block8": torch.uint8}


class Step:
    """One plan over the parameters of `tensors` (tensors.Tensors), which share one flat base. What narrow states have
    beside the parameter is this object's own."""

    def __init__(self, swd, tensors, hyper, decay, clip, states="fp32"):
        device, options = tensors.param.device, STATES[states]
        # Without clipping and schedule nothing needs the norm: libswd skips its first pass, as its peers have none.
        skip_norm = not clip and decay != "scheduled"
        plan = swd.Plan(tensors.sizes, decay=decay, backend=device.type,
                        grad_dtype=str(tensors.grad.dtype).split(".")[1], **options)
        self.plan = plan
        self.stream = torch.cuda.current_stream().cuda_stream if device.type == "cuda" else 0
        state, workspace = (torch.zeros(size // 8, dtype=torch.float64, device=device)
                            for size in (plan.state_bytes, plan.workspace_bytes))
        plan.init_workspace(workspace, stream=self.stream)
        arrays = dict(param=tensors.param, grad=tensors.grad)
        if options.get("moment_dtype"):
            arrays.update({name: torch.zeros(plan.extent, dtype=TORCH[options["moment_dtype"]], device=device)
                           for name in ("exp_avg", "exp_avg_sq")})
        else:
            arrays.update(exp_avg=tensors.exp_avg, exp_avg_sq=tensors.exp_avg_sq)
        if options.get("remainder_dtype"):
            arrays["remainder"] = torch.zeros(plan.extent, dtype=TORCH[options["remainder_dtype"]], device=device)
        if options.get("moment_dtype") == "block8":
            arrays.update({name: torch.zeros(plan.scale_bytes, dtype=torch.uint8, device=device)
                           for name in ("exp_avg_scale", "exp_avg_sq_scale")})
        self.buffers = plan.buffers(state=state, workspace=workspace, stream=self.stream, **arrays)
        group = swd.Group(lr=hyper.lr, beta1=hyper.beta1, beta2=hyper.beta2, eps=hyper.eps,
                          weight_decay=hyper.weight_decay)
        self.args = plan.args(group, max_grad_norm=hyper.max_grad_norm if clip else 0.0, propagate=skip_norm,
                              skip_norm=skip_norm, stream=self.stream)

    def __call__(self):
        self.plan.step(self.buffers, self.args, stream=self.stream)

    def load(self, **fp32):
        self.plan.load(self.buffers, stream=self.stream, **fp32)

    def store(self, **fp32):
        self.plan.store(self.buffers, stream=self.stream, **fp32)
