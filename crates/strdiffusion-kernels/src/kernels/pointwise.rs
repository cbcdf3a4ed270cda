//! Work on one plane (one channel of one picture) at a time.

use crate::simd::{Simd, load_n, sigmoid, silu, store_n, vectors};

/// Operands of [`modulate`] and [`modulate_back`].
pub(crate) struct Modulate {
    pub count: usize,
    pub x: *const f32,
    /// x·mul + add, then SiLU.
    pub mul: f32,
    pub add: f32,
    /// Result (forward).
    pub y: *mut f32,
    /// Backward: the gradient of the result, where dx goes, and Σ du·x and Σ du, where du is the
    /// gradient before the SiLU.
    pub dy: *const f32,
    pub dx: *mut f32,
    pub sums: *mut f32,
}

/// y = SiLU(x·mul + add).
///
/// # Safety
/// The pointers cover `count` floats, and the CPU has the features of `S`.
#[inline(always)]
pub(crate) unsafe fn modulate<S: Simd>(g: &Modulate) {
    // SAFETY: the contract.
    unsafe {
        let (mul, add) = (S::splat(g.mul), S::splat(g.add));
        vectors!(S, g.count, |i, n| {
            let u = S::fma(load_n::<S>(g.x.add(i), n), mul, add);
            store_n::<S>(g.y.add(i), n, silu::<S>(u));
        });
    }
}

/// Stretches whose sums are kept in f32.
const STRETCH: usize = 4096;

/// With s = sigmoid(u): du = dy·s·(1 + u·(1 − s)), dx = du·mul.
///
/// # Safety
/// As [`modulate`]; `sums` covers 2 floats.
#[inline(always)]
pub(crate) unsafe fn modulate_back<S: Simd>(g: &Modulate) {
    // SAFETY: the contract.
    unsafe {
        let (mul, add) = (S::splat(g.mul), S::splat(g.add));
        let (one, mut at) = (S::splat(1.0), 0);
        let (mut scale, mut shift) = (0f64, 0f64);
        while at < g.count {
            let (mut dot, mut sum) = (S::splat(0.0), S::splat(0.0));
            let (from, dy, dx) = (g.x.add(at), g.dy.add(at), g.dx.add(at));
            let stretch = STRETCH.min(g.count - at);
            vectors!(S, stretch, |i, n| {
                let x = load_n::<S>(from.add(i), n);
                let u = S::fma(x, mul, add);
                let s = sigmoid::<S>(u);
                let slope = S::mul(s, S::fma(u, S::sub(one, s), one));
                let d = S::mul(load_n::<S>(dy.add(i), n), slope);
                dot = S::fma(d, x, dot);
                sum = S::add(sum, d);
                store_n::<S>(dx.add(i), n, S::mul(d, mul));
            });
            let sums = S::sum4([dot, sum, dot, sum]);
            scale += f64::from(sums[0]);
            shift += f64::from(sums[1]);
            at += stretch;
        }
        *g.sums = scale as f32;
        *g.sums.add(1) = shift as f32;
    }
}
