// SPDX-License-Identifier: Apache-2.0
//! The buffers of a run: flat vectors, viewed as what a plan stores, whole or one tensor after the other. Used by `Run`.
use swd::{Block8, Dtype, Flat, Grad, MomentDtype, Moments, Param, ParamCopy, ParamDtype, PlanArgs, Tensor};

/// What plans with narrow states store; vectors that a plan has no use for are empty. The scales of a tensor lie where a
/// flat plan has them, in a list too.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Narrow {
    pub bf16: Vec<u16>,
    pub remainder16: Vec<i16>,
    pub remainder8: Vec<i8>,
    pub moments16: [Vec<u16>; 2],
    pub codes: [Vec<u8>; 2],
    pub scales: [Vec<u8>; 2],
}

fn room_for_scales(count: usize) -> usize {
    32 * count.div_ceil(4096)
}

impl Narrow {
    pub fn new(args: &PlanArgs, counts: &[usize]) -> Narrow {
        let n = counts.iter().sum();
        let scales = counts.iter().map(|count| room_for_scales(*count)).sum();
        let mut out = Narrow::default();
        match args.param_dtype {
            ParamDtype::F32 => {}
            ParamDtype::Split16 => (out.bf16, out.remainder16) = (vec![0; n], vec![0; n]),
            ParamDtype::Split8 => (out.bf16, out.remainder8) = (vec![0; n], vec![0; n]),
            ParamDtype::Bf16 => out.bf16 = vec![0; n],
        }
        match args.moment_dtype {
            MomentDtype::F32 => {}
            MomentDtype::Bf16 => out.moments16 = [vec![0; n], vec![0; n]],
            MomentDtype::Block8 => {
                (out.codes, out.scales) = ([vec![0; n], vec![0; n]], [vec![0; scales], vec![0; scales]]);
            }
        }
        out
    }

    pub fn bytes(&self) -> Vec<u8> {
        let signed: Vec<u16> = self.remainder16.iter().map(|x| *x as u16).collect();
        let words = [&self.bf16, &signed, &self.moments16[0], &self.moments16[1]];
        let mut out: Vec<u8> = words.into_iter().flatten().flat_map(|x| x.to_le_bytes()).collect();
        out.extend(self.remainder8.iter().map(|x| *x as u8));
        out.extend(self.codes.iter().chain(&self.scales).flatten());
        out
    }
}

/// What the plan stores, of fp32 vectors (param, exp_avg, exp_avg_sq) and narrow ones.
pub fn stored<'a>(args: &PlanArgs, wide: [&'a mut [f32]; 3], narrow: &'a mut Narrow) -> (Param<'a>, Moments<'a>) {
    let [param, exp_avg, exp_avg_sq] = wide;
    let Narrow { bf16, remainder16, remainder8, moments16: [m16, w16], codes: [m, w], scales: [ms, ws] } = narrow;
    let param = match args.param_dtype {
        ParamDtype::F32 => Param::F32(param),
        ParamDtype::Split16 => Param::Split16 { bf16, remainder: remainder16 },
        ParamDtype::Split8 => Param::Split8 { bf16, remainder: remainder8 },
        ParamDtype::Bf16 => Param::Bf16(bf16),
    };
    let moments = match args.moment_dtype {
        MomentDtype::F32 => Moments::F32 { exp_avg, exp_avg_sq },
        MomentDtype::Bf16 => Moments::Bf16 { exp_avg: m16, exp_avg_sq_over_unit: w16 },
        MomentDtype::Block8 => Moments::Block8 {
            exp_avg: Block8 { codes: m, scales: ms },
            exp_avg_sq_over_unit: Block8 { codes: w, scales: ws },
        },
    };
    (param, moments)
}

pub fn copy_of(dtype: Dtype, codes: &mut [u16]) -> ParamCopy<'_> {
    match dtype {
        Dtype::Bf16 => ParamCopy::Bf16(codes),
        _ => ParamCopy::F16(codes),
    }
}

/// Takes the first n elements off a slice.
pub fn take<'a, T>(rest: &mut &'a mut [T], n: usize) -> &'a mut [T] {
    let (head, tail) = std::mem::take(rest).split_at_mut(n);
    *rest = tail;
    head
}

fn take_param<'a>(rest: &mut Param<'a>, n: usize) -> Param<'a> {
    match rest {
        Param::F32(x) => Param::F32(take(x, n)),
        Param::Split16 { bf16, remainder } => Param::Split16 { bf16: take(bf16, n), remainder: take(remainder, n) },
        Param::Split8 { bf16, remainder } => Param::Split8 { bf16: take(bf16, n), remainder: take(remainder, n) },
        Param::Bf16(x) => Param::Bf16(take(x, n)),
    }
}

fn take_block8<'a>(rest: &mut Block8<'a>, n: usize) -> Block8<'a> {
    let scales = take(&mut rest.scales, room_for_scales(n));
    Block8 { codes: take(&mut rest.codes, n), scales: &mut scales[..Block8::scales_of(n)] }
}

fn take_moments<'a>(rest: &mut Moments<'a>, n: usize) -> Moments<'a> {
    match rest {
        Moments::F32 { exp_avg, exp_avg_sq } => {
            Moments::F32 { exp_avg: take(exp_avg, n), exp_avg_sq: take(exp_avg_sq, n) }
        }
        Moments::Bf16 { exp_avg, exp_avg_sq_over_unit } => {
            Moments::Bf16 { exp_avg: take(exp_avg, n), exp_avg_sq_over_unit: take(exp_avg_sq_over_unit, n) }
        }
        Moments::Block8 { exp_avg, exp_avg_sq_over_unit } => Moments::Block8 {
            exp_avg: take_block8(exp_avg, n),
            exp_avg_sq_over_unit: take_block8(exp_avg_sq_over_unit, n),
        },
    }
}

pub fn split<'a>(flat: Flat<'a>, counts: &[usize], has_grad: &[bool]) -> Vec<Tensor<'a>> {
    let Flat { mut param, grad, mut moments, mut max_exp_avg_sq, mut param_copy } = flat;
    let mut begin = 0;
    let mut tensors = Vec::new();
    for (&n, &present) in counts.iter().zip(has_grad) {
        let range = begin..begin + n;
        begin += n;
        tensors.push(Tensor {
            param: take_param(&mut param, n),
            grad: present.then_some(match grad {
                Grad::F32(x) => Grad::F32(&x[range]),
                Grad::Bf16(x) => Grad::Bf16(&x[range]),
                Grad::F16(x) => Grad::F16(&x[range]),
            }),
            moments: take_moments(&mut moments, n),
            max_exp_avg_sq: max_exp_avg_sq.as_mut().map(|rest| take(rest, n)),
            param_copy: param_copy.as_mut().map(|copy| match copy {
                ParamCopy::Bf16(rest) => ParamCopy::Bf16(take(rest, n)),
                ParamCopy::F16(rest) => ParamCopy::F16(take(rest, n)),
            }),
        });
    }
    tensors
}
