//! What an optimizer does to a stretch of weights.

use crate::optimizer::AdamStep;
use crate::simd::{Simd, load_n, store_n, vectors};

/// Operands of [`adam`].
pub(crate) struct Adam {
    pub count: usize,
    pub step: AdamStep,
    pub weight: *const f32,
    pub gradient: *const f32,
    pub moments: [*const f32; 2],
    pub new_weight: *mut f32,
    pub new_moments: [*mut f32; 2],
}

/// One step. Every operation is rounded by itself, in the order that the formula says, so that the
/// result is the same on every instruction set.
///
/// # Safety
/// The pointers cover `count` floats, and the CPU has the features of `S`.
#[inline(always)]
pub(crate) unsafe fn adam<S: Simd>(a: &Adam) {
    // SAFETY: the contract.
    unsafe {
        let s = &a.step;
        let [beta1, beta2] = [s.beta1, s.beta2].map(|b| S::splat(b));
        let [rest1, rest2] = [1.0 - s.beta1, 1.0 - s.beta2].map(|b| S::splat(b));
        let [factor, epsilon] = s.corrections().map(|c| S::splat(c));
        let rate = S::splat(s.rate);
        vectors!(S, a.count, |i, n| {
            let g = load_n::<S>(a.gradient.add(i), n);
            let [m, v] = a.moments.map(|m| load_n::<S>(m.add(i), n));
            let m = S::add(S::mul(m, beta1), S::mul(g, rest1));
            let v = S::add(S::mul(v, beta2), S::mul(S::mul(g, g), rest2));
            let delta = S::div(S::mul(m, factor), S::add(S::sqrt(v), epsilon));
            let w = load_n::<S>(a.weight.add(i), n);
            store_n::<S>(a.new_weight.add(i), n, S::sub(w, S::mul(delta, rate)));
            store_n::<S>(a.new_moments[0].add(i), n, m);
            store_n::<S>(a.new_moments[1].add(i), n, v);
        });
    }
}

/// Operands of [`blend`].
pub(crate) struct Blend {
    pub count: usize,
    pub average: *const f32,
    pub value: *const f32,
    pub decay: f32,
    pub out: *mut f32,
}

/// out = average · decay + value · (1 − decay).
///
/// # Safety
/// As [`adam`].
#[inline(always)]
pub(crate) unsafe fn blend<S: Simd>(b: &Blend) {
    // SAFETY: the contract.
    unsafe {
        let (decay, rest) = (S::splat(b.decay), S::splat(1.0 - b.decay));
        vectors!(S, b.count, |i, n| {
            let average = S::mul(load_n::<S>(b.average.add(i), n), decay);
            let value = S::mul(load_n::<S>(b.value.add(i), n), rest);
            store_n::<S>(b.out.add(i), n, S::add(average, value));
        });
    }
}
