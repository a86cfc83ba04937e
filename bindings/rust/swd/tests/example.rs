// SPDX-License-Identifier: Apache-2.0
//! The gradient of the example's model against central differences of its loss.
#[allow(dead_code)] // the training loop uses the rest
#[path = "../examples/train/model.rs"]
mod model;
use model::{Model, Random, CONTEXT};

#[test]
fn gradient_is_that_of_the_loss() {
    let mut model = Model::new(7, &mut Random(3));
    let window: Vec<u8> = (0..=CONTEXT).map(|i| (i * i % 7) as u8).collect();
    let loss = model.loss_and_gradient(&window, 1.0);
    assert_eq!(loss, model.loss(&window));
    let (mut error, mut norm) = (0.0, 0.0);
    for i in 0..model.param.len() {
        let at = model.param[i];
        let mut loss_at = |x| {
            model.param[i] = x;
            model.loss(&window)
        };
        let slope = (loss_at(at + 0.01) - loss_at(at - 0.01)) / 0.02;
        model.param[i] = at;
        error += (slope - model.grad[i]).powi(2);
        norm += model.grad[i].powi(2);
    }
    assert!(norm > 0.1 && error < 1e-4 * norm, "{error} of {norm}");
}
