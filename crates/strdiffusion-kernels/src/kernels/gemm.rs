//! The matrix micro-kernels: outer products over packed panels or over rows that overlap, and dot
//! products along rows.

use crate::simd::Simd;

/// Channels that are summed in registers before they are added to the result in memory. Shorter
/// partial sums keep more digits (a third of the error at 512 channels) at no cost.
pub(crate) const FLUSH: usize = 64;

/// Operands of [`gemm`].
pub(crate) struct Gemm {
    /// Length of the sum.
    pub k: usize,
    /// Weights, `[k][MR]`.
    pub u: *const f32,
    /// Input, `[k]` rows of which the first `NV · LANES` floats are read, `v_step` floats apart.
    pub v: *const f32,
    pub v_step: usize,
    /// Result, `MR` rows of `NV · LANES` floats, `out_step` apart.
    pub out: *mut f32,
    pub out_step: usize,
    /// Whether to add to what `out` holds.
    pub accumulate: bool,
}

/// out\[i\]\[j\] (+)= Σₖ u\[k\]\[i\] · v\[k\]\[j\].
///
/// # Safety
/// The pointers of `g` cover the extents named there, `out` overlaps neither input, and the CPU
/// has the features of `S`.
#[inline(always)]
pub(crate) unsafe fn gemm<S: Simd, const MR: usize, const NV: usize>(g: &Gemm) {
    // SAFETY: the accesses are those that the contract names: k rows of u and v, MR rows of out.
    unsafe {
        let (mut u, mut v) = (g.u, g.v);
        let mut k0 = 0;
        let mut accumulate = g.accumulate;
        loop {
            let k1 = (k0 + FLUSH).min(g.k);
            let mut acc = [[S::splat(0.0); NV]; MR];
            for _ in k0..k1 {
                add_outer::<S, MR, NV>(u, v, &mut acc);
                u = u.add(MR);
                v = v.add(g.v_step);
            }
            write::<S, MR, NV>(&acc, g.out, g.out_step, accumulate);
            accumulate = true;
            k0 = k1;
            if k0 >= g.k {
                return;
            }
        }
    }
}

/// Operands of [`slide`].
pub(crate) struct Slide {
    /// Planes of the input, floats apart.
    pub channels: usize,
    pub plane: usize,
    /// Taps in a column, and floats from one line of the input to the next.
    pub y_taps: usize,
    pub line: usize,
    /// Taps in a row, one float apart.
    pub x_taps: usize,
    /// Weights, `[channels][y_taps][x_taps][MR]`.
    pub u: *const f32,
    /// The input that the first tap of the first position meets.
    pub v: *const f32,
    /// Result, `MR` rows of `NV · LANES` floats, `out_step` apart.
    pub out: *mut f32,
    pub out_step: usize,
}

/// As [`gemm`] over im2col, whose rows overlap and are read where they stand: neighbouring
/// positions in a line, for `channels` > 0.
///
/// # Safety
/// The pointers of `s` cover the extents named there (of a line, `NV · LANES + x_taps − 1` floats),
/// `out` overlaps neither input, and the CPU has the features of `S`.
#[inline(always)]
pub(crate) unsafe fn slide<S: Simd, const MR: usize, const NV: usize>(s: &Slide) {
    // SAFETY: the accesses are those that the contract names.
    unsafe {
        let mut u = s.u;
        for channel in 0..s.channels {
            let mut acc = [[S::splat(0.0); NV]; MR];
            for y in 0..s.y_taps {
                let mut v = s.v.add(channel * s.plane + y * s.line);
                for _ in 0..s.x_taps {
                    add_outer::<S, MR, NV>(u, v, &mut acc);
                    u = u.add(MR);
                    v = v.add(1);
                }
            }
            write::<S, MR, NV>(&acc, s.out, s.out_step, channel > 0);
        }
    }
}

