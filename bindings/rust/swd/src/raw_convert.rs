// SPDX-License-Identifier: Apache-2.0
//! The calls on raw pointers that stand beside the step: buffers from and to fp32, the copy, the running sums.
use std::ffi::c_void;

use swd_sys as sys;

use crate::error::{check, Result};
use crate::plan::Plan;

/// # Beside the step, on raw pointers
///
/// By the rules of the calls above.
impl Plan {
    /// Fills `param_copy` with the parameters, rounded as a step rounds them. Uses `param`, `param_copy` and `workspace` of
    /// `buffers`. One launch.
    ///
    /// # Safety
    /// As [`step_raw`](Plan::step_raw).
    pub unsafe fn copy_params_raw(&self, buffers: &sys::swd_buffers, stream: *mut c_void) -> Result<()> {
        check(sys::swd_copy_params(self.handle(), buffers, stream))
    }

    /// Sets the running sum of every segment to the sum of its `exp_avg_sq`: after loading the moments of an Adam or AdamW
    /// checkpoint, or when a sum is unknown. One launch. Uses `exp_avg_sq`, `state` and `workspace` of `buffers`.
    ///
    /// # Safety
    /// As [`step_raw`](Plan::step_raw).
    pub unsafe fn state_rebuild_raw(&self, buffers: &sys::swd_buffers, stream: *mut c_void) -> Result<()> {
        check(sys::swd_state_rebuild(self.handle(), buffers, stream))
    }

    /// fp32 to the plan's dtypes, rounded to nearest. Uses the buffers of what `from` has, and `state` and `workspace`. One
    /// launch, in a list one more per 480 pointers.
    ///
    /// # Safety
    /// As [`step_raw`](Plan::step_raw), for the arrays too: flat bases where the backend computes, or in a list host arrays
    /// of one such pointer per segment, free to reuse on return.
    pub unsafe fn state_load_raw(
        &self,
        buffers: &sys::swd_buffers,
        from: &sys::swd_fp32_arrays,
        stream: *mut c_void,
    ) -> Result<()> {
        check(sys::swd_state_load(self.handle(), buffers, from, stream))
    }

    /// And back, exactly: `to` is written.
    ///
    /// # Safety
    /// As [`state_load_raw`](Plan::state_load_raw).
    pub unsafe fn state_store_raw(
        &self,
        buffers: &sys::swd_buffers,
        to: &sys::swd_fp32_arrays,
        stream: *mut c_void,
    ) -> Result<()> {
        check(sys::swd_state_store(self.handle(), buffers, to, stream))
    }
}
