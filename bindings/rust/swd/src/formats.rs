// SPDX-License-Identifier: Apache-2.0
//! How a plan stores parameters and moments, and what the elements of its buffers are.
use swd_sys as sys;

use crate::library::Dtype;

/// How parameters are stored. What the model computes with is fp32, or a bf16 number: the nearest one, ties away from zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ParamDtype {
    /// fp32.
    #[default]
    F32,
    /// bf16 and 16 more bits beside it: together exactly the fp32 parameter.
    Split16,
    /// bf16 and 8 more bits beside it: 24 bits, rounded stochastically. With [`MomentDtype::Block8`].
    Split8,
    /// bf16 alone, rounded stochastically. With narrow moments.
    Bf16,
}

/// How `exp_avg` and `exp_avg_sq` are stored. Narrow ones are rounded stochastically, and have no amsgrad.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MomentDtype {
    /// fp32.
    #[default]
    F32,
    /// bfloat16.
    Bf16,
    /// 8 bits, and 8 more for each block of 128 elements: [`Block8`](crate::Block8).
    Block8,
}

/// What one element of a buffer is, or of block8 one code or scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub(crate) enum Element {
    F32 = sys::SWD_DTYPE_F32,
    Bf16 = sys::SWD_DTYPE_BF16,
    F16 = sys::SWD_DTYPE_F16,
    I16 = sys::SWD_DTYPE_I16,
    I8 = sys::SWD_DTYPE_I8,
    Block8 = sys::SWD_DTYPE_BLOCK8,
}

impl Element {
    /// As the library knows it; None: no such buffer.
    pub fn raw(element: Option<Element>) -> sys::swd_dtype {
        element.map_or(sys::SWD_DTYPE_NONE, |element| element as i32)
    }
}

impl From<Dtype> for Element {
    fn from(dtype: Dtype) -> Element {
        match dtype {
            Dtype::F32 => Element::F32,
            Dtype::Bf16 => Element::Bf16,
            Dtype::F16 => Element::F16,
        }
    }
}

impl ParamDtype {
    /// Of `param` and of its remainder.
    pub(crate) fn elements(self) -> (Element, Option<Element>) {
        match self {
            ParamDtype::F32 => (Element::F32, None),
            ParamDtype::Split16 => (Element::Bf16, Some(Element::I16)),
            ParamDtype::Split8 => (Element::Bf16, Some(Element::I8)),
            ParamDtype::Bf16 => (Element::Bf16, None),
        }
    }
}

impl From<MomentDtype> for Element {
    fn from(dtype: MomentDtype) -> Element {
        match dtype {
            MomentDtype::F32 => Element::F32,
            MomentDtype::Bf16 => Element::Bf16,
            MomentDtype::Block8 => Element::Block8,
        }
    }
}
