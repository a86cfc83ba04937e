// SPDX-License-Identifier: Apache-2.0
//! Relative decay: AdamW to the bit until the reference is there, scheduled decay from then on; the reference travels with
//! the state, and can be set by hand.
use swd::{Decay, Group, Layout, Phase, StateHeader, StepResult};

mod support;
use support::{Run, Setup};

const COUNTS: [usize; 3] = [5000, 3, 9001];

fn setup(decay: Decay, weight_decay: f64) -> Setup {
    Setup { decay_modes: vec![decay], groups: vec![Group { weight_decay, ..Group::default() }], ..Setup::new(&COUNTS) }
}

fn run(decay: Decay, weight_decay: f64) -> Run {
    Run { reference_step: 6, ..Run::new(&setup(decay, weight_decay)) }
}

/// Parameters and moments, without the state, which holds the reference.
fn tensors(run: &Run) -> Vec<u32> {
    [&run.param, &run.exp_avg, &run.exp_avg_sq].into_iter().flatten().map(|x| x.to_bits()).collect()
}

#[test]
fn decoupled_to_the_bit_until_the_reference_step() {
    let (mut relative, mut decoupled) = (run(Decay::Relative, 0.1), run(Decay::Decoupled, 0.1));
    for t in 0..5 {
        relative.steps(t..t + 1);
        decoupled.steps(t..t + 1);
        assert_eq!(tensors(&relative), tensors(&decoupled), "step {t}");
        assert_eq!(relative.workspace.lambda_eff().unwrap(), [0.1]);
        assert_eq!(relative.state.header().vbar_reference, 0.0);
    }
    relative.steps(5..6);
    decoupled.steps(5..6);
    let stats = relative.stats();
    assert_eq!((stats.result, stats.vbar_reference), (StepResult::APPLIED, stats.vbar));
    assert_eq!(relative.state.header().vbar_reference, stats.vbar);
    relative.max_grad_norm = 4.0; // so that vbar changes
    decoupled.max_grad_norm = 4.0;
    relative.steps(6..8);
    decoupled.steps(6..8);
    assert_ne!(tensors(&relative), tensors(&decoupled));
    let now = relative.stats();
    assert_eq!(now.vbar_reference, stats.vbar);
    let expected = 0.1 * (stats.vbar / now.vbar).sqrt();
    assert!((relative.workspace.lambda_eff().unwrap()[0] / expected - 1.0).abs() < 1e-12);
}

#[test]
fn scheduled_with_the_converted_strength_from_then_on() {
    let reference = 1e-5;
    let mut relative = run(Decay::Relative, 0.1);
    relative.state.set_header(StateHeader { vbar_reference: reference, ..StateHeader::default() }).unwrap();
    let mut scheduled = run(Decay::Scheduled, swd::weight_decay_from_adamw(0.1, reference));
    relative.steps(0..50);
    scheduled.steps(0..50);
    assert_eq!(relative.state.header().vbar_reference, reference); // given by hand: step 6 does not take it anew
    for (a, b) in relative.param.iter().zip(&scheduled.param) {
        assert!((a - b).abs() <= 1e-6 * b.abs().max(1e-2), "{a} is not {b}");
    }
    relative.state.set_header(StateHeader { vbar_reference: 0.0, ..relative.state.header() }).unwrap();
    relative.steps(50..51);
    assert_eq!(relative.state.header().vbar_reference, relative.stats().vbar); // anew
}

#[test]
fn a_resumed_run_keeps_the_reference() {
    for (layout, cut) in [(Layout::Flat, 3), (Layout::List, 8)] {
        let setup = setup(Decay::Relative, 0.1).with(|args| args.layout = layout);
        let start = || Run { reference_step: 6, ..Run::new(&setup) };
        let (mut through, mut before, mut after) = (start(), start(), start());
        through.steps(0..12);
        before.steps(0..cut);
        after.state.import(&[&before.state.export().unwrap()]).unwrap();
        assert_eq!(after.state.header(), before.state.header());
        (after.param, after.exp_avg, after.exp_avg_sq) = (before.param, before.exp_avg, before.exp_avg_sq);
        after.steps(cut..12);
        assert_eq!(after.bits(), through.bits(), "{layout:?}");
        assert!(after.state.header().vbar_reference > 0.0);
    }
}

#[test]
fn pieces_and_amsgrad_take_the_same_reference() {
    for (amsgrad, phases) in [(false, &[Phase::Grad][..]), (true, &[Phase::Grad, Phase::Max])] {
        let setup = setup(Decay::Relative, 0.1).with(|args| args.amsgrad = amsgrad);
        let start = || Run { reference_step: 2, ..Run::new(&setup) };
        let (mut whole, mut pieces) = (start(), start());
        for t in 0..4 {
            whole.steps(t..t + 1);
            pieces.draw(t);
            pieces.step_in_pieces(phases);
        }
        assert_eq!(pieces.bits(), whole.bits());
        assert!(whole.state.header().vbar_reference > 0.0);
    }
}
