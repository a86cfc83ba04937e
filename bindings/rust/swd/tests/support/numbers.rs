// SPDX-License-Identifier: Apache-2.0
//! Random numbers and 16-bit codes, written for clearness. Used by the tests through `support`.
use swd::Dtype;

fn mix(x: u64) -> u64 {
    let mut x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// Numbers in [-1, 1), exact in fp32, by the rule of tests/golden/README.md.
pub fn uniform(seed: u64, stream: u64, n: usize) -> Vec<f32> {
    let base = mix(mix(seed) ^ stream);
    let number = |i| ((mix(base.wrapping_add(i)) >> 40) as f64 / 8388608.0 - 1.0) as f32;
    (0..n as u64).map(number).collect()
}

/// The code of the nearest 16-bit value towards zero; what is too small for a half is 0.
pub fn code_of(dtype: Dtype, x: f32) -> u16 {
    let bits = x.to_bits();
    match dtype {
        Dtype::Bf16 => (bits >> 16) as u16,
        _ if x.abs() < 2f32.powi(-14) => 0,
        _ => ((bits >> 16) & 0x8000) as u16 | (((bits & 0x7FFF_FFFF) - (112 << 23)) >> 13) as u16,
    }
}

pub fn value_of(dtype: Dtype, code: u16) -> f32 {
    let magnitude = u32::from(code & 0x7FFF);
    match dtype {
        Dtype::Bf16 => f32::from_bits(u32::from(code) << 16),
        _ if magnitude == 0 => 0.0,
        _ => f32::from_bits(u32::from(code & 0x8000) << 16 | ((magnitude << 13) + (112 << 23))),
    }
}
