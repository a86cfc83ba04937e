// SPDX-License-Identifier: Apache-2.0
//! What concerns the library as a whole: its version, its backends, its enumerations, the conversion of weight decay.
use swd_sys as sys;

use crate::error::{check, text, Error, Result, Status};

/// Where a step computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum Backend {
    /// The host, with threads.
    #[default]
    Cpu = sys::SWD_BACKEND_CPU,
    /// The current CUDA device, through the `_raw` calls.
    Cuda = sys::SWD_BACKEND_CUDA,
}

/// The type of an element.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum Dtype {
    /// IEEE single precision.
    #[default]
    F32 = sys::SWD_DTYPE_F32,
    /// bfloat16.
    Bf16 = sys::SWD_DTYPE_BF16,
    /// IEEE half precision.
    F16 = sys::SWD_DTYPE_F16,
}

/// How `weight_decay` acts, per group. With d the decay factor of a step, `param` loses `d * param`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum Decay {
    /// SWD: `d = lr * weight_decay / sqrt(vbar)`, with vbar the mean of the bias-corrected second moment.
    #[default]
    Scheduled = sys::SWD_DECAY_SCHEDULED,
    /// AdamW: `d = lr * weight_decay`.
    Decoupled = sys::SWD_DECAY_DECOUPLED,
    /// Adam: the gradient gains `weight_decay * param`, after unscaling and clipping.
    L2 = sys::SWD_DECAY_L2,
    /// `weight_decay` is ignored.
    None = sys::SWD_DECAY_NONE,
    /// SWD in AdamW's unit: `d = lr * weight_decay * sqrt(reference / vbar)`. The reference is a vbar that lives in the
    /// state ([`StateHeader`](crate::StateHeader)): that of step
    /// [`StepArgs::reference_step`](crate::StepArgs::reference_step), or one that was set. Until it is there d is AdamW's.
    Relative = sys::SWD_DECAY_RELATIVE,
}

/// Whether the backend can run here; the error says why not ([`Status::NO_CUDA`] or [`Status::NO_DEVICE`]).
pub fn backend_available(backend: Backend) -> Result<()> {
    check(unsafe { sys::swd_backend_available(backend as i32) })
}

/// `major * 10000 + minor * 100 + patch` of the library in use.
pub fn version() -> u32 {
    unsafe { sys::swd_version() }
}

/// The version of the library in use, such as `"0.2.0"`.
pub fn version_string() -> &'static str {
    text(unsafe { sys::swd_version_string() })
}

/// Results are equal to the bit between libraries of one numerics version.
pub fn numerics_version() -> u32 {
    unsafe { sys::swd_numerics_version() }
}

/// While 0.x, a minor release may change the ABI, and an archive or `LD_PRELOAD` passes by the loader's check of names.
pub(crate) fn check_version(found: u32) -> Result<()> {
    let wanted = sys::SWD_VERSION_MAJOR * 100 + sys::SWD_VERSION_MINOR;
    if found / 100 == wanted {
        return Ok(());
    }
    let (major, minor) = (wanted / 100, wanted % 100);
    let detail = format!("the library has version {found}, but these bindings are for {major}.{minor}");
    Err(Error::new(Status::UNSUPPORTED, detail))
}

/// AdamW's `weight_decay` to that of scheduled decay at a given vbar: `weight_decay * sqrt(vbar)`.
///
/// ```
/// assert_eq!(swd::weight_decay_from_adamw(0.1, 1e-8), 0.1 * 1e-4);
/// ```
pub fn weight_decay_from_adamw(weight_decay: f64, vbar: f64) -> f64 {
    unsafe { sys::swd_weight_decay_from_adamw(weight_decay, vbar) }
}

/// And back: `weight_decay / sqrt(vbar)`; 0 where vbar is 0, as the step has it.
pub fn weight_decay_to_adamw(weight_decay: f64, vbar: f64) -> f64 {
    unsafe { sys::swd_weight_decay_to_adamw(weight_decay, vbar) }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_library_of_another_minor_release_is_refused() {
        assert!(super::check_version(299).is_ok());
        for other in [199, 300, 10_200] {
            let error = super::check_version(other).unwrap_err();
            assert!(error.detail().contains(&other.to_string()), "{error}");
        }
    }
}
