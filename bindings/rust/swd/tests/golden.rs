// SPDX-License-Identifier: Apache-2.0
//! Trajectories of the authors' own AdamS in fp64 (tests/golden of the repository), flat and as a list.
use std::collections::HashMap;
use std::path::Path;

use swd::{Decay, Group, Layout, StepResult};

mod support;
use support::{uniform, Run, Setup};

/// A C99 hexadecimal number, or a decimal one.
fn number(text: &str) -> f64 {
    let (sign, digits) = text.strip_prefix('-').map_or((1.0, text), |rest| (-1.0, rest));
    let Some(hex) = digits.strip_prefix("0x") else { return text.parse().expect(text) };
    let (significand, exponent) = hex.split_once('p').expect(text);
    let (whole, fraction) = significand.split_once('.').unwrap_or((significand, ""));
    let units = u64::from_str_radix(&format!("{whole}{fraction}"), 16).expect(text);
    let exponent: i32 = exponent.parse::<i32>().expect(text) - 4 * fraction.len() as i32;
    // In two halves, as 2^exponent alone may be too small.
    sign * units as f64 * 2f64.powi(exponent / 2) * 2f64.powi(exponent - exponent / 2)
}

struct Golden {
    head: HashMap<String, String>,
    setup: Setup,
    lr_factor: Vec<f64>,
    grad_exp: Vec<Vec<String>>,
    snapshots: Vec<Vec<String>>,
}

fn read(name: &str) -> Golden {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../tests/golden");
    let text =
        std::fs::read_to_string(folder.join(format!("{name}.txt"))).expect("the tests run inside the repository");
    let (mut head, mut setup) = (HashMap::new(), Setup::new(&[]));
    (setup.groups, setup.decay_modes) = (Vec::new(), Vec::new());
    let (mut lr_factor, mut grad_exp, mut snapshots) = (Vec::new(), Vec::new(), Vec::new());
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<String> = line.split_whitespace().map(String::from).collect();
        match words[0].as_str() {
            "sizes" => {
                setup.counts = words[1..].iter().map(|word| word.parse().unwrap()).collect();
                setup.group_of = vec![0; setup.counts.len()];
            }
            // group lr L beta1 B beta2 B eps E weight_decay W segments k ...
            "group" => {
                for k in &words[12..] {
                    setup.group_of[k.parse::<usize>().unwrap()] = setup.groups.len() as u32;
                }
                let [lr, beta1, beta2, eps, weight_decay] = [2, 4, 6, 8, 10].map(|i| number(&words[i]));
                setup.groups.push(Group { lr, beta1, beta2, eps, weight_decay, ..Group::default() });
                setup.decay_modes.push(Decay::Scheduled);
            }
            "lr_factor" => lr_factor = words[1..].iter().map(|word| number(word)).collect(),
            "grad_exp" => grad_exp.push(words[2..].to_vec()),
            "snapshot" | "param" | "exp_avg" | "exp_avg_sq" | "max_exp_avg_sq" => snapshots.push(words),
            _ => {
                head.insert(words[0].clone(), words.get(1).cloned().unwrap_or_default());
            }
        }
    }
    Golden { head, setup, lr_factor, grad_exp, snapshots }
}

impl Golden {
    /// Gradients of step t, and which segments have one.
    fn draw(&self, run: &mut Run, t: u64) {
        let (seed, closed) = (self.head["seed"].parse().unwrap(), self.head["closed_loop"] == "1");
        let mut begin = 0;
        for (k, &n) in self.setup.counts.iter().enumerate() {
            let exponent = &self.grad_exp[k][t as usize - 1];
            run.has_grad[k] = exponent != "x";
            for (i, u) in uniform(seed, 7919 * t + k as u64, n).into_iter().map(f64::from).enumerate() {
                run.grad[begin + i] = match exponent.parse::<i32>() {
                    Err(_) => 0.0, // "x": there is none
                    Ok(_) if closed => {
                        let p = f64::from(run.param[begin + i]);
                        (p * 2f64.powi(-(i as i32 % 4)) + 0.125 * u) as f32
                    }
                    Ok(power) => (u * 2f64.powi(power)) as f32,
                };
            }
            begin += n;
        }
        for (group, base) in run.setup.groups.iter_mut().zip(&self.setup.groups) {
            group.lr = base.lr * self.lr_factor[t as usize - 1];
        }
    }
}

fn assert_near(got: &[f32], want: &[String], bound: f64, what: &str) {
    assert_eq!(got.len(), want.len(), "{what}");
    let want: Vec<f64> = want.iter().map(|word| number(word)).collect();
    let largest = want.iter().fold(0.0, |a: f64, x| a.max(x.abs()));
    for (x, y) in got.iter().zip(want) {
        assert!((f64::from(*x) - y).abs() <= bound * largest, "{what}: {x} is not {y}");
    }
}

fn check(name: &str) {
    for layout in [Layout::Flat, Layout::List] {
        let mut golden = read(name);
        golden.setup.args.layout = layout;
        golden.setup.args.amsgrad = golden.head["amsgrad"] == "1";
        let closed = golden.head["closed_loop"] == "1";
        let mut run = Run::new(&golden.setup);
        run.max_grad_norm = number(&golden.head["max_grad_norm"]);
        let seed = golden.head["seed"].parse().unwrap();
        let streams = golden.setup.counts.iter().enumerate();
        run.param = streams.flat_map(|(k, n)| uniform(seed, 1_000_003 * (k as u64 + 1), *n)).collect();
        // In a closed loop the gradients follow the fp32 parameters, and the norms inherit their deviation.
        let (norm_bound, param_bound, avg_bound) = if closed { (4e-6, 3e-5, 1e-5) } else { (2e-7, 3e-6, 1e-6) };
        let (mut t, mut checked) = (0, 0);
        for words in &golden.snapshots {
            let what = format!("{name}, {layout:?}, step {t}, {}", words[0]);
            if words[0] == "snapshot" {
                let until: u64 = words[1].parse().unwrap();
                while t < until {
                    t += 1;
                    golden.draw(&mut run, t);
                    run.step();
                }
                let (stats, norm, vbar) = (run.stats(), number(&words[3]), number(&words[5]));
                assert_eq!(stats.result, StepResult::APPLIED, "{what}");
                for (got, want) in [(stats.grad_norm, norm), (stats.vbar, vbar)] {
                    assert!((got - want).abs() <= norm_bound * want, "{what}: {got} is not {want}");
                }
                for (k, step) in words[7..].iter().enumerate() {
                    assert_eq!(run.state.get(k).unwrap().step, step.parse::<i64>().unwrap(), "{what}");
                }
                continue;
            }
            let k: usize = words[1].parse().unwrap();
            let begin: usize = golden.setup.counts[..k].iter().sum();
            let range = begin..begin + golden.setup.counts[k];
            match words[0].as_str() {
                "param" => assert_near(&run.param[range], &words[2..], param_bound, &what),
                "exp_avg" => assert_near(&run.exp_avg[range], &words[2..], avg_bound, &what),
                "exp_avg_sq" => assert_near(&run.exp_avg_sq[range], &words[2..], 3e-6, &what),
                _ => assert_near(&run.max_exp_avg_sq[range], &words[2..], 3e-6, &what),
            }
            checked += 1;
        }
        assert!(t >= 100 && checked >= 3, "{name} was not read");
    }
}

macro_rules! trajectories {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            check(stringify!($name));
        }
    )*};
}
trajectories! { amsgrad basic clip closed_loop groups missing schedule small }
