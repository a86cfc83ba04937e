// SPDX-License-Identifier: Apache-2.0
//! The constants of swd.h. Enumerations are integers, because a newer library may know more values.
use crate::types::*;

pub const SWD_VERSION_MAJOR: u32 = 0;
pub const SWD_VERSION_MINOR: u32 = 2;
pub const SWD_VERSION_PATCH: u32 = 0;

pub const SWD_OK: swd_status = 0;
/// A pointer that is needed is NULL.
pub const SWD_ERR_NULL: swd_status = 1;
/// `struct_size` or a stride is too small, or a longer struct has a non-zero tail.
pub const SWD_ERR_STRUCT_SIZE: swd_status = 2;
/// An unknown flag bit, or flags that exclude each other.
pub const SWD_ERR_FLAGS: swd_status = 3;
/// An unknown backend, dtype, decay mode, buffer or phase.
pub const SWD_ERR_ENUM: swd_status = 4;
/// A number out of its range, NaN or infinite.
pub const SWD_ERR_VALUE: swd_status = 5;
/// A byte or element count too small, too large or negative.
pub const SWD_ERR_SIZE: swd_status = 6;
/// Segments overlap or are out of order.
pub const SWD_ERR_LAYOUT: swd_status = 7;
/// A pointer is not aligned as required.
pub const SWD_ERR_ALIGNMENT: swd_status = 8;
/// Two buffers share memory.
pub const SWD_ERR_OVERLAP: swd_status = 9;
/// An argument is set that this plan has no use for.
pub const SWD_ERR_UNEXPECTED: swd_status = 10;
/// The workspace was not initialised for this plan (CPU backend; CUDA: SWD_RESULT_FOREIGN_WORKSPACE).
pub const SWD_ERR_WORKSPACE: swd_status = 11;
/// Memory or a stream does not belong to the current device.
pub const SWD_ERR_DEVICE: swd_status = 12;
/// A dtype combination that this version does not offer.
pub const SWD_ERR_UNSUPPORTED: swd_status = 30;
/// The library was built without CUDA.
pub const SWD_ERR_NO_CUDA: swd_status = 31;
/// Built with CUDA, but no device is there, or none that this build has code for.
pub const SWD_ERR_NO_DEVICE: swd_status = 32;
/// Host memory ran out.
pub const SWD_ERR_MEMORY: swd_status = 40;
/// A CUDA call failed: the detail names it, `swd_error_cuda` is its code.
pub const SWD_ERR_CUDA: swd_status = 41;
/// Not a libswd state blob.
pub const SWD_ERR_BLOB_MAGIC: swd_status = 50;
/// A format version that this library does not read.
pub const SWD_ERR_BLOB_VERSION: swd_status = 51;
/// Truncated, or longer than its header says.
pub const SWD_ERR_BLOB_SIZE: swd_status = 52;
pub const SWD_ERR_BLOB_CHECKSUM: swd_status = 53;
/// The checksum is right, a value inside is not.
pub const SWD_ERR_BLOB_VALUE: swd_status = 54;
/// The blobs are of another model, do not cover the plan's segments exactly once, or disagree on a step.
pub const SWD_ERR_BLOB_PLAN: swd_status = 55;

pub const SWD_BACKEND_CPU: swd_backend = 1;
pub const SWD_BACKEND_CUDA: swd_backend = 2;

pub const SWD_DTYPE_NONE: swd_dtype = 0;
pub const SWD_DTYPE_F32: swd_dtype = 1;
pub const SWD_DTYPE_BF16: swd_dtype = 2;
pub const SWD_DTYPE_F16: swd_dtype = 3;
/// The lower half of an fp32 parameter, whose upper half is in `param`.
pub const SWD_DTYPE_I16: swd_dtype = 4;
/// The 8 bits behind the bf16 number in `param`.
pub const SWD_DTYPE_I8: swd_dtype = 5;
/// One byte, and one more for each block of 128 elements of a segment: moments only.
pub const SWD_DTYPE_BLOCK8: swd_dtype = 6;

/// SWD: `d = lr * weight_decay / sqrt(vbar)`.
pub const SWD_DECAY_SCHEDULED: swd_decay = 0;
/// AdamW: `d = lr * weight_decay`.
pub const SWD_DECAY_DECOUPLED: swd_decay = 1;
/// Adam: the gradient gains `weight_decay * param`, after unscaling and clipping.
pub const SWD_DECAY_L2: swd_decay = 2;
/// `weight_decay` is ignored.
pub const SWD_DECAY_NONE: swd_decay = 3;
/// SWD in AdamW's unit: `d = lr * weight_decay * sqrt(reference / vbar)`.
pub const SWD_DECAY_RELATIVE: swd_decay = 4;

