// SPDX-License-Identifier: Apache-2.0
//! Slices as the library wants them: flat bases, or the pointer tables of a list. Used by `Workspace`.
use std::ffi::c_void;
use std::ptr::{null, null_mut};

use swd_sys as sys;

use crate::buffers::{Block8, Flat, Tensor};
use crate::error::{Error, Result, Status};
use crate::parts::{check_parts, parts_of, BUFFERS};
use crate::plan::{Layout, Plan};

/// Which buffers a call uses: a bit for each swd_buffer_kind.
pub type Used = u32;
pub(crate) const ALL: Used = (1 << BUFFERS) - 1;
pub(crate) const PARAM: Used = 1 << sys::SWD_BUFFER_PARAM | 1 << sys::SWD_BUFFER_REMAINDER;
pub(crate) const EXP_AVG: Used = 1 << sys::SWD_BUFFER_EXP_AVG | 1 << sys::SWD_BUFFER_EXP_AVG_SCALE;
pub(crate) const EXP_AVG_SQ: Used = 1 << sys::SWD_BUFFER_EXP_AVG_SQ | 1 << sys::SWD_BUFFER_EXP_AVG_SQ_SCALE;
pub(crate) const PARAM_COPY: Used = 1 << sys::SWD_BUFFER_PARAM_COPY;

/// Sealed: what `Buffers` means in here.
pub trait Bind {
    /// Checks lengths and dtypes of what is used, which the library cannot know, and gives bases or fills the pointer tables
    /// of `workspace`. What comes back is valid as long as `self` is borrowed.
    fn bind(&mut self, plan: &Plan, workspace: *mut c_void, used: Used) -> Result<sys::swd_buffers>;
}

fn check_layout(plan: &Plan, given: Layout, name: &str) -> Result<()> {
    if plan.0.layout == given {
        return Ok(());
    }
    let detail = format!("{name}: the layout is {given:?}, but the plan's is {:?}", plan.0.layout);
    Err(Error::new(Status::UNEXPECTED, detail))
}

impl Bind for Flat<'_> {
    fn bind(&mut self, plan: &Plan, _workspace: *mut c_void, used: Used) -> Result<sys::swd_buffers> {
        check_layout(plan, Layout::Flat, "buffers")?;
        let (max, copy) = (self.max_exp_avg_sq.as_deref_mut(), self.param_copy.as_mut());
        let parts = parts_of(&mut self.param, Some(self.grad), &mut self.moments, max, copy);
        check_parts(plan, &parts, used, format_args!("buffers"), (plan.extent(), plan.scale_bytes()?))?;
        let base = |b: i32| match &parts[b as usize] {
            Some(part) if used >> b & 1 != 0 => part.begin,
            _ => null_mut(),
        };
        Ok(sys::swd_buffers {
            param: base(sys::SWD_BUFFER_PARAM),
            grad: base(sys::SWD_BUFFER_GRAD),
            exp_avg: base(sys::SWD_BUFFER_EXP_AVG),
            exp_avg_sq: base(sys::SWD_BUFFER_EXP_AVG_SQ),
            max_exp_avg_sq: base(sys::SWD_BUFFER_MAX_EXP_AVG_SQ),
            param_copy: base(sys::SWD_BUFFER_PARAM_COPY),
            remainder: base(sys::SWD_BUFFER_REMAINDER),
            exp_avg_scale: base(sys::SWD_BUFFER_EXP_AVG_SCALE),
            exp_avg_sq_scale: base(sys::SWD_BUFFER_EXP_AVG_SQ_SCALE),
            ..sys::SWD_BUFFERS_INIT
        })
    }
}

impl Bind for [Tensor<'_>] {
    fn bind(&mut self, plan: &Plan, workspace: *mut c_void, used: Used) -> Result<sys::swd_buffers> {
        check_layout(plan, Layout::List, "tensors")?;
        check_count(plan, self.len(), "tensors")?;
        let mut tables: [Vec<*const c_void>; BUFFERS] = Default::default();
        for (k, tensor) in self.iter_mut().enumerate() {
            let (max, copy) = (tensor.max_exp_avg_sq.as_deref_mut(), tensor.param_copy.as_mut());
            let parts = parts_of(&mut tensor.param, tensor.grad, &mut tensor.moments, max, copy);
            let count = plan.0.counts[k];
            check_parts(plan, &parts, used, format_args!("tensors[{k}]"), (count, Block8::scales_of(count)))?;
            for (b, (table, part)) in tables.iter_mut().zip(parts).enumerate() {
                // What the call does not use is forgotten: something else may lie there by now.
                let part = part.filter(|_| used >> b & 1 != 0);
                table.push(part.map_or(null(), |part| part.begin.cast_const()));
            }
        }
        set_tables(plan, workspace, &tables)?;
        Ok(sys::SWD_BUFFERS_INIT)
    }
}

/// One pointer per segment, for each buffer that the plan has. They live as long as what they were taken from is borrowed,
/// and each call sets anew those that it uses. So those of earlier calls may lead to where something else lies by now: where
/// the library sees an overlap they are forgotten first.
fn set_tables(plan: &Plan, workspace: *mut c_void, tables: &[Vec<*const c_void>; BUFFERS]) -> Result<()> {
    let none = vec![null(); plan.segment_count()];
    let set_all = |forget: bool| -> Result<()> {
        for (buffer, table) in (0..).zip(tables).filter(|(b, _)| plan.0.elements[*b as usize].is_some()) {
            let table = if forget { &none } else { table };
            unsafe { plan.set_pointers_raw(workspace, buffer, 0, table, null_mut()) }?;
        }
        Ok(())
    };
    match set_all(false) {
        Err(error) if error.status() == Status::OVERLAP => set_all(true).and_then(|()| set_all(false)),
        result => result,
    }
}

impl Bind for Vec<Tensor<'_>> {
    fn bind(&mut self, plan: &Plan, workspace: *mut c_void, used: Used) -> Result<sys::swd_buffers> {
        self.as_mut_slice().bind(plan, workspace, used)
    }
}

pub(crate) fn check_count(plan: &Plan, given: usize, name: &str) -> Result<()> {
    let segments = plan.segment_count();
    if given == segments {
        return Ok(());
    }
    Err(Error::new(Status::SIZE, format!("{name} has {given} elements, but the plan has {segments} segments")))
}
