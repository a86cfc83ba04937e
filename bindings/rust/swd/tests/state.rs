// SPDX-License-Identifier: Apache-2.0
//! The state: checkpoints that resume to the bit, shards, damage, images, and sums that are rebuilt.
use swd::{Decay, Layout, Plan, PlanArgs, Segment, SegmentState, State, StateHeader, Status, StepResult, Workspace};

mod support;
use support::{Run, Setup};

const COUNTS: [usize; 3] = [5000, 17, 300];

#[test]
fn a_run_resumed_from_a_blob_is_the_run_that_went_through() {
    for layout in [Layout::Flat, Layout::List] {
        let setup = Setup::new(&COUNTS).with(|args| args.layout = layout);
        let mut through = Run::new(&setup);
        through.steps(0..3);
        let blob = through.state.export().unwrap();
        let mut resumed = Run::new(&setup);
        resumed.param.clone_from(&through.param);
        resumed.exp_avg.clone_from(&through.exp_avg);
        resumed.exp_avg_sq.clone_from(&through.exp_avg_sq);
        resumed.state.import(&[&blob]).unwrap();
        through.steps(3..6);
        resumed.steps(3..6);
        assert_eq!(resumed.bits(), through.bits());
        assert_eq!(resumed.stats(), through.stats());
    }
}

#[test]
fn damage_is_refused_and_changes_nothing() {
    let mut run = Run::new(&Setup::new(&COUNTS));
    run.steps(0..2);
    let blob = run.state.export().unwrap();
    let before = run.bits();
    for at in 0..blob.len() {
        let mut damaged = blob.clone();
        damaged[at] ^= 0x10;
        let error = run.state.import(&[&damaged]).unwrap_err();
        let wanted = match at {
            0..=7 => Status::BLOB_MAGIC,
            8..=11 => Status::BLOB_VERSION,
            12..=23 => Status::BLOB_SIZE,
            _ => Status::BLOB_CHECKSUM,
        };
        assert_eq!(error.status(), wanted, "byte {at}: {error}");
        assert!(error.detail().contains("blobs[0]"), "{error}");
    }
    for bytes in 0..blob.len() {
        assert_eq!(run.state.import(&[&blob[..bytes]]).unwrap_err().status(), Status::BLOB_SIZE, "{bytes} bytes");
    }
    assert_eq!(run.state.import(&[&blob, &blob]).unwrap_err().status(), Status::BLOB_PLAN);
    assert_eq!(run.state.import(&[]).unwrap_err().status(), Status::SIZE);
    assert_eq!(run.bits(), before);
    run.state.import(&[&blob]).unwrap();
    assert_eq!(run.bits(), before);
}

#[test]
fn shards_are_put_together_by_index() {
    let shard = |index: u64, count: usize, step: i64, sum: f64| {
        let segments = [Segment { index, ..Segment::new(0, count) }];
        let plan = Plan::new(&PlanArgs { segments: &segments, indexed: true, ..PlanArgs::default() }).unwrap();
        let mut state = State::new(&plan).unwrap();
        state.set(0, SegmentState { step, exp_avg_sq_sum: sum, ..SegmentState::default() }).unwrap();
        state.export().unwrap()
    };
    let plan = Setup::new(&[100]).plan();
    let mut whole = State::new(&plan).unwrap();
    whole.import(&[&shard(40, 60, 7, 6.0), &shard(0, 40, 7, 0.5)]).unwrap();
    assert_eq!(whole.get(0).unwrap(), SegmentState { step: 7, exp_avg_sq_sum: 6.5, ..SegmentState::default() });
    let error = whole.import(&[&shard(0, 40, 7, 0.5), &shard(40, 60, 8, 6.0)]).unwrap_err();
    assert_eq!(error.status(), Status::BLOB_PLAN, "{error}"); // of different steps
    let error = whole.import(&[&shard(0, 40, 7, 0.5)]).unwrap_err();
    assert!(error.detail().contains("index 40"), "{error}");
}

#[test]
fn entries_are_read_and_written() {
    let mut state = State::new(&Setup::new(&COUNTS).plan()).unwrap();
    assert_eq!(state.get(1).unwrap(), SegmentState::default());
    let entry = SegmentState { step: 9, exp_avg_sq_sum: 0.25, ..SegmentState::default() };
    state.set(1, entry).unwrap();
    assert_eq!(state.get(1).unwrap(), entry);
    assert_eq!(state.get(0).unwrap(), SegmentState::default());
    for (segment, entry, status, name) in [
        (3, entry, Status::SIZE, "segment"),
        (usize::MAX, entry, Status::SIZE, "segment"),
        (1, SegmentState { step: -1, ..entry }, Status::VALUE, "step"),
        (1, SegmentState { exp_avg_sq_sum: -0.5, ..entry }, Status::VALUE, "exp_avg_sq_sum"),
    ] {
        let error = state.set(segment, entry).unwrap_err();
        assert_eq!(error.status(), status, "{error}");
        assert!(error.detail().contains(name), "{error}");
    }
    assert_eq!(state.get(3).unwrap_err().status(), Status::SIZE);
    assert_eq!(state.get(1).unwrap(), entry);
}

#[test]
fn the_header_is_read_and_written() {
    let mut state = State::new(&Setup::new(&COUNTS).plan()).unwrap();
    assert_eq!(state.header(), StateHeader::default());
    let header = StateHeader { steps_applied: 7, steps_skipped: 2, vbar_reference: 0.25, rounding_seed: u64::MAX };
    state.set_header(header).unwrap();
    for reference in [-1.0, f64::NAN, f64::INFINITY] {
        let error = state.set_header(StateHeader { vbar_reference: reference, ..header }).unwrap_err();
        assert!(error.status() == Status::VALUE && error.detail().contains("vbar_reference"), "{error}");
    }
    assert_eq!(state.header(), header);
    assert_eq!((state.steps_applied(), state.steps_skipped()), (7, 2));
    let mut other = State::new(&Setup::new(&COUNTS).plan()).unwrap();
    other.import(&[&state.export().unwrap()]).unwrap();
    assert_eq!(other.header(), header);
}

