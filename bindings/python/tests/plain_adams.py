# SPDX-License-Identifier: Apache-2.0
"""AdamS in float64, as the paper writes it, with what swd.torch adds: decays, clipping, loss scales, steps that are skipped.
The model that test_histories compares with; it knows no layout, no running sum and no checkpoint."""
import math

import torch

SCHEDULED = ("scheduled", "relative")
FLT_MIN = 2.0 ** -126


class Place:
    """What one parameter has: its value, its gradient or None, and the state that it gets with its first gradient. After a
    step `slack` says by how much float32 may differ."""

    def __init__(self, value):
        self.p, self.grad, self.step, self.m, self.v, self.top, self.slack = value, None, 0, None, None, None, {}
        self.lost = 0.0  # the square of what the step took

    def update(self, group, g):
        """Step and moments. g: the gradient as Adam takes it."""
        if self.m is None:
            self.m, self.v = torch.zeros_like(self.p), torch.zeros_like(self.p)
        if group["amsgrad"] and self.top is None:
            self.top = self.v.clone()
        l2 = group["weight_decay"] * self.p if group["decay"] == "l2" else torch.zeros_like(self.p)
        size, g = g.abs() + l2.abs(), g + l2  # what is rounded, where both cancel
        (beta1, beta2), self.step = group["betas"], self.step + 1
        self.slack = {"m": 2e-6 * (self.m.abs() + size) + FLT_MIN, "v": 3e-6 * (self.v + size * size) + FLT_MIN,
                      "g": self.m.abs() + size}
        self.m, self.v = beta1 * self.m + (1 - beta1) * g, beta2 * self.v + (1 - beta2) * g * g
        if group["amsgrad"]:
            self.top = torch.maximum(self.top, self.v)
            self.slack["top"] = self.slack["v"] + 3e-6 * self.top

    def second(self, group):
        return (self.top if group["amsgrad"] else self.v) / (1 - group["betas"][1] ** self.step)

    def move(self, group, d):
        """d: the share that decay takes."""
        size = group["lr"] / (1 - group["betas"][0] ** self.step) / (self.second(group).sqrt() + group["eps"])
        step = d * self.p + size * self.m
        root = self.slack["v"] / self.v.clamp(min=FLT_MIN)
        self.slack["p"] = (2.0 ** -23 * (self.p.abs() + step.abs()) + size * (5e-6 * self.slack.pop("g") + root * self.m.abs())
                           + 3e-5 * d * self.p.abs() + FLT_MIN)
        self.p, self.lost = self.p - step, step.square().sum().item()


class PlainAdamS:
    """groups: options, and "places", a list of Place. whole: the options that are not a group's."""

    def __init__(self, groups, **whole):
        self.groups, self.applied, self.skipped, self.reference, self.vbar = groups, 0, 0, 0.0, 0.0
        self.whole = dict(max_grad_norm=None, max_decay=None, nonfinite="skip", measure_norm=True, reference_step=100,
                          update_norms=False, **whole)

    def places(self):
        return [place for group in self.groups for place in group["places"]]

    def mean(self, pairs):
        pairs = [(group, place) for group, place in pairs if group["decay"] != "l2"]
        count = sum(place.p.numel() for _, place in pairs)
        return sum(place.second(group).sum().item() for group, place in pairs) / count if count else 0.0

    def vbar_now(self):
        """As vbar() has it: of the second moments, not of their maxima, of all that have state."""
        pairs = [({**group, "amsgrad": False}, place) for group in self.groups for place in group["places"] if place.step]
        return self.mean(pairs)

    def step(self, scale=1.0, found=False, scaled=False):
        """What stats() calls the result; "none" where nothing has a gradient."""
        active = [(group, place) for group in self.groups for place in group["places"] if place.grad is not None]
        if not active:
            return "none"
        propagate = self.whole["nonfinite"] == "propagate" and not scaled
        s, result = self.scaling([place.grad for _, place in active], scale, found, propagate)
        if result != "applied":
            self.skipped += 1
            return result
        for group, place in active:
            place.update(group, (-s if group["maximize"] else s) * place.grad)
        self.vbar = self.mean(active)
        if self.reference == 0 and self.applied >= self.whole["reference_step"] - 1 and self.has("relative"):
            self.reference = self.vbar
        self.applied += 1
        for group, place in active:
            place.move(group, min(group["lr"] * self.strength(group), self.whole["max_decay"] or 0.1))
        return "applied"

    def scaling(self, grads, scale, found, propagate):
        """What gradients are multiplied by, and whether there is a step."""
        total = sum(grad.square().sum().item() for grad in grads)
        limit, clip = self.whole["max_grad_norm"], 1.0
        if limit is not None:
            clip = min(1.0, limit / (math.sqrt(total) / scale + 1e-6))
        s = clip / scale
        if (found or not math.isfinite(total)) and not propagate:
            return s, "skipped_nonfinite"
        if s * s * total > 2.0 ** 126 and (self.whole["measure_norm"] or not propagate):
            return s, "skipped_overflow"
        return (s, "skipped_underflow") if s < FLT_MIN else (s, "applied")

    def has(self, *decays):
        return any(group["decay"] in decays for group in self.groups)

    def strength(self, group):
        """The decay in AdamW's unit."""
        decay = group["weight_decay"]
        if group["decay"] == "l2":
            return 0.0
        if group["decay"] == "decoupled" or group["decay"] == "relative" and self.reference == 0:
            return decay
        root = math.sqrt(self.vbar)
        return (decay if group["decay"] == "scheduled" else decay * math.sqrt(self.reference)) / root if root else 0.0
