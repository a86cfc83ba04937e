// SPDX-License-Identifier: Apache-2.0
//! A character model in plain loops: the last CONTEXT bytes are embedded, one hidden layer, softmax over the alphabet. All
//! parameters lie in one flat buffer, one segment per tensor. Used by main.rs.
use std::ops::Range;

use swd::Segment;

pub const CONTEXT: usize = 10;
const EMBEDDING: usize = 12;
const HIDDEN: usize = 64;
const INPUT: usize = CONTEXT * EMBEDDING;

/// splitmix64.
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// In [-1, 1).
    fn uniform(&mut self) -> f32 {
        (self.next() >> 40) as f32 / 8388608.0 - 1.0
    }
}

pub struct Model {
    pub param: Vec<f32>,
    pub grad: Vec<f32>,
    pub segments: Vec<Segment>,
    alphabet: usize,
    input: [f32; INPUT],
    hidden: [f32; HIDDEN],
    output: Vec<f32>,
}

/// The tensors, in the order of the segments.
const EMBED: usize = 0;
const W1: usize = 1;
const B1: usize = 2;
const W2: usize = 3;
const B2: usize = 4;

impl Model {
    pub fn new(alphabet: usize, random: &mut Random) -> Model {
        let counts = [alphabet * EMBEDDING, HIDDEN * INPUT, HIDDEN, alphabet * HIDDEN, alphabet];
        let scales = [0.3, (3.0 / INPUT as f32).sqrt(), 0.0, (3.0 / HIDDEN as f32).sqrt(), 0.0];
        let mut segments = Segment::consecutive(counts);
        segments[B1].no_decay = true;
        segments[B2].no_decay = true;
        let mut param = Vec::new();
        for (count, scale) in counts.into_iter().zip(scales) {
            param.extend((0..count).map(|_| scale * random.uniform()));
        }
        let grad = vec![0.0; param.len()];
        let output = vec![0.0; alphabet];
        Model { param, grad, segments, alphabet, input: [0.0; INPUT], hidden: [0.0; HIDDEN], output }
    }

    /// Where row `i` of a tensor with rows of `width` lies.
    fn row(&self, tensor: usize, i: usize, width: usize) -> Range<usize> {
        let begin = self.segments[tensor].offset + i * width;
        begin..begin + width
    }

    /// Cross entropy, in nats, of predicting the last byte of `window` from those before it. Leaves the probabilities in
    /// `output`.
    pub fn loss(&mut self, window: &[u8]) -> f32 {
        for (c, byte) in window[..CONTEXT].iter().enumerate() {
            let row = self.row(EMBED, *byte as usize, EMBEDDING);
            self.input[c * EMBEDDING..(c + 1) * EMBEDDING].copy_from_slice(&self.param[row]);
        }
        for j in 0..HIDDEN {
            let bias = self.param[self.segments[B1].offset + j];
            self.hidden[j] = (bias + dot(&self.param[self.row(W1, j, INPUT)], &self.input)).tanh();
        }
        for k in 0..self.alphabet {
            let bias = self.param[self.segments[B2].offset + k];
            self.output[k] = bias + dot(&self.param[self.row(W2, k, HIDDEN)], &self.hidden);
        }
        let largest = self.output.iter().fold(f32::MIN, |a, y| a.max(*y));
        self.output.iter_mut().for_each(|y| *y = (*y - largest).exp());
        let sum: f32 = self.output.iter().sum();
        self.output.iter_mut().for_each(|y| *y /= sum);
        -(self.output[window[CONTEXT] as usize] + 1e-30).ln()
    }

    /// The same, and adds `scale` times its gradient to `grad`.
    pub fn loss_and_gradient(&mut self, window: &[u8], scale: f32) -> f32 {
        let loss = self.loss(window);
        self.output[window[CONTEXT] as usize] -= 1.0;
        let mut d_hidden = [0.0; HIDDEN];
        for k in 0..self.alphabet {
            let d = scale * self.output[k];
            let row = self.row(W2, k, HIDDEN);
            add(&mut d_hidden, d, &self.param[row.clone()]);
            add(&mut self.grad[row], d, &self.hidden);
            self.grad[self.segments[B2].offset + k] += d;
        }
        let mut d_input = [0.0; INPUT];
        for (j, d) in d_hidden.into_iter().enumerate() {
            let d = d * (1.0 - self.hidden[j] * self.hidden[j]);
            let row = self.row(W1, j, INPUT);
            add(&mut d_input, d, &self.param[row.clone()]);
            add(&mut self.grad[row], d, &self.input);
            self.grad[self.segments[B1].offset + j] += d;
        }
        for (c, byte) in window[..CONTEXT].iter().enumerate() {
            let row = self.row(EMBED, *byte as usize, EMBEDDING);
            add(&mut self.grad[row], 1.0, &d_input[c * EMBEDDING..(c + 1) * EMBEDDING]);
        }
        loss
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// `to += factor * from`
fn add(to: &mut [f32], factor: f32, from: &[f32]) {
    for (x, y) in to.iter_mut().zip(from) {
        *x += factor * y;
    }
}
