// SPDX-License-Identifier: Apache-2.0
//! Segments: what a plan is made of.
use swd_sys as sys;

pub(crate) fn bit(set: bool, bit: u32) -> u32 {
    if set {
        bit
    } else {
        0
    }
}

/// A contiguous run of elements with one step counter and one running sum: a tensor, or a shard of one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// First element in the flat buffers; ascending, gaps allowed and never touched. In a list: 0.
    pub offset: usize,
    /// Elements. 0 is allowed: such a segment never has a gradient.
    pub count: usize,
    /// With [`PlanArgs::indexed`](crate::PlanArgs::indexed): the index of its first element in the unsharded model, unique in the model. Else 0,
    /// and segments are numbered by the running sum of counts.
    pub index: u64,
    /// Its group, a position in [`PlanArgs::decay_modes`](crate::PlanArgs::decay_modes).
    pub group: u32,
    /// Not part of the gradient norm (it is still clipped).
    pub no_norm: bool,
    /// Not part of the mean second moment.
    pub no_vbar: bool,
    /// No weight decay, whatever its group says: for biases and norms.
    pub no_decay: bool,
}

impl Segment {
    /// A segment of group 0.
    pub fn new(offset: usize, count: usize) -> Segment {
        Segment { offset, count, ..Segment::default() }
    }

    /// Segments that follow each other without gaps in a flat layout.
    pub fn consecutive(counts: impl IntoIterator<Item = usize>) -> Vec<Segment> {
        let mut offset: usize = 0;
        let mut next = |count| {
            let segment = Segment::new(offset, count);
            offset = offset.saturating_add(count);
            segment
        };
        counts.into_iter().map(&mut next).collect()
    }

    // Counts beyond 63 bits become negative here, and the library refuses those by name.
    pub(crate) fn raw(&self) -> sys::swd_segment {
        sys::swd_segment {
            offset: self.offset as i64,
            count: self.count as i64,
            index: self.index as i64,
            group: self.group,
            flags: bit(self.no_norm, sys::SWD_SEGMENT_NO_NORM)
                | bit(self.no_vbar, sys::SWD_SEGMENT_NO_VBAR)
                | bit(self.no_decay, sys::SWD_SEGMENT_NO_DECAY),
        }
    }
}
