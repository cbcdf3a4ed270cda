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
    for run in g.runs {
        let mut row = 0;
        for c in g.c0..g.c1 {
            for ty in 0..g.y_taps {
                let y = (run.y * g.stride + ty) as isize + g.y_first;
                let inside = y >= 0 && (y as usize) < g.h;
                let line =
                    ((run.n * g.channels + c) * g.h + if inside { y as usize } else { 0 }) * g.w;
                for tx in 0..g.x_taps {
                    let x0 = (run.x * g.stride + tx) as isize + g.x_first;
                    // SAFETY: `line` starts a row of the input that exists, and the rows of the
                    // result are covered as the contract says.
                    unsafe {
                        let to = g.out.add(row * g.row_step + run.to);
                        if inside {
                            gather_line::<S>(g.x.add(line), g.w, x0, g.stride, to, run.count);
                        } else {
                            std::ptr::write_bytes(to, 0, run.count);
                        }
                    }
                    row += 1;
                }
            }
        }
    }
}

/// `to[i] = from[x0 + i·stride]`, zero outside `0..w`.
#[inline(always)]
unsafe fn gather_line<S: Simd>(
    from: *const f32,
    w: usize,
    x0: isize,
    stride: usize,
    to: *mut f32,
    count: usize,
) {
    let step = stride as isize;
    let lo = if x0 < 0 {
        ((-x0 + step - 1) / step) as usize
    } else {
        0
    }
    .min(count);
    let room = w as isize - x0;
    let hi = if room <= 0 {
        0
    } else {
        ((room + step - 1) / step) as usize
    }
    .clamp(lo, count);
    // SAFETY: exactly the columns x0 + i·stride for i in lo..hi lie within the line; loads of two
    // vectors at stride 2 are guarded by the line's end. Writes stay within `count`.
    unsafe {
        for i in 0..lo {
            *to.add(i) = 0.0;
        }
        for i in hi..count {
            *to.add(i) = 0.0;
        }
        let mut i = lo;
        match stride {
            1 => {
                let from = from.offset(x0);
                while i + S::LANES <= hi {
                    S::store(to.add(i), S::load(from.add(i)));
                    i += S::LANES;
                }
                if i < hi {
                    S::store_partial(to.add(i), hi - i, S::load_partial(from.add(i), hi - i));
                }
            }
            2 => {
                while i + S::LANES <= hi {
                    let x = (x0 + 2 * i as isize) as usize;
                    let p = from.add(x);
                    let second = if x + 2 * S::LANES <= w {
                        S::load(p.add(S::LANES))
                    } else {
                        S::load_partial(p.add(S::LANES), S::LANES - 1)
                    };
                    S::store(to.add(i), S::deinterleave2([S::load(p), second])[0]);
                    i += S::LANES;
                }
                while i < hi {
                    *to.add(i) = *from.offset(x0 + 2 * i as isize);
                    i += 1;
                }
            }
            _ => {
                while i < hi {
                    *to.add(i) = *from.offset(x0 + step * i as isize);
                    i += 1;
                }
            }
        }
    }
}
