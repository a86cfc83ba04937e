// SPDX-License-Identifier: Apache-2.0
//! What stands beside the step: buffers from and to fp32, the 16-bit copy, the running sums.
use std::ptr::null_mut;

use swd_sys as sys;

use crate::bind::{Used, EXP_AVG_SQ, PARAM, PARAM_COPY};
use crate::buffers::Buffers;
use crate::error::Result;
use crate::fp32::{Arrays, Fp32, Fp32Mut, Row};
use crate::state::State;
use crate::workspace::Workspace;

/// Each uses the buffers that it names; the others of `buffers` are not looked at, and may be empty slices.
impl Workspace {
    /// fp32 to the plan's dtypes, rounded to nearest: to begin training from fp32 parameters, or to load a checkpoint of any
    /// Adam. `from`: one for a flat layout, one per segment for a list. Uses the buffers of what is given there. Where
    /// `exp_avg_sq` is loaded the units of narrow moments become 1; running sums stay as they are:
    /// [`rebuild`](Workspace::rebuild), or [`State::set`].
    ///
    /// Error: [`Status::SIZE`](crate::Status::SIZE) for a slice of another length, and those of a step.
    pub fn load<B: Buffers + ?Sized>(&mut self, state: &mut State, buffers: &mut B, from: &[Fp32<'_>]) -> Result<()> {
        let rows: Vec<Row> = from.iter().map(Fp32::row).collect();
        let arrays = Arrays::new(&self.plan, &rows, "from")?;
        let raw = self.bind_part(Some(state), buffers, arrays.used())?;
        unsafe { self.plan.state_load_raw(&raw, &arrays.raw(), null_mut()) }
    }

    /// And back, exactly: what a step would compute with. The only way to read the second moment of a narrow plan.
    pub fn store<B: Buffers + ?Sized>(
        &mut self,
        state: &mut State,
        buffers: &mut B,
        to: &mut [Fp32Mut<'_>],
    ) -> Result<()> {
        let rows: Vec<Row> = to.iter_mut().map(Fp32Mut::row).collect();
        let arrays = Arrays::new(&self.plan, &rows, "to")?;
        let raw = self.bind_part(Some(state), buffers, arrays.used())?;
        unsafe { self.plan.state_store_raw(&raw, &arrays.raw(), null_mut()) }
    }

    /// Fills `param_copy` with the parameters, rounded as a step rounds them: after loading parameters into a plan with a
    /// copy dtype. Error: [`Status::UNEXPECTED`](crate::Status::UNEXPECTED) without a copy dtype.
    pub fn copy_params<B: Buffers + ?Sized>(&mut self, buffers: &mut B) -> Result<()> {
        let raw = self.bind_part(None, buffers, PARAM | PARAM_COPY)?;
        unsafe { self.plan.copy_params_raw(&raw, null_mut()) }
    }

    /// Sets the running sum of every segment to the sum of its second moment: after loading the moments of an Adam or AdamW
    /// checkpoint (step counters through [`State::set`]), or when a sum is unknown. Sums of L2 groups become unknown.
    /// A sum that is not finite stays so, and scheduled and relative steps are SKIPPED_VBAR, until the moments are mended
    /// and rebuilt: [`Stats::damaged_segment`](crate::Stats::damaged_segment) says which.
    pub fn rebuild<B: Buffers + ?Sized>(&mut self, state: &mut State, buffers: &mut B) -> Result<()> {
        let raw = self.bind_part(Some(state), buffers, EXP_AVG_SQ)?;
        unsafe { self.plan.state_rebuild_raw(&raw, null_mut()) }
    }

    /// What a call uses, with the memory of workspace and state.
    pub(crate) fn bind_part<B: Buffers + ?Sized>(
        &mut self,
        state: Option<&mut State>,
        buffers: &mut B,
        used: Used,
    ) -> Result<sys::swd_buffers> {
        let mut raw = buffers.bind(&self.plan, self.memory.pointer_mut(), used)?;
        if let Some(state) = state {
            (raw.state, raw.state_bytes) = state.bind(&self.plan)?;
        }
        (raw.workspace, raw.workspace_bytes) = (self.memory.pointer_mut(), self.memory.bytes());
        Ok(raw)
    }
}
