//! im2col: the input values that the taps of a kernel meet, as rows over output positions.

use crate::simd::Simd;

/// A run of output positions within one row of the output grid.
#[derive(Clone, Copy)]
pub(crate) struct Run {
    /// Picture in the batch.
    pub n: usize,
    /// Grid row.
    pub y: usize,
    /// First grid column.
    pub x: usize,
    /// Positions.
    pub count: usize,
    /// Where the run starts in a row of the result.
    pub to: usize,
}

/// Operands of [`gather`].
pub(crate) struct Gather<'a> {
    /// Input `[batch, channels, h, w]`.
    pub x: *const f32,
    pub channels: usize,
    pub h: usize,
    pub w: usize,
    /// Channels to gather: `c0..c1`.
    pub c0: usize,
    pub c1: usize,
    /// Rows of taps, and the offset of the first from `stride` times the grid position.
    pub y_taps: usize,
    pub y_first: isize,
    /// The same for columns.
    pub x_taps: usize,
    pub x_first: isize,
    pub stride: usize,
    pub runs: &'a [Run],
    /// Result: one row for each (channel, row tap, column tap), `row_step` floats apart.
    pub out: *mut f32,
    pub row_step: usize,
}

/// Fills the rows of im2col for the runs; positions outside the input give zero.
///
/// # Safety
/// `x` covers the input, `out` covers `to + count` floats of each row for each run, the two do
/// not overlap, and the CPU has the features of `S`.
#[inline(always)]
pub(crate) unsafe fn gather<S: Simd>(g: &Gather) {
    // SAFETY: the contract is the same.
    unsafe {
        match g.stride {
            1 => gather_stride::<S, 1>(g),
            2 => gather_stride::<S, 2>(g),
            _ => gather_stride::<S, 0>(g),
        }
    }
}

/// `STRIDE` 0 stands for any.
#[inline(always)]
unsafe fn gather_stride<S: Simd, const STRIDE: usize>(g: &Gather) {
    let stride = if STRIDE == 0 { g.stride } else { STRIDE };
    let plane = g.h * g.w;
    for c in g.c0..g.c1 {
        for ty in 0..g.y_taps {
            let row = ((c - g.c0) * g.y_taps + ty) * g.x_taps;
            for run in g.runs {
                let y = (run.y * stride + ty) as isize + g.y_first;
                // SAFETY: the line read starts a row of the input that exists, and the rows of
                // the result are covered as the contract says.
                unsafe {
                    let mut to = g.out.add(row * g.row_step + run.to);
                    if y < 0 || y as usize >= g.h {
                        for _ in 0..g.x_taps {
                            fill::<S>(to, run.count);
                            to = to.add(g.row_step);
                        }
                        continue;
                    }
                    let from = g.x.add((run.n * g.channels + c) * plane + y as usize * g.w);
                    for tx in 0..g.x_taps {
                        let x0 = (run.x * stride + tx) as isize + g.x_first;
                        S::prefetch(from.wrapping_offset(2 * plane as isize + x0));
                        line::<S, STRIDE>(from, g.w, x0, stride, to, run.count);
                        to = to.add(g.row_step);
                    }
                }
            }
        }
    }
}

/// `to[i] = from[x0 + i·stride]` for `count` positions, zero outside `0..w`.
#[inline(always)]
unsafe fn line<S: Simd, const STRIDE: usize>(
    from: *const f32,
    w: usize,
    x0: isize,
    stride: usize,
    to: *mut f32,
    count: usize,
) {
    let step = stride as isize;
    let last = x0 + (count as isize - 1) * step;
    // SAFETY: exactly the columns x0 + i·stride for i in lo..hi lie within the line. Writes stay
    // within `count`.
    unsafe {
        if x0 >= 0 && last < w as isize {
            return copy::<S, STRIDE>(from, w, x0 as usize, stride, to, count);
        }
        fill::<S>(to, count);
        let lo = if x0 < 0 { (-x0 + step - 1) / step } else { 0 };
        let hi = ((w as isize - x0 + step - 1) / step).min(count as isize);
        if lo < hi {
            let first = (x0 + lo * step) as usize;
            copy::<S, STRIDE>(from, w, first, stride, to.offset(lo), (hi - lo) as usize);
        }
    }
}

/// `to[i] = from[x0 + i·stride]` for `count` columns that lie within the line.
#[inline(always)]
unsafe fn copy<S: Simd, const STRIDE: usize>(
    from: *const f32,
    w: usize,
    x0: usize,
    stride: usize,
    to: *mut f32,
    count: usize,
) {
    // SAFETY: the columns lie within the line; where a vector pair at stride 2 would reach past
    // its end, only what lies within is loaded.
    unsafe {
        let mut i = 0;
        match STRIDE {
            1 => {
                let from = from.add(x0);
                while i + S::LANES <= count {
                    S::store(to.add(i), S::load(from.add(i)));
                    i += S::LANES;
                }
                if i < count {
                    let n = count - i;
                    S::store_partial(to.add(i), n, S::load_partial(from.add(i), n));
                }
            }
            2 => {
                while i < count {
                    let n = S::LANES.min(count - i);
                    let x = x0 + 2 * i;
                    let p = from.add(x);
                    let room = w - x;
                    let v = if room >= 2 * S::LANES {
                        [S::load(p), S::load(p.add(S::LANES))]
                    } else if room >= S::LANES {
                        let rest = room - S::LANES;
                        [S::load(p), S::load_partial(p.add(S::LANES), rest)]
                    } else {
                        [S::load_partial(p, room), S::splat(0.0)]
                    };
                    let even = S::deinterleave2(v)[0];
                    if n == S::LANES {
                        S::store(to.add(i), even);
                    } else {
                        S::store_partial(to.add(i), n, even);
                    }
                    i += n;
                }
            }
            _ => {
                while i < count {
                    *to.add(i) = *from.add(x0 + stride * i);
                    i += 1;
                }
            }
        }
    }
}

/// Zeros.
#[inline(always)]
unsafe fn fill<S: Simd>(to: *mut f32, count: usize) {
    // SAFETY: writes stay within `count`.
    unsafe {
        let mut i = 0;
        while i + S::LANES <= count {
            S::store(to.add(i), S::splat(0.0));
            i += S::LANES;
        }
        if i < count {
            S::store_partial(to.add(i), count - i, S::splat(0.0));
        }
    }
}
