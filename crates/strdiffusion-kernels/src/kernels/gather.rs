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

/// `STRIDE` 0 stands for any. What depends on the run and the tap is worked out once for all
/// channels.
#[inline(always)]
unsafe fn gather_stride<S: Simd, const STRIDE: usize>(g: &Gather) {
    let stride = if STRIDE == 0 { g.stride } else { STRIDE };
    let step = stride as isize;
    let plane = g.h * g.w;
    let channels = g.c1 - g.c0;
    let to_step = g.y_taps * g.x_taps * g.row_step;
    for run in g.runs {
        for tap in 0..g.y_taps * g.x_taps {
            let (ty, tx) = (tap / g.x_taps, tap % g.x_taps);
            let y = (run.y * stride + ty) as isize + g.y_first;
            let x0 = (run.x * stride + tx) as isize + g.x_first;
            // The positions lo..hi of the run fall within the line.
            let lo = (step - 1 - x0).max(0) / step;
            let hi = ((g.w as isize - x0 + step - 1).max(0) / step).min(run.count as isize);
            let outside = y < 0 || y as usize >= g.h || lo >= hi;
            let whole = lo == 0 && hi == run.count as isize;
            // SAFETY: the rows of the result are covered as the contract says; what is read lies
            // within a line of the input that exists.
            unsafe {
                let mut to = g.out.add(tap * g.row_step + run.to);
                if outside || !whole {
                    let mut to = to;
                    for _ in 0..channels {
                        fill::<S>(to, run.count);
                        to = to.wrapping_add(to_step);
                    }
                }
                if outside {
                    continue;
                }
                let line = (run.n * g.channels + g.c0) * plane + y as usize * g.w;
                let mut from = g.x.add(line);
                if STRIDE == 1 && whole && run.count == 2 * S::LANES {
                    from = from.add(x0 as usize);
                    for _ in 0..channels {
                        S::prefetch(from.wrapping_add(4 * plane));
                        let pair = [S::load(from), S::load(from.add(S::LANES))];
                        S::store(to, pair[0]);
                        S::store(to.add(S::LANES), pair[1]);
                        from = from.wrapping_add(plane);
                        to = to.wrapping_add(to_step);
                    }
                } else {
                    let (first, count) = ((x0 + lo * step) as usize, (hi - lo) as usize);
                    to = to.offset(lo);
                    for _ in 0..channels {
                        S::prefetch(from.wrapping_add(4 * plane + first));
                        copy::<S, STRIDE>(from, g.w, first, stride, to, count);
                        from = from.wrapping_add(plane);
                        to = to.wrapping_add(to_step);
                    }
                }
            }
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
