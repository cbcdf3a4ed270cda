//! The algorithms F(4, 3) and F(2, 3) in one dimension.

use crate::simd::Simd;

/// One algorithm F(M, 3) in one dimension.
pub(crate) trait Algorithm {
    /// Outputs of a tile.
    const M: usize;
    /// Inputs of a tile, and points: M + 2.
    const A: usize;

    /// Bᵀ d.
    ///
    /// # Safety
    /// As the methods of [`Simd`].
    unsafe fn input<S: Simd>(d: &[S::V; 6]) -> [S::V; 6];
    /// Aᵀ m.
    ///
    /// # Safety
    /// As the methods of [`Simd`].
    unsafe fn output<S: Simd>(m: &[S::V; 6]) -> [S::V; 4];
    /// G g.
    ///
    /// # Safety
    /// As the methods of [`Simd`].
    unsafe fn weight<S: Simd>(g: &[S::V; 3]) -> [S::V; 6];
    /// A y, the transpose of the output transform.
    ///
    /// # Safety
    /// As the methods of [`Simd`].
    unsafe fn output_transposed<S: Simd>(y: &[S::V; 4]) -> [S::V; 6];
    /// Gᵀ u, the transpose of the weight transform.
    ///
    /// # Safety
    /// As the methods of [`Simd`].
    unsafe fn weight_transposed<S: Simd>(u: &[S::V; 6]) -> [S::V; 3];
}

/// F(4, 3): 36 multiplications for 16 outputs instead of 144.
pub(crate) struct F43;
/// F(2, 3): 16 multiplications for 4 outputs instead of 36.
pub(crate) struct F23;

/// The points ±P and ±Q of F(4, 3).
const P: f32 = 0.625;
const Q: f32 = 1.5;
const PP: f32 = P * P;
const QQ: f32 = Q * Q;
/// 1 / (2p²(p² − q²)) and the same with p and q exchanged: the weights of the points' rows of G.
const GP: f32 = (1.0 / (2.0 * 0.390_625 * (0.390_625 - 2.25_f64))) as f32;
const GQ: f32 = (1.0 / (2.0 * 2.25 * (2.25_f64 - 0.390_625))) as f32;
const G0: f32 = (1.0 / (0.390_625 * 2.25_f64)) as f32;

impl Algorithm for F43 {
    const M: usize = 4;
    const A: usize = 6;

    #[inline(always)]
    unsafe fn input<S: Simd>(d: &[S::V; 6]) -> [S::V; 6] {
        // SAFETY: lane-wise arithmetic under the caller's contract.
        unsafe {
            let t1 = S::fma(S::splat(-QQ), d[2], d[4]);
            let s1 = S::fma(S::splat(-QQ), d[1], d[3]);
            let t3 = S::fma(S::splat(-PP), d[2], d[4]);
            let s3 = S::fma(S::splat(-PP), d[1], d[3]);
            let (k0, k2) = (S::splat(PP * QQ), S::splat(-(PP + QQ)));
            [
                S::fma(k0, d[0], S::fma(k2, d[2], d[4])),
                S::fma(S::splat(P), s1, t1),
                S::fma(S::splat(-P), s1, t1),
                S::fma(S::splat(Q), s3, t3),
                S::fma(S::splat(-Q), s3, t3),
                S::fma(k0, d[1], S::fma(k2, d[3], d[5])),
            ]
        }
    }

    #[inline(always)]
    unsafe fn output<S: Simd>(m: &[S::V; 6]) -> [S::V; 4] {
        // SAFETY: lane-wise arithmetic under the caller's contract.
        unsafe {
            let (a, b) = (S::add(m[1], m[2]), S::sub(m[1], m[2]));
            let (c, d) = (S::add(m[3], m[4]), S::sub(m[3], m[4]));
            [
                S::add(m[0], S::add(a, c)),
                S::fma(S::splat(Q), d, S::mul(S::splat(P), b)),
                S::fma(S::splat(QQ), c, S::mul(S::splat(PP), a)),
                S::fma(S::splat(Q * QQ), d, S::fma(S::splat(P * PP), b, m[5])),
            ]
        }
    }

