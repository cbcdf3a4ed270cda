//! Plain arrays, for any target: written so that the compiler can vectorise them.

use super::Simd;

/// 8 lanes of ordinary arithmetic.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

const N: usize = 8;
type V = [f32; N];

#[inline(always)]
fn zip(a: V, b: V, f: impl Fn(f32, f32) -> f32) -> V {
    let mut o = [0.0; N];
    for i in 0..N {
        o[i] = f(a[i], b[i]);
    }
    o
}

impl Simd for Portable {
    const LANES: usize = N;
    const MR: usize = 4;
    const NV: usize = 1;
    const DM: usize = 2;
    type V = V;

    #[inline(always)]
    unsafe fn splat(x: f32) -> V {
        [x; N]
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> V {
        // SAFETY: the caller vouches for N floats at p; the read is unaligned.
        unsafe { p.cast::<V>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, v: V) {
        // SAFETY: the caller vouches for N floats at p; the write is unaligned.
        unsafe { p.cast::<V>().write_unaligned(v) }
    }
    #[inline(always)]
    unsafe fn add(a: V, b: V) -> V {
        zip(a, b, |x, y| x + y)
    }
    #[inline(always)]
    unsafe fn sub(a: V, b: V) -> V {
        zip(a, b, |x, y| x - y)
    }
    #[inline(always)]
    unsafe fn mul(a: V, b: V) -> V {
        zip(a, b, |x, y| x * y)
    }
    #[inline(always)]
    unsafe fn div(a: V, b: V) -> V {
        zip(a, b, |x, y| x / y)
    }
    #[inline(always)]
    unsafe fn max(a: V, b: V) -> V {
        zip(a, b, |x, y| if x > y { x } else { y })
    }
    #[inline(always)]
    unsafe fn min(a: V, b: V) -> V {
        zip(a, b, |x, y| if x < y { x } else { y })
    }
    #[inline(always)]
    unsafe fn sqrt(a: V) -> V {
        a.map(f32::sqrt)
    }
    #[inline(always)]
    unsafe fn fma(a: V, b: V, c: V) -> V {
        // Not `mul_add`: without the instruction it is a library call.
        let mut o = [0.0; N];
        for i in 0..N {
            o[i] = a[i] * b[i] + c[i];
        }
        o
    }
    #[inline(always)]
    unsafe fn round(a: V) -> V {
        // Adding 1.5 · 2²³ leaves no room for a fraction.
        let magic = 12_582_912.0;
        zip(a, [magic; N], |x, m| (x + m) - m)
    }
    #[inline(always)]
    unsafe fn exp2_int(n: V) -> V {
        n.map(|x| f32::from_bits(((x as i32 + 127) as u32) << 23))
    }
    #[inline(always)]
    unsafe fn recip(a: V) -> V {
        a.map(|x| 1.0 / x)
    }
    #[inline(always)]
    unsafe fn deinterleave2(v: [V; 2]) -> [V; 2] {
        let mut o = [[0.0; N]; 2];
        for i in 0..2 * N {
            o[i % 2][i / 2] = v[i / N][i % N];
        }
        o
    }
    #[inline(always)]
    unsafe fn interleave2(v: [V; 2]) -> [V; 2] {
        let mut o = [[0.0; N]; 2];
        for i in 0..2 * N {
            o[i / N][i % N] = v[i % 2][i / 2];
        }
        o
    }
    #[inline(always)]
    unsafe fn deinterleave4(v: [V; 4]) -> [V; 4] {
        let mut o = [[0.0; N]; 4];
        for i in 0..4 * N {
            o[i % 4][i / 4] = v[i / N][i % N];
        }
        o
    }
    #[inline(always)]
    unsafe fn interleave4(v: [V; 4]) -> [V; 4] {
        let mut o = [[0.0; N]; 4];
        for i in 0..4 * N {
            o[i / N][i % N] = v[i % 4][i / 4];
        }
        o
    }

    type Squares = u32;

    #[inline(always)]
    unsafe fn no_squares() -> u32 {
        0
    }
    #[inline(always)]
    unsafe fn add_squares(sum: u32, a: *const i16, b: *const i16, n: usize) -> u32 {
        let mut sum = sum;
        for i in 0..n {
            // SAFETY: the caller vouches for 16 numbers at a and at b.
            let d = unsafe { i32::from(*a.add(i)) - i32::from(*b.add(i)) };
            sum += (d * d) as u32;
        }
        sum
    }
    #[inline(always)]
    unsafe fn total(sum: u32) -> u32 {
        sum
    }
}
