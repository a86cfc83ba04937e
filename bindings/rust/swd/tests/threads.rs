// SPDX-License-Identifier: Apache-2.0
//! What may be shared and sent, and that threads which share a plan get what each would get alone.
use std::thread;

use swd::{Error, Plan, State, Status, Workspace};

mod support;
use support::{Run, Setup};

fn send<T: Send>() {}
fn sync<T: Sync>() {}

#[test]
fn what_is_sent_and_shared() {
    send::<Plan>();
    sync::<Plan>();
    send::<Workspace>(); // its documentation shows that it is not Sync
    send::<State>();
    sync::<State>();
    send::<Error>();
    sync::<Error>();
}

#[test]
fn threads_share_a_plan() {
    let setup = Setup::new(&[70_000, 33]).with(|args| args.threads = 2);
    let mut alone = Run::new(&setup);
    alone.steps(0..5);
    let plan = setup.plan();
    let results: Vec<Vec<u32>> = thread::scope(|scope| {
        let work = || {
            let mut run = Run::new(&setup);
            run.workspace = Workspace::new(&plan).unwrap();
            run.state = State::new(&plan).unwrap();
            run.steps(0..5);
            run.bits()
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for bits in results {
        assert_eq!(bits, alone.bits());
    }
}

#[test]
fn a_workspace_outlives_its_plan_and_moves_between_threads() {
    let mut run = Run::new(&Setup::new(&[5000]));
    run.steps(0..1);
    let mut moved = thread::spawn(move || {
        run.steps(1..2);
        run
    })
    .join()
    .unwrap();
    moved.steps(2..3);
    assert_eq!(moved.state.steps_applied(), 3);
}

/// Each thread reads its own line, also while others fail.
#[test]
fn errors_belong_to_their_thread() {
    thread::scope(|scope| {
        for number in 0..8usize {
            scope.spawn(move || {
                let state = State::new(&Setup::new(&[4]).plan()).unwrap();
                for _ in 0..200 {
                    let error = state.get(number + 100).unwrap_err();
                    assert_eq!(error.status(), Status::SIZE);
                    assert!(error.detail().contains(&format!("segment is {}", number + 100)), "{error}");
                }
            });
        }
    });
}
