// SPDX-License-Identifier: Apache-2.0
//! Narrow states through the safe calls: master16 is fp32 to the bit and the others are near it; lists, pieces, threads,
//! resumed runs and skipped steps as with fp32; load and store, seeds and units. Bounds of accuracy: the C++ tests.
use swd::{Dtype, Fp32, Fp32Mut, Group, Layout, MomentDtype, ParamDtype, Phase, SegmentState, StateHeader, StepResult};

mod support;
use support::{uniform, Run, Setup};

/// Crosses a chunk of 4,096 and blocks of 128, has an empty segment and odd lengths.
const COUNTS: [usize; 5] = [5000, 0, 3, 9001, 129];

/// How parameters and moments are stored, and how far a parameter may be from fp32 after 30 steps.
const FORMATS: [(ParamDtype, MomentDtype, f32); 8] = [
    (ParamDtype::Split16, MomentDtype::F32, 0.0),    // master16
    (ParamDtype::Split16, MomentDtype::Bf16, 0.01),  // mixed16
    (ParamDtype::Split8, MomentDtype::Block8, 0.02), // compact8
    (ParamDtype::Bf16, MomentDtype::Block8, 0.05),   // tiny8
    (ParamDtype::F32, MomentDtype::Bf16, 0.01),
    (ParamDtype::F32, MomentDtype::Block8, 0.02),
    (ParamDtype::Split16, MomentDtype::Block8, 0.02),
    (ParamDtype::Bf16, MomentDtype::Bf16, 0.05),
];

fn setup(param: ParamDtype, moments: MomentDtype) -> Setup {
    let groups = vec![Group { lr: 1e-2, weight_decay: 1e-3, ..Group::default() }];
    let setup = Setup { groups, ..Setup::new(&COUNTS) };
    setup.with(|args| (args.param_dtype, args.moment_dtype, args.grad_dtype) = (param, moments, Dtype::Bf16))
}

/// Runs `check` for each format but fp32.
fn for_each_format(check: impl Fn(Setup)) {
    for (param, moments, _) in FORMATS {
        println!("{param:?} with {moments:?}"); // which it was, where the test fails
        check(setup(param, moments));
    }
}

