// SPDX-License-Identifier: Apache-2.0
//! A model of random tensors with its optimizer, flat or as a list, as the tests drive it.
#![allow(dead_code, unused_imports)] // each test program uses its part
use swd::{
    Buffers, Decay, Dtype, Flat, Fp32, Fp32Mut, Grad, Group, Layout, ParamDtype, Phase, Plan, PlanArgs, Segment, State,
    Stats, StepArgs, Workspace,
};

mod buffers;
mod numbers;
pub use buffers::Narrow;
use buffers::{copy_of, split, stored, take};
pub use numbers::{code_of, uniform, value_of};

/// What a run consists of; the rest is made by `Run::new`.
#[derive(Clone)]
pub struct Setup {
    pub args: PlanArgs<'static>,
    pub counts: Vec<usize>,
    pub group_of: Vec<u32>,
    pub decay_modes: Vec<Decay>,
    pub groups: Vec<Group<'static>>,
}

impl Setup {
    pub fn new(counts: &[usize]) -> Setup {
        Setup {
            args: PlanArgs::default(),
            counts: counts.to_vec(),
            group_of: vec![0; counts.len()],
            decay_modes: vec![Decay::Scheduled],
            groups: vec![Group { weight_decay: 1e-3, ..Group::default() }],
        }
    }

    pub fn with(mut self, change: impl FnOnce(&mut PlanArgs<'static>)) -> Setup {
        change(&mut self.args);
        self
    }

    pub fn plan(&self) -> Plan {
        let list = self.args.layout == Layout::List;
        let mut segments = Segment::consecutive(self.counts.iter().copied());
        for (segment, group) in segments.iter_mut().zip(&self.group_of) {
            segment.group = *group;
            segment.offset = if list { 0 } else { segment.offset };
        }
        Plan::new(&PlanArgs { segments: &segments, decay_modes: &self.decay_modes, ..self.args }).unwrap()
    }
}

/// Tensors lie one after the other in flat vectors, whatever the layout of the plan.
pub struct Run {
    pub setup: Setup,
    pub workspace: Workspace,
    pub state: State,
    pub param: Vec<f32>,
    pub grad: Vec<f32>,
    pub codes: Vec<u16>,
    pub exp_avg: Vec<f32>,
    pub exp_avg_sq: Vec<f32>,
    pub max_exp_avg_sq: Vec<f32>,
    pub param_copy: Vec<u16>,
    pub narrow: Narrow,
    pub has_grad: Vec<bool>,
    pub max_grad_norm: f64,
    pub reference_step: u64,
}

impl Run {
    pub fn new(setup: &Setup) -> Run {
        let plan = setup.plan();
        let n = setup.counts.iter().sum();
        let optional = |wanted: bool| if wanted { n } else { 0 };
        let mut run = Run {
            workspace: Workspace::new(&plan).unwrap(),
            state: State::new(&plan).unwrap(),
            param: uniform(1, 0, n),
            grad: vec![0.0; n],
            codes: vec![0; n],
            exp_avg: vec![0.0; n],
            exp_avg_sq: vec![0.0; n],
            max_exp_avg_sq: vec![0.0; optional(setup.args.amsgrad)],
            param_copy: vec![0; optional(setup.args.copy_dtype.is_some())],
            narrow: Narrow::new(&setup.args, &setup.counts),
            has_grad: vec![true; setup.counts.len()],
            max_grad_norm: 1.0,
            reference_step: 0,
            setup: setup.clone(),
        };
        if setup.args.param_dtype != ParamDtype::F32 {
            let param = std::mem::take(&mut run.param);
            run.load(Fp32 { param: Some(&param), ..Fp32::default() });
        }
        run
    }

    /// Loads whole vectors, in a list one tensor after the other.
    pub fn load<'a>(&mut self, from: Fp32<'a>) {
        let list = self.setup.args.layout == Layout::List;
        let counts = if list { self.setup.counts.clone() } else { vec![self.grad.len()] };
        let mut begin = 0;
        let rows = counts.into_iter().map(|n| {
            let range = begin..begin + n;
            begin += n;
            let part = |x: Option<&'a [f32]>| x.map(|x| &x[range.clone()]);
            Fp32 { param: part(from.param), exp_avg: part(from.exp_avg), exp_avg_sq: part(from.exp_avg_sq) }
        });
        let rows: Vec<_> = rows.collect();
        self.call(|workspace, state, buffers, _| workspace.load(state, buffers, &rows)).unwrap();
    }

