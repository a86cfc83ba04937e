// SPDX-License-Identifier: Apache-2.0
//! Slices as pointers with a length and a type, compared with what a plan wants. Used by `bind`.
use std::ffi::c_void;
use std::fmt::Arguments;

use swd_sys as sys;

use crate::buffers::{Grad, Moments, Param, ParamCopy};
use crate::error::{Error, Result, Status};
use crate::formats::{Element, MomentDtype};
use crate::plan::{Layout, Plan};

/// Buffers that a plan may have, in the order of swd_buffer_kind.
pub(crate) const BUFFERS: usize = 9;

/// Where a slice begins, its elements, and what they are.
pub(crate) struct Part {
    pub begin: *mut c_void,
    length: usize,
    element: Element,
}

pub(crate) type Parts = [Option<Part>; BUFFERS];

impl Part {
    fn of<T>(slice: &mut [T], element: Element) -> Option<Part> {
        Some(Part { begin: slice.as_mut_ptr().cast(), length: slice.len(), element })
    }

    fn read<T>(slice: &[T], element: Element) -> Option<Part> {
        Some(Part { begin: slice.as_ptr().cast_mut().cast(), length: slice.len(), element })
    }
}

/// What `Flat` and `Tensor` hold.
pub(crate) fn parts_of(
    param: &mut Param<'_>,
    grad: Option<Grad<'_>>,
    moments: &mut Moments<'_>,
    max_exp_avg_sq: Option<&mut [f32]>,
    param_copy: Option<&mut ParamCopy<'_>>,
) -> Parts {
    let (param, remainder) = match param {
        Param::F32(x) => (Part::of(x, Element::F32), None),
        Param::Split16 { bf16, remainder } => (Part::of(bf16, Element::Bf16), Part::of(remainder, Element::I16)),
        Param::Split8 { bf16, remainder } => (Part::of(bf16, Element::Bf16), Part::of(remainder, Element::I8)),
        Param::Bf16(x) => (Part::of(x, Element::Bf16), None),
    };
    let grad = grad.and_then(|grad| match grad {
        Grad::F32(x) => Part::read(x, Element::F32),
        Grad::Bf16(x) => Part::read(x, Element::Bf16),
        Grad::F16(x) => Part::read(x, Element::F16),
    });
    let ([first, second], [first_scales, second_scales]) = match moments {
        Moments::F32 { exp_avg, exp_avg_sq } => {
            ([exp_avg, exp_avg_sq].map(|x| Part::of(x, Element::F32)), [None, None])
        }
        Moments::Bf16 { exp_avg, exp_avg_sq_over_unit } => {
            ([exp_avg, exp_avg_sq_over_unit].map(|x| Part::of(x, Element::Bf16)), [None, None])
        }
        Moments::Block8 { exp_avg, exp_avg_sq_over_unit } => {
            let both = [exp_avg, exp_avg_sq_over_unit];
            let split = both.map(|x| (Part::of(x.codes, Element::Block8), Part::of(x.scales, Element::Block8)));
            let [(first, first_scales), (second, second_scales)] = split;
            ([first, second], [first_scales, second_scales])
        }
    };
    let max = max_exp_avg_sq.and_then(|x| Part::of(x, Element::F32));
    let copy = param_copy.and_then(|copy| match copy {
        ParamCopy::Bf16(x) => Part::of(x, Element::Bf16),
        ParamCopy::F16(x) => Part::of(x, Element::F16),
    });
    [param, grad, first, second, max, copy, remainder, first_scales, second_scales]
}

/// Names by which errors call the buffers.
fn name_of(plan: &Plan, buffer: usize) -> &'static str {
    let narrow = plan.0.moment_dtype != MomentDtype::F32;
    match buffer as i32 {
        sys::SWD_BUFFER_PARAM => "param",
        sys::SWD_BUFFER_GRAD => "grad",
        sys::SWD_BUFFER_EXP_AVG => "exp_avg",
        sys::SWD_BUFFER_EXP_AVG_SQ if narrow => "exp_avg_sq_over_unit",
        sys::SWD_BUFFER_EXP_AVG_SQ => "exp_avg_sq",
        sys::SWD_BUFFER_MAX_EXP_AVG_SQ => "max_exp_avg_sq",
        sys::SWD_BUFFER_PARAM_COPY => "param_copy",
        sys::SWD_BUFFER_REMAINDER => "remainder",
        sys::SWD_BUFFER_EXP_AVG_SCALE => "exp_avg.scales",
        _ => "exp_avg_sq_over_unit.scales",
    }
}

/// Whether each part that is `used` (a bit per buffer) is there, and has the right type and length: exactly `count` elements
/// and `scales` of block8 in a list, where a gradient may also be missing; at least so many in a flat layout.
pub(crate) fn check_parts(
    plan: &Plan,
    parts: &Parts,
    used: u32,
    owner: Arguments<'_>,
    (count, scales): (usize, usize),
) -> Result<()> {
    let list = plan.0.layout == Layout::List;
    for (b, (part, wanted)) in parts.iter().zip(plan.0.elements).enumerate().filter(|(b, _)| used >> b & 1 != 0) {
        let needed = if b >= sys::SWD_BUFFER_EXP_AVG_SCALE as usize { scales } else { count };
        let fits = |length: usize| if list { length == needed } else { length >= needed };
        let refuse = |status, text: String| Err(Error::new(status, format!("{owner}.{} {text}", name_of(plan, b))));
        match (part, wanted) {
            (None, None) => {}
            (None, Some(_)) if needed == 0 || (list && b == sys::SWD_BUFFER_GRAD as usize) => {}
            (None, Some(wanted)) => return refuse(Status::NULL, format!("is None, but the plan has {wanted:?} there")),
            (Some(_), None) => return refuse(Status::UNEXPECTED, "is given, but the plan has no such buffer".into()),
            (Some(part), Some(wanted)) if part.element != wanted => {
                return refuse(Status::UNEXPECTED, format!("is {:?}, but the plan has {wanted:?}", part.element));
            }
            (Some(part), Some(_)) if !fits(part.length) => {
                return refuse(Status::SIZE, format!("has {} elements, but {needed} are needed", part.length));
            }
            _ => {}
        }
    }
    Ok(())
}
