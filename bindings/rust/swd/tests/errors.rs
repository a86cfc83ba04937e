// SPDX-License-Identifier: Apache-2.0
//! Bad arguments: each has its status, an error that names the argument, and changes nothing.
use swd::{
    backend_available, Backend, Buffers, Decay, Dtype, Error, Flat, Grad, Group, Layout, Moments, Param, ParamCopy,
    Plan, PlanArgs, Segment, Status, StepArgs, Tensor, Workspace,
};

mod support;
use support::{Run, Setup};

fn assert_names(error: &Error, status: Status, name: &str) {
    assert_eq!(error.status(), status, "{name}: {error}");
    assert!(error.detail().contains(name), "{name}: {error}");
    assert_eq!(error.to_string(), format!("{}: {}", status.name(), error.detail()));
}

#[test]
fn a_plan_names_its_argument() {
    type Spoil = fn(&mut PlanArgs, &mut [Segment; 2]);
    let rows: &[(Status, &str, Spoil)] = &[
        (Status::UNSUPPORTED, "copy_dtype", |args, _| args.copy_dtype = Some(Dtype::F32)),
        (Status::SIZE, "group_count", |args, _| args.decay_modes = &[]),
        (Status::VALUE, "threads", |args, _| args.threads = -1),
        (Status::LAYOUT, "segments[1].offset", |_, segments| segments[1].offset = 99),
        (Status::SIZE, "segments[0].offset", |_, segments| segments[0].offset = usize::MAX),
        (Status::SIZE, "segments[1].count", |_, segments| segments[1].count = usize::MAX / 2),
        (Status::VALUE, "segments[0].group", |_, segments| segments[0].group = 1),
        (Status::UNEXPECTED, "segments[0].index", |_, segments| segments[0].index = 5),
        (Status::LAYOUT, "index", |args, _| args.indexed = true),
    ];
    for (status, name, spoil) in rows {
        let mut segments = [Segment::new(0, 100), Segment::new(100, 50)];
        let mut args = PlanArgs::default();
        spoil(&mut args, &mut segments);
        assert_names(&Plan::new(&PlanArgs { segments: &segments, ..args }).unwrap_err(), *status, name);
    }
}

