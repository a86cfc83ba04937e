// SPDX-License-Identifier: Apache-2.0
//! The step on slices, whole and in pieces: the safe calls of the CPU backend.
use std::cell::Cell;
use std::marker::PhantomData;
use std::ops::Range;
use std::ptr::null_mut;

use swd_sys as sys;

use crate::args::{Phase, StepArgs};
use crate::bind::ALL;
use crate::buffers::Buffers;
use crate::error::{Error, Result, Status};
use crate::library::Backend;
use crate::memory::Memory;
use crate::plan::Plan;
use crate::state::State;
use crate::stats::Stats;

/// The tables and scratch memory of one step at a time, of a plan for the CPU. It holds nothing that a checkpoint needs.
///
/// ```compile_fail,E0277
/// fn shared<T: Sync>() {}
/// shared::<swd::Workspace>(); // one call at a time
/// ```
#[derive(Debug)]
pub struct Workspace {
    pub(crate) plan: Plan,
    pub(crate) memory: Memory,
    not_sync: PhantomData<Cell<()>>,
}

impl Workspace {
    /// Errors: [`Status::UNEXPECTED`] for a CUDA plan, whose memory is the caller's: `_raw` calls of [`Plan`];
    /// [`Status::MEMORY`].
    pub fn new(plan: &Plan) -> Result<Workspace> {
        if plan.backend() != Backend::Cpu {
            let detail = "plan: its backend is CUDA; its workspace is device memory, for the _raw calls";
            return Err(Error::new(Status::UNEXPECTED, detail));
        }
        let memory = Memory::zeroed(plan.workspace_bytes()?, "workspace")?;
        let mut workspace = Workspace { plan: plan.clone(), memory, not_sync: PhantomData };
        workspace.reset()?;
        Ok(workspace)
    }

    /// The plan that it was made for.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Starts afresh, statistics included.
    pub fn reset(&mut self) -> Result<()> {
        let bytes = self.memory.bytes();
        unsafe { self.plan.workspace_init_raw(self.memory.pointer_mut(), bytes, null_mut()) }
    }

    /// One whole optimizer step. It happens wholly or not at all; what became of it is in [`stats`](Workspace::stats).
    ///
    /// Errors name the argument: [`Status::SIZE`] for a slice that is too short, [`Status::VALUE`] for a number out of
    /// range, [`Status::NULL`] and [`Status::UNEXPECTED`] for buffers that do not fit the plan, [`Status::FLAGS`].
    pub fn step<B: Buffers + ?Sized>(&mut self, state: &mut State, buffers: &mut B, args: &StepArgs<'_>) -> Result<()> {
        let (raw, args) = self.bind(state, buffers, args)?;
        unsafe { self.plan.step_raw(&raw, &args, null_mut()) }
    }

    /// The same step in pieces, with the same bits: reduce, [`fold`](Workspace::fold), [`decide`](Workspace::decide),
    /// [`update`](Workspace::update), each with the same buffers and args. With amsgrad and a scheduled or relative
    /// group, reduce, fold and decide come again with [`Phase::Max`] before the update.
    ///
    /// Reduces once or more, over any segments, also while backward still runs. Reducing a segment twice is harmless: the
    /// last one counts. Segments that were not reduced have no gradient this step.
    pub fn reduce<B: Buffers + ?Sized>(
        &mut self,
        state: &mut State,
        buffers: &mut B,
        args: &StepArgs<'_>,
        phase: Phase,
        segments: Range<usize>,
    ) -> Result<()> {
        let (raw, args) = self.bind(state, buffers, args)?;
        // A range that ends before it begins gives a negative count, which the library refuses by name.
        let (first, count) = (segments.start as i64, segments.end.wrapping_sub(segments.start) as i64);
        unsafe { self.plan.reduce_raw(&raw, &args, phase, first, count, null_mut()) }
    }

    /// Sums what was reduced into the norm record, [`Plan::record_size`] doubles. Sharded training sums the records of all
    /// ranks, double by double, and hands the same sum to each. [`norm_record`](crate::norm_record) names some of them.
    pub fn fold<B: Buffers + ?Sized>(
        &mut self,
        state: &mut State,
        buffers: &mut B,
        args: &StepArgs<'_>,
        phase: Phase,
        record: &mut [f64],
    ) -> Result<()> {
        let (raw, args) = self.bind(state, buffers, args)?;
        let doubles = record.len() as u64;
        unsafe { self.plan.fold_raw(&raw, &args, phase, record.as_mut_ptr(), doubles, null_mut()) }
    }

    /// Decides the step from the record and arms the update. Before the update nothing but the workspace is written.
    pub fn decide<B: Buffers + ?Sized>(
        &mut self,
        state: &mut State,
        buffers: &mut B,
        args: &StepArgs<'_>,
        phase: Phase,
        record: &[f64],
    ) -> Result<()> {
        let (raw, args) = self.bind(state, buffers, args)?;
        let doubles = record.len() as u64;
        unsafe { self.plan.decide_raw(&raw, &args, phase, record.as_ptr(), doubles, null_mut()) }
    }

    /// Applies and commits. Without a decide before it nothing changes, what was reduced included, and the statistics say
    /// [`NOT_ARMED`](crate::StepResult::NOT_ARMED).
    pub fn update<B: Buffers + ?Sized>(
        &mut self,
        state: &mut State,
        buffers: &mut B,
        args: &StepArgs<'_>,
    ) -> Result<()> {
        let (raw, args) = self.bind(state, buffers, args)?;
        unsafe { self.plan.update_raw(&raw, &args, null_mut()) }
    }

    /// Forgets what was reduced and decided since the last update.
    pub fn discard(&mut self) -> Result<()> {
        let bytes = self.memory.bytes();
        unsafe { self.plan.discard_raw(self.memory.pointer_mut(), bytes, null_mut()) }
    }

    /// Statistics of the latest committed step.
    pub fn stats(&self) -> Result<Stats> {
        let mut raw = sys::swd_stats::default();
        unsafe { self.plan.stats_fetch_raw(self.memory.pointer().cast_mut(), &mut raw, None, null_mut()) }?;
        Ok(raw.into())
    }

    /// The decay of each group in AdamW's unit, in the latest step: `weight_decay / sqrt(vbar)` for scheduled groups,
    /// `weight_decay * sqrt(reference / vbar)` for relative ones, both 0 where vbar is 0; `weight_decay` for relative ones
    /// before there is a reference, for decoupled and L2; 0 for `Decay::None`.
    pub fn lambda_eff(&self) -> Result<Vec<f64>> {
        let mut raw = sys::swd_stats::default();
        let mut decay = vec![0.0; self.plan.group_count()];
        unsafe { self.plan.stats_fetch_raw(self.memory.pointer().cast_mut(), &mut raw, Some(&mut decay), null_mut()) }?;
        Ok(decay)
    }

    fn bind<B: Buffers + ?Sized>(
        &mut self,
        state: &mut State,
        buffers: &mut B,
        args: &StepArgs<'_>,
    ) -> Result<(sys::swd_buffers, sys::swd_step_args)> {
        Ok((self.bind_part(Some(state), buffers, ALL)?, args.raw(&self.plan)?))
    }
}
