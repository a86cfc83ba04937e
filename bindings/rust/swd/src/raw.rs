// SPDX-License-Identifier: Apache-2.0
//! The calls on raw pointers, for either backend: what CUDA programs use, and what `Workspace` stands on.
use std::ffi::c_void;
use std::mem::size_of;
use std::ptr::{from_mut, null, null_mut};

use swd_sys as sys;

use crate::args::Phase;
use crate::error::{check, Result};
use crate::plan::Plan;

/// # Calls on raw pointers
///
/// All of them share these rules.
///
/// **Memory.** Pointers lead to where the backend computes: device memory for CUDA, whose device must be current; host
/// memory for the CPU. Workspace and state: 16-byte aligned, of the plan's sizes; the state is zeroed at first. All buffers
/// of a step are disjoint, and live until the work is done.
///
/// **Streams.** `stream` is a `cudaStream_t`; NULL is the legacy default stream. For the CPU backend it must be NULL. CUDA
/// calls are asynchronous and ordered in the stream, and can be captured into a graph, [`workspace_init_raw`] and fetching
/// statistics into pageable memory excepted. CPU calls return when the work is done.
///
/// **Safety.** Every pointer must lead to memory of the size that the plan needs, live, not in use by another call or stream
/// at the same time, and initialised as said. One workspace, and one set of buffers, serves one call at a time.
///
/// [`workspace_init_raw`]: Plan::workspace_init_raw
impl Plan {
    /// Writes the plan's tables into a workspace; once per workspace. The only call that may block, and not capturable.
    ///
    /// # Safety
    /// The rules above; `workspace` has `workspace_bytes` bytes.
    pub unsafe fn workspace_init_raw(
        &self,
        workspace: *mut c_void,
        workspace_bytes: u64,
        stream: *mut c_void,
    ) -> Result<()> {
        check(sys::swd_workspace_init(self.handle(), workspace, workspace_bytes, stream))
    }

    /// Lists: sets the pointers of segments from `first` on in the table of `buffer` (`SWD_BUFFER_*`). The slice is free to
    /// reuse on return. A NULL gradient means "no gradient this step". One launch per 480 pointers.
    ///
    /// # Safety
    /// The rules above, for the pointers too, until they are set anew.
    pub unsafe fn set_pointers_raw(
        &self,
        workspace: *mut c_void,
        buffer: sys::swd_buffer_kind,
        first: i64,
        pointers: &[*const c_void],
        stream: *mut c_void,
    ) -> Result<()> {
        let count = pointers.len() as i64;
        check(sys::swd_set_pointers(self.handle(), workspace, buffer, first, count, pointers.as_ptr(), stream))
    }

    /// One whole step, wholly or not at all. CUDA: two launches for any number of segments (three with amsgrad and a
    /// scheduled or relative group; beyond 24 host groups one more per some 60 of them).
    ///
    /// # Safety
    /// The rules above, for each pointer in `buffers` and `args`.
    pub unsafe fn step_raw(
        &self,
        buffers: &sys::swd_buffers,
        args: &sys::swd_step_args,
        stream: *mut c_void,
    ) -> Result<()> {
        check(sys::swd_step(self.handle(), buffers, args, stream))
    }

    /// First piece of a step: sums squares of segments `first .. first + count`; also while backward still runs.
    ///
    /// # Safety
    /// As [`step_raw`](Plan::step_raw).
    pub unsafe fn reduce_raw(
        &self,
        buffers: &sys::swd_buffers,
        args: &sys::swd_step_args,
        phase: Phase,
        first: i64,
        count: i64,
        stream: *mut c_void,
    ) -> Result<()> {
        check(sys::swd_reduce(self.handle(), buffers, args, phase as i32, first, count, stream))
    }

    /// Sums what was reduced into `record`: [`record_size`](Plan::record_size) doubles where the backend computes, 8-byte
    /// aligned, or NULL with 0 doubles for the workspace's own. Sharded training all-reduces all of them by sum.
    ///
    /// # Safety
    /// As [`step_raw`](Plan::step_raw).
    pub unsafe fn fold_raw(
        &self,
        buffers: &sys::swd_buffers,
        args: &sys::swd_step_args,
        phase: Phase,
        record: *mut f64,
        record_doubles: u64,
        stream: *mut c_void,
    ) -> Result<()> {
        check(sys::swd_fold(self.handle(), buffers, args, phase as i32, record, record_doubles, stream))
    }

    /// Adds record `from` to record `to`, both where the backend computes.
    ///
    /// # Safety
    /// The rules above; both have `record_doubles` doubles.
    pub unsafe fn record_add_raw(
        &self,
        to: *mut f64,
        from: *const f64,
        record_doubles: u64,
        stream: *mut c_void,
    ) -> Result<()> {
        check(sys::swd_record_add(self.handle(), to, from, record_doubles, stream))
    }

    /// Decides the step from the record and arms the update.
    ///
    /// # Safety
    /// As [`step_raw`](Plan::step_raw).
    pub unsafe fn decide_raw(
        &self,
        buffers: &sys::swd_buffers,
        args: &sys::swd_step_args,
        phase: Phase,
        record: *const f64,
        record_doubles: u64,
        stream: *mut c_void,
    ) -> Result<()> {
        check(sys::swd_decide(self.handle(), buffers, args, phase as i32, record, record_doubles, stream))
    }

    /// Last piece of a step: applies and commits.
    ///
    /// # Safety
    /// As [`step_raw`](Plan::step_raw).
    pub unsafe fn update_raw(
        &self,
        buffers: &sys::swd_buffers,
        args: &sys::swd_step_args,
        stream: *mut c_void,
    ) -> Result<()> {
        check(sys::swd_update(self.handle(), buffers, args, stream))
    }

    /// Forgets what was reduced and decided since the last update.
    ///
    /// # Safety
    /// The rules above; `workspace` has `workspace_bytes` bytes.
    pub unsafe fn discard_raw(&self, workspace: *mut c_void, workspace_bytes: u64, stream: *mut c_void) -> Result<()> {
        check(sys::swd_discard(self.handle(), workspace, workspace_bytes, stream))
    }

    /// Copies the statistics, and with `lambda_eff` the decay of each group in AdamW's unit: one double per group. CUDA:
    /// one small launch and asynchronous copies; synchronise before reading.
    ///
    /// # Safety
    /// The rules above; `stats` and `lambda_eff` live until the copies are done.
    ///
    /// # Panics
    /// If `lambda_eff` has fewer elements than the plan has groups.
    pub unsafe fn stats_fetch_raw(
        &self,
        workspace: *mut c_void,
        stats: &mut sys::swd_stats,
        lambda_eff: Option<&mut [f64]>,
        stream: *mut c_void,
    ) -> Result<()> {
        let decay = lambda_eff.map_or(null_mut(), |decay| {
            assert!(decay.len() >= self.group_count(), "lambda_eff has {} elements", decay.len());
            decay.as_mut_ptr()
        });
        let bytes = size_of::<sys::swd_stats>() as u64;
        check(sys::swd_stats_fetch(self.handle(), workspace, from_mut(stats), bytes, decay, stream))
    }

    /// Where the statistics lie inside the workspace, for kernels that read the verdict. Computes a pointer only.
    ///
    /// # Safety
    /// `workspace` is one that was initialised for this plan.
    pub unsafe fn stats_pointer_raw(&self, workspace: *const c_void) -> Result<*const sys::swd_stats> {
        let mut stats = null();
        check(sys::swd_stats_pointer(self.handle(), workspace, &mut stats))?;
        Ok(stats)
    }
}
