//! One vector abstraction, one file per instruction set.
//!
//! Every kernel is written once over [`Simd`] and instantiated per instruction set inside a
//! function that enables the set's target features (see [`crate::isa`]).

#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;
#[cfg(target_arch = "aarch64")]
pub(crate) mod neon;
pub(crate) mod portable;

/// A vector of `LANES` f32.
///
/// # Safety
/// Every method may only run on a CPU that has the instruction set of the implementation, and
/// within a function that enables it (all are `inline(always)`, so that they take on its
/// features). Methods that take pointers read or write `LANES` floats there (`n` floats in the
/// partial forms), without any demand on alignment.
#[allow(dead_code)]
pub(crate) trait Simd: Copy + 'static {
    /// Floats in a vector: a multiple of 4.
    const LANES: usize;
    /// Rows (outputs) of the GEMM micro-kernel.
    const MR: usize;
    /// Vectors per row of the GEMM micro-kernel.
    const NV: usize;
    /// Rows of the dot-product micro-kernel.
    const DM: usize;

    /// The register type.
    type V: Copy;

    unsafe fn splat(x: f32) -> Self::V;
    unsafe fn load(p: *const f32) -> Self::V;
    unsafe fn store(p: *mut f32, v: Self::V);
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn div(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn min(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn sqrt(a: Self::V) -> Self::V;
    /// a · b + c.
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// To the nearest integer, for |a| < 2²².
    unsafe fn round(a: Self::V) -> Self::V;
    /// 2^n for integral n in −126..=127.
    unsafe fn exp2_int(n: Self::V) -> Self::V;
    /// 1/a for a in 1..=2¹²⁶, within 2 units in the last place.
    unsafe fn recip(a: Self::V) -> Self::V;

    /// `[v0 | v1]` to even and odd elements.
    unsafe fn deinterleave2(v: [Self::V; 2]) -> [Self::V; 2];
    /// Inverse of [`Simd::deinterleave2`].
    unsafe fn interleave2(v: [Self::V; 2]) -> [Self::V; 2];
    /// `out[j]` holds the elements 4t + j of the concatenated input.
    unsafe fn deinterleave4(v: [Self::V; 4]) -> [Self::V; 4];
    /// Inverse of [`Simd::deinterleave4`].
    unsafe fn interleave4(v: [Self::V; 4]) -> [Self::V; 4];

    /// The first `n` ≤ `LANES` floats at `p`; the rest is zero.
    #[inline(always)]
    unsafe fn load_partial(p: *const f32, n: usize) -> Self::V {
        let mut t = [0f32; 16];
        // SAFETY: n ≤ LANES ≤ 16, and the caller vouches for n floats at p.
        unsafe {
            std::ptr::copy_nonoverlapping(p, t.as_mut_ptr(), n);
            Self::load(t.as_ptr())
        }
    }

    /// Writes the first `n` ≤ `LANES` floats.
    #[inline(always)]
    unsafe fn store_partial(p: *mut f32, n: usize, v: Self::V) {
        let mut t = [0f32; 16];
        // SAFETY: n ≤ LANES ≤ 16, and the caller vouches for n floats at p.
        unsafe {
            Self::store(t.as_mut_ptr(), v);
            std::ptr::copy_nonoverlapping(t.as_ptr(), p, n);
        }
    }

    /// The sums over the lanes of four vectors, always in the same order.
    #[inline(always)]
    unsafe fn sum4(v: [Self::V; 4]) -> [f32; 4] {
        let mut sums = [0f32; 4];
        for (sum, v) in sums.iter_mut().zip(v) {
            let mut t = [0f32; 16];
            // SAFETY: t holds at least LANES floats.
            unsafe { Self::store(t.as_mut_ptr(), v) };
            let mut n = Self::LANES;
            while n > 1 {
                n /= 2;
                for i in 0..n {
                    t[i] += t[i + n];
                }
            }
            *sum = t[0];
        }
        sums
    }

    /// Partial sums of squares, as 32-bit integers.
    type Squares: Copy;

    unsafe fn no_squares() -> Self::Squares;
    /// `sum` with the squared differences between the first `n` ≤ 16 of the 16 numbers at `a` and
    /// at `b`; each lies within ±4095, and a lane takes no more than 64 squares.
    unsafe fn add_squares(
        sum: Self::Squares,
        a: *const i16,
        b: *const i16,
        n: usize,
    ) -> Self::Squares;
    unsafe fn total(sum: Self::Squares) -> u32;

    /// Hints that the line at `p` is needed soon; `p` need not be valid.
    #[inline(always)]
    unsafe fn prefetch(_p: *const f32) {}
}

/// `n` ≤ `LANES` floats at `p`; the rest is zero.
#[inline(always)]
pub(crate) unsafe fn load_n<S: Simd>(p: *const f32, n: usize) -> S::V {
    // SAFETY: the caller vouches for n floats at p.
    unsafe {
        if n == S::LANES {
            S::load(p)
        } else {
            S::load_partial(p, n)
        }
    }
}

/// Writes the first `n` ≤ `LANES` floats.
#[inline(always)]
pub(crate) unsafe fn store_n<S: Simd>(p: *mut f32, n: usize, v: S::V) {
    // SAFETY: the caller vouches for n floats at p.
    unsafe {
        if n == S::LANES {
            S::store(p, v)
        } else {
            S::store_partial(p, n, v)
        }
    }
}

/// Runs the body for each vector of `0..len`: `$i` is its first element, `$n` its length.
macro_rules! vectors {
    ($S:ty, $len:expr, |$i:ident, $n:ident| $body:block) => {{
        let len: usize = $len;
        let mut $i = 0;
        while $i < len {
            let $n = <$S as $crate::simd::Simd>::LANES.min(len - $i);
            $body
            $i += $n;
        }
    }};
}
pub(crate) use vectors;

/// e^x, within about 2e-7 relative; x is clamped to ±87.
#[inline(always)]
pub(crate) unsafe fn exp<S: Simd>(x: S::V) -> S::V {
    // SAFETY: lane-wise arithmetic only; the caller is in a context of S's features.
    unsafe {
        let x = S::max(S::min(x, S::splat(87.3)), S::splat(-87.3));
        let n = S::round(S::mul(x, S::splat(std::f32::consts::LOG2_E)));
        // x − n·ln 2 in two parts, so that the remainder keeps its digits.
        let r = S::fma(n, S::splat(-0.693_359_4), x);
        let r = S::fma(n, S::splat(2.121_944_4e-4), r);
        let mut p = S::splat(1.388_888_9e-3);
        for c in [8.333_333e-3, 4.166_666_7e-2, 1.666_666_7e-1, 0.5, 1.0, 1.0] {
            p = S::fma(p, r, S::splat(c));
        }
        S::mul(p, S::exp2_int(n))
    }
}

/// 1 / (1 + e^−x).
#[inline(always)]
pub(crate) unsafe fn sigmoid<S: Simd>(x: S::V) -> S::V {
    // SAFETY: as in `exp`; 1 + e^y lies within the range that `recip` allows.
    unsafe {
        let e = exp::<S>(S::sub(S::splat(0.0), x));
        S::recip(S::add(S::splat(1.0), e))
    }
}

/// x / (1 + e^−x).
#[inline(always)]
pub(crate) unsafe fn silu<S: Simd>(x: S::V) -> S::V {
    // SAFETY: as in `sigmoid`.
    unsafe { S::mul(x, sigmoid::<S>(x)) }
}
