// SPDX-License-Identifier: Apache-2.0
//! Raw bindings of libswd: the C ABI of `swd/swd.h`, name for name. The crate `swd` is what programs use.
//!
//! The header is the manual: units, alignment, aliasing, streams and errors stand there, and in the documentation of
//! `swd`. Written by hand, so that nobody needs libclang; `tests/header.rs` compares every function, field, offset and
//! constant with what the C compiler reads in the header. Statuses and other enumerations are integers: a newer library
//! may know more of them.
//!
//! # How the library is found
//!
//! In this order:
//!
//! 1. `SWD_LIB_DIR`: the folder of `libswd.so` or `libswd.a`. If both are there the shared one is taken, or with
//!    `SWD_STATIC=1` the other. `pkgconfig/swd.pc` below it, where an installation has it, says what else an archive
//!    needs.
//! 2. `pkg-config`, for a version with the same major and minor number. `SWD_NO_PKG_CONFIG=1` leaves this out.
//! 3. The repository that the crate stands in, built with cmake as an archive below cargo's `OUT_DIR`. Without CUDA:
//!    machine code for all devices takes minutes to build, and most who try the crate have no device. The feature `cuda`
//!    adds it and needs nvcc. `SWD_CMAKE_ARGS` passes more options, such as
//!    `-DSWD_CUDART=shared -DSWD_CUDA_ARCHITECTURES=90`.
//!
//! A shared library that lies outside the loader's path needs `LD_LIBRARY_PATH` at run time.
#![no_std]
#![allow(non_camel_case_types)]

mod constants;
mod functions;
mod state_types;
mod types;

pub use constants::*;
pub use functions::*;
pub use state_types::*;
pub use types::*;