#[test]
fn step_arguments_are_named_and_change_nothing() {
    type Spoil = fn(&mut StepArgs, &mut Group<'static>);
    let rows: &[(Status, &str, Spoil)] = &[
        (Status::SIZE, "has_grad", |args, _| args.has_grad = Some(&[true])),
        (Status::FLAGS, "SKIP_NORM", |args, _| args.skip_norm = true),
        (Status::VALUE, "loss_scale", |args, _| args.loss_scale = -1.0),
        (Status::VALUE, "max_grad_norm", |args, _| args.max_grad_norm = f64::NAN),
        (Status::VALUE, "max_decay", |args, _| args.max_decay = f64::INFINITY),
        (Status::SIZE, "group_count", |args, _| args.groups = &[]),
        (Status::VALUE, "groups[0].lr", |_, group| group.lr = -1.0),
        (Status::VALUE, "groups[0].lr_factor", |_, group| group.lr_factor = -0.5),
        (Status::VALUE, "groups[0].beta1", |_, group| group.beta1 = 1.0),
        (Status::VALUE, "groups[0].beta2", |_, group| group.beta2 = f64::NAN),
        (Status::VALUE, "groups[0].eps", |_, group| group.eps = 1e-40),
        (Status::VALUE, "groups[0].weight_decay", |_, group| group.weight_decay = f64::INFINITY),
    ];
    let mut run = Run::new(&Setup::new(&[100, 50]));
    run.steps(0..1);
    let before = run.bits();
    for (status, name, spoil) in rows {
        let mut group = Group::default();
        spoil(&mut StepArgs::default(), &mut group); // what it does to the group
        let groups = [group];
        let refused = run.call(|workspace, state, buffers, _| {
            let mut args = StepArgs { groups: &groups, ..StepArgs::default() };
            spoil(&mut args, &mut Group::default());
            workspace.step(state, buffers, &args)
        });
        assert_names(&refused.unwrap_err(), *status, name);
        assert_eq!(run.bits(), before, "{name}");
    }
    #[allow(clippy::reversed_empty_ranges)]
    for (range, name) in [(0..3, "segment_count"), (3..3, "first_segment"), (2..1, "segment_count")] {
        let phase = swd::Phase::Grad;
        let refused = run.call(|workspace, state, buffers, args| workspace.reduce(state, buffers, args, phase, range));
        assert_names(&refused.unwrap_err(), Status::SIZE, name);
    }
    let mut record = vec![0.0; run.workspace.plan().record_size().unwrap()];
    for (phase, doubles, status, name) in [
        (swd::Phase::Max, record.len(), Status::UNEXPECTED, "phase"),
        (swd::Phase::Grad, record.len() - 1, Status::SIZE, "record_doubles"),
        (swd::Phase::Grad, 0, Status::SIZE, "record_doubles"),
    ] {
        let record = &mut record[..doubles];
        let refused = run.call(|w, state, buffers, args| w.fold(state, buffers, args, phase, record));
        assert_names(&refused.unwrap_err(), status, name);
        let refused = run.call(|w, state, buffers, args| w.decide(state, buffers, args, phase, record));
        assert_names(&refused.unwrap_err(), status, name);
    }
    let (plan, to) = (run.workspace.plan(), &mut [0.0; 99]);
    let size = plan.record_size().unwrap();
    assert_names(&plan.record_add(&mut to[..size], &record[1..]).unwrap_err(), Status::SIZE, "from");
    assert_names(&plan.record_add(&mut to[1..size], &record[1..]).unwrap_err(), Status::SIZE, "record_doubles");
    let refused = run.call(|workspace, _, buffers, _| workspace.copy_params(buffers));
    assert_names(&refused.unwrap_err(), Status::UNEXPECTED, "copy");
}

/// Memory for one segment of 4 elements, with every buffer that a plan could have.
struct Memory([Vec<f32>; 5], [Vec<u16>; 2]);

impl Memory {
    fn new() -> Memory {
        Memory(std::array::from_fn(|_| vec![0.0; 4]), std::array::from_fn(|_| vec![0; 4]))
    }

    fn flat(&mut self) -> Flat<'_> {
        let [param, grad, exp_avg, exp_avg_sq, _] = &mut self.0;
        let (param, moments) = (Param::F32(param), Moments::F32 { exp_avg, exp_avg_sq });
        Flat { param, grad: Grad::F32(grad), moments, max_exp_avg_sq: None, param_copy: None }
    }

    fn tensor(&mut self) -> Tensor<'_> {
        let [param, grad, exp_avg, exp_avg_sq, _] = &mut self.0;
        let (param, moments) = (Param::F32(param), Moments::F32 { exp_avg, exp_avg_sq });
        Tensor { param, grad: Some(Grad::F32(grad)), moments, max_exp_avg_sq: None, param_copy: None }
    }
}

fn refused_by(setup: &Setup, buffers: &mut dyn Buffers) -> Error {
    let mut run = Run::new(setup);
    run.call(|workspace, state, _, args| workspace.step(state, buffers, args)).unwrap_err()
}

