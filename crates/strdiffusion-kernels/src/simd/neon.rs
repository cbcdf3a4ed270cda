//! NEON (aarch64).

// Every method is a thin cover over intrinsics; `Simd`'s contract is the reason for all of them.
#![allow(unsafe_op_in_unsafe_fn)]

use super::Simd;
use std::arch::aarch64::*;

/// 4 lanes, 32 registers.
#[derive(Clone, Copy)]
pub(crate) struct Neon;

impl Simd for Neon {
    const LANES: usize = 4;
    const MR: usize = 8;
    const NV: usize = 2;
    const DM: usize = 6;
    type V = float32x4_t;

    #[inline(always)]
    unsafe fn splat(x: f32) -> float32x4_t {
        vdupq_n_f32(x)
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> float32x4_t {
        vld1q_f32(p)
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, v: float32x4_t) {
        vst1q_f32(p, v)
    }
    #[inline(always)]
    unsafe fn add(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        vaddq_f32(a, b)
    }
    #[inline(always)]
    unsafe fn sub(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        vsubq_f32(a, b)
    }
    #[inline(always)]
    unsafe fn mul(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        vmulq_f32(a, b)
    }
    #[inline(always)]
    unsafe fn div(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        vdivq_f32(a, b)
    }
    #[inline(always)]
    unsafe fn max(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        vmaxq_f32(a, b)
    }
    #[inline(always)]
    unsafe fn min(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        vminq_f32(a, b)
    }
    #[inline(always)]
    unsafe fn sqrt(a: float32x4_t) -> float32x4_t {
        vsqrtq_f32(a)
    }
    #[inline(always)]
    unsafe fn fma(a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        vfmaq_f32(c, a, b)
    }
    #[inline(always)]
    unsafe fn round(a: float32x4_t) -> float32x4_t {
        vrndnq_f32(a)
    }
    #[inline(always)]
    unsafe fn exp2_int(n: float32x4_t) -> float32x4_t {
        let i = vaddq_s32(vcvtnq_s32_f32(n), vdupq_n_s32(127));
        vreinterpretq_f32_s32(vshlq_n_s32::<23>(i))
    }
    #[inline(always)]
    unsafe fn recip(a: float32x4_t) -> float32x4_t {
        vdivq_f32(vdupq_n_f32(1.0), a)
    }
    #[inline(always)]
    unsafe fn deinterleave2(v: [float32x4_t; 2]) -> [float32x4_t; 2] {
        [vuzp1q_f32(v[0], v[1]), vuzp2q_f32(v[0], v[1])]
    }
    #[inline(always)]
    unsafe fn interleave2(v: [float32x4_t; 2]) -> [float32x4_t; 2] {
        [vzip1q_f32(v[0], v[1]), vzip2q_f32(v[0], v[1])]
    }
    #[inline(always)]
    unsafe fn deinterleave4(v: [float32x4_t; 4]) -> [float32x4_t; 4] {
        let (e0, o0) = (vuzp1q_f32(v[0], v[1]), vuzp2q_f32(v[0], v[1]));
        let (e1, o1) = (vuzp1q_f32(v[2], v[3]), vuzp2q_f32(v[2], v[3]));
        [
            vuzp1q_f32(e0, e1),
            vuzp1q_f32(o0, o1),
            vuzp2q_f32(e0, e1),
            vuzp2q_f32(o0, o1),
        ]
    }
    #[inline(always)]
    unsafe fn interleave4(v: [float32x4_t; 4]) -> [float32x4_t; 4] {
        let (a0, a1) = (vzip1q_f32(v[0], v[2]), vzip2q_f32(v[0], v[2]));
        let (b0, b1) = (vzip1q_f32(v[1], v[3]), vzip2q_f32(v[1], v[3]));
        [
            vzip1q_f32(a0, b0),
            vzip2q_f32(a0, b0),
            vzip1q_f32(a1, b1),
            vzip2q_f32(a1, b1),
        ]
    }
    #[inline(always)]
    unsafe fn sum4(v: [float32x4_t; 4]) -> [f32; 4] {
        let q = vpaddq_f32(vpaddq_f32(v[0], v[1]), vpaddq_f32(v[2], v[3]));
        let mut sums = [0f32; 4];
        vst1q_f32(sums.as_mut_ptr(), q);
        sums
    }

    type Squares = int32x4_t;

    #[inline(always)]
    unsafe fn no_squares() -> int32x4_t {
        vdupq_n_s32(0)
    }
    #[inline(always)]
    unsafe fn add_squares(sum: int32x4_t, a: *const i16, b: *const i16, n: usize) -> int32x4_t {
        // A constant where `n` is: kernels are inlined.
        let mut first = [0i16; 16];
        first[..n].fill(-1);
        let mut sum = sum;
        for i in [0, 8] {
            let d = vsubq_s16(vld1q_s16(a.add(i)), vld1q_s16(b.add(i)));
            let d = vandq_s16(d, vld1q_s16(first.as_ptr().add(i)));
            sum = vmlal_s16(sum, vget_low_s16(d), vget_low_s16(d));
            sum = vmlal_high_s16(sum, d, d);
        }
        sum
    }
    #[inline(always)]
    unsafe fn total(sum: int32x4_t) -> u32 {
        vaddvq_s32(sum) as u32
    }
}
