// SPDX-License-Identifier: Apache-2.0
//! Slices as the library wants them: flat bases, or the pointer tables of a list. Used by `Workspace`.
use std::ffi::c_void;
use std::fmt::Arguments;
use std::ptr::{null, null_mut};

use swd_sys as sys;

use crate::buffers::{Flat, Grad, ParamCopy, Tensor};
use crate::error::{Error, Result, Status};
use crate::library::Dtype;
use crate::plan::{Layout, Plan};

/// Sealed: what `Buffers` means in here.
pub trait Bind {
    /// Checks lengths and dtypes, which the library cannot know, and gives bases or fills the pointer tables of
    /// `workspace`. What comes back is valid as long as `self` is borrowed.
    fn bind(&mut self, plan: &Plan, workspace: *mut c_void) -> Result<sys::swd_buffers>;
}

/// Where a slice begins, its elements, and their type.
struct Part(*mut c_void, usize, Dtype);

impl Part {
    fn of(slice: &mut [f32]) -> Part {
        Part(slice.as_mut_ptr().cast(), slice.len(), Dtype::F32)
    }

    fn of_grad(grad: Grad<'_>) -> Part {
        match grad {
            Grad::F32(slice) => Part(slice.as_ptr().cast_mut().cast(), slice.len(), Dtype::F32),
            Grad::Bf16(slice) => Part(slice.as_ptr().cast_mut().cast(), slice.len(), Dtype::Bf16),
            Grad::F16(slice) => Part(slice.as_ptr().cast_mut().cast(), slice.len(), Dtype::F16),
        }
    }

    fn of_copy(copy: &mut ParamCopy<'_>) -> Part {
        match copy {
            ParamCopy::Bf16(slice) => Part(slice.as_mut_ptr().cast(), slice.len(), Dtype::Bf16),
            ParamCopy::F16(slice) => Part(slice.as_mut_ptr().cast(), slice.len(), Dtype::F16),
        }
    }
}

/// The six buffers in the order of swd_buffer_kind, with the dtype that the plan wants; None: the plan has no such buffer.
fn wanted(plan: &Plan) -> [(&'static str, Option<Dtype>); 6] {
    let facts = &plan.0;
    [
        ("param", Some(Dtype::F32)),
        ("grad", Some(facts.grad_dtype)),
        ("exp_avg", Some(Dtype::F32)),
        ("exp_avg_sq", Some(Dtype::F32)),
        ("max_exp_avg_sq", facts.amsgrad.then_some(Dtype::F32)),
        ("param_copy", facts.copy_dtype),
    ]
}

fn check_layout(plan: &Plan, given: Layout, name: &str) -> Result<()> {
    if plan.0.layout == given {
        return Ok(());
    }
    let detail = format!("{name}: the layout is {given:?}, but the plan's is {:?}", plan.0.layout);
    Err(Error::new(Status::UNEXPECTED, detail))
}

/// Whether each part is there, and has the right type and length: exactly that of its segment in a list, where a gradient
/// may also be missing; at least the plan's extent in a flat layout.
fn check_parts(plan: &Plan, parts: &[Option<Part>; 6], owner: Arguments<'_>, needed: usize) -> Result<()> {
    let list = plan.0.layout == Layout::List;
    let fits = |length: usize| if list { length == needed } else { length >= needed };
    for (b, (part, (name, wanted))) in parts.iter().zip(wanted(plan)).enumerate() {
        let refuse = |status, text: String| Err(Error::new(status, format!("{owner}.{name} {text}")));
        match (part, wanted) {
            (None, None) => {}
            (None, Some(_)) if needed == 0 || (list && b == sys::SWD_BUFFER_GRAD as usize) => {}
            (None, Some(dtype)) => return refuse(Status::NULL, format!("is None, but the plan has {dtype:?} there")),
            (Some(_), None) => return refuse(Status::UNEXPECTED, "is given, but the plan has no such buffer".into()),
            (Some(Part(_, _, given)), Some(dtype)) if *given != dtype => {
                return refuse(Status::UNEXPECTED, format!("is {given:?}, but the plan has {dtype:?}"));
            }
            (Some(Part(_, length, _)), Some(_)) if !fits(*length) => {
                return refuse(Status::SIZE, format!("has {length} elements, but {needed} are needed"));
            }
            _ => {}
        }
    }
    Ok(())
}

impl Bind for Flat<'_> {
    fn bind(&mut self, plan: &Plan, _workspace: *mut c_void) -> Result<sys::swd_buffers> {
        check_layout(plan, Layout::Flat, "buffers")?;
        let parts = [
            Some(Part::of(self.param)),
            Some(Part::of_grad(self.grad)),
            Some(Part::of(self.exp_avg)),
            Some(Part::of(self.exp_avg_sq)),
            self.max_exp_avg_sq.as_deref_mut().map(Part::of),
            self.param_copy.as_mut().map(Part::of_copy),
        ];
        check_parts(plan, &parts, format_args!("buffers"), plan.extent())?;
        let base = |b: i32| parts[b as usize].as_ref().map_or(null_mut(), |part| part.0);
        Ok(sys::swd_buffers {
            param: base(sys::SWD_BUFFER_PARAM),
            grad: base(sys::SWD_BUFFER_GRAD),
            exp_avg: base(sys::SWD_BUFFER_EXP_AVG),
            exp_avg_sq: base(sys::SWD_BUFFER_EXP_AVG_SQ),
            max_exp_avg_sq: base(sys::SWD_BUFFER_MAX_EXP_AVG_SQ),
            param_copy: base(sys::SWD_BUFFER_PARAM_COPY),
            ..sys::SWD_BUFFERS_INIT
        })
    }
}

