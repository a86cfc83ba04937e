// SPDX-License-Identifier: Apache-2.0
//! The numbers of a step.
use std::mem::size_of;
use std::ptr::{from_ref, null};

use swd_sys as sys;

use crate::error::{Error, Result, Status};
use crate::plan::Plan;
use crate::segment::bit;

/// The hyper-parameters of one group. `lr`, `weight_decay` >= 0; 0 <= beta < 1; all finite; `eps` is a normal number as
/// fp32. A learning rate of 0 decays nothing. Under scheduled decay `weight_decay` has the unit of a gradient: convert with
/// [`weight_decay_from_adamw`](crate::weight_decay_from_adamw), or use [`Decay::Relative`](crate::Decay::Relative).
// The members of swd_group in its order; a reference that may be absent is a pointer that may be NULL. So a slice of
// groups is the array that the library wants.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C)]
pub struct Group<'a> {
    /// Learning rate.
    pub lr: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Strength of the decay, in the unit that the group's [`Decay`](crate::Decay) gives it.
    pub weight_decay: f64,
    /// Replaces `lr`, read when the step is decided. Out of range: the step is skipped as
    /// [`StepResult::SKIPPED_INVALID`](crate::StepResult::SKIPPED_INVALID).
    pub lr_pointer: Option<&'a f32>,
    /// Multiplies `lr`, or what `lr_pointer` leads to; >= 0; 0: 1.
    pub lr_factor: f64,
}

const _: () = assert!(size_of::<Group<'static>>() == size_of::<sys::swd_group>());

/// lr 1e-3, betas 0.9 and 0.999, eps 1e-8, no decay.
impl Default for Group<'_> {
    fn default() -> Self {
        let init = sys::SWD_GROUP_INIT;
        Group {
            lr: init.lr,
            beta1: init.beta1,
            beta2: init.beta2,
            eps: init.eps,
            weight_decay: init.weight_decay,
            lr_pointer: None,
            lr_factor: init.lr_factor,
        }
    }
}

/// The two rounds of reduce, fold and decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum Phase {
    /// Over the gradients: every step has it.
    Grad = sys::SWD_PHASE_GRAD,
    /// Over the maxed second moment: only for plans with amsgrad and a scheduled or relative group.
    Max = sys::SWD_PHASE_MAX,
}

/// The numbers of one step.
#[derive(Clone, Copy, Debug)]
pub struct StepArgs<'a> {
    /// One per group of the plan.
    pub groups: &'a [Group<'a>],
    /// Gradients are divided by it; > 0 and finite; 0: 1.
    pub loss_scale: f64,
    /// Multiplies `loss_scale`, read when the step is decided.
    pub loss_scale_pointer: Option<&'a f32>,
    /// Not 0 counts as one non-finite gradient.
    pub found_inf: Option<&'a f32>,
    /// One per segment: false says "no gradient this step". The segment keeps counter, sum, moments and parameters, and
    /// counts nowhere. None: all have one, but for tensors whose `grad` is None.
    pub has_grad: Option<&'a [bool]>,
    /// Clip the global norm to it (PyTorch's rule, norm + 1e-6); 0: no clipping.
    pub max_grad_norm: f64,
    /// No decay factor exceeds it; 0: 0.1.
    pub max_decay: f64,
    /// Relative decay: the state's first applied step with this number or a later one, and a vbar above 0, gives the
    /// reference; 0: 100.
    pub reference_step: u64,
    /// Apply non-finite gradients and let NaN spread, instead of skipping the step.
    pub propagate: bool,
    /// Do not run the first pass. Needs `propagate`, no clipping, and no scheduled or relative group; running
    /// sums become unknown. `found_inf` still skips the step.
    pub skip_norm: bool,
}

/// No groups, no scaling, no clipping, skip what is not finite.
impl Default for StepArgs<'_> {
    fn default() -> Self {
        StepArgs {
            groups: &[],
            loss_scale: 0.0,
            loss_scale_pointer: None,
            found_inf: None,
            has_grad: None,
            max_grad_norm: 0.0,
            max_decay: 0.0,
            reference_step: 0,
            propagate: false,
            skip_norm: false,
        }
    }
}

impl StepArgs<'_> {
    /// Valid as long as what `self` borrows. Checks what the library cannot know: the length of `has_grad`.
    pub(crate) fn raw(&self, plan: &Plan) -> Result<sys::swd_step_args> {
        let segments = plan.segment_count();
        if let Some(given) = self.has_grad.filter(|given| given.len() != segments) {
            let detail = format!("args.has_grad has {} elements, but the plan has {segments} segments", given.len());
            return Err(Error::new(Status::SIZE, detail));
        }
        Ok(sys::swd_step_args {
            flags: bit(self.propagate, sys::SWD_STEP_PROPAGATE) | bit(self.skip_norm, sys::SWD_STEP_SKIP_NORM),
            groups: self.groups.as_ptr().cast(),
            group_count: u32::try_from(self.groups.len()).unwrap_or(u32::MAX),
            loss_scale: self.loss_scale,
            loss_scale_pointer: self.loss_scale_pointer.map_or(null(), from_ref),
            found_inf: self.found_inf.map_or(null(), from_ref),
            has_grad: self.has_grad.map_or(null(), |given| given.as_ptr().cast()),
            max_grad_norm: self.max_grad_norm,
            max_decay: self.max_decay,
            reference_step: self.reference_step,
            ..sys::SWD_STEP_ARGS_INIT
        })
    }
}
