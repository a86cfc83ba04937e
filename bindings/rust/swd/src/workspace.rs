// SPDX-License-Identifier: Apache-2.0
//! The step on slices, whole and in pieces: the safe calls of the CPU backend.
use std::cell::Cell;
use std::marker::PhantomData;
use std::ops::Range;
use std::ptr::null_mut;

use swd_sys as sys;

use crate::args::{Phase, StepArgs};
use crate::bind::{bind_flat_moments, bind_list_moments};
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
    plan: Plan,
    memory: Memory,
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

    /// Fills `param_copy` with the parameters, rounded as a step rounds them: after loading parameters into a plan with a
    /// copy dtype. Other buffers are not read. Error: [`Status::UNEXPECTED`] without a copy dtype.
    pub fn copy_params<B: Buffers + ?Sized>(&mut self, buffers: &mut B) -> Result<()> {
        let all = buffers.bind(&self.plan, self.memory.pointer_mut())?;
        let mut raw = sys::SWD_BUFFERS_INIT;
        (raw.param, raw.param_copy) = (all.param, all.param_copy);
        (raw.workspace, raw.workspace_bytes) = (self.memory.pointer_mut(), self.memory.bytes());
        unsafe { self.plan.copy_params_raw(&raw, null_mut()) }
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
    /// `weight_decay * sqrt(reference / vbar)` for relative ones, `weight_decay` for others.
    pub fn lambda_eff(&self) -> Result<Vec<f64>> {
        let mut raw = sys::swd_stats::default();
        let mut decay = vec![0.0; self.plan.group_count()];
        unsafe { self.plan.stats_fetch_raw(self.memory.pointer().cast_mut(), &mut raw, Some(&mut decay), null_mut()) }?;
        Ok(decay)
    }

    /// Sets the running sum of every segment to the sum of its `exp_avg_sq`: after loading the moments of an Adam or AdamW
    /// checkpoint (step counters through [`State::set`]), or when a sum is unknown. Sums of L2 groups become unknown.
    /// A sum that is not finite stays so, and scheduled and relative steps are SKIPPED_VBAR, until the moments are mended
    /// and rebuilt: [`Stats::damaged_segment`] says which. For plans with a flat layout; `exp_avg_sq` as in a step.
    pub fn rebuild(&mut self, state: &mut State, exp_avg_sq: &[f32]) -> Result<()> {
        let raw = bind_flat_moments(&self.plan, exp_avg_sq)?;
        self.rebuild_from(state, raw)
    }

    /// The same for plans with a list layout: one slice per segment.
    pub fn rebuild_list(&mut self, state: &mut State, exp_avg_sq: &[&[f32]]) -> Result<()> {
        let raw = bind_list_moments(&self.plan, self.memory.pointer_mut(), exp_avg_sq)?;
        self.rebuild_from(state, raw)
    }

    fn rebuild_from(&mut self, state: &mut State, mut raw: sys::swd_buffers) -> Result<()> {
        self.add_memory(state, &mut raw)?;
        unsafe { self.plan.state_rebuild_raw(&raw, null_mut()) }
    }

    fn bind<B: Buffers + ?Sized>(
        &mut self,
        state: &mut State,
        buffers: &mut B,
        args: &StepArgs<'_>,
    ) -> Result<(sys::swd_buffers, sys::swd_step_args)> {
        let mut raw = buffers.bind(&self.plan, self.memory.pointer_mut())?;
        self.add_memory(state, &mut raw)?;
        Ok((raw, args.raw(&self.plan)?))
    }

    fn add_memory(&mut self, state: &mut State, raw: &mut sys::swd_buffers) -> Result<()> {
        (raw.state, raw.state_bytes) = state.bind(&self.plan)?;
        (raw.workspace, raw.workspace_bytes) = (self.memory.pointer_mut(), self.memory.bytes());
        Ok(())
    }
}