#[test]
fn a_blob_of_another_model_is_refused() {
    let state_of = |key| State::new(&Setup::new(&COUNTS).with(|args| args.model_key = key).plan()).unwrap();
    let blob = state_of(7).export().unwrap();
    state_of(7).import(&[&blob]).unwrap();
    state_of(0).import(&[&blob]).unwrap(); // says nothing of its model
    let mut other = state_of(8);
    let before = other.as_bytes().to_vec();
    let error = other.import(&[&blob]).unwrap_err();
    assert!(error.status() == Status::BLOB_PLAN && error.detail().contains("key"), "{error}");
    assert_eq!(other.as_bytes(), before);
    other.import(&[&state_of(0).export().unwrap()]).unwrap();
}

#[test]
fn damaged_moments_are_named_and_skip_the_step() {
    let mut run = Run::new(&Setup::new(&COUNTS));
    run.steps(0..2);
    assert_eq!(run.stats().damaged_segment, None);
    let good = run.exp_avg_sq[COUNTS[0]];
    run.exp_avg_sq[COUNTS[0]] = f32::NAN;
    run.rebuild();
    assert_eq!(run.stats().damaged_segment, Some(1));
    let before = run.param.clone();
    run.steps(2..3);
    assert_eq!((run.stats().result, run.param == before), (StepResult::SKIPPED_VBAR, true));
    run.exp_avg_sq[COUNTS[0]] = good;
    run.rebuild();
    run.steps(3..4);
    assert_eq!((run.stats().result, run.stats().damaged_segment), (StepResult::APPLIED, None));
}

#[test]
fn images_travel_as_bytes() {
    let mut run = Run::new(&Setup::new(&COUNTS));
    run.steps(0..2);
    let image = run.state.as_bytes().to_vec();
    assert_eq!(image.len() as u64, run.workspace.plan().state_bytes().unwrap());
    let mut other = State::new(&Setup::new(&COUNTS).plan()).unwrap();
    other.load_bytes(&image).unwrap();
    assert_eq!(other.export().unwrap(), run.state.export().unwrap());
    let error = other.load_bytes(&image[1..]).unwrap_err();
    assert!(error.status() == Status::SIZE && error.detail().contains("image"), "{error}");
    // Where the counter and the reference lie is the library's business: they are found by their values.
    let (step, reference) = (0x0102_0304_0506_0708, f64::from_bits(0x3f12_3456_789a_bcde));
    other.set(0, SegmentState { step, exp_avg_sq_sum: 0.5, ..SegmentState::default() }).unwrap();
    other.set_header(StateHeader { vbar_reference: reference, ..other.header() }).unwrap();
    let image = other.as_bytes().to_vec();
    let spoilt = |from: [u8; 8], to: [u8; 8]| {
        let mut wrong = image.clone();
        let at = wrong.windows(8).position(|bytes| bytes == from).unwrap();
        wrong[at..at + 8].copy_from_slice(&to);
        wrong
    };
    let wrong = spoilt(step.to_ne_bytes(), (-1i64).to_ne_bytes());
    assert_eq!(other.load_bytes(&wrong).unwrap_err().status(), Status::VALUE);
    let wrong = spoilt(reference.to_ne_bytes(), f64::NAN.to_ne_bytes());
    assert_eq!(other.load_bytes(&wrong).unwrap_err().status(), Status::VALUE);
    assert_eq!(other.as_bytes(), image);
}

#[test]
fn unknown_sums_are_rebuilt_from_the_moments() {
    for layout in [Layout::Flat, Layout::List] {
        let mut run = Run::new(&Setup::new(&COUNTS).with(|args| args.layout = layout));
        run.steps(0..3);
        let known = run.state.get(0).unwrap();
        // As from a checkpoint of AdamW, which has counters and moments and no sums.
        for k in 0..COUNTS.len() {
            run.state.set(k, SegmentState { step: 3, exp_avg_sq_sum: -1.0, ..SegmentState::default() }).unwrap();
        }
        run.steps(3..4);
        assert_eq!(run.stats().result, StepResult::SKIPPED_SUM_UNKNOWN);
        assert!(run.stats().vbar.is_nan());
        run.rebuild();
        let rebuilt = run.state.get(0).unwrap();
        assert_eq!(rebuilt.step, 3);
        assert!((rebuilt.exp_avg_sq_sum / known.exp_avg_sq_sum - 1.0).abs() < 1e-6);
        run.steps(4..5);
        assert_eq!(run.stats().result, StepResult::APPLIED);
    }
}

#[test]
fn a_state_of_other_segments_is_refused() {
    let mut run = Run::new(&Setup::new(&COUNTS));
    run.state = State::new(&Setup::new(&[5000, 300, 17]).plan()).unwrap();
    let refused = run.call(|workspace, state, buffers, args| workspace.step(state, buffers, args)).unwrap_err();
    assert!(refused.status() == Status::UNEXPECTED && refused.detail().starts_with("state"), "{refused}");
    let mut same = Setup::new(&COUNTS);
    same.decay_modes = vec![Decay::Decoupled];
    run.state = State::new(&same.plan()).unwrap(); // another plan of the same segments will do
    run.workspace = Workspace::new(&same.plan()).unwrap();
    run.steps(0..1);
    assert_eq!(run.stats().result, StepResult::APPLIED);
}
