// SPDX-License-Identifier: Apache-2.0
//! The immutable description of what a step works on.
use std::ptr::{null_mut, NonNull};
use std::sync::Arc;

use swd_sys as sys;

use crate::error::{check, Error, Result, Status};
use crate::library::{check_version, version, Backend, Decay, Dtype};
use crate::memory::Memory;
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
    /// Of the gradients. Parameters and moments are fp32.
    pub grad_dtype: Dtype,
    /// `param_copy`: a copy of the parameters that the step writes, BF16 or F16, rounded to nearest even.
    pub copy_dtype: Option<Dtype>,
    /// At most 2^31 - 1.
    pub segments: &'a [Segment],
    /// One per group: 1 to 2^20.
    pub decay_modes: &'a [Decay],
    /// Keep the maximum of `exp_avg_sq` in `max_exp_avg_sq` and divide by it.
    pub amsgrad: bool,
    /// Ascend: the gradient counts with the opposite sign.
    pub maximize: bool,
    /// Also reduce `param_norm` and `update_norm`, inside the second pass.
    pub update_norms: bool,
    /// [`Segment::index`] is given.
    pub indexed: bool,
    /// Any number that tells models apart: a blob of another key that is not 0 is refused. 0: none.
    pub model_key: u64,
    /// CPU: most threads a step uses, 0 to 1024; 0: one per available core. CUDA: 0.
    pub threads: i32,
}

/// A flat fp32 plan of one group with scheduled decay, on the CPU, without segments.
impl Default for PlanArgs<'_> {
    fn default() -> Self {
        PlanArgs {
            backend: Backend::Cpu,
            layout: Layout::Flat,
            grad_dtype: Dtype::F32,
            copy_dtype: None,
            segments: &[],
            decay_modes: &[Decay::Scheduled],
            amsgrad: false,
            maximize: false,
            update_norms: false,
            indexed: false,
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
    pub grad_dtype: Dtype,
    pub copy_dtype: Option<Dtype>,
    pub amsgrad: bool,
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
    /// names the argument by its name in C, such as `args.segments[3].offset`.
    pub fn new(args: &PlanArgs<'_>) -> Result<Plan> {
        check_version(version())?;
        let segments: Vec<sys::swd_segment> = args.segments.iter().map(Segment::raw).collect();
        let raw = sys::swd_plan_args {
            flags: bit(args.layout == Layout::List, sys::SWD_PLAN_LIST)
                | bit(args.amsgrad, sys::SWD_PLAN_AMSGRAD)
                | bit(args.maximize, sys::SWD_PLAN_MAXIMIZE)
                | bit(args.update_norms, sys::SWD_PLAN_UPDATE_NORMS)
                | bit(args.indexed, sys::SWD_PLAN_INDEXED),
            backend: args.backend as i32,
            grad_dtype: args.grad_dtype as i32,
            copy_dtype: args.copy_dtype.map_or(sys::SWD_DTYPE_NONE, |dtype| dtype as i32),
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
        let filled = args.segments.iter().filter(|segment| segment.count > 0);
        Ok(Plan(Arc::new(Facts {
            handle: NonNull::new(handle).expect("the library returned success"),
            backend: args.backend,
            layout: args.layout,
            grad_dtype: args.grad_dtype,
            copy_dtype: args.copy_dtype,
            amsgrad: args.amsgrad,
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

    /// Bytes of a workspace: a multiple of 16.
    pub fn workspace_bytes(&self) -> Result<u64> {
        let mut bytes = 0;
        check(unsafe { sys::swd_workspace_size(self.handle(), &mut bytes) })?;
        Ok(bytes)
    }

    /// Bytes of a state image: a multiple of 16.
    pub fn state_bytes(&self) -> Result<u64> {
        let mut bytes = 0;
        check(unsafe { sys::swd_state_size(self.handle(), &mut bytes) })?;
        Ok(bytes)
    }

    /// Doubles in the norm record, which ranks sum between the two passes.
    pub fn record_size(&self) -> Result<usize> {
        let mut doubles = 0;
        check(unsafe { sys::swd_record_size(self.handle(), &mut doubles) })?;
        Ok(doubles as usize)
    }

    /// Adds record `from` to record `to`: for models of several plans in one process. Fold each plan, add the records in
    /// one fixed order, decide each plan from the sum. For plans of the CPU; others: `record_add_raw`. Errors:
    /// [`Status::SIZE`] for slices of other lengths than [`record_size`](Plan::record_size), [`Status::UNEXPECTED`].
    pub fn record_add(&self, to: &mut [f64], from: &[f64]) -> Result<()> {
        if self.0.backend != Backend::Cpu {
            let detail = "plan: its backend is CUDA; its records are device memory, for record_add_raw";
            return Err(Error::new(Status::UNEXPECTED, detail));
        }
        if to.len() != from.len() {
            let detail = format!("from has {} doubles, but to has {}", from.len(), to.len());
            return Err(Error::new(Status::SIZE, detail));
        }
        unsafe { self.record_add_raw(to.as_mut_ptr(), from.as_ptr(), to.len() as u64, null_mut()) }
    }

    /// What a fresh workspace holds, for programs that copy it there themselves. Touches no device.
    pub fn workspace_image(&self) -> Result<Vec<u8>> {
        let mut image = Memory::zeroed(self.workspace_bytes()?, "workspace image")?;
        check(unsafe { sys::swd_workspace_image(self.handle(), image.pointer_mut(), image.bytes()) })?;
        Ok(image.as_slice().to_vec())
    }

    pub(crate) fn handle(&self) -> *const sys::swd_plan {
        self.0.handle.as_ptr()
    }
}