/// acc\[i\]\[j\] += u\[i\] · v\[j\].
///
/// # Safety
/// `u` covers `MR` floats and `v` `NV · LANES`, and the CPU has the features of `S`.
#[inline(always)]
unsafe fn add_outer<S: Simd, const MR: usize, const NV: usize>(
    u: *const f32,
    v: *const f32,
    acc: &mut [[S::V; NV]; MR],
) {
    // SAFETY: the contract is the same.
    unsafe {
        let mut b = [S::splat(0.0); NV];
        for j in 0..NV {
            b[j] = S::load(v.add(j * S::LANES));
        }
        for i in 0..MR {
            let a = S::splat(*u.add(i));
            for j in 0..NV {
                acc[i][j] = S::fma(a, b[j], acc[i][j]);
            }
        }
    }
}

/// Writes `MR` rows of sums, `out_step` apart, or adds them to what is there.
///
/// # Safety
/// `out` covers these rows of `NV · LANES` floats, and the CPU has the features of `S`.
#[inline(always)]
unsafe fn write<S: Simd, const MR: usize, const NV: usize>(
    acc: &[[S::V; NV]; MR],
    out: *mut f32,
    out_step: usize,
    accumulate: bool,
) {
    // SAFETY: the contract is the same.
    unsafe {
        for i in 0..MR {
            for j in 0..NV {
                let p = out.add(i * out_step + j * S::LANES);
                let sum = if accumulate {
                    S::add(S::load(p), acc[i][j])
                } else {
                    acc[i][j]
                };
                S::store(p, sum);
            }
        }
    }
}

/// Columns of [`dot`].
pub(crate) const DN: usize = 4;

/// Operands of [`dot`].
pub(crate) struct Dot {
    /// Length of the rows.
    pub k: usize,
    /// `rows` rows, `a_step` floats apart.
    pub a: *const f32,
    pub a_step: usize,
    pub rows: usize,
    /// `cols` rows, `b_step` floats apart.
    pub b: *const f32,
    pub b_step: usize,
    pub cols: usize,
    /// `rows` × `cols` results, rows `out_step` apart.
    pub out: *mut f32,
    pub out_step: usize,
    /// Whether to add to what `out` holds.
    pub accumulate: bool,
}

/// out\[i\]\[j\] (+)= Σₖ a\[i\]\[k\] · b\[j\]\[k\], for up to `DM` × `DN` pairs of rows.
///
/// # Safety
/// The pointers of `d` cover the extents named there, 1 ≤ `rows` ≤ `DM`, 1 ≤ `cols` ≤ `DN`, `out`
/// overlaps neither input, and the CPU has the features of `S`.
#[inline(always)]
pub(crate) unsafe fn dot<S: Simd, const DM: usize>(d: &Dot) {
    // SAFETY: rows past the last are clamped to it, so all reads fall in the named extents; only
    // the `rows` × `cols` results that exist are written.
    unsafe {
        let mut a = [d.a; DM];
        for (i, p) in a.iter_mut().enumerate() {
            *p = d.a.add(i.min(d.rows - 1) * d.a_step);
        }
        let mut b = [d.b; DN];
        for (j, p) in b.iter_mut().enumerate() {
            *p = d.b.add(j.min(d.cols - 1) * d.b_step);
        }
        let mut acc = [[S::splat(0.0); DN]; DM];
        let mut k = 0;
        while k + S::LANES <= d.k {
            let mut y = [S::splat(0.0); DN];
            for j in 0..DN {
                y[j] = S::load(b[j].add(k));
            }
            for i in 0..DM {
                let x = S::load(a[i].add(k));
                for j in 0..DN {
                    acc[i][j] = S::fma(x, y[j], acc[i][j]);
                }
            }
            k += S::LANES;
        }
        if k < d.k {
            let n = d.k - k;
            let mut y = [S::splat(0.0); DN];
            for j in 0..DN {
                y[j] = S::load_partial(b[j].add(k), n);
            }
            for i in 0..DM {
                let x = S::load_partial(a[i].add(k), n);
                for j in 0..DN {
                    acc[i][j] = S::fma(x, y[j], acc[i][j]);
                }
            }
        }
        for i in 0..DM {
            let sums = S::sum4(acc[i]);
            if i < d.rows {
                let out = d.out.add(i * d.out_step);
                for j in 0..d.cols {
                    *out.add(j) = if d.accumulate {
                        *out.add(j) + sums[j]
                    } else {
                        sums[j]
                    };
                }
            }
        }
    }
}
