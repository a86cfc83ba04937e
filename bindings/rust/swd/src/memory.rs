// SPDX-License-Identifier: Apache-2.0
//! Zeroed host memory at 16 bytes, as workspace and state need it. Owned by `Workspace` and `State`.
use std::alloc::{alloc_zeroed, dealloc, Layout};
use std::ffi::c_void;
use std::ptr::NonNull;

use crate::error::{Error, Result, Status};

const ALIGNMENT: usize = 16;

#[derive(Debug)]
pub(crate) struct Memory {
    data: NonNull<u8>,
    bytes: usize,
}

impl Memory {
    /// `name` says in the error what could not be had.
    pub fn zeroed(bytes: u64, name: &str) -> Result<Memory> {
        let refused = || Error::new(Status::MEMORY, format!("{name}: no {bytes} bytes of host memory"));
        let size = usize::try_from(bytes).map_err(|_| refused())?;
        // One byte at least, as the allocator must not be asked for none.
        let layout = Layout::from_size_align(size.max(1), ALIGNMENT).map_err(|_| refused())?;
        let data = NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or_else(refused)?;
        Ok(Memory { data, bytes: size })
    }

    pub fn pointer(&self) -> *const c_void {
        self.data.as_ptr().cast()
    }

    pub fn pointer_mut(&mut self) -> *mut c_void {
        self.data.as_ptr().cast()
    }

    pub fn bytes(&self) -> u64 {
        self.bytes as u64
    }

    pub fn as_slice(&self) -> &[u8] {
        unsafe { std::slice::from_raw_parts(self.data.as_ptr(), self.bytes) }
    }

    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        unsafe { std::slice::from_raw_parts_mut(self.data.as_ptr(), self.bytes) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // Cannot fail: the same layout was valid when the memory was allocated.
        let layout = Layout::from_size_align(self.bytes.max(1), ALIGNMENT).unwrap();
        unsafe { dealloc(self.data.as_ptr(), layout) }
    }
}

// Plain owned bytes.
unsafe impl Send for Memory {}
unsafe impl Sync for Memory {}
