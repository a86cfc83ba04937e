// SPDX-License-Identifier: Apache-2.0
//! Statuses and errors. Every call of the library goes through `check`.
use std::ffi::{c_char, CStr};
use std::fmt;

use swd_sys as sys;

/// What every call that can fail returns.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a call failed. An integer with names, as a newer library may know more: 1 to 29 are the caller's mistake, 30 to 39
/// are valid but not offered here, 40 to 49 mean that the environment failed, 50 to 59 that a state blob was refused.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Status(pub sys::swd_status);

macro_rules! statuses {
    ($($name:ident = $value:ident: $doc:literal,)*) => {
        impl Status {
            $(#[doc = $doc] pub const $name: Status = Status(sys::$value);)*
        }
    };
}
statuses! {
    NULL = SWD_ERR_NULL: "A pointer that is needed is NULL, or a buffer that the plan needs is None.",
    STRUCT_SIZE = SWD_ERR_STRUCT_SIZE: "A size or stride of a struct is wrong.",
    FLAGS = SWD_ERR_FLAGS: "An unknown flag, or flags that exclude each other.",
    ENUM = SWD_ERR_ENUM: "An unknown backend, dtype, decay mode, buffer or phase.",
    VALUE = SWD_ERR_VALUE: "A number out of its range, NaN or infinite.",
    SIZE = SWD_ERR_SIZE: "A count, or the length of a slice, is too small or too large.",
    LAYOUT = SWD_ERR_LAYOUT: "Segments overlap or are out of order.",
    ALIGNMENT = SWD_ERR_ALIGNMENT: "A pointer is not aligned as required.",
    OVERLAP = SWD_ERR_OVERLAP: "Two buffers share memory.",
    UNEXPECTED = SWD_ERR_UNEXPECTED: "An argument is given that the plan has no use for.",
    WORKSPACE = SWD_ERR_WORKSPACE: "The workspace was not initialised for this plan.",
    DEVICE = SWD_ERR_DEVICE: "Memory or a stream does not belong to the current device.",
    UNSUPPORTED = SWD_ERR_UNSUPPORTED: "Valid, but this version of the library does not offer it.",
    NO_CUDA = SWD_ERR_NO_CUDA: "The library was built without CUDA.",
    NO_DEVICE = SWD_ERR_NO_DEVICE: "Built with CUDA, but no device is there, or none that this build has code for.",
    MEMORY = SWD_ERR_MEMORY: "Host memory ran out.",
    CUDA = SWD_ERR_CUDA: "A CUDA call failed: `Error::cuda` is its code. The step did not happen.",
    BLOB_MAGIC = SWD_ERR_BLOB_MAGIC: "Not a libswd state blob.",
    BLOB_VERSION = SWD_ERR_BLOB_VERSION: "A format version that this library does not read.",
    BLOB_SIZE = SWD_ERR_BLOB_SIZE: "Truncated, or longer than its header says.",
    BLOB_CHECKSUM = SWD_ERR_BLOB_CHECKSUM: "The checksum differs: damaged.",
    BLOB_VALUE = SWD_ERR_BLOB_VALUE: "The checksum is right, a value inside is not.",
    BLOB_PLAN = SWD_ERR_BLOB_PLAN: "The blobs are of another model, do not cover the plan's segments exactly once, or disagree on a step.",
}

impl Status {
    /// The name in the C header, such as `"SWD_ERR_NULL"`; `"unknown"` for a value that this library does not know.
    pub fn name(self) -> &'static str {
        text(unsafe { sys::swd_status_name(self.0) })
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.0)
    }
}

/// A refused call: its status, and one line that names the argument. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Error {
    status: Status,
    detail: String,
    cuda: Option<i32>,
}

impl Error {
    /// For what only this side knows: the lengths of slices, and memory that is not there.
    pub(crate) fn new(status: Status, detail: impl Into<String>) -> Error {
        Error { status, detail: detail.into(), cuda: None }
    }

    /// What kind of error it is.
    pub fn status(&self) -> Status {
        self.status
    }

    /// One line that names the argument.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The `cudaError_t` behind [`Status::CUDA`] or [`Status::NO_DEVICE`]. Those that CUDA calls sticky (an illegal
    /// address, a failed launch, a lost device) end the process's use of the device; after any other, call again.
    pub fn cuda(&self) -> Option<i32> {
        self.cuda
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.status.name(), self.detail)
    }
}

impl std::error::Error for Error {}

/// Turns a status into a result. To be called right after the call, on its thread: the detail line is the thread's latest.
pub(crate) fn check(status: sys::swd_status) -> Result<()> {
    if status == sys::SWD_OK {
        return Ok(());
    }
    let detail = unsafe { CStr::from_ptr(sys::swd_error_detail()) };
    let mut error = Error::new(Status(status), detail.to_string_lossy());
    if [Status::CUDA, Status::NO_DEVICE].contains(&error.status) {
        error.cuda = Some(unsafe { sys::swd_error_cuda() });
    }
    Err(error)
}

/// Text that the library keeps for ever: names and versions, in ASCII.
pub(crate) fn text(pointer: *const c_char) -> &'static str {
    unsafe { CStr::from_ptr(pointer) }.to_str().unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_cuda_have_its_code_and_others_none() {
        // No call of CUDA has failed on this thread.
        assert_eq!(check(sys::SWD_ERR_CUDA).unwrap_err().cuda(), Some(0));
        assert_eq!(check(sys::SWD_ERR_NO_DEVICE).unwrap_err().cuda(), Some(0));
        assert_eq!(check(sys::SWD_ERR_NO_CUDA).unwrap_err().cuda(), None);
        assert_eq!(Error::new(Status::CUDA, "").cuda(), None);
    }
}
