// SPDX-License-Identifier: Apache-2.0
//! The state image, opaque: what a checkpoint needs beside parameters and moments.
use std::ffi::c_void;
use std::mem::size_of_val;

use swd_sys as sys;

use crate::error::{check, Error, Result, Status};
use crate::memory::Memory;
use crate::plan::Plan;
use crate::{SegmentState, StateHeader};

/// Step counters, running sums and units of a plan's segments, the reference of relative decay and the seed of narrow states,
/// in host memory. For the CPU
/// backend it is the state itself; for CUDA the image that is copied to and from the device.
#[derive(Debug)]
pub struct State {
    plan: Plan,
    image: Memory,
}

impl State {
    /// A fresh state: all counters and sums are 0.
    pub fn new(plan: &Plan) -> Result<State> {
        Ok(State { plan: plan.clone(), image: Memory::zeroed(plan.state_bytes()?, "state")? })
    }

    /// What it holds once: the counts of applied and skipped steps, the reference of relative decay, the seed that narrow
    /// states are rounded by.
    pub fn header(&self) -> StateHeader {
        let mut out = StateHeader::default();
        let (image, bytes) = (self.image.pointer(), self.image.bytes());
        check(unsafe {
            sys::swd_state_header_get(self.plan.handle(), image, bytes, &mut out, size_of_val(&out) as u64)
        })
        .expect("an image of the plan");
        out
    }

    /// Sets it: say `rounding_seed`, before the first step, or `vbar_reference`, to choose by hand what relative decay refers
    /// to, or to 0 to have it taken anew. Error: [`Status::VALUE`]; the state is then as it was.
    pub fn set_header(&mut self, header: StateHeader) -> Result<()> {
        let (image, bytes) = (self.image.pointer_mut(), self.image.bytes());
        let size = size_of_val(&header) as u64;
        check(unsafe { sys::swd_state_header_set(self.plan.handle(), image, bytes, &header, size) })
    }

    /// Steps applied since the state was fresh.
    pub fn steps_applied(&self) -> u64 {
        self.header().steps_applied
    }

    /// Steps skipped since the state was fresh.
    pub fn steps_skipped(&self) -> u64 {
        self.header().steps_skipped
    }

    /// One segment's counter, sum and unit. Error: [`Status::SIZE`] if there is no such segment.
    pub fn get(&self, segment: usize) -> Result<SegmentState> {
        let mut out = SegmentState::default();
        let (image, bytes) = (self.image.pointer(), self.image.bytes());
        let size = size_of_val(&out) as u64;
        check(unsafe { sys::swd_state_get(self.plan.handle(), image, bytes, segment as i64, &mut out, size) })?;
        Ok(out)
    }

    /// Sets one segment's counter, sum and unit; the unit belongs to what the buffer of the second moment holds. A sum of -1 means unknown: [`Workspace::rebuild`](crate::Workspace::rebuild)
    /// takes it from the moments. Errors: [`Status::SIZE`], [`Status::VALUE`].
    pub fn set(&mut self, segment: usize, state: SegmentState) -> Result<()> {
        let (image, bytes) = (self.image.pointer_mut(), self.image.bytes());
        let size = size_of_val(&state) as u64;
        check(unsafe { sys::swd_state_set(self.plan.handle(), image, bytes, segment as i64, &state, size) })
    }

    /// A versioned, checksummed, little-endian blob with the header, the plan's model key and one record (index, count,
    /// step, sum, unit) per segment.
    pub fn export(&self) -> Result<Vec<u8>> {
        let mut bytes = 0;
        check(unsafe { sys::swd_state_blob_size(self.plan.handle(), &mut bytes) })?;
        let mut blob = vec![0u8; bytes as usize];
        let (image, image_bytes) = (self.image.pointer(), self.image.bytes());
        let to = blob.as_mut_ptr().cast();
        check(unsafe { sys::swd_state_export(self.plan.handle(), image, image_bytes, to, bytes) })?;
        Ok(blob)
    }

    /// And back; blobs of 0.1 too. Several blobs (the shards of a model, in any order) may be given together, and segments may have been cut
    /// differently: records are matched by index. Each element of each non-empty segment must be covered exactly once, by
    /// records of one step; records of other elements are ignored. A sum is shared out by element count where a record is
    /// cut, which keeps vbar. Step counts are the largest of all blobs; references must agree where they are set, and model
    /// keys where they are not 0. Errors: [`Status::SIZE`] without blobs,
    /// [`Status::BLOB_MAGIC`] to [`Status::BLOB_PLAN`]; the state is then as it was.
    pub fn import(&mut self, blobs: &[&[u8]]) -> Result<()> {
        let data: Vec<*const c_void> = blobs.iter().map(|blob| blob.as_ptr().cast()).collect();
        let bytes: Vec<u64> = blobs.iter().map(|blob| blob.len() as u64).collect();
        let (image, image_bytes) = (self.image.pointer_mut(), self.image.bytes());
        let (data, bytes, count) = (data.as_ptr(), bytes.as_ptr(), blobs.len() as i64);
        check(unsafe { sys::swd_state_import(self.plan.handle(), data, bytes, count, image, image_bytes) })
    }

    /// The image, to be copied to a device: [`Plan::state_bytes`] bytes at 16 bytes. Not for files: [`State::export`].
    pub fn as_bytes(&self) -> &[u8] {
        self.image.as_slice()
    }

    /// Takes over an image, as copied from a device. Errors: [`Status::SIZE`] for another length, [`Status::VALUE`] for a
    /// counter, sum or reference that no step leaves behind; the state is then as it was.
    pub fn load_bytes(&mut self, image: &[u8]) -> Result<()> {
        let needed = self.image.bytes();
        if image.len() as u64 != needed {
            let detail = format!("image has {} bytes, but {needed} are needed", image.len());
            return Err(Error::new(Status::SIZE, detail));
        }
        let mut loaded = State::new(&self.plan)?;
        loaded.image.as_mut_slice().copy_from_slice(image);
        loaded.set_header(loaded.header())?; // which checks it
        for segment in 0..self.plan.segment_count() {
            let entry = loaded.get(segment)?;
            loaded.set(segment, entry)?;
        }
        self.image = loaded.image;
        Ok(())
    }

    /// For a call of `plan`, which must have the same segments, and moments that a unit means the same for.
    pub(crate) fn bind(&mut self, plan: &Plan) -> Result<(*mut c_void, u64)> {
        let (own, wanted) = (&self.plan.0, &plan.0);
        if !std::sync::Arc::ptr_eq(own, wanted) && own.counts != wanted.counts {
            return Err(Error::new(Status::UNEXPECTED, "state: it belongs to a plan with other segments"));
        }
        if own.moment_dtype != wanted.moment_dtype {
            let (own, wanted) = (own.moment_dtype, wanted.moment_dtype);
            let detail = format!("state: it belongs to a plan with {own:?} moments, but this one has {wanted:?}");
            return Err(Error::new(Status::UNEXPECTED, detail));
        }
        Ok((self.image.pointer_mut(), self.image.bytes()))
    }
}
