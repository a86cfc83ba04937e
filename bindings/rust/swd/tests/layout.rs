// SPDX-License-Identifier: Apache-2.0
//! Where segments lie and what their flags and the plan's do: gaps, the extent of flat buffers, ascent.
use swd::{Flat, Grad, Group, Moments, Param, Plan, PlanArgs, Segment, State, Stats, Status, StepArgs, Workspace};

mod support;
use support::{uniform, Run, Setup};

/// One step on a plan of `segments`, with buffers of `n` elements; decay alone where gradients are 0.
fn step(segments: &[Segment], n: usize, grad: &[f32], weight_decay: f64) -> swd::Result<(Vec<f32>, Stats)> {
    let plan = Plan::new(&PlanArgs { segments, decay_modes: &[swd::Decay::Decoupled], ..PlanArgs::default() })?;
    let (mut workspace, mut state) = (Workspace::new(&plan)?, State::new(&plan)?);
    let (mut param, mut exp_avg, mut exp_avg_sq) = (vec![1.0; n], vec![0.0; n], vec![0.0; n]);
    let groups = [Group { weight_decay, ..Group::default() }];
    let mut buffers = Flat {
        param: Param::F32(&mut param),
        grad: Grad::F32(grad),
        moments: Moments::F32 { exp_avg: &mut exp_avg, exp_avg_sq: &mut exp_avg_sq },
        max_exp_avg_sq: None,
        param_copy: None,
    };
    workspace.step(&mut state, &mut buffers, &StepArgs { groups: &groups, ..StepArgs::default() })?;
    Ok((param, workspace.stats()?))
}

#[test]
fn flat_buffers_reach_to_the_end_of_the_last_segment_and_gaps_are_untouched() {
    let segments = [Segment::new(2, 3), Segment::new(8, 0), Segment::new(10, 5)];
    let plan = Plan::new(&PlanArgs { segments: &segments, ..PlanArgs::default() }).unwrap();
    assert_eq!((plan.extent(), plan.segment_count(), plan.group_count()), (15, 3, 1));
    let grad = vec![1.0; 16];
    for (length, grad) in [(14, &grad[..]), (15, &grad[..14]), (0, &grad[..])] {
        let error = step(&segments, length, grad, 0.0).unwrap_err();
        assert!(error.status() == Status::SIZE && error.detail().contains("15 are needed"), "{error}");
    }
    for length in [15, 16] {
        let (param, stats) = step(&segments, length, &grad, 0.0).unwrap();
        for (i, p) in param.iter().enumerate() {
            let inside = (2..5).contains(&i) || (10..15).contains(&i);
            assert_eq!(*p != 1.0, inside, "element {i}");
        }
        assert!((stats.grad_norm - 8f64.sqrt()).abs() < 1e-12);
    }
    assert_eq!(Segment::consecutive([4, 0, 2]), [Segment::new(0, 4), Segment::new(4, 0), Segment::new(4, 2)]);
}

#[test]
fn segments_opt_out_of_norm_vbar_and_decay() {
    let grad = [1.0, 1.0, 3.0, 3.0];
    let with = |change: fn(&mut Segment)| {
        let mut segments = Segment::consecutive([2, 2]);
        change(&mut segments[1]);
        step(&segments, 4, &grad, 10.0).unwrap()
    };
    let (param, stats) = with(|_| {});
    let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-5, "{a} is not {b}");
    near(stats.grad_norm, 20f64.sqrt());
    near(stats.vbar, 5.0); // v-hat after one step is g^2: the mean of 1, 1, 9, 9
    assert!(param.iter().all(|p| (p - 0.989).abs() < 1e-5), "{param:?}"); // lr * 10 and lr are lost
    near(with(|segment| segment.no_norm = true).1.grad_norm, 2f64.sqrt());
    near(with(|segment| segment.no_vbar = true).1.vbar, 1.0);
    let (param, stats) = with(|segment| segment.no_decay = true);
    near(stats.vbar, 5.0);
    for (p, expected) in param.iter().zip([0.989, 0.989, 0.999, 0.999]) {
        near(f64::from(*p), expected);
    }
}

#[test]
fn ascent_is_descent_on_the_negated_gradient() {
    let mut down = Run::new(&Setup::new(&[300]));
    let mut up = Run::new(&Setup::new(&[300]).with(|args| args.maximize = true));
    for t in 0..3 {
        down.grad = uniform(2, t, 300);
        up.grad = down.grad.iter().map(|g| -g).collect();
        down.step();
        up.step();
    }
    assert_eq!(up.bits(), down.bits());
}
