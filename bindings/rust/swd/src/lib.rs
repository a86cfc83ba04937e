// SPDX-License-Identifier: Apache-2.0
//! One complete optimizer step of Adam with Scheduled Weight Decay (SWD, "AdamS"): unscale, finite check, global norm,
//! clip, Adam, and decay whose strength follows the gradient norm. Two passes over memory, on the CPU and with CUDA, with
//! the same bits on both.
//!
//! Source: Xie et al., "On the Overlooked Pitfalls of Weight Decay and How to Mitigate Them: A Gradient-Norm
//! Perspective", NeurIPS 2023, arXiv 2011.11152. These are safe bindings of libswd's C ABI; how the library is found or
//! built stands in [`sys`].
#![doc = include_str!("../../README.md")]
//! # First use
//!
//! [`Plan`] describes backend, dtypes, segments and groups once. [`State`] holds what a checkpoint needs beside the
//! moments: step counters and running sums, and of narrow states seed and units. [`Workspace`] holds what is needed within a step. [`Workspace::step`] runs
//! once per training step, on raw gradients. [`Workspace::stats`] tells the gradient norm, the decay, and what was skipped.
//!
//! # Rules that hold for every call
//!
//! - **Errors.** Every call that can fail returns [`Result`]; an error names the argument and means that nothing was
//!   changed. A step that a NaN or an overflow made impossible is no error: it leaves every parameter, moment, counter and
//!   running sum as it was, to the bit, and [`Stats::result`] says so.
//! - **Aliasing.** All buffers of a step are disjoint. Slices make that the compiler's business; with raw pointers it is
//!   yours.
//! - **Alignment.** A tensor needs the alignment of its element. Workspace and state need 16 bytes; [`Workspace`] and
//!   [`State`] see to that.
//! - **Sizes** are in elements; `_bytes` says bytes.
//! - **16-bit values** are their codes, as `u16`: bfloat16 or IEEE half. The crate `half` views its types as such.
//! - **Threads.** All calls are thread safe. A plan is shared by cloning it or by reference. A workspace serves one call
//!   at a time, so it is [`Send`] but not [`Sync`].
//! - **Determinism.** A result is a function of the data alone: not of the machine, the backend, the thread count, the
//!   instruction set, the alignment, or how reductions were split into calls. This holds within one
//!   [`numerics_version`]. Payload and sign of a NaN are outside it.
//! - **Narrow states.** An `exp_avg_sq_over_unit` is not the second moment: [`Workspace::store`] gives that. Checkpoints hold
//!   the buffers as they are and [`State::export`], which has seed and units, and then resume to the bit.
//! - **Units.** Under scheduled decay `weight_decay` has the unit of a gradient: it acts like AdamW's divided by
//!   `sqrt(vbar)`. [`weight_decay_from_adamw`] converts, [`Decay::Relative`] takes AdamW's unit, and
//!   [`Workspace::lambda_eff`] tells what is in force.
//!
//! # CUDA
//!
//! Device memory belongs to the program, so its calls are the `unsafe` ones whose names end in `_raw`, on [`Plan`]: they
//! take the structs of [`sys`], device pointers and a stream. They serve the CPU backend as well.
#![warn(missing_docs)]

/// The raw bindings that this crate stands on.
pub use swd_sys as sys;
pub use swd_sys::swd_norm_record as NormRecord;
pub use swd_sys::swd_segment_state as SegmentState;
pub use swd_sys::swd_state_header as StateHeader;

mod args;
mod bind;
mod buffers;
mod convert;
mod error;
mod formats;
mod fp32;
mod library;
mod memory;
mod parts;
mod plan;
mod raw;
mod raw_convert;
mod record;
mod segment;
mod sizes;
mod state;
mod stats;
mod workspace;

pub use args::{Group, Phase, StepArgs};
pub use buffers::{Block8, Buffers, Flat, Grad, Moments, Param, ParamCopy, Tensor};
pub use error::{Error, Result, Status};
pub use formats::{MomentDtype, ParamDtype};
pub use fp32::{Fp32, Fp32Mut};
pub use library::{
    backend_available, numerics_version, version, version_string, weight_decay_from_adamw, weight_decay_to_adamw,
    Backend, Decay, Dtype,
};
pub use plan::{Layout, Plan, PlanArgs};
pub use record::norm_record;
pub use segment::Segment;
pub use state::State;
pub use stats::{Stats, StepResult};
pub use workspace::Workspace;
