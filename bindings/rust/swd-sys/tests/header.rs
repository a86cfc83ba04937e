// SPDX-License-Identifier: Apache-2.0
//! The bindings against swd.h: every function, every constant, size and offset of every member, as the C compiler sees
//! them and as the library reports them.
use std::ffi::CString;
use std::mem::{offset_of, size_of};

use swd_sys::*;

mod support;
use support::Facts;

fn size_of_member<T, M>(_: impl Fn(&T) -> &M) -> i64 {
    size_of::<M>() as i64
}

macro_rules! layout {
    ($facts:ident, $($name:ident { $($member:ident)* })*) => {$(
        $facts.insert(concat!(stringify!($name), " size").into(), size_of::<$name>() as i64);
        $(
            let member = concat!(stringify!($name), ".", stringify!($member));
            $facts.insert(format!("{member} offset"), offset_of!($name, $member) as i64);
            $facts.insert(format!("{member} size"), size_of_member(|x: &$name| &x.$member));
        )*
    )*};
}

macro_rules! constants {
    ($facts:ident, $($name:ident,)*) => {$($facts.insert(stringify!($name).into(), i64::from($name));)*};
}

fn facts_of_bindings() -> Facts {
    let mut facts = Facts::new();
    layout! { facts,
        swd_segment { offset count index group flags }
        swd_plan_args {
            struct_size flags backend param_dtype grad_dtype copy_dtype segments segment_count decay_modes
            segment_stride group_count threads reserved model_key moment_dtype remainder_dtype
        }
        swd_buffers {
            struct_size flags param grad exp_avg exp_avg_sq max_exp_avg_sq param_copy state state_bytes
            workspace workspace_bytes remainder exp_avg_scale exp_avg_sq_scale
        }
        swd_group { lr beta1 beta2 eps weight_decay lr_pointer lr_factor }
        swd_step_args {
            struct_size flags groups groups_device group_count group_stride loss_scale loss_scale_pointer
            found_inf has_grad max_grad_norm max_decay reference_step
        }
        swd_norm_record { sum_sq bad vbar_base vbar_grad count total_sq unknown invalid }
        swd_stats {
            result flags steps_applied steps_skipped grad_norm clip_coef vbar inv_sqrt_vbar largest_decay bad
            param_norm update_norm vbar_reference damaged_segment
        }
        swd_state_header { steps_applied steps_skipped vbar_reference rounding_seed }
        swd_segment_state { step exp_avg_sq_sum exp_avg_sq_unit reserved }
        swd_fp32_arrays { struct_size flags param exp_avg exp_avg_sq }
    }
    constants! { facts,
        SWD_VERSION_MAJOR, SWD_VERSION_MINOR, SWD_VERSION_PATCH, SWD_OK, SWD_ERR_NULL, SWD_ERR_STRUCT_SIZE,
        SWD_ERR_FLAGS, SWD_ERR_ENUM, SWD_ERR_VALUE, SWD_ERR_SIZE, SWD_ERR_LAYOUT, SWD_ERR_ALIGNMENT, SWD_ERR_OVERLAP,
        SWD_ERR_UNEXPECTED, SWD_ERR_WORKSPACE, SWD_ERR_DEVICE, SWD_ERR_UNSUPPORTED, SWD_ERR_NO_CUDA, SWD_ERR_NO_DEVICE,
        SWD_ERR_MEMORY, SWD_ERR_CUDA, SWD_ERR_BLOB_MAGIC, SWD_ERR_BLOB_VERSION, SWD_ERR_BLOB_SIZE,
        SWD_ERR_BLOB_CHECKSUM, SWD_ERR_BLOB_VALUE, SWD_ERR_BLOB_PLAN, SWD_BACKEND_CPU, SWD_BACKEND_CUDA,
        SWD_DTYPE_NONE, SWD_DTYPE_F32, SWD_DTYPE_BF16, SWD_DTYPE_F16, SWD_DTYPE_I16, SWD_DTYPE_I8, SWD_DTYPE_BLOCK8, SWD_DECAY_SCHEDULED, SWD_DECAY_DECOUPLED,
        SWD_DECAY_L2, SWD_DECAY_NONE, SWD_DECAY_RELATIVE, SWD_BUFFER_PARAM, SWD_BUFFER_GRAD, SWD_BUFFER_EXP_AVG, SWD_BUFFER_EXP_AVG_SQ,
        SWD_BUFFER_MAX_EXP_AVG_SQ, SWD_BUFFER_PARAM_COPY, SWD_BUFFER_REMAINDER, SWD_BUFFER_EXP_AVG_SCALE,
        SWD_BUFFER_EXP_AVG_SQ_SCALE, SWD_PHASE_GRAD, SWD_PHASE_MAX, SWD_RESULT_NONE, SWD_RESULT_APPLIED, SWD_RESULT_SKIPPED_NONFINITE, SWD_RESULT_SKIPPED_OVERFLOW,
        SWD_RESULT_SKIPPED_UNDERFLOW, SWD_RESULT_SKIPPED_INVALID, SWD_RESULT_SKIPPED_SUM_UNKNOWN, SWD_RESULT_NOT_ARMED,
        SWD_RESULT_SKIPPED_VBAR, SWD_RESULT_FOREIGN_WORKSPACE, SWD_STATS_CLIPPED,
        SWD_STATS_LARGE_DECAY, SWD_STATS_DECAY_CAPPED, SWD_STATS_NONFINITE, SWD_STATS_NO_NORM, SWD_SEGMENT_NO_NORM,
        SWD_SEGMENT_NO_VBAR, SWD_SEGMENT_NO_DECAY, SWD_PLAN_LIST, SWD_PLAN_AMSGRAD, SWD_PLAN_MAXIMIZE,
        SWD_PLAN_UPDATE_NORMS, SWD_PLAN_INDEXED, SWD_PLAN_TAKE_COPY, SWD_STEP_PROPAGATE, SWD_STEP_SKIP_NORM,
    }
    for (i, word) in bytes_of(&SWD_GROUP_INIT).chunks(8).enumerate() {
        facts.insert(format!("SWD_GROUP_INIT {i}"), i64::from_ne_bytes(word.try_into().unwrap()));
    }
    facts
}

