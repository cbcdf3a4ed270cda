//! Normalisation over the channels at each position, with what the network does right after it.

use crate::simd::{Simd, load_n, store_n, vectors};

/// Operands of [`norm`] and [`norm_back`] for a block of positions of one picture. Rows are
/// channels, those of x `x_step` and all others `step` floats apart; null stands for "none".
pub(crate) struct Norm {
    pub channels: usize,
    pub count: usize,
    pub step: usize,
    pub x_step: usize,
    pub x: *const f32,
    /// Gain, `[channels]`.
    pub gain: *const f32,
    /// Maps γ and β: norm·(1 + γ) + β. Both or neither.
    pub gamma: *const f32,
    pub beta: *const f32,
    /// Added last.
    pub residual: *const f32,
    /// Slope of a leaky ReLU after the maps; 1 for none.
    pub slope: f32,
    /// What the sum of squares is divided by.
    pub divisor: f32,
    pub epsilon: f32,
    /// Result (forward), rows `y_step` apart.
    pub y: *mut f32,
    pub y_step: usize,
    /// Two (forward) or four (backward) rows of at least `count` floats.
    pub scratch: *mut f32,
    /// Backward: the gradient of the result, and where the gradients go.
    pub dy: *const f32,
    pub dx: *mut f32,
    pub dgamma: *mut f32,
    pub dbeta: *mut f32,
    /// `[channels]`: this block's part of the gain's gradient.
    pub dgain: *mut f32,
}

/// Vectors whose moments are taken together, in registers.
const WIDE: usize = 8;

/// Mean and 1/√(variance + ε) of each position into the first two rows of the scratch memory.
#[inline(always)]
unsafe fn moments<S: Simd>(g: &Norm) {
    // SAFETY: rows of `count` floats, as the contract of the callers says.
    unsafe {
        let whole = g.count / (WIDE * S::LANES) * WIDE * S::LANES;
        for i in (0..whole).step_by(WIDE * S::LANES) {
            moments_at::<S, WIDE>(g, i, S::LANES);
        }
        vectors!(S, g.count - whole, |i, n| {
            moments_at::<S, 1>(g, whole + i, n);
        });
    }
}

/// The same for `N` vectors from position `at` on, of `n` floats (whole ones if there are several).
#[inline(always)]
unsafe fn moments_at<S: Simd, const N: usize>(g: &Norm, at: usize, n: usize) {
    // SAFETY: as in `moments`.
    unsafe {
        let (mean, rstd) = (g.scratch.add(at), g.scratch.add(g.count + at));
        let mut m = [S::splat(0.0); N];
        for c in 0..g.channels {
            let x = g.x.add(c * g.x_step + at);
            for j in 0..N {
                S::prefetch(x.wrapping_add(3 * g.x_step + j * S::LANES));
                m[j] = S::add(m[j], load_n::<S>(x.add(j * S::LANES), n));
            }
        }
        for j in 0..N {
            m[j] = S::mul(m[j], S::splat(1.0 / g.channels as f32));
            store_n::<S>(mean.add(j * S::LANES), n, m[j]);
        }
        let mut v = [S::splat(0.0); N];
        for c in 0..g.channels {
            let x = g.x.add(c * g.x_step + at);
            for j in 0..N {
                let d = S::sub(load_n::<S>(x.add(j * S::LANES), n), m[j]);
                v[j] = S::fma(d, d, v[j]);
            }
        }
        for j in 0..N {
            let v = S::fma(v[j], S::splat(1.0 / g.divisor), S::splat(g.epsilon));
            let r = S::div(S::splat(1.0), S::sqrt(v));
            store_n::<S>(rstd.add(j * S::LANES), n, r);
        }
    }
}

/// y = leaky(norm(x)·gain·(1 + γ) + β) + residual.
///
/// # Safety
/// The pointers cover `count` floats of each row, the results overlap no input, and the CPU has
/// the features of `S`.
#[inline(always)]
pub(crate) unsafe fn norm<S: Simd>(g: &Norm) {
    // SAFETY: the contract.
    unsafe {
        moments::<S>(g);
        let (mean, rstd) = (g.scratch, g.scratch.add(g.count));
        for c in 0..g.channels {
            let (row, from) = (c * g.step, g.x.add(c * g.x_step));
            let gain = if g.gain.is_null() {
                1.0
            } else {
                *g.gain.add(c)
            };
            let y = g.y.add(c * g.y_step);
            vectors!(S, g.count, |i, n| {
                let d = S::sub(load_n::<S>(from.add(i), n), load_n::<S>(mean.add(i), n));
                let mut v = S::mul(S::mul(d, load_n::<S>(rstd.add(i), n)), S::splat(gain));
                if !g.gamma.is_null() {
                    let gamma = load_n::<S>(g.gamma.add(row + i), n);
                    v = S::add(S::fma(v, gamma, v), load_n::<S>(g.beta.add(row + i), n));
                }
                if g.slope != 1.0 {
                    let zero = S::splat(0.0);
                    v = S::fma(S::min(v, zero), S::splat(g.slope), S::max(v, zero));
                }
                if !g.residual.is_null() {
                    v = S::add(v, load_n::<S>(g.residual.add(row + i), n));
                }
                store_n::<S>(y.add(i), n, v);
            });
        }
    }
}