pub const SWD_BUFFER_PARAM: swd_buffer_kind = 0;
pub const SWD_BUFFER_GRAD: swd_buffer_kind = 1;
pub const SWD_BUFFER_EXP_AVG: swd_buffer_kind = 2;
pub const SWD_BUFFER_EXP_AVG_SQ: swd_buffer_kind = 3;
pub const SWD_BUFFER_MAX_EXP_AVG_SQ: swd_buffer_kind = 4;
pub const SWD_BUFFER_PARAM_COPY: swd_buffer_kind = 5;
pub const SWD_BUFFER_REMAINDER: swd_buffer_kind = 6;
/// `ceil(count / 128)` bytes a segment, as the next.
pub const SWD_BUFFER_EXP_AVG_SCALE: swd_buffer_kind = 7;
pub const SWD_BUFFER_EXP_AVG_SQ_SCALE: swd_buffer_kind = 8;

pub const SWD_PHASE_GRAD: swd_phase = 0;
pub const SWD_PHASE_MAX: swd_phase = 1;

/// No step has been committed in this workspace.
pub const SWD_RESULT_NONE: swd_result = 0;
pub const SWD_RESULT_APPLIED: swd_result = 1;
/// A gradient is NaN or infinite, or `found_inf` was set.
pub const SWD_RESULT_SKIPPED_NONFINITE: swd_result = 2;
/// The scaled gradients could make `exp_avg_sq` infinite.
pub const SWD_RESULT_SKIPPED_OVERFLOW: swd_result = 3;
/// `clip_coef / loss_scale` is below FLT_MIN.
pub const SWD_RESULT_SKIPPED_UNDERFLOW: swd_result = 4;
/// A number or pointer read from where the backend computes is out of range, or two pointers of a tensor share memory.
pub const SWD_RESULT_SKIPPED_INVALID: swd_result = 5;
/// Scheduled or relative decay needs a running sum that is unknown: `swd_state_rebuild`.
pub const SWD_RESULT_SKIPPED_SUM_UNKNOWN: swd_result = 6;
/// `swd_update` without a `swd_decide` before it; not counted as skipped.
pub const SWD_RESULT_NOT_ARMED: swd_result = 7;
/// Scheduled or relative decay, and vbar is NaN or infinite, though the gradients are finite: a damaged second moment.
pub const SWD_RESULT_SKIPPED_VBAR: swd_result = 8;
/// The workspace was not initialised for this plan, so nothing happened (CUDA).
pub const SWD_RESULT_FOREIGN_WORKSPACE: swd_result = 9;

/// `clip_coef < 1`.
pub const SWD_STATS_CLIPPED: u32 = 1 << 0;
/// Some decay factor exceeds 0.01: `weight_decay` is probably in AdamW's unit.
pub const SWD_STATS_LARGE_DECAY: u32 = 1 << 1;
/// Some decay factor was cut to `max_decay`.
pub const SWD_STATS_DECAY_CAPPED: u32 = 1 << 2;
/// Non-finite gradients were seen (and applied, under PROPAGATE).
pub const SWD_STATS_NONFINITE: u32 = 1 << 3;
/// SWD_STEP_SKIP_NORM: `grad_norm` and `vbar` are not measured, `bad` is that of `found_inf`.
pub const SWD_STATS_NO_NORM: u32 = 1 << 4;

/// Not part of the gradient norm (it is still clipped).
pub const SWD_SEGMENT_NO_NORM: u32 = 1 << 0;
/// Not part of the mean second moment.
pub const SWD_SEGMENT_NO_VBAR: u32 = 1 << 1;
/// No weight decay, whatever its group says.
pub const SWD_SEGMENT_NO_DECAY: u32 = 1 << 2;

/// One pointer per segment (`swd_set_pointers`) instead of flat bases.
pub const SWD_PLAN_LIST: u32 = 1 << 0;
/// Keep the maximum of `exp_avg_sq` in `max_exp_avg_sq` and divide by it.
pub const SWD_PLAN_AMSGRAD: u32 = 1 << 1;
/// Ascend: the gradient counts with the opposite sign.
pub const SWD_PLAN_MAXIMIZE: u32 = 1 << 2;
/// Also reduce `param_norm` and `update_norm`, inside the second pass.
pub const SWD_PLAN_UPDATE_NORMS: u32 = 1 << 3;
/// `swd_segment.index` is given.
pub const SWD_PLAN_INDEXED: u32 = 1 << 4;
/// With `copy_dtype`: what others wrote into `param_copy` is what the step starts from.
pub const SWD_PLAN_TAKE_COPY: u32 = 1 << 5;

/// Apply non-finite gradients and let NaN spread, instead of skipping the step.
pub const SWD_STEP_PROPAGATE: u32 = 1 << 0;
/// Do not run the first pass. Needs PROPAGATE, no clipping, and no scheduled or relative group.
pub const SWD_STEP_SKIP_NORM: u32 = 1 << 1;