    #[inline(always)]
    unsafe fn weight<S: Simd>(g: &[S::V; 3]) -> [S::V; 6] {
        // SAFETY: lane-wise arithmetic under the caller's contract.
        unsafe {
            let ep = S::mul(S::splat(GP), S::fma(S::splat(PP), g[2], g[0]));
            let eq = S::mul(S::splat(GQ), S::fma(S::splat(QQ), g[2], g[0]));
            let (op, oq) = (S::splat(GP * P), S::splat(GQ * Q));
            let (np, nq) = (S::splat(-GP * P), S::splat(-GQ * Q));
            [
                S::mul(S::splat(G0), g[0]),
                S::fma(op, g[1], ep),
                S::fma(np, g[1], ep),
                S::fma(oq, g[1], eq),
                S::fma(nq, g[1], eq),
                g[2],
            ]
        }
    }

    #[inline(always)]
    unsafe fn output_transposed<S: Simd>(y: &[S::V; 4]) -> [S::V; 6] {
        // SAFETY: lane-wise arithmetic under the caller's contract.
        unsafe {
            let ep = S::fma(S::splat(PP), y[2], y[0]);
            let op = S::mul(S::splat(P), S::fma(S::splat(PP), y[3], y[1]));
            let eq = S::fma(S::splat(QQ), y[2], y[0]);
            let oq = S::mul(S::splat(Q), S::fma(S::splat(QQ), y[3], y[1]));
            [
                y[0],
                S::add(ep, op),
                S::sub(ep, op),
                S::add(eq, oq),
                S::sub(eq, oq),
                y[3],
            ]
        }
    }

    #[inline(always)]
    unsafe fn weight_transposed<S: Simd>(u: &[S::V; 6]) -> [S::V; 3] {
        // SAFETY: lane-wise arithmetic under the caller's contract.
        unsafe {
            let (a, b) = (S::add(u[1], u[2]), S::sub(u[1], u[2]));
            let (c, d) = (S::add(u[3], u[4]), S::sub(u[3], u[4]));
            let first = S::mul(S::splat(G0), u[0]);
            [
                S::fma(S::splat(GQ), c, S::fma(S::splat(GP), a, first)),
                S::fma(S::splat(GQ * Q), d, S::mul(S::splat(GP * P), b)),
                S::fma(S::splat(GQ * QQ), c, S::fma(S::splat(GP * PP), a, u[5])),
            ]
        }
    }
}

impl Algorithm for F23 {
    const M: usize = 2;
    const A: usize = 4;

    #[inline(always)]
    unsafe fn input<S: Simd>(d: &[S::V; 6]) -> [S::V; 6] {
        // SAFETY: lane-wise arithmetic under the caller's contract.
        unsafe {
            [
                S::sub(d[0], d[2]),
                S::add(d[1], d[2]),
                S::sub(d[2], d[1]),
                S::sub(d[3], d[1]),
                d[0],
                d[0],
            ]
        }
    }

    #[inline(always)]
    unsafe fn output<S: Simd>(m: &[S::V; 6]) -> [S::V; 4] {
        // SAFETY: lane-wise arithmetic under the caller's contract.
        unsafe {
            let (a, b) = (S::add(m[1], m[2]), S::sub(m[1], m[2]));
            [S::add(m[0], a), S::add(b, m[3]), a, a]
        }
    }

    #[inline(always)]
    unsafe fn weight<S: Simd>(g: &[S::V; 3]) -> [S::V; 6] {
        // SAFETY: lane-wise arithmetic under the caller's contract.
        unsafe {
            let half = S::splat(0.5);
            let e = S::mul(half, S::add(g[0], g[2]));
            let o = S::mul(half, g[1]);
            [g[0], S::add(e, o), S::sub(e, o), g[2], e, e]
        }
    }

    #[inline(always)]
    unsafe fn output_transposed<S: Simd>(y: &[S::V; 4]) -> [S::V; 6] {
        // SAFETY: lane-wise arithmetic under the caller's contract.
        unsafe {
            [
                y[0],
                S::add(y[0], y[1]),
                S::sub(y[0], y[1]),
                y[1],
                y[0],
                y[0],
            ]
        }
    }

    #[inline(always)]
    unsafe fn weight_transposed<S: Simd>(u: &[S::V; 6]) -> [S::V; 3] {
        // SAFETY: lane-wise arithmetic under the caller's contract.
        unsafe {
            let half = S::splat(0.5);
            let (a, b) = (S::add(u[1], u[2]), S::sub(u[1], u[2]));
            [
                S::fma(half, a, u[0]),
                S::mul(half, b),
                S::fma(half, a, u[3]),
            ]
        }
    }
}
