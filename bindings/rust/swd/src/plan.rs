// SPDX-License-Identifier: Apache-2.0
//! The immutable description of what a step works on.
use std::ptr::{null_mut, NonNull};
use std::sync::Arc;

use swd_sys as sys;

#[cfg(doc)]
use crate::error::Status;
use crate::error::{check, Result};
use crate::formats::{Element, MomentDtype, ParamDtype};
use crate::library::{check_version, version, Backend, Decay, Dtype};
use crate::parts::BUFFERS;
use crate::segment::{bit, Segment};

/// How the tensors of a plan lie in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Layout {
    /// One buffer each for parameters, gradients and moments; segments are ranges of them.
    #[default]
    Flat,
    /// Each segment has its own tensors.
    List,
}

/// What [`Plan::new`] takes. Everything is copied.
#[derive(Clone, Copy, Debug)]
pub struct PlanArgs<'a> {
    /// Where steps compute.
    pub backend: Backend,
    /// Flat buffers or a list of tensors.
    pub layout: Layout,
    /// Of the parameters.
    pub param_dtype: ParamDtype,
    /// Of the gradients. F16 only where parameters and moments are F32.
    pub grad_dtype: Dtype,
    /// Of `exp_avg` and `exp_avg_sq`.
    pub moment_dtype: MomentDtype,
    /// `param_copy`: a copy of the parameters that the step writes, BF16 or F16, rounded to nearest even. Only where
    /// parameters and moments are F32.
    pub copy_dtype: Option<Dtype>,
    /// At most 2^31 - 1.
    pub segments: &'a [Segment],
    /// One per group: 1 to 2^20.
    pub decay_modes: &'a [Decay],
    /// Keep the maximum of `exp_avg_sq` in `max_exp_avg_sq` and divide by it. Only where moments are F32.
    pub amsgrad: bool,
    /// Ascend: the gradient counts with the opposite sign.
    pub maximize: bool,
    /// Also reduce `param_norm` and `update_norm`, inside the second pass.
    pub update_norms: bool,
    /// [`Segment::index`] is given.
    pub indexed: bool,
    /// What others wrote into `param_copy` is what a step starts from: where an element of it is not the rounding of its
    /// parameter, the parameter becomes that element. Needs `copy_dtype`; fill the copy first.
    pub take_copy: bool,
    /// Any number that tells models apart: a blob of another key that is not 0 is refused. 0: none.
    pub model_key: u64,
    /// CPU: most threads a step uses, 0 to 1024. 0: the least of the cores that the caller of the step may run on, the
    /// cgroup's quota and `OMP_NUM_THREADS`; these two are read when the plan is made. CUDA: 0.
    pub threads: i32,
}

/// A flat fp32 plan of one group with scheduled decay, on the CPU, without segments.
impl Default for PlanArgs<'_> {
    fn default() -> Self {
        PlanArgs {
            backend: Backend::Cpu,
            layout: Layout::Flat,
            param_dtype: ParamDtype::F32,
            grad_dtype: Dtype::F32,
            moment_dtype: MomentDtype::F32,
            copy_dtype: None,
            segments: &[],
            decay_modes: &[Decay::Scheduled],
            amsgrad: false,
            maximize: false,
            update_norms: false,
            indexed: false,
            take_copy: false,
            model_key: 0,
            threads: 0,
        }
    }
}

/// The immutable description of a model for the optimizer. Cheap to clone and shareable between threads.
#[derive(Clone, Debug)]
pub struct Plan(pub(crate) Arc<Facts>);

#[derive(Debug)]
pub(crate) struct Facts {
    pub handle: NonNull<sys::swd_plan>,
    pub backend: Backend,
    pub layout: Layout,
    pub moment_dtype: MomentDtype,
    /// What each buffer holds, in the order of swd_buffer_kind; None: the plan has no such buffer.
    pub elements: [Option<Element>; BUFFERS],
    pub counts: Vec<usize>,
    /// Elements that a flat buffer must have: the end of the last segment.
    pub extent: usize,
    pub group_count: usize,
}

