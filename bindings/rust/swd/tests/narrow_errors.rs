// SPDX-License-Identifier: Apache-2.0
//! Bad arguments of narrow states: each has its status, an error that names the argument, and changes nothing.
use swd::{
    Block8, Dtype, Error, Flat, Fp32, Fp32Mut, Grad, Layout, MomentDtype, Moments, Param, ParamDtype, Plan, PlanArgs,
    Segment, SegmentState, State, Status, Workspace,
};

mod support;
use support::{Run, Setup};

fn assert_names(error: &Error, status: Status, name: &str) {
    assert_eq!(error.status(), status, "{name}: {error}");
    assert!(error.detail().contains(name), "{name}: {error}");
}

fn compact8(counts: &[usize]) -> Setup {
    Setup::new(counts).with(|args| (args.param_dtype, args.moment_dtype) = (ParamDtype::Split8, MomentDtype::Block8))
}

#[test]
fn a_plan_says_what_is_not_offered() {
    type Spoil = fn(&mut PlanArgs);
    let rows: &[(Status, &str, Spoil)] = &[
        (Status::UNSUPPORTED, "AMSGRAD", |args| (args.amsgrad, args.moment_dtype) = (true, MomentDtype::Bf16)),
        (Status::UNSUPPORTED, "moment_dtype", |args| args.param_dtype = ParamDtype::Bf16),
        (Status::UNSUPPORTED, "remainder_dtype", |args| args.param_dtype = ParamDtype::Split8),
        (Status::UNEXPECTED, "copy_dtype", |args| {
            (args.param_dtype, args.copy_dtype) = (ParamDtype::Split16, Some(Dtype::Bf16));
        }),
        (Status::UNSUPPORTED, "grad_dtype", |args| {
            (args.grad_dtype, args.moment_dtype) = (Dtype::F16, MomentDtype::Block8);
        }),
    ];
    for (status, name, spoil) in rows {
        let segments = [Segment::new(0, 100)];
        let mut args = PlanArgs { segments: &segments, ..PlanArgs::default() };
        spoil(&mut args);
        assert_names(&Plan::new(&args).unwrap_err(), *status, name);
    }
}

#[test]
fn scales_lie_where_the_plan_says() {
    let counts = [5, 4096, 0, 4097];
    let plan = compact8(&counts).plan();
    let offsets = [0, 1, 2, 3].map(|k| plan.scale_offset(k).unwrap());
    assert_eq!((offsets, plan.scale_bytes().unwrap()), ([0, 32, 64, 64], 128));
    assert_names(&plan.scale_offset(4).unwrap_err(), Status::SIZE, "segment");
    assert_eq!(Setup::new(&counts).plan().scale_bytes().unwrap(), 0);
    let list = compact8(&counts).with(|args| args.layout = Layout::List).plan();
    assert_eq!(list.scale_bytes().unwrap(), 0);
    assert_names(&list.scale_offset(0).unwrap_err(), Status::UNEXPECTED, "list");
    assert_eq!([0, 1, 128, 129].map(Block8::scales_of), [0, 1, 1, 2]);
}

/// Every slice that a plan of 4 elements could have; those that a test spoils are longer or shorter.
#[derive(Clone)]
struct Memory {
    bf16: Vec<u16>,
    remainder: Vec<i8>,
    codes: [Vec<u8>; 2],
    scales: [Vec<u8>; 2],
}

impl Memory {
    fn new(scales: usize) -> Memory {
        let scales = [vec![0; scales], vec![0; scales]];
        Memory { bf16: vec![0; 4], remainder: vec![0; 4], codes: [vec![0; 4], vec![0; 4]], scales }
    }

    fn flat(&mut self) -> Flat<'_> {
        let ([a, b], [c, d]) = (&mut self.codes, &mut self.scales);
        Flat {
            param: Param::Split8 { bf16: &mut self.bf16, remainder: &mut self.remainder },
            grad: Grad::F32(&[0.0; 4]),
            moments: Moments::Block8 {
                exp_avg: Block8 { codes: a, scales: c },
                exp_avg_sq_over_unit: Block8 { codes: b, scales: d },
            },
            max_exp_avg_sq: None,
            param_copy: None,
        }
    }
}

fn refused_by(setup: &Setup, flat: &mut Flat<'_>) -> Error {
    let mut run = Run::new(setup);
    run.call(|workspace, state, _, args| workspace.step(state, flat, args)).unwrap_err()
}

