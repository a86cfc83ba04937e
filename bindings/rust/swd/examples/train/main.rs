// SPDX-License-Identifier: Apache-2.0
//! Trains a character model on this repository's text, or on the files that are named, with AdamW and with AdamS: same
//! weights at the start, same batches, and the same weight_decay, since relative decay has AdamW's unit.
//!
//!     cargo run --example train [FILE ...]
use std::io;
use std::path::{Path, PathBuf};

use swd::{Decay, Flat, Grad, Group, Moments, Param, Plan, PlanArgs, State, StepArgs, StepResult, Workspace};

mod model;
use model::{Model, Random, CONTEXT};

const STEPS: usize = 3000;
const BATCH: usize = 64;
const REPORT: usize = 500;
const WEIGHT_DECAY: f64 = 0.1;

/// Sorted, so that everybody trains on the same text.
fn files_below(folder: &Path, out: &mut Vec<PathBuf>) -> io::Result<()> {
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(folder)?.map(|e| e.map(|e| e.path())).collect::<io::Result<_>>()?;
    entries.sort();
    for path in entries {
        if path.is_dir() {
            files_below(&path, out)?;
        } else {
            out.push(path);
        }
    }
    Ok(())
}

struct Text {
    train: Vec<u8>,
    held_out: Vec<u8>,
    alphabet: usize,
}

/// Bytes of the files that are text become numbers of the alphabet. Every tenth block of 2,000 bytes is held out.
fn read_text() -> io::Result<Text> {
    let mut files: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    if files.is_empty() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
        for folder in ["docs", "include", "src"] {
            files_below(&root.join(folder), &mut files)?;
        }
    }
    let mut text = Text { train: Vec::new(), held_out: Vec::new(), alphabet: 0 };
    let mut numbers = [None; 256];
    let mut position = 0;
    for file in files {
        let bytes = std::fs::read(file)?;
        if std::str::from_utf8(&bytes).is_err() {
            continue; // a picture
        }
        for byte in bytes {
            let number = *numbers[byte as usize].get_or_insert_with(|| {
                text.alphabet += 1;
                text.alphabet - 1
            });
            let part = if position / 2000 % 10 == 9 { &mut text.held_out } else { &mut text.train };
            part.push(number as u8);
            position += 1;
        }
    }
    if text.held_out.len() < 2000 {
        return Err(io::Error::other("the text has fewer than 20,000 bytes: name more files"));
    }
    Ok(text)
}

struct Outcome {
    first: f32,
    last: f32,
    held_out: f32,
}

fn train(name: &str, text: &Text, decay: Decay) -> swd::Result<Outcome> {
    let mut model = Model::new(text.alphabet, &mut Random(1));
    let (mut exp_avg, mut exp_avg_sq) = (vec![0.0; model.param.len()], vec![0.0; model.param.len()]);
    let plan = Plan::new(&PlanArgs { segments: &model.segments, decay_modes: &[decay], ..PlanArgs::default() })?;
    let (mut workspace, mut state) = (Workspace::new(&plan)?, State::new(&plan)?);

    let mut random = Random(2);
    let (mut first, mut recent) = (0.0, 0.0);
    for step in 0..STEPS {
        model.grad.fill(0.0);
        let mut loss = 0.0;
        for _ in 0..BATCH {
            let at = random.below(text.train.len() - CONTEXT);
            loss += model.loss_and_gradient(&text.train[at..=at + CONTEXT], 1.0 / BATCH as f32) / BATCH as f32;
        }
        let lr = if step < STEPS * 2 / 3 { 3e-3 } else { 3e-4 };
        let groups = [Group { lr, weight_decay: WEIGHT_DECAY, ..Group::default() }];
        let args = StepArgs { groups: &groups, max_grad_norm: 1.0, ..StepArgs::default() };
        let mut buffers = Flat {
            param: Param::F32(&mut model.param),
            grad: Grad::F32(&model.grad),
            moments: Moments::F32 { exp_avg: &mut exp_avg, exp_avg_sq: &mut exp_avg_sq },
            max_exp_avg_sq: None,
            param_copy: None,
        };
        workspace.step(&mut state, &mut buffers, &args)?;

        let stats = workspace.stats()?;
        assert_eq!(stats.result, StepResult::APPLIED);
        recent += loss / REPORT as f32;
        if step == 0 {
            first = loss;
        }
        if (step + 1) % REPORT == 0 {
            println!(
                "{name}  step {:5}  loss {recent:.3}  gradient norm {:.3}  clip {:.2}  decay as AdamW sees it {:.1e}",
                step + 1,
                stats.grad_norm,
                stats.clip_coef,
                workspace.lambda_eff()?[0],
            );
            if step + 1 < STEPS {
                recent = 0.0;
            }
        }
    }
    let starts = (0..text.held_out.len() - CONTEXT).step_by(7);
    let count = starts.len() as f32;
    let held_out = starts.map(|at| model.loss(&text.held_out[at..=at + CONTEXT])).sum::<f32>() / count;
    Ok(Outcome { first, last: recent, held_out })
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let text = read_text()?;
    let bytes = text.train.len() + text.held_out.len();
    println!("libswd {}: {bytes} bytes of text, {} different ones", swd::version_string(), text.alphabet);
    let adamw = train("AdamW", &text, Decay::Decoupled)?;
    // From step 100 on AdamS decays more while gradients are smaller than there, and less while they are larger.
    let adams = train("AdamS", &text, Decay::Relative)?;
    println!();
    for (name, outcome) in [("AdamW", &adamw), ("AdamS", &adams)] {
        let Outcome { first, last, held_out } = outcome;
        println!("{name}: loss {first:.3} -> {last:.3} nats a byte, {held_out:.3} on held-out text");
        if *last > first * 0.6 {
            return Err(format!("{name} did not learn").into());
        }
    }
    Ok(())
}