// The library promises that a plan may be shared, and nothing here changes after creation.
unsafe impl Send for Facts {}
unsafe impl Sync for Facts {}

impl Drop for Facts {
    fn drop(&mut self) {
        unsafe { sys::swd_plan_destroy(self.handle.as_ptr()) };
    }
}

impl Plan {
    /// Checks the description and builds the plan. Touches no device, so a CUDA plan can be made where none is. The error
    /// names the argument by its name in C, such as `args.segments[3].offset`. Dtypes that are not offered together:
    /// [`Status::UNSUPPORTED`].
    pub fn new(args: &PlanArgs<'_>) -> Result<Plan> {
        check_version(version())?;
        let segments: Vec<sys::swd_segment> = args.segments.iter().map(Segment::raw).collect();
        let (param, remainder) = args.param_dtype.elements();
        let (moment, copy) = (Element::from(args.moment_dtype), args.copy_dtype.map(Element::from));
        let raw = sys::swd_plan_args {
            flags: bit(args.layout == Layout::List, sys::SWD_PLAN_LIST)
                | bit(args.amsgrad, sys::SWD_PLAN_AMSGRAD)
                | bit(args.maximize, sys::SWD_PLAN_MAXIMIZE)
                | bit(args.update_norms, sys::SWD_PLAN_UPDATE_NORMS)
                | bit(args.indexed, sys::SWD_PLAN_INDEXED)
                | bit(args.take_copy, sys::SWD_PLAN_TAKE_COPY),
            backend: args.backend as i32,
            param_dtype: Element::raw(Some(param)),
            grad_dtype: Element::raw(Some(args.grad_dtype.into())),
            copy_dtype: Element::raw(copy),
            moment_dtype: Element::raw(Some(moment)),
            remainder_dtype: Element::raw(remainder),
            segments: segments.as_ptr(),
            segment_count: segments.len() as i64,
            decay_modes: args.decay_modes.as_ptr().cast(),
            group_count: u32::try_from(args.decay_modes.len()).unwrap_or(u32::MAX),
            threads: args.threads,
            model_key: args.model_key,
            ..sys::SWD_PLAN_ARGS_INIT
        };
        let mut handle = null_mut();
        check(unsafe { sys::swd_plan_create(&raw, &mut handle) })?;
        let scale = Some(moment).filter(|moment| *moment == Element::Block8);
        let filled = args.segments.iter().filter(|segment| segment.count > 0);
        Ok(Plan(Arc::new(Facts {
            handle: NonNull::new(handle).expect("the library returned success"),
            backend: args.backend,
            layout: args.layout,
            moment_dtype: args.moment_dtype,
            elements: [
                Some(param),
                Some(args.grad_dtype.into()),
                Some(moment),
                Some(moment),
                args.amsgrad.then_some(Element::F32),
                copy,
                remainder,
                scale,
                scale,
            ],
            counts: args.segments.iter().map(|segment| segment.count).collect(),
            extent: filled.map(|segment| segment.offset + segment.count).max().unwrap_or(0),
            group_count: args.decay_modes.len(),
        })))
    }

    /// Where its steps compute.
    pub fn backend(&self) -> Backend {
        self.0.backend
    }

    /// Segments, in plan order.
    pub fn segment_count(&self) -> usize {
        self.0.counts.len()
    }

    /// Elements that each flat buffer must have at least: the end of the last segment.
    pub fn extent(&self) -> usize {
        self.0.extent
    }

    /// Groups, and so elements of [`StepArgs::groups`](crate::StepArgs::groups).
    pub fn group_count(&self) -> usize {
        self.0.group_count
    }

    pub(crate) fn handle(&self) -> *const sys::swd_plan {
        self.0.handle.as_ptr()
    }
}