fn listed(setup: &Setup) -> Setup {
    setup.clone().with(|args| args.layout = Layout::List)
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

fn seed(run: &mut Run, rounding_seed: u64) {
    run.state.set_header(StateHeader { rounding_seed, ..run.state.header() }).unwrap();
}

#[test]
fn master16_is_fp32_to_the_bit() {
    for layout in [Layout::Flat, Layout::List] {
        for amsgrad in [false, true] {
            let with = |param| setup(param, MomentDtype::F32).with(|a| (a.layout, a.amsgrad) = (layout, amsgrad));
            let (mut wide, mut split) = (Run::new(&with(ParamDtype::F32)), Run::new(&with(ParamDtype::Split16)));
            for t in 0..5 {
                wide.steps(t..t + 1);
                split.steps(t..t + 1);
                assert_eq!(split.store().map(|x| bits(&x)), wide.store().map(|x| bits(&x)), "{layout:?}, step {t}");
            }
            assert_eq!(split.max_exp_avg_sq, wide.max_exp_avg_sq);
            assert_eq!(split.state.export().unwrap(), wide.state.export().unwrap());
            for (p, upper) in wide.param.iter().zip(&split.narrow.bf16) {
                assert_eq!(*upper, ((p.to_bits() + 0x8000) >> 16) as u16, "{p}");
                // the nearest
            }
        }
    }
}

#[test]
fn narrow_runs_stay_near_fp32() {
    let mut exact = Run::new(&setup(ParamDtype::F32, MomentDtype::F32));
    exact.steps(0..30);
    let wanted = exact.store();
    let mean = |x: &[f32]| x.iter().map(|x| f64::from(*x)).sum::<f64>() / x.len() as f64;
    for (param, moments, limit) in FORMATS {
        let mut run = Run::new(&setup(param, moments));
        run.steps(0..30);
        let got = run.store();
        let apart = |a: &[f32], b: &[f32]| a.iter().zip(b).fold(0.0, |most: f32, (x, y)| most.max((x - y).abs()));
        assert!(apart(&got[0], &wanted[0]) <= limit, "{param:?} with {moments:?}: {}", apart(&got[0], &wanted[0]));
        assert!((mean(&got[2]) / mean(&wanted[2]) - 1.0).abs() <= f64::from(limit), "{param:?} with {moments:?}");
        assert_eq!(run.stats().vbar, exact.stats().vbar, "the running sum is not rounded");
    }
}

#[test]
fn list_equals_flat() {
    for_each_format(|flat| {
        let runs = [flat.clone(), listed(&flat)].map(|setup| {
            let mut run = Run::new(&setup);
            for t in 0..4 {
                run.has_grad[2] = t != 1;
                run.steps(t..t + 1);
            }
            assert_eq!(run.state.get(2).unwrap().step, 3);
            (run.bits(), run.store().map(|x| bits(&x)))
        });
        assert!(runs[0] == runs[1]);
    });
}

#[test]
fn pieces_threads_and_resumed_runs_give_the_same_bits() {
    for_each_format(|setup| {
        let mut whole = Run::new(&setup.clone().with(|args| args.threads = 1));
        let mut pieces = Run::new(&setup.clone().with(|args| args.threads = 3));
        for run in [&mut whole, &mut pieces] {
            seed(run, 5);
        }
        whole.steps(0..3);
        for t in 0..3 {
            pieces.draw(t);
            pieces.step_in_pieces(&[Phase::Grad]);
        }
        assert!(pieces.bits() == whole.bits());

        let mut resumed = Run::new(&setup);
        resumed.param.clone_from(&whole.param);
        resumed.exp_avg.clone_from(&whole.exp_avg);
        resumed.exp_avg_sq.clone_from(&whole.exp_avg_sq);
        resumed.narrow.clone_from(&whole.narrow);
        resumed.state.import(&[&whole.state.export().unwrap()]).unwrap();
        assert_eq!(resumed.state.header().rounding_seed, 5);
        whole.steps(3..6);
        resumed.steps(3..6);
        assert!(resumed.bits() == whole.bits());
    });
}

#[test]
fn the_seed_decides_the_bits() {
    let runs = [1, 1, 2].map(|number| {
        let mut run = Run::new(&setup(ParamDtype::Split16, MomentDtype::Bf16));
        seed(&mut run, number);
        run.steps(0..3);
        run.narrow
    });
    assert!(runs[0] == runs[1] && runs[0] != runs[2]);
}

#[test]
fn a_skipped_step_changes_nothing() {
    for_each_format(|setup| {
        let mut run = Run::new(&setup);
        run.steps(0..2);
        let (narrow, wide) = (run.narrow.clone(), run.store());
        let segments = |run: &Run| (0..COUNTS.len()).map(|k| run.state.get(k).unwrap()).collect::<Vec<_>>();
        let before = segments(&run);
        run.draw(2);
        run.codes[5001] = 0x7FC0; // NaN
        run.step();
        assert_eq!(run.stats().result, StepResult::SKIPPED_NONFINITE);
        assert!(run.narrow == narrow && run.store() == wide && segments(&run) == before);
    });
}

#[test]
fn the_unit_carries_the_decay_of_the_second_moment() {
    for layout in [Layout::Flat, Layout::List] {
        let mut run = Run::new(&setup(ParamDtype::Split16, MomentDtype::Bf16).with(|args| args.layout = layout));
        run.steps(0..3);
        let unit = run.state.get(3).unwrap().exp_avg_sq_unit;
        assert!((unit - 0.999f64.powi(3)).abs() < 1e-15);
        let [_, _, second] = run.store();
        for (v, code) in second.iter().zip(&run.narrow.moments16[1]) {
            assert_eq!(*v, unit as f32 * f32::from_bits(u32::from(*code) << 16));
            // the buffer does not hold v
        }
        run.load(Fp32 { exp_avg_sq: Some(&vec![1.0; second.len()]), ..Fp32::default() });
        assert_eq!(run.state.get(3).unwrap().exp_avg_sq_unit, 0.0);
        run.rebuild();
        assert_eq!(run.state.get(3).unwrap().exp_avg_sq_sum, 9001.0);
        let entry = SegmentState { step: 7, exp_avg_sq_sum: 1.0, exp_avg_sq_unit: 0.75, reserved: 0 };
        run.state.set(0, entry).unwrap();
        assert_eq!(run.state.get(0).unwrap(), entry);
    }
}

#[test]
fn what_is_stored_loads_again_and_what_is_not_given_stays() {
    for_each_format(|flat| {
        for setup in [flat.clone(), listed(&flat)] {
            let mut run = Run::new(&setup);
            run.load(Fp32 { exp_avg: Some(&uniform(7, 0, run.grad.len())), ..Fp32::default() });
            let first = run.store();
            assert!(first[0].iter().zip(uniform(1, 0, first[0].len())).all(|(a, b)| (a - b).abs() <= b.abs() / 256.0));
            run.load(Fp32 { param: Some(&first[0]), exp_avg: Some(&first[1]), exp_avg_sq: Some(&first[2]) });
            let again = run.store();
            assert!(bits(&again[0]) == bits(&first[0]) && again[2] == first[2]);
            // Rounded, the largest of a block may have got the next smaller scale.
            let slack = if setup.args.moment_dtype == MomentDtype::Block8 { 0.0625 } else { 0.0 };
            assert!(again[1].iter().zip(&first[1]).all(|(a, b)| (a - b).abs() <= b.abs() * slack));
        }
    });
}

#[test]
fn one_tensor_alone_is_loaded_and_stored() {
    let mut run = Run::new(&listed(&setup(ParamDtype::Split8, MomentDtype::Block8)));
    let [before, ..] = run.store();
    let (ones, mut out) = ([1.0; 3], [0.0; 3]);
    run.call(|workspace, state, buffers, _| {
        let mut from = [Fp32::default(); 5];
        from[2].param = Some(&ones);
        workspace.load(state, buffers, &from)?;
        let mut to: [Fp32Mut; 5] = Default::default();
        to[2].param = Some(&mut out);
        workspace.store(state, buffers, &mut to)
    })
    .unwrap();
    let [after, ..] = run.store();
    assert_eq!((out, &after[5000..5003]), (ones, &ones[..]));
    assert!(after[..5000] == before[..5000] && after[5003..] == before[5003..]);
}
