// SPDX-License-Identifier: Apache-2.0
//! The types of swd.h, with the values of its `_INIT` macros.
use core::ffi::c_void;
use core::marker::{PhantomData, PhantomPinned};
use core::mem::size_of;
use core::ptr::{null, null_mut};

use crate::constants::*;

pub type swd_status = i32;
pub type swd_backend = i32;
pub type swd_dtype = i32;
pub type swd_decay = i32;
pub type swd_buffer_kind = i32;
pub type swd_phase = i32;
pub type swd_result = i32;

/// A contiguous run of elements with one step counter and one running sum.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct swd_segment {
    pub offset: i64,
    pub count: i64,
    pub index: i64,
    pub group: u32,
    pub flags: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct swd_plan_args {
    pub struct_size: u32,
    pub flags: u32,
    pub backend: swd_backend,
    pub param_dtype: swd_dtype,
    pub grad_dtype: swd_dtype,
    pub copy_dtype: swd_dtype,
    pub segments: *const swd_segment,
    pub segment_count: i64,
    pub decay_modes: *const swd_decay,
    pub segment_stride: u32,
    pub group_count: u32,
    pub threads: i32,
    pub reserved: u32,
    pub model_key: u64,
    pub moment_dtype: swd_dtype,
    pub remainder_dtype: swd_dtype,
}

pub const SWD_PLAN_ARGS_INIT: swd_plan_args = swd_plan_args {
    struct_size: size_of::<swd_plan_args>() as u32,
    flags: 0,
    backend: SWD_BACKEND_CPU,
    param_dtype: SWD_DTYPE_F32,
    grad_dtype: SWD_DTYPE_F32,
    copy_dtype: SWD_DTYPE_NONE,
    segments: null(),
    segment_count: 0,
    decay_modes: null(),
    segment_stride: size_of::<swd_segment>() as u32,
    group_count: 1,
    threads: 0,
    reserved: 0,
    model_key: 0,
    moment_dtype: SWD_DTYPE_NONE,
    remainder_dtype: SWD_DTYPE_NONE,
};

/// Opaque; made by `swd_plan_create`. Shareable between threads.
#[repr(C)]
pub struct swd_plan {
    _bytes: [u8; 0],
    _marker: PhantomData<(*mut u8, PhantomPinned)>,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct swd_buffers {
    pub struct_size: u32,
    pub flags: u32,
    pub param: *mut c_void,
    pub grad: *const c_void,
    pub exp_avg: *mut c_void,
    /// The second moment in F32. In BF16 and BLOCK8 that over the segment's `exp_avg_sq_unit`: `swd_state_store` reads it.
    pub exp_avg_sq: *mut c_void,
    pub max_exp_avg_sq: *mut c_void,
    pub param_copy: *mut c_void,
    pub state: *mut c_void,
    pub state_bytes: u64,
    pub workspace: *mut c_void,
    pub workspace_bytes: u64,
    pub remainder: *mut c_void,
    pub exp_avg_scale: *mut c_void,
    pub exp_avg_sq_scale: *mut c_void,
}

pub const SWD_BUFFERS_INIT: swd_buffers = swd_buffers {
    struct_size: size_of::<swd_buffers>() as u32,
    flags: 0,
    param: null_mut(),
    grad: null(),
    exp_avg: null_mut(),
    exp_avg_sq: null_mut(),
    max_exp_avg_sq: null_mut(),
    param_copy: null_mut(),
    state: null_mut(),
    state_bytes: 0,
    workspace: null_mut(),
    workspace_bytes: 0,
    remainder: null_mut(),
    exp_avg_scale: null_mut(),
    exp_avg_sq_scale: null_mut(),
};

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct swd_group {
    pub lr: f64,
    pub beta1: f64,
    pub beta2: f64,
    pub eps: f64,
    pub weight_decay: f64,
    pub lr_pointer: *const f32,
    pub lr_factor: f64,
}

pub const SWD_GROUP_INIT: swd_group =
    swd_group { lr: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0, lr_pointer: null(), lr_factor: 0.0 };

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct swd_step_args {
    pub struct_size: u32,
    pub flags: u32,
    pub groups: *const swd_group,
    pub groups_device: *const swd_group,
    pub group_count: u32,
    pub group_stride: u32,
    pub loss_scale: f64,
    pub loss_scale_pointer: *const f32,
    pub found_inf: *const f32,
    pub has_grad: *const u8,
    pub max_grad_norm: f64,
    pub max_decay: f64,
    pub reference_step: u64,
}

pub const SWD_STEP_ARGS_INIT: swd_step_args = swd_step_args {
    struct_size: size_of::<swd_step_args>() as u32,
    flags: 0,
    groups: null(),
    groups_device: null(),
    group_count: 0,
    group_stride: size_of::<swd_group>() as u32,
    loss_scale: 0.0,
    loss_scale_pointer: null(),
    found_inf: null(),
    has_grad: null(),
    max_grad_norm: 0.0,
    max_decay: 0.0,
    reference_step: 0,
};

/// The names of the first eight doubles of a record; `swd_record_size` says how many there are.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct swd_norm_record {
    /// Sum of squares of the raw gradients, norm members.
    pub sum_sq: f64,
    /// Non-finite gradients, plus 1 if `found_inf` was set.
    pub bad: f64,
    /// GRAD: sum of `beta2 * S / (1 - beta2^t)` over vbar members; MAX: the sum of maxed v-hat.
    pub vbar_base: f64,
    /// GRAD: sum of `(1 - beta2) * Q / (1 - beta2^t)`; MAX: 0.
    pub vbar_grad: f64,
    /// Elements of vbar members.
    pub count: f64,
    /// Sum of squares over all segments with a gradient.
    pub total_sq: f64,
    /// vbar members whose running sum is unknown.
    pub unknown: f64,
    /// Hyper-parameters, pointers and step counters out of range.
    pub invalid: f64,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct swd_stats {
    pub result: swd_result,
    pub flags: u32,
    pub steps_applied: u64,
    pub steps_skipped: u64,
    pub grad_norm: f64,
    pub clip_coef: f64,
    pub vbar: f64,
    pub inv_sqrt_vbar: f64,
    pub largest_decay: f64,
    pub bad: f64,
    pub param_norm: f64,
    pub update_norm: f64,
    pub vbar_reference: f64,
    pub damaged_segment: i64,
}