#[test]
fn layout_and_constants_are_those_of_the_header() {
    let compiler = support::facts_of_compiler(&support::declarations());
    let bindings = facts_of_bindings();
    for (name, value) in &compiler {
        assert_eq!(bindings.get(name), Some(value), "{name}: the header has {value}");
    }
    for name in bindings.keys() {
        assert!(compiler.contains_key(name), "{name} is not in the header");
    }
}

#[test]
fn functions_are_those_of_the_header() {
    let source = include_str!("../src/functions.rs");
    let body = source.split_once("extern \"C\" {").unwrap().1;
    let mut words = body.split_whitespace().collect::<Vec<_>>().join(" ");
    words = words.replace("( ", "(").replace(", )", ")");
    let bound: Vec<String> = words.split_inclusive(';').map(|f| f.trim().to_string()).filter(|f| f != "}").collect();
    let header = support::functions(&support::declarations());
    assert!(header.len() > 30, "the header was not read");
    assert_eq!(bound, header);
}

#[test]
fn library_knows_the_same_sizes() {
    let mut checked = 0;
    for (name, size) in facts_of_bindings() {
        let Some(name) = name.strip_suffix(" size").filter(|name| !name.contains('.')) else { continue };
        let c_name = CString::new(name).unwrap();
        assert_eq!(unsafe { swd_sizeof(c_name.as_ptr()) }, size as u64, "{name}");
        checked += 1;
    }
    assert_eq!(checked, 10);
}

/// As bytes, because NULL and padding count too; the structs have none of the latter.
fn bytes_of<T>(value: &T) -> &[u8] {
    unsafe { std::slice::from_raw_parts((value as *const T).cast(), size_of::<T>()) }
}

#[test]
fn init_values_are_those_of_the_library() {
    let (mut plan, mut buffers, mut step) = (SWD_PLAN_ARGS_INIT, SWD_BUFFERS_INIT, SWD_STEP_ARGS_INIT);
    let mut arrays = SWD_FP32_ARRAYS_INIT;
    (plan.flags, buffers.flags, step.flags, arrays.flags) = (9, 9, 9, 9);
    unsafe {
        assert_eq!(swd_plan_args_init(&mut plan, size_of::<swd_plan_args>() as u64), SWD_OK);
        assert_eq!(swd_buffers_init(&mut buffers, size_of::<swd_buffers>() as u64), SWD_OK);
        assert_eq!(swd_step_args_init(&mut step, size_of::<swd_step_args>() as u64), SWD_OK);
        assert_eq!(swd_fp32_arrays_init(&mut arrays, size_of::<swd_fp32_arrays>() as u64), SWD_OK);
    }
    assert_eq!(bytes_of(&plan), bytes_of(&SWD_PLAN_ARGS_INIT));
    assert_eq!(bytes_of(&buffers), bytes_of(&SWD_BUFFERS_INIT));
    assert_eq!(bytes_of(&step), bytes_of(&SWD_STEP_ARGS_INIT));
    assert_eq!(bytes_of(&arrays), bytes_of(&SWD_FP32_ARRAYS_INIT));
}

#[test]
fn version_is_that_of_the_crate() {
    let crate_version = env!("CARGO_PKG_VERSION");
    assert_eq!(crate_version, format!("{SWD_VERSION_MAJOR}.{SWD_VERSION_MINOR}.{SWD_VERSION_PATCH}"));
    let header = SWD_VERSION_MAJOR * 10000 + SWD_VERSION_MINOR * 100 + SWD_VERSION_PATCH;
    assert_eq!(unsafe { swd_version() }, header);
}
