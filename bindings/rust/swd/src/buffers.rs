// SPDX-License-Identifier: Apache-2.0
//! What the caller owns: parameters, gradients and moments as slices, flat or as a list.
#[cfg(doc)]
use crate::{Layout, Plan};

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

/// The 16-bit copy of the parameters, written by the step; untouched by a skipped one.
#[derive(Debug)]
pub enum ParamCopy<'a> {
    /// Codes of bfloat16.
    Bf16(&'a mut [u16]),
    /// Codes of IEEE half.
    F16(&'a mut [u16]),
}

/// The buffers of a plan with [`Layout::Flat`], each of at least [`Plan::extent`] elements: element i of a segment is at
/// `offset + i`. They cannot share memory:
///
/// ```compile_fail,E0502
/// let (mut param, mut exp_avg, mut exp_avg_sq) = ([0.0], [0.0], [0.0]);
/// let buffers = swd::Flat {
///     param: &mut param,
///     grad: swd::Grad::F32(&param), // what is written may not be read meanwhile
///     exp_avg: &mut exp_avg,
///     exp_avg_sq: &mut exp_avg_sq,
///     max_exp_avg_sq: None,
///     param_copy: None,
/// };
/// drop(buffers);
/// ```
#[derive(Debug)]
pub struct Flat<'a> {
    /// Read and written.
    pub param: &'a mut [f32],
    /// Read.
    pub grad: Grad<'a>,
    /// First moment, read and written; zeros at first.
    pub exp_avg: &'a mut [f32],
    /// Second moment, read and written; zeros at first.
    pub exp_avg_sq: &'a mut [f32],
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
///         param: &mut param,
///         grad: None,
///         exp_avg: &mut exp_avg,
///         exp_avg_sq: &mut exp_avg_sq, // gone at the next line
///         max_exp_avg_sq: None,
///         param_copy: None,
///     }
/// };
/// drop(tensor);
/// ```
#[derive(Debug)]
pub struct Tensor<'a> {
    /// Read and written.
    pub param: &'a mut [f32],
    /// Read. None: no gradient this step.
    pub grad: Option<Grad<'a>>,
    /// First moment, read and written; zeros at first.
    pub exp_avg: &'a mut [f32],
    /// Second moment, read and written; zeros at first.
    pub exp_avg_sq: &'a mut [f32],
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