#[test]
fn flat_buffers_are_named() {
    let plain = Setup::new(&[4]);
    let amsgrad = plain.clone().with(|args| args.amsgrad = true);
    let copying = plain.clone().with(|args| args.copy_dtype = Some(Dtype::Bf16));
    let (mut memory, mut more) = (Memory::new(), Memory::new());
    let (shorter, codes) = (&mut more.0[0][..3], &mut more.1[0][..]);

    assert_names(&refused_by(&amsgrad, &mut memory.flat()), Status::NULL, "buffers.max_exp_avg_sq");
    assert_names(&refused_by(&copying, &mut memory.flat()), Status::NULL, "buffers.param_copy");
    let list = plain.clone().with(|args| args.layout = Layout::List);
    assert_names(&refused_by(&list, &mut memory.flat()), Status::UNEXPECTED, "buffers");
    let mut flat = Flat { grad: Grad::Bf16(codes), ..memory.flat() };
    assert_names(&refused_by(&plain, &mut flat), Status::UNEXPECTED, "buffers.grad");
    let mut flat = Flat { param_copy: Some(ParamCopy::F16(codes)), ..memory.flat() };
    assert_names(&refused_by(&copying, &mut flat), Status::UNEXPECTED, "buffers.param_copy");
    assert_names(&refused_by(&plain, &mut flat), Status::UNEXPECTED, "buffers.param_copy");
    let mut flat = Flat { grad: Grad::F32(shorter), ..memory.flat() };
    assert_names(&refused_by(&plain, &mut flat), Status::SIZE, "buffers.grad has 3");
    let mut flat = Flat { max_exp_avg_sq: Some(shorter), ..memory.flat() };
    assert_names(&refused_by(&plain, &mut flat), Status::UNEXPECTED, "buffers.max_exp_avg_sq");
    assert_names(&refused_by(&amsgrad, &mut flat), Status::SIZE, "buffers.max_exp_avg_sq has 3");
    for (name, place) in [("buffers.param", 0), ("buffers.exp_avg", 2), ("buffers.exp_avg_sq", 3)] {
        let mut memory = Memory::new();
        memory.0[place].pop();
        assert_names(&refused_by(&plain, &mut memory.flat()), Status::SIZE, &format!("{name} has 3 elements, but 4"));
    }
}

#[test]
fn tensors_are_named() {
    let plain = Setup::new(&[4]).with(|args| args.layout = Layout::List);
    let amsgrad = plain.clone().with(|args| args.amsgrad = true);
    let (mut memory, mut more) = (Memory::new(), Memory::new());
    assert_names(&refused_by(&plain, &mut Vec::new()), Status::SIZE, "tensors");
    assert_names(&refused_by(&Setup::new(&[4]), &mut vec![memory.tensor()]), Status::UNEXPECTED, "tensors");
    assert_names(&refused_by(&amsgrad, &mut vec![memory.tensor()]), Status::NULL, "tensors[0].max_exp_avg_sq");
    let mut short = memory.tensor();
    if let Moments::F32 { exp_avg, .. } = &mut short.moments {
        *exp_avg = &mut more.0[0][1..];
    }
    assert_names(&refused_by(&plain, &mut vec![short]), Status::SIZE, "tensors[0].exp_avg has 3");
    short = Tensor { grad: Some(Grad::F16(&more.1[0])), ..memory.tensor() };
    assert_names(&refused_by(&plain, &mut vec![short]), Status::UNEXPECTED, "tensors[0].grad");
    let mut longer = vec![0.0; 5];
    short = Tensor { param: Param::F32(&mut longer), ..memory.tensor() };
    assert_names(&refused_by(&plain, &mut vec![short]), Status::SIZE, "tensors[0].param has 5");
}

#[test]
fn statuses_have_names_and_unknown_ones_too() {
    assert_eq!(format!("{:?}", Status::BLOB_CHECKSUM), "SWD_ERR_BLOB_CHECKSUM (53)");
    assert_eq!(Status(12345).name(), "unknown");
    assert!(swd::numerics_version() > 0);
    assert_eq!(swd::StepResult(12345).name(), "unknown");
    assert_eq!(swd::StepResult::SKIPPED_OVERFLOW.to_string(), "SWD_RESULT_SKIPPED_OVERFLOW");
    backend_available(Backend::Cpu).unwrap();
    if let Err(error) = backend_available(Backend::Cuda) {
        assert!([Status::NO_CUDA, Status::NO_DEVICE].contains(&error.status()), "{error}");
        assert_eq!(error.cuda().is_some(), error.status() == Status::NO_DEVICE, "{error}");
    }
    let cuda = Plan::new(&PlanArgs { backend: Backend::Cuda, decay_modes: &[Decay::L2], ..PlanArgs::default() });
    match cuda {
        Ok(plan) => {
            assert_names(&Workspace::new(&plan).unwrap_err(), Status::UNEXPECTED, "plan");
            let mut record = vec![0.0; plan.record_size().unwrap()];
            let other = record.clone();
            assert_names(&plan.record_add(&mut record, &other).unwrap_err(), Status::UNEXPECTED, "plan");
        }
        Err(error) => assert_names(&error, Status::NO_CUDA, "args.backend"),
    }
}
