// SPDX-License-Identifier: Apache-2.0
//! What a step reports, and the arguments that shape it: scaling, clipping, caps, pointers, propagation.
use swd::{weight_decay_from_adamw, weight_decay_to_adamw, Decay, Group, StepArgs, StepResult};

mod support;
use support::{Run, Setup};

fn step(run: &mut Run, args: &StepArgs<'_>) {
    run.call(|workspace, state, buffers, _| workspace.step(state, buffers, args)).unwrap();
}

#[test]
fn before_any_step_there_is_nothing_to_report() {
    let mut run = Run::new(&Setup::new(&[10]));
    assert_eq!(run.stats().result, StepResult::NONE);
    run.call(|workspace, state, buffers, args| workspace.update(state, buffers, args)).unwrap();
    assert_eq!(run.stats().result, StepResult::NOT_ARMED);
}

#[test]
fn norm_clip_and_decay_are_reported() {
    let setup = Setup {
        group_of: vec![0, 1],
        decay_modes: vec![Decay::Scheduled, Decay::Decoupled],
        groups: vec![Group { weight_decay: 1e-3, ..Group::default() }, Group { weight_decay: 0.1, ..Group::default() }],
        ..Setup::new(&[1000, 1000]).with(|args| args.update_norms = true)
    };
    let mut run = Run::new(&setup);
    let before = run.param.clone();
    run.steps(0..1);
    let norm_of =
        |values: &mut dyn Iterator<Item = f32>| values.map(|x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
    let near = |a: f64, b: f64| assert!((a / b - 1.0).abs() < 1e-5, "{a} is not {b}");
    let stats = run.stats();
    let norm = norm_of(&mut run.grad.iter().copied());
    near(stats.grad_norm, norm);
    near(stats.clip_coef, 1.0 / (norm + 1e-6));
    assert!(stats.clipped() && !stats.large_decay() && !stats.decay_capped() && !stats.nonfinite() && !stats.no_norm());
    near(stats.vbar, 1.0 / 2000.0); // clipped to 1 over 2,000 elements, at the first step
    near(stats.inv_sqrt_vbar, 1.0 / stats.vbar.sqrt());
    near(stats.param_norm, norm_of(&mut run.param.iter().copied()));
    near(stats.update_norm, norm_of(&mut before.iter().zip(&run.param).map(|(a, b)| a - b)));
    let lambda = run.workspace.lambda_eff().unwrap();
    near(lambda[0], weight_decay_to_adamw(1e-3, stats.vbar));
    assert_eq!(lambda[1], 0.1);
    near(weight_decay_from_adamw(lambda[0], stats.vbar), 1e-3);
    near(stats.largest_decay, 1e-3 * lambda[1].max(lambda[0]));

    run.workspace.reset().unwrap();
    assert_eq!(run.stats().result, StepResult::NONE);
}

#[test]
fn decay_in_the_wrong_unit_is_flagged_and_capped() {
    let mut run = Run::new(&Setup::new(&[1000]));
    run.draw(0);
    let groups = [Group { weight_decay: 100.0, ..Group::default() }];
    step(&mut run, &StepArgs { groups: &groups, max_grad_norm: 1.0, max_decay: 0.5, ..StepArgs::default() });
    let stats = run.stats();
    assert!(stats.large_decay() && stats.decay_capped(), "{stats:?}");
    assert_eq!(stats.largest_decay, 0.5);
}

#[test]
fn numbers_by_value_and_by_pointer_act_alike() {
    let (mut value, mut pointer) = (Run::new(&Setup::new(&[500])), Run::new(&Setup::new(&[500])));
    let (lr, loss_scale) = (0.015625, 1024.0);
    value.draw(0);
    pointer.draw(0);
    let groups = [Group { lr: f64::from(lr), ..Group::default() }];
    step(&mut value, &StepArgs { groups: &groups, loss_scale: f64::from(loss_scale), ..StepArgs::default() });
    let groups = [Group { lr_pointer: Some(&lr), ..Group::default() }];
    let args = StepArgs { groups: &groups, loss_scale_pointer: Some(&loss_scale), ..StepArgs::default() };
    step(&mut pointer, &args);
    assert_eq!(pointer.bits(), value.bits());
    assert!((value.stats().grad_norm / 0.0126 - 1.0).abs() < 0.1, "{:?}", value.stats()); // sqrt(500 / 3) / 1024

    let mut factors = Run::new(&Setup::new(&[500])); // lr = 4 * lr / 4; loss_scale = 2 * loss_scale / 2
    factors.draw(0);
    let (quarter, half) = (lr / 4.0, loss_scale / 2.0);
    let groups = [Group { lr_pointer: Some(&quarter), lr_factor: 4.0, ..Group::default() }];
    let halves = StepArgs { groups: &groups, loss_scale: 2.0, loss_scale_pointer: Some(&half), ..StepArgs::default() };
    step(&mut factors, &halves);
    assert_eq!(factors.bits(), value.bits());

    let before = pointer.param.clone();
    step(&mut pointer, &StepArgs { found_inf: Some(&1.0), ..args });
    assert_eq!((pointer.stats().result, pointer.stats().bad), (StepResult::SKIPPED_NONFINITE, 1.0));
    step(&mut pointer, &StepArgs { loss_scale_pointer: Some(&-1.0), ..args });
    assert_eq!(pointer.stats().result, StepResult::SKIPPED_INVALID);
    assert_eq!(pointer.param, before);
    step(&mut pointer, &StepArgs { found_inf: Some(&0.0), ..args });
    assert_eq!(pointer.stats().result, StepResult::APPLIED);
}

#[test]
fn nan_spreads_where_it_was_asked_to() {
    let mut run = Run::new(&Setup { decay_modes: vec![Decay::Decoupled], ..Setup::new(&[100]) });
    run.draw(0);
    run.grad[7] = f32::NAN;
    let groups = run.setup.groups.clone();
    let args = StepArgs { groups: &groups, propagate: true, skip_norm: true, ..StepArgs::default() };
    step(&mut run, &args);
    assert!(run.stats().no_norm());
    assert!(run.param[7].is_nan() && run.param[6].is_finite());
    step(&mut run, &StepArgs { skip_norm: false, ..args });
    assert!(run.stats().nonfinite() && run.stats().result == StepResult::APPLIED);
}

#[test]
fn what_was_reduced_can_be_discarded() {
    let mut run = Run::new(&Setup::new(&[100, 50]));
    run.draw(0);
    let mut record = vec![0.0; run.workspace.plan().record_size().unwrap()];
    let folded = run.call(|workspace, state, buffers, args| {
        workspace.reduce(state, buffers, args, swd::Phase::Grad, 0..2)?;
        workspace.discard()?;
        workspace.reduce(state, buffers, args, swd::Phase::Grad, 1..2)?;
        workspace.fold(state, buffers, args, swd::Phase::Grad, &mut record)
    });
    folded.unwrap();
    assert_eq!(swd::norm_record(&record).count, 50.0);
}