/// The gradients of [`norm`]: with n = norm(x) and d = dy through the leaky ReLU and the gain or
/// the maps, dx = r·(d − mean d − n·Σ(d·n)/divisor).
///
/// # Safety
/// As [`norm`].
#[inline(always)]
pub(crate) unsafe fn norm_back<S: Simd>(g: &Norm) {
    // SAFETY: the contract.
    unsafe {
        moments::<S>(g);
        let (mean, rstd) = (g.scratch, g.scratch.add(g.count));
        let (sum, dot) = (g.scratch.add(2 * g.count), g.scratch.add(3 * g.count));
        vectors!(S, g.count, |i, n| {
            store_n::<S>(sum.add(i), n, S::splat(0.0));
            store_n::<S>(dot.add(i), n, S::splat(0.0));
        });
        let zero = S::splat(0.0);
        // First pass: d into dx, its sums, and the gradients of gain and maps.
        for c in 0..g.channels {
            let (row, from) = (c * g.step, g.x.add(c * g.x_step));
            let gain = if g.gain.is_null() {
                1.0
            } else {
                *g.gain.add(c)
            };
            let mut dgain = zero;
            vectors!(S, g.count, |i, n| {
                let x = S::sub(load_n::<S>(from.add(i), n), load_n::<S>(mean.add(i), n));
                let x = S::mul(x, load_n::<S>(rstd.add(i), n));
                let mut d = load_n::<S>(g.dy.add(row + i), n);
                if !g.gamma.is_null() {
                    let gamma = load_n::<S>(g.gamma.add(row + i), n);
                    if g.slope != 1.0 {
                        let v = S::add(S::fma(x, gamma, x), load_n::<S>(g.beta.add(row + i), n));
                        // 1 where v > 0, else the slope.
                        let on = S::min(S::max(S::mul(v, S::splat(1e38)), zero), S::splat(1.0));
                        d = S::mul(d, S::fma(on, S::splat(1.0 - g.slope), S::splat(g.slope)));
                    }
                    store_n::<S>(g.dbeta.add(row + i), n, d);
                    store_n::<S>(g.dgamma.add(row + i), n, S::mul(d, x));
                    d = S::fma(d, gamma, d);
                }
                dgain = S::fma(d, x, dgain);
                d = S::mul(d, S::splat(gain));
                store_n::<S>(g.dx.add(row + i), n, d);
                store_n::<S>(sum.add(i), n, S::add(load_n::<S>(sum.add(i), n), d));
                store_n::<S>(dot.add(i), n, S::fma(d, x, load_n::<S>(dot.add(i), n)));
            });
            if !g.dgain.is_null() {
                *g.dgain.add(c) = S::sum4([dgain; 4])[0];
            }
        }
        let (by_channels, by_divisor) =
            (S::splat(1.0 / g.channels as f32), S::splat(1.0 / g.divisor));
        vectors!(S, g.count, |i, n| {
            store_n::<S>(
                sum.add(i),
                n,
                S::mul(load_n::<S>(sum.add(i), n), by_channels),
            );
            store_n::<S>(
                dot.add(i),
                n,
                S::mul(load_n::<S>(dot.add(i), n), by_divisor),
            );
        });
        for c in 0..g.channels {
            let (row, from) = (c * g.step, g.x.add(c * g.x_step));
            vectors!(S, g.count, |i, n| {
                let r = load_n::<S>(rstd.add(i), n);
                let x = S::sub(load_n::<S>(from.add(i), n), load_n::<S>(mean.add(i), n));
                let x = S::mul(x, r);
                let d = S::sub(
                    load_n::<S>(g.dx.add(row + i), n),
                    load_n::<S>(sum.add(i), n),
                );
                let d = S::sub(d, S::mul(x, load_n::<S>(dot.add(i), n)));
                store_n::<S>(g.dx.add(row + i), n, S::mul(d, r));
            });
        }
    }
}
