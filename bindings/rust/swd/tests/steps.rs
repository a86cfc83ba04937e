// SPDX-License-Identifier: Apache-2.0
//! Laws of a step through the safe calls: the same bits as the C calls, flat or as a list, whole or in pieces, with any
//! number of threads; a skipped step changes nothing.
use swd::{sys, Decay, Dtype, Group, Layout, Phase, StepResult};

mod support;
use support::{code_of, value_of, Run, Setup};

/// Crosses a chunk of the sum, has an empty segment and odd lengths.
const COUNTS: [usize; 5] = [5000, 0, 3, 70_001, 4096];

fn setup() -> Setup {
    Setup {
        group_of: vec![0, 1, 1, 0, 2],
        decay_modes: vec![Decay::Scheduled, Decay::None, Decay::Decoupled],
        groups: vec![
            Group { weight_decay: 1e-3, ..Group::default() },
            Group { lr: 2e-3, beta1: 0.4, ..Group::default() },
            Group { weight_decay: 0.1, eps: 1e-6, ..Group::default() },
        ],
        ..Setup::new(&COUNTS)
    }
}

fn bits_after(setup: &Setup, steps: u64) -> Vec<u32> {
    let mut run = Run::new(setup);
    run.steps(0..steps);
    assert_eq!(run.stats().result, StepResult::APPLIED);
    assert_eq!(run.state.steps_applied(), steps);
    run.bits()
}

/// The first use as a C program would write it, on the raw bindings alone.
fn bits_of_c(setup: &Setup, steps: u64) -> Vec<u32> {
    let mut run = Run::new(setup); // for its vectors
    let (mut offset, mut segments) = (0, Vec::new());
    for (count, group) in setup.counts.iter().zip(&setup.group_of) {
        segments.push(sys::swd_segment { offset, count: *count as i64, index: 0, group: *group, flags: 0 });
        offset += *count as i64;
    }
    let modes: Vec<i32> = setup.decay_modes.iter().map(|mode| *mode as i32).collect();
    let raw_group = |g: &Group| sys::swd_group {
        lr: g.lr,
        beta1: g.beta1,
        beta2: g.beta2,
        eps: g.eps,
        weight_decay: g.weight_decay,
        lr_pointer: std::ptr::null(),
        lr_factor: g.lr_factor,
    };
    let groups: Vec<sys::swd_group> = setup.groups.iter().map(raw_group).collect();
    let mut args = sys::SWD_PLAN_ARGS_INIT;
    (args.segments, args.segment_count) = (segments.as_ptr(), segments.len() as i64);
    (args.decay_modes, args.group_count) = (modes.as_ptr(), modes.len() as u32);
    let mut buffers = sys::SWD_BUFFERS_INIT;
    let mut step_args = sys::SWD_STEP_ARGS_INIT;
    (step_args.groups, step_args.group_count, step_args.max_grad_norm) = (groups.as_ptr(), groups.len() as u32, 1.0);
    unsafe {
        let mut plan = std::ptr::null_mut();
        assert_eq!(sys::swd_plan_create(&args, &mut plan), sys::SWD_OK);
        sys::swd_workspace_size(plan, &mut buffers.workspace_bytes);
        sys::swd_state_size(plan, &mut buffers.state_bytes);
        let mut workspace = vec![0u128; buffers.workspace_bytes as usize / 16];
        let mut state = vec![0u128; buffers.state_bytes as usize / 16];
        (buffers.workspace, buffers.state) = (workspace.as_mut_ptr().cast(), state.as_mut_ptr().cast());
        let null = std::ptr::null_mut();
        assert_eq!(sys::swd_workspace_init(plan, buffers.workspace, buffers.workspace_bytes, null), sys::SWD_OK);
        for t in 0..steps {
            run.draw(t);
            (buffers.param, buffers.grad) = (run.param.as_mut_ptr().cast(), run.grad.as_ptr().cast());
            buffers.exp_avg = run.exp_avg.as_mut_ptr().cast();
            buffers.exp_avg_sq = run.exp_avg_sq.as_mut_ptr().cast();
            assert_eq!(sys::swd_step(plan, &buffers, &step_args, null), sys::SWD_OK);
        }
        run.state.load_bytes(std::slice::from_raw_parts(state.as_ptr().cast(), state.len() * 16)).unwrap();
        sys::swd_plan_destroy(plan);
    }
    run.bits()
}

