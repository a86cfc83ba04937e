// SPDX-License-Identifier: Apache-2.0
//! What stands beside the step: filling the copy, several plans as one model, tensors that move, a workspace by its image.
use swd::{sys, Decay, Dtype, Group, Layout, Phase};

mod support;
use support::{Run, Setup};

const COUNTS: [usize; 5] = [5000, 0, 3, 70_001, 4096];

fn setup() -> Setup {
    Setup {
        group_of: vec![0, 1, 1, 0, 0],
        decay_modes: vec![Decay::Scheduled, Decay::Scheduled],
        groups: vec![
            Group { weight_decay: 1e-3, ..Group::default() },
            Group { lr: 2e-3, beta1: 0.4, ..Group::default() },
        ],
        ..Setup::new(&COUNTS)
    }
}

#[test]
fn the_copy_is_filled_after_a_load() {
    for layout in [Layout::Flat, Layout::List] {
        let mut run = Run::new(&setup().with(|args| (args.layout, args.copy_dtype) = (layout, Some(Dtype::F16))));
        run.steps(0..2);
        let copy = std::mem::replace(&mut run.param_copy, vec![0; run.param.len()]);
        let before = run.param.clone();
        run.call(|workspace, _, buffers, _| workspace.copy_params(buffers)).unwrap();
        assert_eq!(run.param_copy, copy, "{layout:?}");
        assert_eq!(run.param, before);
    }
}

#[test]
fn two_plans_act_as_one_model() {
    // The first three segments in one plan and the others in a second one, against all in one.
    let whole_setup = setup();
    let part = |range: std::ops::Range<usize>| Setup {
        counts: COUNTS[range.clone()].to_vec(),
        group_of: whole_setup.group_of[range].to_vec(),
        ..whole_setup.clone()
    };
    let mut whole = Run::new(&whole_setup);
    let mut parts = [Run::new(&part(0..3)), Run::new(&part(3..5))];
    let first: usize = COUNTS[..3].iter().sum();
    parts[0].param.copy_from_slice(&whole.param[..first]);
    parts[1].param.copy_from_slice(&whole.param[first..]);
    for t in 0..3 {
        whole.draw(t);
        parts[0].grad.copy_from_slice(&whole.grad[..first]);
        parts[1].grad.copy_from_slice(&whole.grad[first..]);
        whole.step();
        let records = parts.each_mut().map(|run| {
            let mut record = vec![0.0; run.workspace.plan().record_size().unwrap()];
            let segments = run.setup.counts.len();
            run.call(|workspace, state, buffers, args| {
                workspace.reduce(state, buffers, args, Phase::Grad, 0..segments)?;
                workspace.fold(state, buffers, args, Phase::Grad, &mut record)
            })
            .unwrap();
            record
        });
        let mut sum = records[0].clone();
        parts[0].workspace.plan().record_add(&mut sum, &records[1]).unwrap();
        assert!(sum.iter().zip(&records[0]).zip(&records[1]).all(|((s, a), b)| *s == a + b));
        assert_eq!(swd::norm_record(&sum).count, (first + COUNTS[3] + COUNTS[4]) as f64);
        for run in &mut parts {
            run.call(|workspace, state, buffers, args| {
                workspace.decide(state, buffers, args, Phase::Grad, &sum)?;
                workspace.update(state, buffers, args)
            })
            .unwrap();
        }
    }
    let joined: Vec<f32> = parts.iter().flat_map(|run| run.param.iter().copied()).collect();
    for (a, b) in joined.iter().zip(&whole.param) {
        assert!((a - b).abs() <= 1e-6 * b.abs().max(1e-3), "{a} is not {b}");
    }
    assert!((parts[1].stats().grad_norm / whole.stats().grad_norm - 1.0).abs() < 1e-7);
}

/// Each step says anew where the tensors are: where one lies now, another may have lain before.
#[test]
fn tensors_may_change_places() {
    let list = setup().with(|args| args.layout = Layout::List);
    let (mut still, mut moving) = (Run::new(&list), Run::new(&list));
    for t in 0..4 {
        still.steps(t..t + 1);
        let (param, exp_avg) = (moving.param.clone(), moving.exp_avg.clone());
        std::mem::swap(&mut moving.param, &mut moving.exp_avg); // the memory; what is in it goes back
        moving.param.copy_from_slice(&param);
        moving.exp_avg.copy_from_slice(&exp_avg);
        moving.steps(t..t + 1);
    }
    assert_eq!(moving.bits(), still.bits());
    let sums: Vec<_> = (0..COUNTS.len()).map(|k| moving.state.get(k).unwrap().exp_avg_sq_sum).collect();
    let moments = moving.exp_avg_sq.clone();
    std::mem::swap(&mut moving.param, &mut moving.exp_avg_sq); // the moments lie where the parameters lay
    moving.exp_avg_sq.copy_from_slice(&moments);
    moving.rebuild();
    for (k, sum) in sums.iter().enumerate().filter(|(k, _)| COUNTS[*k] > 0) {
        assert!((moving.state.get(k).unwrap().exp_avg_sq_sum / sum - 1.0).abs() < 1e-6);
    }
}

#[test]
fn a_workspace_image_is_a_fresh_workspace() {
    let setup = Setup::new(&[5000, 33]);
    let (mut safe, mut raw) = (Run::new(&setup), Run::new(&setup));
    safe.steps(0..2);
    let plan = setup.plan();
    let bytes = plan.workspace_image().unwrap();
    assert_eq!(bytes.len() as u64, plan.workspace_bytes().unwrap());
    let mut memory = vec![0u128; bytes.len().div_ceil(16)];
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), memory.as_mut_ptr().cast(), bytes.len()) };
    let mut state = vec![0u128; plan.state_bytes().unwrap() as usize / 16];
    for t in 0..2 {
        raw.draw(t);
        let buffers = sys::swd_buffers {
            param: raw.param.as_mut_ptr().cast(),
            grad: raw.grad.as_ptr().cast(),
            exp_avg: raw.exp_avg.as_mut_ptr().cast(),
            exp_avg_sq: raw.exp_avg_sq.as_mut_ptr().cast(),
            state: state.as_mut_ptr().cast(),
            state_bytes: plan.state_bytes().unwrap(),
            workspace: memory.as_mut_ptr().cast(),
            workspace_bytes: bytes.len() as u64,
            ..sys::SWD_BUFFERS_INIT
        };
        let args = sys::swd_step_args {
            groups: setup.groups.as_ptr().cast(),
            group_count: 1,
            max_grad_norm: 1.0,
            ..sys::SWD_STEP_ARGS_INIT
        };
        unsafe { plan.step_raw(&buffers, &args, std::ptr::null_mut()) }.unwrap();
    }
    assert_eq!(raw.param, safe.param);
}
