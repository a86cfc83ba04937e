// SPDX-License-Identifier: Apache-2.0
//! What a plan says of its memory: sizes, where scales lie, the image of a workspace, sums of records.
use std::ptr::null_mut;

use swd_sys as sys;

use crate::error::{check, Error, Result, Status};
use crate::library::Backend;
use crate::memory::Memory;
use crate::plan::{Layout, Plan};
#[cfg(doc)]
use crate::{Block8, MomentDtype};

impl Plan {
    /// Bytes of a workspace: a multiple of 16.
    pub fn workspace_bytes(&self) -> Result<u64> {
        let mut bytes = 0;
        check(unsafe { sys::swd_workspace_size(self.handle(), &mut bytes) })?;
        Ok(bytes)
    }

    /// Bytes of a state image: a multiple of 16.
    pub fn state_bytes(&self) -> Result<u64> {
        let mut bytes = 0;
        check(unsafe { sys::swd_state_size(self.handle(), &mut bytes) })?;
        Ok(bytes)
    }

    /// Elements of the scales of either moment in a flat layout: 32 for each chunk of 4,096 elements of a segment, the last
    /// chunk whole. 0 without [`MomentDtype::Block8`], and in a list, where each tensor has
    /// [`Block8::scales_of`] its count.
    pub fn scale_bytes(&self) -> Result<usize> {
        let mut bytes = 0;
        if self.0.layout == Layout::Flat {
            check(unsafe { sys::swd_scale_size(self.handle(), &mut bytes) })?;
        }
        Ok(bytes as usize)
    }

    /// Where the scales of a segment begin in a flat layout: block b of it has element `offset + b`. Errors:
    /// [`Status::SIZE`] if there is no such segment, [`Status::UNEXPECTED`] for a list.
    pub fn scale_offset(&self, segment: usize) -> Result<usize> {
        let mut offset = 0;
        check(unsafe { sys::swd_scale_offset(self.handle(), segment as i64, &mut offset) })?;
        Ok(offset as usize)
    }

    /// Doubles in the norm record, which ranks sum between the two passes.
    pub fn record_size(&self) -> Result<usize> {
        let mut doubles = 0;
        check(unsafe { sys::swd_record_size(self.handle(), &mut doubles) })?;
        Ok(doubles as usize)
    }

    /// Adds record `from` to record `to`: for models of several plans in one process. Fold each plan, add the records in
    /// one fixed order, decide each plan from the sum. For plans of the CPU; others: `record_add_raw`. Errors:
    /// [`Status::SIZE`] for slices of other lengths than [`record_size`](Plan::record_size), [`Status::UNEXPECTED`].
    pub fn record_add(&self, to: &mut [f64], from: &[f64]) -> Result<()> {
        if self.0.backend != Backend::Cpu {
            let detail = "plan: its backend is CUDA; its records are device memory, for record_add_raw";
            return Err(Error::new(Status::UNEXPECTED, detail));
        }
        if to.len() != from.len() {
            let detail = format!("from has {} doubles, but to has {}", from.len(), to.len());
            return Err(Error::new(Status::SIZE, detail));
        }
        unsafe { self.record_add_raw(to.as_mut_ptr(), from.as_ptr(), to.len() as u64, null_mut()) }
    }

    /// What a fresh workspace holds, for programs that copy it there themselves. Touches no device.
    pub fn workspace_image(&self) -> Result<Vec<u8>> {
        let mut image = Memory::zeroed(self.workspace_bytes()?, "workspace image")?;
        check(unsafe { sys::swd_workspace_image(self.handle(), image.pointer_mut(), image.bytes()) })?;
        Ok(image.as_slice().to_vec())
    }
}