    /// param, exp_avg and exp_avg_sq in fp32.
    pub fn store(&mut self) -> [Vec<f32>; 3] {
        let (n, list) = (self.grad.len(), self.setup.args.layout == Layout::List);
        let counts = if list { self.setup.counts.clone() } else { vec![n] };
        let mut out = [vec![f32::NAN; n], vec![f32::NAN; n], vec![f32::NAN; n]];
        let [mut param, mut exp_avg, mut exp_avg_sq] = out.each_mut().map(|x| &mut x[..]);
        let rows = counts.into_iter().map(|n| Fp32Mut {
            param: Some(take(&mut param, n)),
            exp_avg: Some(take(&mut exp_avg, n)),
            exp_avg_sq: Some(take(&mut exp_avg_sq, n)),
        });
        let mut rows: Vec<_> = rows.collect();
        self.call(|workspace, state, buffers, _| workspace.store(state, buffers, &mut rows)).unwrap();
        out
    }

    pub fn rebuild(&mut self) {
        self.call(|workspace, state, buffers, _| workspace.rebuild(state, buffers)).unwrap();
    }

    /// Gradients of step t, in the plan's type.
    pub fn draw(&mut self, t: u64) {
        self.grad = uniform(2, t, self.grad.len());
        let dtype = self.setup.args.grad_dtype;
        if dtype != Dtype::F32 {
            self.codes = self.grad.iter().map(|x| code_of(dtype, *x)).collect();
        }
    }

    /// Calls `f` with everything that a call on the workspace takes.
    pub fn call<R>(&mut self, f: impl FnOnce(&mut Workspace, &mut State, &mut dyn Buffers, &StepArgs<'_>) -> R) -> R {
        let plan = self.setup.args;
        let list = plan.layout == Layout::List;
        let has_grad = if list { None } else { Some(&self.has_grad[..]) };
        let args = StepArgs {
            groups: &self.setup.groups,
            has_grad,
            max_grad_norm: self.max_grad_norm,
            reference_step: self.reference_step,
            ..Default::default()
        };
        let grad = match plan.grad_dtype {
            Dtype::F32 => Grad::F32(&self.grad),
            Dtype::Bf16 => Grad::Bf16(&self.codes),
            Dtype::F16 => Grad::F16(&self.codes),
        };
        let wide = [&mut self.param[..], &mut self.exp_avg, &mut self.exp_avg_sq];
        let (param, moments) = stored(&plan, wide, &mut self.narrow);
        let mut flat = Flat {
            param,
            grad,
            moments,
            max_exp_avg_sq: plan.amsgrad.then_some(&mut self.max_exp_avg_sq[..]),
            param_copy: plan.copy_dtype.map(|dtype| copy_of(dtype, &mut self.param_copy)),
        };
        if !list {
            return f(&mut self.workspace, &mut self.state, &mut flat, &args);
        }
        let mut tensors = split(flat, &self.setup.counts, &self.has_grad);
        f(&mut self.workspace, &mut self.state, &mut tensors, &args)
    }

    pub fn step(&mut self) {
        self.call(|workspace, state, buffers, args| workspace.step(state, buffers, args)).unwrap();
    }

    /// The same step in pieces: the segments from the last to the first, one by one.
    pub fn step_in_pieces(&mut self, phases: &[Phase]) {
        let segments = self.setup.counts.len();
        self.call(|workspace, state, buffers, args| {
            for phase in phases {
                for k in (0..segments).rev() {
                    workspace.reduce(state, buffers, args, *phase, k..k + 1)?;
                }
                let mut record = vec![0.0; workspace.plan().record_size()?];
                workspace.fold(state, buffers, args, *phase, &mut record)?;
                workspace.decide(state, buffers, args, *phase, &record)?;
            }
            workspace.update(state, buffers, args)
        })
        .unwrap();
    }

    pub fn steps(&mut self, range: std::ops::Range<u64>) {
        for t in range {
            self.draw(t);
            self.step();
        }
    }

    pub fn stats(&self) -> Stats {
        self.workspace.stats().unwrap()
    }

    /// Every bit that a step may change.
    pub fn bits(&self) -> Vec<u32> {
        let tensors = [&self.param, &self.exp_avg, &self.exp_avg_sq, &self.max_exp_avg_sq];
        let mut out: Vec<u32> = tensors.into_iter().flatten().map(|x| x.to_bits()).collect();
        out.extend(self.param_copy.iter().map(|code| u32::from(*code)));
        out.extend(self.narrow.bytes().into_iter().map(u32::from));
        out.extend(self.state.export().unwrap().into_iter().map(u32::from));
        out
    }
}
