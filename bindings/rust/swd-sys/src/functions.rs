// SPDX-License-Identifier: Apache-2.0
//! The functions of swd.h, in its order. Linked by what build.rs prints.
use core::ffi::{c_char, c_void};

use crate::state_types::*;
use crate::types::*;

extern "C" {
    pub fn swd_plan_args_init(args: *mut swd_plan_args, struct_size: u64) -> swd_status;
    pub fn swd_plan_create(args: *const swd_plan_args, plan: *mut *mut swd_plan) -> swd_status;
    pub fn swd_plan_destroy(plan: *mut swd_plan) -> swd_status;
    pub fn swd_backend_available(backend: swd_backend) -> swd_status;

    pub fn swd_workspace_size(plan: *const swd_plan, bytes: *mut u64) -> swd_status;
    pub fn swd_state_size(plan: *const swd_plan, bytes: *mut u64) -> swd_status;
    pub fn swd_scale_size(plan: *const swd_plan, bytes: *mut u64) -> swd_status;
    pub fn swd_scale_offset(plan: *const swd_plan, segment: i64, offset: *mut u64) -> swd_status;
    pub fn swd_workspace_init(
        plan: *const swd_plan,
        workspace: *mut c_void,
        workspace_bytes: u64,
        stream: *mut c_void,
    ) -> swd_status;
    pub fn swd_workspace_image(plan: *const swd_plan, image: *mut c_void, bytes: u64) -> swd_status;
    pub fn swd_set_pointers(
        plan: *const swd_plan,
        workspace: *mut c_void,
        buffer: swd_buffer_kind,
        first: i64,
        count: i64,
        pointers: *const *const c_void,
        stream: *mut c_void,
    ) -> swd_status;

    pub fn swd_buffers_init(buffers: *mut swd_buffers, struct_size: u64) -> swd_status;
    pub fn swd_step_args_init(args: *mut swd_step_args, struct_size: u64) -> swd_status;

    pub fn swd_step(
        plan: *const swd_plan,
        buffers: *const swd_buffers,
        args: *const swd_step_args,
        stream: *mut c_void,
    ) -> swd_status;
    pub fn swd_record_size(plan: *const swd_plan, doubles: *mut u64) -> swd_status;
    pub fn swd_reduce(
        plan: *const swd_plan,
        buffers: *const swd_buffers,
        args: *const swd_step_args,
        phase: swd_phase,
        first_segment: i64,
        segment_count: i64,
        stream: *mut c_void,
    ) -> swd_status;
    pub fn swd_fold(
        plan: *const swd_plan,
        buffers: *const swd_buffers,
        args: *const swd_step_args,
        phase: swd_phase,
        record: *mut f64,
        record_doubles: u64,
        stream: *mut c_void,
    ) -> swd_status;
    pub fn swd_record_add(
        plan: *const swd_plan,
        to: *mut f64,
        from: *const f64,
        record_doubles: u64,
        stream: *mut c_void,
    ) -> swd_status;
    pub fn swd_decide(
        plan: *const swd_plan,
        buffers: *const swd_buffers,
        args: *const swd_step_args,
        phase: swd_phase,
        record: *const f64,
        record_doubles: u64,
        stream: *mut c_void,
    ) -> swd_status;
    pub fn swd_update(
        plan: *const swd_plan,
        buffers: *const swd_buffers,
        args: *const swd_step_args,
        stream: *mut c_void,
    ) -> swd_status;
    pub fn swd_copy_params(plan: *const swd_plan, buffers: *const swd_buffers, stream: *mut c_void) -> swd_status;
    pub fn swd_discard(
        plan: *const swd_plan,
        workspace: *mut c_void,
        workspace_bytes: u64,
        stream: *mut c_void,
    ) -> swd_status;

    pub fn swd_stats_fetch(
        plan: *const swd_plan,
        workspace: *mut c_void,
        stats: *mut swd_stats,
        stats_size: u64,
        lambda_eff: *mut f64,
        stream: *mut c_void,
    ) -> swd_status;
    pub fn swd_stats_pointer(
        plan: *const swd_plan,
        workspace: *const c_void,
        stats: *mut *const swd_stats,
    ) -> swd_status;
    pub fn swd_weight_decay_from_adamw(weight_decay: f64, vbar: f64) -> f64;
    pub fn swd_weight_decay_to_adamw(weight_decay: f64, vbar: f64) -> f64;

    pub fn swd_state_header_get(
        plan: *const swd_plan,
        image: *const c_void,
        image_bytes: u64,
        out: *mut swd_state_header,
        size: u64,
    ) -> swd_status;
    pub fn swd_state_header_set(
        plan: *const swd_plan,
        image: *mut c_void,
        image_bytes: u64,
        in_: *const swd_state_header,
        size: u64,
    ) -> swd_status;
    pub fn swd_state_get(
        plan: *const swd_plan,
        image: *const c_void,
        image_bytes: u64,
        segment: i64,
        out: *mut swd_segment_state,
        size: u64,
    ) -> swd_status;
    pub fn swd_state_set(
        plan: *const swd_plan,
        image: *mut c_void,
        image_bytes: u64,
        segment: i64,
        in_: *const swd_segment_state,
        size: u64,
    ) -> swd_status;
    pub fn swd_state_blob_size(plan: *const swd_plan, bytes: *mut u64) -> swd_status;
    pub fn swd_state_export(
        plan: *const swd_plan,
        image: *const c_void,
        image_bytes: u64,
        blob: *mut c_void,
        blob_bytes: u64,
    ) -> swd_status;
    pub fn swd_state_import(
        plan: *const swd_plan,
        blobs: *const *const c_void,
        blob_bytes: *const u64,
        blob_count: i64,
        image: *mut c_void,
        image_bytes: u64,
    ) -> swd_status;
    pub fn swd_state_rebuild(plan: *const swd_plan, buffers: *const swd_buffers, stream: *mut c_void) -> swd_status;
    pub fn swd_fp32_arrays_init(arrays: *mut swd_fp32_arrays, struct_size: u64) -> swd_status;
    pub fn swd_state_load(
        plan: *const swd_plan,
        buffers: *const swd_buffers,
        from: *const swd_fp32_arrays,
        stream: *mut c_void,
    ) -> swd_status;
    pub fn swd_state_store(
        plan: *const swd_plan,
        buffers: *const swd_buffers,
        to: *const swd_fp32_arrays,
        stream: *mut c_void,
    ) -> swd_status;

    pub fn swd_version() -> u32;
    pub fn swd_version_string() -> *const c_char;
    pub fn swd_status_name(status: swd_status) -> *const c_char;
    pub fn swd_result_name(result: swd_result) -> *const c_char;
    pub fn swd_numerics_version() -> u32;
    pub fn swd_cpu_isa() -> *const c_char;
    pub fn swd_cpu_threads() -> i32;
    pub fn swd_error_detail() -> *const c_char;
    pub fn swd_error_cuda() -> i32;
    pub fn swd_sizeof(struct_name: *const c_char) -> u64;
}