impl Bind for [Tensor<'_>] {
    fn bind(&mut self, plan: &Plan, workspace: *mut c_void) -> Result<sys::swd_buffers> {
        check_layout(plan, Layout::List, "tensors")?;
        check_count(plan, self.len(), "tensors")?;
        let mut tables: [Vec<*const c_void>; 6] = Default::default();
        for (k, tensor) in self.iter_mut().enumerate() {
            let parts = [
                Some(Part::of(tensor.param)),
                tensor.grad.map(Part::of_grad),
                Some(Part::of(tensor.exp_avg)),
                Some(Part::of(tensor.exp_avg_sq)),
                tensor.max_exp_avg_sq.as_deref_mut().map(Part::of),
                tensor.param_copy.as_mut().map(Part::of_copy),
            ];
            check_parts(plan, &parts, format_args!("tensors[{k}]"), plan.0.counts[k])?;
            for (table, part) in tables.iter_mut().zip(parts) {
                table.push(part.map_or(null(), |part| part.0.cast_const()));
            }
        }
        let used = (0..).zip(tables).zip(wanted(plan)).filter(|(_, (_, wanted))| wanted.is_some());
        let used: Vec<_> = used.map(|(table, _)| table).collect();
        set_tables(plan, workspace, &used)?;
        Ok(sys::SWD_BUFFERS_INIT)
    }
}

/// One pointer per segment, for one of the six buffers.
type Table = (sys::swd_buffer_kind, Vec<*const c_void>);

/// The pointers live as long as what they were taken from is borrowed, and each call sets anew those that it uses. So those
/// of earlier calls may lead to where something else lies by now: where the library sees an overlap they are forgotten.
fn set_tables(plan: &Plan, workspace: *mut c_void, tables: &[Table]) -> Result<()> {
    let set = |(buffer, table): &Table| unsafe { plan.set_pointers_raw(workspace, *buffer, 0, table, null_mut()) };
    match tables.iter().try_for_each(set) {
        Err(error) if error.status() == Status::OVERLAP => {
            let none = vec![null(); plan.segment_count()];
            for (buffer, _) in (0..).zip(wanted(plan)).filter(|(_, (_, wanted))| wanted.is_some()) {
                set(&(buffer, none.clone()))?;
            }
            tables.iter().try_for_each(set)
        }
        result => result,
    }
}

impl Bind for Vec<Tensor<'_>> {
    fn bind(&mut self, plan: &Plan, workspace: *mut c_void) -> Result<sys::swd_buffers> {
        self.as_mut_slice().bind(plan, workspace)
    }
}

fn check_count(plan: &Plan, given: usize, name: &str) -> Result<()> {
    let segments = plan.segment_count();
    if given == segments {
        return Ok(());
    }
    Err(Error::new(Status::SIZE, format!("{name} has {given} elements, but the plan has {segments} segments")))
}

/// What a rebuild of the running sums reads: the second moments alone, flat or one slice per segment.
pub(crate) fn bind_flat_moments(plan: &Plan, exp_avg_sq: &[f32]) -> Result<sys::swd_buffers> {
    check_layout(plan, Layout::Flat, "exp_avg_sq")?;
    if exp_avg_sq.len() < plan.extent() {
        let detail = format!("exp_avg_sq has {} elements, but {} are needed", exp_avg_sq.len(), plan.extent());
        return Err(Error::new(Status::SIZE, detail));
    }
    Ok(sys::swd_buffers { exp_avg_sq: exp_avg_sq.as_ptr().cast_mut().cast(), ..sys::SWD_BUFFERS_INIT })
}

pub(crate) fn bind_list_moments(
    plan: &Plan,
    workspace: *mut c_void,
    exp_avg_sq: &[&[f32]],
) -> Result<sys::swd_buffers> {
    check_layout(plan, Layout::List, "exp_avg_sq")?;
    check_count(plan, exp_avg_sq.len(), "exp_avg_sq")?;
    for (k, (tensor, count)) in exp_avg_sq.iter().zip(&plan.0.counts).enumerate() {
        if tensor.len() != *count {
            let detail = format!("exp_avg_sq[{k}] has {} elements, but {count} are needed", tensor.len());
            return Err(Error::new(Status::SIZE, detail));
        }
    }
    let table = exp_avg_sq.iter().map(|tensor| tensor.as_ptr().cast()).collect();
    set_tables(plan, workspace, &[(sys::SWD_BUFFER_EXP_AVG_SQ, table)])?;
    Ok(sys::SWD_BUFFERS_INIT)
}
