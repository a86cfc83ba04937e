// SPDX-License-Identifier: Apache-2.0
//! The structs of the state: its header, its segments, and the fp32 arrays that it is loaded from and stored to.
use core::ffi::c_void;
use core::mem::size_of;
use core::ptr::null;

/// What a state holds once.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct swd_state_header {
    pub steps_applied: u64,
    pub steps_skipped: u64,
    /// Relative decay: the vbar that `weight_decay` refers to; 0: not set yet.
    pub vbar_reference: f64,
    /// Of narrow states: what codes are rounded by, with a segment's step and the element's index in the model. Any
    /// number; set it before the first step.
    pub rounding_seed: u64,
}

/// What a state holds of one segment.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct swd_segment_state {
    /// Steps applied to this segment, at least 0.
    pub step: i64,
    /// Running sum of `exp_avg_sq` over the segment, at least 0; -1: unknown.
    pub exp_avg_sq_sum: f64,
    /// Of narrow moments: their buffer holds the second moment over this, 0.5 to 1; 0: 1. It belongs to what the buffer
    /// holds. Else 0 or 1.
    pub exp_avg_sq_unit: f64,
    /// 0
    pub reserved: u64,
}

/// Parameters and moments in fp32, element for element as the plan's.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct swd_fp32_arrays {
    pub struct_size: u32,
    pub flags: u32,
    pub param: *const c_void,
    pub exp_avg: *const c_void,
    pub exp_avg_sq: *const c_void,
}

pub const SWD_FP32_ARRAYS_INIT: swd_fp32_arrays = swd_fp32_arrays {
    struct_size: size_of::<swd_fp32_arrays>() as u32,
    flags: 0,
    param: null(),
    exp_avg: null(),
    exp_avg_sq: null(),
};
