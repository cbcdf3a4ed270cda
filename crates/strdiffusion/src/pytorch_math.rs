//! Cosine and exponential of f32 as PyTorch computes them on an x86 CPU, bit for bit.
//!
//! Near t = 0 the reference implementation's f32 schedules are differences of almost equal numbers,
//! which turn one unit in the last place of a cosine into the second digit of the result. PyTorch
//! rounds one cosine in seventeen and one exponential in a hundred otherwise than correct rounding
//! does, so a faithful schedule needs its formulas. They were found from its results (2.15.0, with
//! Intel's vector library): equal to them for every argument that a cosine schedule of T = 2..1000
//! asks for, and for 12 million cosines and 1.5 million exponentials drawn at random.

use std::f64::consts::{FRAC_PI_2, LN_2};

/// cos(x) for 0 < x < π/2: sin(π/2 − x) by a polynomial in f64, rounded once.
pub(crate) fn cos(x: f32) -> f32 {
    const C: [f64; 4] = [
        -0.166_666_595_504_154_44,
        0.008_333_066_245_901_272,
        -0.000_198_096_029_034_773_27,
        2.605_780_674_464_753_5e-6,
    ];
    let y = FRAC_PI_2 - f64::from(x);
    let square = y * y;
    let tail = C[0] + square * (C[1] + square * (C[2] + square * C[3]));
    (y + y * square * tail) as f32
}

/// e^x for −80 < x ≤ 0: 2^(n/128) · (1 + r + r²/2), every operation in f32, with ln 2 / 128 and
/// 2^(n/128) each in two parts.
pub(crate) fn exp(x: f32) -> f32 {
    const PARTS: f64 = 128.0;
    /// The first nine bits of ln 2 / 128: a product with n is exact.
    const STEP_HIGH: f32 = 355.0 / 65_536.0;
    let step_low = (LN_2 / PARTS - f64::from(STEP_HIGH)) as f32;
    let n = (x * (PARTS / LN_2) as f32).round_ties_even();
    let r = (x - n * STEP_HIGH) - n * step_low;
    let p = r + r * r * 0.5;

    let whole = (f64::from(n) / PARTS).floor();
    let power = (f64::from(n) / PARTS - whole).exp2();
    let high = power as f32;
    let low = (power - f64::from(high)) as f32;
    let q = high * p + low;
    (high + q) * 2f32.powi(whole as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected: `torch.cos` and `torch.exp` of PyTorch 2.15.0 on an x86 CPU with AVX2. Of the
    /// first six of each the correctly rounded result is another.
    #[test]
    fn rounding_is_that_of_pytorch() {
        let bits = |pairs: &[(u32, u32)], f: fn(f32) -> f32| {
            for &(x, expected) in pairs {
                let x = f32::from_bits(x);
                assert_eq!(f(x).to_bits(), expected, "of {x:e}");
            }
        };
        bits(&COSINES, cos);
        bits(&EXPONENTIALS, exp);
    }

    const COSINES: [(u32, u32); 12] = [
        (0x3cd0b9af, 0x3f7feaba),
        (0x3e8751c9, 0x3f771c60),
        (0x3efd1324, 0x3f615bd2),
        (0x3f32c50b, 0x3f441397),
        (0x3f8a3a62, 0x3ef15cbd),
        (0x3fbd76ad, 0x3db951df),
        (0x3c4ccccd, 0x3f7ffae1),
        (0x3ea8cfdc, 0x3f7235f8),
        (0x3f259ca9, 0x3f4c45fe),
        (0x3f748efa, 0x3f13cdc3),
        (0x3fa248bf, 0x3e98bfcf),
        (0x3fc8f5c3, 0x3a50bd10),
    ];
    const EXPONENTIALS: [(u32, u32); 12] = [
        (0xbf018937, 0x3f1a57d0),
        (0xc019b4e8, 0x3db97b21),
        (0xc08983c1, 0x3c5ee6a1),
        (0xc0b3a328, 0x3b6f0dc1),
        (0xc1164dd3, 0x38ae876a),
        (0xc12d020c, 0x37a8e9cc),
        (0x80000000, 0x3f800000),
        (0xc00c90ba, 0x3de3c229),
        (0xc08ccccd, 0x3c4926e4),
        (0xc0d3513d, 0x3ab1a74f),
        (0xc10c9fbe, 0x391fcda9),
        (0xc1300000, 0x378c1aa1),
    ];
}
