// SPDX-License-Identifier: Apache-2.0
//! The norm record by name. Records themselves are slices of doubles: see `Workspace::fold`.
use crate::NormRecord;

/// The first eight doubles of a record. What a plan's record holds beyond them has no names yet.
///
/// # Panics
/// If there are fewer than eight.
pub fn norm_record(record: &[f64]) -> NormRecord {
    let [sum_sq, bad, vbar_base, vbar_grad, count, total_sq, unknown, invalid] =
        record[..8].try_into().expect("eight doubles");
    NormRecord { sum_sq, bad, vbar_base, vbar_grad, count, total_sq, unknown, invalid }
}