#[test]
fn narrow_buffers_are_named() {
    type Spoil = fn(&mut Memory);
    let rows: &[(&str, Spoil)] = &[
        ("buffers.param has 3 elements, but 4", |memory| memory.bf16.truncate(3)),
        ("buffers.remainder has 3 elements, but 4", |memory| memory.remainder.truncate(3)),
        ("buffers.exp_avg has 3 elements, but 4", |memory| memory.codes[0].truncate(3)),
        ("buffers.exp_avg_sq_over_unit has 3 elements, but 4", |memory| memory.codes[1].truncate(3)),
        ("buffers.exp_avg.scales has 31 elements, but 32", |memory| memory.scales[0].truncate(31)),
        ("buffers.exp_avg_sq_over_unit.scales has 31 elements, but 32", |memory| memory.scales[1].truncate(31)),
    ];
    for (name, spoil) in rows {
        let mut memory = Memory::new(32);
        spoil(&mut memory);
        assert_names(&refused_by(&compact8(&[4]), &mut memory.flat()), Status::SIZE, name);
    }
    let (mut memory, mut codes) = (Memory::new(32), vec![0; 4]);
    let with = |param, moments| Setup::new(&[4]).with(|args| (args.param_dtype, args.moment_dtype) = (param, moments));
    let (wide, split16) = (Setup::new(&[4]), with(ParamDtype::Split16, MomentDtype::Block8));
    let fp32_params = with(ParamDtype::F32, MomentDtype::Block8);
    let bf16_moments = with(ParamDtype::Bf16, MomentDtype::Bf16);
    assert_names(&refused_by(&wide, &mut memory.flat()), Status::UNEXPECTED, "buffers.param is Bf16");
    assert_names(&refused_by(&fp32_params, &mut memory.flat()), Status::UNEXPECTED, "buffers.param is Bf16");
    assert_names(&refused_by(&split16, &mut memory.flat()), Status::UNEXPECTED, "buffers.remainder is I8");
    assert_names(&refused_by(&bf16_moments, &mut memory.flat()), Status::UNEXPECTED, "buffers.exp_avg is Block8");
    let mut flat = Flat { param: Param::Bf16(&mut codes), ..memory.flat() };
    assert_names(&refused_by(&compact8(&[4]), &mut flat), Status::NULL, "buffers.remainder is None");
    let tiny8 = with(ParamDtype::Bf16, MomentDtype::Block8);
    assert_names(&refused_by(&tiny8, &mut memory.flat()), Status::UNEXPECTED, "buffers.remainder");
    let list = compact8(&[4]).with(|args| args.layout = Layout::List);
    let mut run = Run::new(&list); // whose tensors have one scale each
    let Flat { param, moments, .. } = memory.flat();
    let mut tensors = vec![swd::Tensor { param, grad: None, moments, max_exp_avg_sq: None, param_copy: None }];
    let refused = run.call(|workspace, state, _, args| workspace.step(state, &mut tensors, args)).unwrap_err();
    assert_names(&refused, Status::SIZE, "tensors[0].exp_avg.scales has 32 elements, but 1");
}

#[test]
fn fp32_slices_are_named_and_nothing_changes() {
    let (four, mut out) = ([1.0; 4], [0.0; 4]);
    for layout in [Layout::Flat, Layout::List] {
        let mut run = Run::new(&compact8(&[4]).with(|args| args.layout = layout));
        let before = run.bits();
        let mut load = |from: &[Fp32]| run.call(|w, state, buffers, _| w.load(state, buffers, from)).unwrap_err();
        assert_names(&load(&[]), Status::SIZE, "from has 0 elements");
        assert_names(&load(&[Fp32::default(); 2]), Status::SIZE, "from has 2 elements");
        let short = Some(&four[1..]);
        let param = Fp32 { param: Some(&four), ..Fp32::default() };
        assert_names(&load(&[Fp32 { param: short, ..param }]), Status::SIZE, "from[0].param has 3 elements, but 4");
        assert_names(&load(&[Fp32 { exp_avg: short, ..param }]), Status::SIZE, "from[0].exp_avg has 3");
        assert_names(&load(&[Fp32 { exp_avg_sq: short, ..param }]), Status::SIZE, "from[0].exp_avg_sq has 3");
        let mut to = [Fp32Mut { exp_avg_sq: Some(&mut out[1..]), ..Fp32Mut::default() }];
        let refused = run.call(|w, state, buffers, _| w.store(state, buffers, &mut to)).unwrap_err();
        assert_names(&refused, Status::SIZE, "to[0].exp_avg_sq has 3 elements, but 4");
        assert_eq!(run.bits(), before);
    }
}

#[test]
fn only_what_is_used_is_looked_at() {
    let (mut memory, setup) = (Memory::new(32), compact8(&[4]));
    memory.codes = [vec![], vec![0; 4]];
    let plan = setup.plan();
    let (mut workspace, mut state) = (Workspace::new(&plan).unwrap(), State::new(&plan).unwrap());
    let mut flat = Flat { grad: Grad::F32(&[]), ..memory.flat() };
    let param = Fp32 { param: Some(&[1.0; 4]), ..Fp32::default() };
    workspace.load(&mut state, &mut flat, &[param]).unwrap();
    workspace.rebuild(&mut state, &mut flat).unwrap();
    let refused = workspace.load(&mut state, &mut flat, &[Fp32 { exp_avg: Some(&[1.0; 4]), ..param }]).unwrap_err();
    assert_names(&refused, Status::SIZE, "buffers.exp_avg has 0");
    assert_eq!(memory.bf16, [0x3F80; 4]);
    memory.codes[1].pop();
    assert_names(&workspace.rebuild(&mut state, &mut memory.flat()).unwrap_err(), Status::SIZE, "exp_avg_sq_over_unit");
}

#[test]
fn units_are_of_narrow_moments() {
    let unit = |exp_avg_sq_unit| SegmentState { exp_avg_sq_unit, ..SegmentState::default() };
    let mut narrow = State::new(&compact8(&[4]).plan()).unwrap();
    assert_names(&narrow.set(0, unit(0.25)).unwrap_err(), Status::VALUE, "exp_avg_sq_unit");
    narrow.set(0, unit(0.75)).unwrap();
    let mut wide = State::new(&Setup::new(&[4]).plan()).unwrap();
    assert_names(&wide.set(0, unit(0.75)).unwrap_err(), Status::VALUE, "exp_avg_sq_unit");
    assert_names(&wide.import(&[&narrow.export().unwrap()]).unwrap_err(), Status::BLOB_PLAN, "unit");
    let mut run = Run::new(&Setup::new(&[4]));
    run.state = narrow; // whose image has the same size
    let refused = run.call(|workspace, state, buffers, args| workspace.step(state, buffers, args)).unwrap_err();
    assert_names(&refused, Status::UNEXPECTED, "state: it belongs to a plan with Block8 moments");
}
