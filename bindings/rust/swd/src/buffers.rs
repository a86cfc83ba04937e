// SPDX-License-Identifier: Apache-2.0
//! What the caller owns: parameters, gradients and moments as slices, flat or as a list.
#[cfg(doc)]
use crate::{Layout, MomentDtype, ParamDtype, Plan, Workspace};

/// Raw gradients, read only: never unscaled, clipped or zeroed in place.
#[derive(Clone, Copy, Debug)]
pub enum Grad<'a> {
    /// fp32.
    F32(&'a [f32]),
    /// Codes of bfloat16.
    Bf16(&'a [u16]),
    /// Codes of IEEE half.
    F16(&'a [u16]),
}

/// The parameters, read and written, as the plan's [`ParamDtype`] stores them. [`Workspace::load`] and
/// [`Workspace::store`] convert from and to fp32.
#[derive(Debug)]
pub enum Param<'a> {
    /// fp32.
    F32(&'a mut [f32]),
    /// The model's parameters, codes of bfloat16, and what they lack of fp32. One that is written by others keeps a stale
    /// remainder, at most half a bf16 step: zero it there, or load.
    Split16 {
        /// What the model computes with: the upper half of the fp32 parameter, ties away from zero.
        bf16: &'a mut [u16],
        /// The lower half.
        remainder: &'a mut [i16],
    },
    /// The same with 8 bits.
    Split8 {
        /// What the model computes with.
        bf16: &'a mut [u16],
        /// The 8 bits behind it.
        remainder: &'a mut [i8],
    },
    /// Codes of bfloat16 alone.
    Bf16(&'a mut [u16]),
}

/// The moments, read and written, as the plan's [`MomentDtype`] stores them. Zeros at first, in every format.
///
/// A narrow second moment is stored over a number of its segment, `SegmentState::exp_avg_sq_unit`, and is called
/// `exp_avg_sq_over_unit`: up to twice the second moment. Read that through [`Workspace::store`].
#[derive(Debug)]
pub enum Moments<'a> {
    /// fp32.
    F32 {
        /// First moment.
        exp_avg: &'a mut [f32],
        /// Second moment.
        exp_avg_sq: &'a mut [f32],
    },
    /// Codes of bfloat16.
    Bf16 {
        /// First moment.
        exp_avg: &'a mut [u16],
        /// Not the second moment, but that over its segment's unit.
        exp_avg_sq_over_unit: &'a mut [u16],
    },
    /// 8 bits an element.
    Block8 {
        /// First moment.
        exp_avg: Block8<'a>,
        /// Not the second moment, but that over its segment's unit.
        exp_avg_sq_over_unit: Block8<'a>,
    },
}

/// A moment in 8 bits: a code for each element, and a scale for each block of 128 elements of a segment.
#[derive(Debug)]
pub struct Block8<'a> {
    /// As many as elements.
    pub codes: &'a mut [u8],
    /// In a flat layout [`Plan::scale_bytes`], of which a segment's begin at [`Plan::scale_offset`]; in a list
    /// [`Block8::scales_of`] the segment's count.
    pub scales: &'a mut [u8],
}

impl Block8<'_> {
    /// Scales that a tensor of `count` elements has.
    pub const fn scales_of(count: usize) -> usize {
        count.div_ceil(128)
    }
}

/// The 16-bit copy of the parameters, written by the step; untouched by a skipped one.
#[derive(Debug)]
pub enum ParamCopy<'a> {
    /// Codes of bfloat16.
    Bf16(&'a mut [u16]),
    /// Codes of IEEE half.
    F16(&'a mut [u16]),
}

/// The buffers of a plan with [`Layout::Flat`], each of at least [`Plan::extent`] elements, scales apart: element i of a segment is at
/// `offset + i`. They cannot share memory:
///
/// ```compile_fail,E0502
/// let (mut param, mut exp_avg, mut exp_avg_sq) = ([0.0], [0.0], [0.0]);
/// let buffers = swd::Flat {
///     param: swd::Param::F32(&mut param),
///     grad: swd::Grad::F32(&param), // what is written may not be read meanwhile
///     moments: swd::Moments::F32 { exp_avg: &mut exp_avg, exp_avg_sq: &mut exp_avg_sq },
///     max_exp_avg_sq: None,
///     param_copy: None,
/// };
/// drop(buffers);
/// ```
#[derive(Debug)]
pub struct Flat<'a> {
    /// Read and written.
    pub param: Param<'a>,
    /// Read.
    pub grad: Grad<'a>,
    /// Read and written; zeros at first.
    pub moments: Moments<'a>,
    /// With amsgrad, else None; read and written; zeros at first.
    pub max_exp_avg_sq: Option<&'a mut [f32]>,
    /// With a copy dtype, else None.
    pub param_copy: Option<ParamCopy<'a>>,
}

/// One segment of a plan with [`Layout::List`]. Each slice has the segment's count of elements. Here too memory cannot be
/// shared, nor freed before its use:
///
/// ```compile_fail,E0597
/// let (mut param, mut exp_avg) = ([0.0], [0.0]);
/// let tensor = {
///     let mut exp_avg_sq = [0.0];
///     swd::Tensor {
///         param: swd::Param::F32(&mut param),
///         grad: None,
///         moments: swd::Moments::F32 { exp_avg: &mut exp_avg, exp_avg_sq: &mut exp_avg_sq }, // gone at the next line
///         max_exp_avg_sq: None,
///         param_copy: None,
///     }
/// };
/// drop(tensor);
/// ```
#[derive(Debug)]
pub struct Tensor<'a> {
    /// Read and written.
    pub param: Param<'a>,
    /// Read. None: no gradient this step.
    pub grad: Option<Grad<'a>>,
    /// Read and written; zeros at first.
    pub moments: Moments<'a>,
    /// With amsgrad, else None; read and written; zeros at first.
    pub max_exp_avg_sq: Option<&'a mut [f32]>,
    /// With a copy dtype, else None.
    pub param_copy: Option<ParamCopy<'a>>,
}

/// What a step works on: [`Flat`], or a slice or vector of [`Tensor`], one per segment.
pub trait Buffers: crate::bind::Bind {}
impl Buffers for Flat<'_> {}
impl Buffers for [Tensor<'_>] {}
impl Buffers for Vec<Tensor<'_>> {}
