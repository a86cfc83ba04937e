// SPDX-License-Identifier: Apache-2.0
//! What a step reports.
use std::fmt;

use swd_sys as sys;

use crate::error::text;

/// What became of a step. Everything but [`APPLIED`](StepResult::APPLIED) left every parameter, moment, counter and running
/// sum as it was, to the bit. An integer with names, as a newer library may know more.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct StepResult(pub sys::swd_result);

impl StepResult {
    /// No step has been committed in this workspace.
    pub const NONE: StepResult = StepResult(sys::SWD_RESULT_NONE);
    /// The step happened.
    pub const APPLIED: StepResult = StepResult(sys::SWD_RESULT_APPLIED);
    /// A gradient is NaN or infinite, or `found_inf` was set.
    pub const SKIPPED_NONFINITE: StepResult = StepResult(sys::SWD_RESULT_SKIPPED_NONFINITE);
    /// The scaled gradients could make `exp_avg_sq` infinite: `|s|^2 * sum g^2 > 2^126`.
    pub const SKIPPED_OVERFLOW: StepResult = StepResult(sys::SWD_RESULT_SKIPPED_OVERFLOW);
    /// `clip_coef / loss_scale` is below the smallest normal fp32 number.
    pub const SKIPPED_UNDERFLOW: StepResult = StepResult(sys::SWD_RESULT_SKIPPED_UNDERFLOW);
    /// A number that is read when the step is decided is out of range.
    pub const SKIPPED_INVALID: StepResult = StepResult(sys::SWD_RESULT_SKIPPED_INVALID);
    /// Scheduled or relative decay needs a running sum that is unknown: [`Workspace::rebuild`](crate::Workspace::rebuild).
    pub const SKIPPED_SUM_UNKNOWN: StepResult = StepResult(sys::SWD_RESULT_SKIPPED_SUM_UNKNOWN);
    /// An update without a decide before it; not counted as skipped.
    pub const NOT_ARMED: StepResult = StepResult(sys::SWD_RESULT_NOT_ARMED);
    /// Scheduled or relative decay, and vbar is NaN or infinite, though the gradients are finite: a damaged second moment.
    /// [`Stats::damaged_segment`] says which after a rebuild.
    pub const SKIPPED_VBAR: StepResult = StepResult(sys::SWD_RESULT_SKIPPED_VBAR);
    /// The workspace was not initialised for this plan, so nothing happened (CUDA).
    pub const FOREIGN_WORKSPACE: StepResult = StepResult(sys::SWD_RESULT_FOREIGN_WORKSPACE);

    /// The name in the C header, such as `"SWD_RESULT_APPLIED"`; `"unknown"` for a value that this library does not know.
    pub fn name(self) -> &'static str {
        text(unsafe { sys::swd_result_name(self.0) })
    }
}

impl fmt::Debug for StepResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.0)
    }
}

impl fmt::Display for StepResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Statistics of the latest committed step in a workspace.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// What became of it.
    pub result: StepResult,
    /// `SWD_STATS_*` of [`sys`]; the methods below read them.
    pub flags: u32,
    /// Since the state was fresh.
    pub steps_applied: u64,
    /// Since the state was fresh.
    pub steps_skipped: u64,
    /// Of the unscaled gradients, before clipping.
    pub grad_norm: f64,
    /// 1: not clipped.
    pub clip_coef: f64,
    /// Mean of the bias-corrected second moment that the step used; NaN if a running sum is unknown.
    pub vbar: f64,
    /// `1 / sqrt(vbar)`; 0 if vbar is 0 or has no members.
    pub inv_sqrt_vbar: f64,
    /// Largest decay factor of any group.
    pub largest_decay: f64,
    /// Non-finite gradients seen, plus 1 if `found_inf` was set.
    pub bad: f64,
    /// With `update_norms`: norm of the updated parameters; 0 if the step was skipped.
    pub param_norm: f64,
    /// With `update_norms`: norm of what they lost; segments with a gradient only.
    pub update_norm: f64,
    /// Relative decay: the state's reference after the step; 0: not set yet.
    pub vbar_reference: f64,
    /// The first segment in whose `exp_avg_sq` the latest rebuild found NaN or an infinite sum.
    pub damaged_segment: Option<usize>,
}

impl Stats {
    fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    /// The gradients were clipped.
    pub fn clipped(&self) -> bool {
        self.has(sys::SWD_STATS_CLIPPED)
    }

    /// Some decay factor exceeds 0.01, at which trainings die: `weight_decay` is probably in AdamW's unit.
    pub fn large_decay(&self) -> bool {
        self.has(sys::SWD_STATS_LARGE_DECAY)
    }

    /// Some decay factor was cut to `max_decay`.
    pub fn decay_capped(&self) -> bool {
        self.has(sys::SWD_STATS_DECAY_CAPPED)
    }

    /// Non-finite gradients were seen (and applied, under `propagate`).
    pub fn nonfinite(&self) -> bool {
        self.has(sys::SWD_STATS_NONFINITE)
    }

    /// `skip_norm`: `grad_norm` and `vbar` are not measured, `bad` is that of `found_inf`.
    pub fn no_norm(&self) -> bool {
        self.has(sys::SWD_STATS_NO_NORM)
    }
}

/// Also for what [`Plan::stats_fetch_raw`](crate::Plan::stats_fetch_raw) fetched.
impl From<sys::swd_stats> for Stats {
    fn from(raw: sys::swd_stats) -> Stats {
        Stats {
            result: StepResult(raw.result),
            flags: raw.flags,
            steps_applied: raw.steps_applied,
            steps_skipped: raw.steps_skipped,
            grad_norm: raw.grad_norm,
            clip_coef: raw.clip_coef,
            vbar: raw.vbar,
            inv_sqrt_vbar: raw.inv_sqrt_vbar,
            largest_decay: raw.largest_decay,
            bad: raw.bad,
            param_norm: raw.param_norm,
            update_norm: raw.update_norm,
            vbar_reference: raw.vbar_reference,
            damaged_segment: usize::try_from(raw.damaged_segment - 1).ok(),
        }
    }
}