#[test]
fn safe_calls_give_the_bits_of_the_c_calls() {
    assert_eq!(bits_after(&setup(), 5), bits_of_c(&setup(), 5));
}

#[test]
fn list_equals_flat() {
    for amsgrad in [false, true] {
        let flat = setup().with(|args| args.amsgrad = amsgrad);
        let list = flat.clone().with(|args| args.layout = Layout::List);
        let runs = [flat, list].map(|setup| {
            let mut run = Run::new(&setup);
            for t in 0..4 {
                run.has_grad[2] = t != 1; // said by a byte, or by a tensor without gradient
                run.steps(t..t + 1);
            }
            assert_eq!(run.state.get(2).unwrap().step, 3);
            run.bits()
        });
        assert_eq!(runs[0], runs[1]);
    }
}

#[test]
fn pieces_equal_the_whole() {
    for layout in [Layout::Flat, Layout::List] {
        for (amsgrad, phases) in [(false, &[Phase::Grad][..]), (true, &[Phase::Grad, Phase::Max])] {
            let setup = setup().with(|args| (args.layout, args.amsgrad) = (layout, amsgrad));
            let (mut whole, mut pieces) = (Run::new(&setup), Run::new(&setup));
            for t in 0..3 {
                whole.steps(t..t + 1);
                pieces.draw(t);
                pieces.step_in_pieces(phases);
            }
            assert_eq!(pieces.bits(), whole.bits());
            assert_eq!(pieces.stats(), whole.stats());
        }
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let one = bits_after(&setup().with(|args| args.threads = 1), 3);
    for threads in [0, 2, 3, 7] {
        assert_eq!(bits_after(&setup().with(|args| args.threads = threads), 3), one, "{threads} threads");
    }
}

#[test]
fn gradients_of_16_bits_act_as_the_values_they_stand_for() {
    for dtype in [Dtype::Bf16, Dtype::F16] {
        let (mut wide, mut narrow) = (Run::new(&setup()), Run::new(&setup().with(|args| args.grad_dtype = dtype)));
        for t in 0..3 {
            narrow.steps(t..t + 1);
            wide.draw(t);
            wide.grad = wide.grad.iter().map(|x| value_of(dtype, code_of(dtype, *x))).collect();
            wide.step();
        }
        assert_eq!(narrow.bits(), wide.bits(), "{dtype:?}");
    }
}

#[test]
fn the_copy_is_the_parameter_rounded() {
    for layout in [Layout::Flat, Layout::List] {
        let mut run = Run::new(&setup().with(|args| (args.layout, args.copy_dtype) = (layout, Some(Dtype::Bf16))));
        run.steps(0..2);
        for (p, copy) in run.param.iter().zip(&run.param_copy) {
            let bits = p.to_bits();
            assert_eq!(*copy, ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16) as u16, "{p}");
        }
        let mut half = Run::new(&setup().with(|args| (args.layout, args.copy_dtype) = (layout, Some(Dtype::F16))));
        half.steps(0..2);
        for (p, copy) in half.param.iter().zip(&half.param_copy).filter(|(p, _)| p.abs() > 1e-3) {
            assert!((value_of(Dtype::F16, *copy) - p).abs() <= p.abs() / 2048.0, "{p}");
        }
    }
}

#[test]
fn a_step_that_is_not_finite_changes_nothing() {
    for (bad, layout) in [(f32::NAN, Layout::Flat), (f32::INFINITY, Layout::List), (f32::NEG_INFINITY, Layout::Flat)] {
        let mut run = Run::new(&setup().with(|args| args.layout = layout));
        run.steps(0..2);
        let segments = |run: &Run| (0..COUNTS.len()).map(|k| run.state.get(k).unwrap()).collect::<Vec<_>>();
        let (entries, before) = (segments(&run), run.bits());
        run.draw(2);
        run.grad[6000] = bad;
        run.step();
        let stats = run.stats();
        assert_eq!((stats.result, stats.bad, stats.nonfinite()), (StepResult::SKIPPED_NONFINITE, 1.0, true));
        assert_eq!((run.state.steps_applied(), run.state.steps_skipped()), (2, 1));
        assert_eq!(segments(&run), entries);
        let tensors = before.len() - run.state.export().unwrap().len();
        assert_eq!(run.bits()[..tensors], before[..tensors]);
        run.steps(3..4);
        assert_eq!(run.stats().result, StepResult::APPLIED);
    }
}
