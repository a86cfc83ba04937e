// SPDX-License-Identifier: Apache-2.0
//! fp32 slices that a plan's buffers are loaded from and stored to. Used by `Workspace::load` and `store`.
use std::ffi::c_void;
use std::ptr::null;

use swd_sys as sys;

use crate::bind::{check_count, Used, EXP_AVG, EXP_AVG_SQ, PARAM};
use crate::error::{Error, Result, Status};
use crate::plan::{Layout, Plan};

/// Parameters and moments in fp32, what [`Workspace::load`](crate::Workspace::load) reads. None leaves what the plan has
/// there alone. Lengths are those of the plan's buffers: at least [`Plan::extent`] elements in a flat layout, the segment's
/// count in a list.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fp32<'a> {
    /// Parameters.
    pub param: Option<&'a [f32]>,
    /// First moment.
    pub exp_avg: Option<&'a [f32]>,
    /// The second moment itself, whatever the unit.
    pub exp_avg_sq: Option<&'a [f32]>,
}

/// The same to be written, by [`Workspace::store`](crate::Workspace::store).
#[derive(Debug, Default)]
pub struct Fp32Mut<'a> {
    /// Parameters.
    pub param: Option<&'a mut [f32]>,
    /// First moment.
    pub exp_avg: Option<&'a mut [f32]>,
    /// The second moment itself, whatever the unit.
    pub exp_avg_sq: Option<&'a mut [f32]>,
}

const NAMES: [&str; 3] = ["param", "exp_avg", "exp_avg_sq"];
const BUFFERS: [Used; 3] = [PARAM, EXP_AVG, EXP_AVG_SQ];

/// Where the three slices begin, and their lengths.
pub(crate) type Row = [Option<(*const c_void, usize)>; 3];

impl Fp32<'_> {
    pub(crate) fn row(&self) -> Row {
        [self.param, self.exp_avg, self.exp_avg_sq].map(|x| x.map(|x| (x.as_ptr().cast(), x.len())))
    }
}

impl Fp32Mut<'_> {
    pub(crate) fn row(&mut self) -> Row {
        let all = [&mut self.param, &mut self.exp_avg, &mut self.exp_avg_sq];
        all.map(|x| x.as_deref_mut().map(|x| (x.as_mut_ptr().cast_const().cast(), x.len())))
    }
}

/// What the library takes: valid as long as the slices are borrowed.
pub(crate) struct Arrays {
    list: bool,
    /// Of param, exp_avg and exp_avg_sq; empty where none is given.
    pointers: [Vec<*const c_void>; 3],
}

impl Arrays {
    /// Checks what the library cannot know: how many there are, and how long.
    pub fn new(plan: &Plan, rows: &[Row], owner: &str) -> Result<Arrays> {
        let list = plan.0.layout == Layout::List;
        if list {
            check_count(plan, rows.len(), owner)?;
        } else if rows.len() != 1 {
            let detail = format!("{owner} has {} elements, but a flat plan takes one", rows.len());
            return Err(Error::new(Status::SIZE, detail));
        }
        let mut pointers: [Vec<*const c_void>; 3] = Default::default();
        for (a, pointers) in pointers.iter_mut().enumerate().filter(|(a, _)| rows.iter().any(|row| row[*a].is_some())) {
            for (k, row) in rows.iter().enumerate() {
                let needed = if list { plan.0.counts[k] } else { plan.extent() };
                let fits = |length: usize| if list { length == needed } else { length >= needed };
                if let Some((_, length)) = row[a].filter(|(_, length)| !fits(*length)) {
                    let name = NAMES[a];
                    let detail = format!("{owner}[{k}].{name} has {length} elements, but {needed} are needed");
                    return Err(Error::new(Status::SIZE, detail));
                }
                pointers.push(row[a].map_or(null(), |(begin, _)| begin));
            }
        }
        Ok(Arrays { list, pointers })
    }

    /// The buffers of the plan that hold what is given.
    pub fn used(&self) -> Used {
        let given = self.pointers.iter().zip(BUFFERS).filter(|(pointers, _)| !pointers.is_empty());
        given.fold(0, |used, (_, buffers)| used | buffers)
    }

    pub fn raw(&self) -> sys::swd_fp32_arrays {
        let [param, exp_avg, exp_avg_sq] = self.pointers.each_ref().map(|pointers| match &pointers[..] {
            [] => null(),
            all if self.list => all.as_ptr().cast(),
            all => all[0],
        });
        sys::swd_fp32_arrays { param, exp_avg, exp_avg_sq, ..sys::SWD_FP32_ARRAYS_INIT }
    }
}
