//! The transforms of the weight gradient: dw = Gᵀ [ Σ (Bᵀ x B) ⊙ (A dy Aᵀ) ] G.

use super::{Algorithm, Block, Tile};
use crate::simd::Simd;

/// Operands of [`gradient`].
pub(crate) struct Gradient<'a> {
    pub block: &'a Block<'a>,
    /// `[batch, channels, h, w]`, the gradient with respect to the output.
    pub dy: *const f32,
    pub channels: usize,
    /// Channels to transform: `c0..c1`.
    pub c0: usize,
    pub c1: usize,
    /// Result `[point][channel][tile]`.
    pub v: *mut f32,
    pub point_step: usize,
    pub channel_step: usize,
}

/// A dy Aᵀ for each tile of a block and each channel in `c0..c1`; void tiles give zero.
///
/// # Safety
/// The pointers cover the extents that the fields name, `v` overlaps nothing else, and the CPU
/// has the features of `S`.
#[inline(always)]
pub(crate) unsafe fn gradient<S: Simd, F: Algorithm>(g: &Gradient) {
    let b = g.block;
    let per_chunk = S::LANES / F::M;
    for c in g.c0..g.c1 {
        for t in (0..b.tiles.len()).step_by(S::LANES) {
            // SAFETY: only rows and columns inside the picture are read; V is covered.
            unsafe {
                let v = g.v.add(c * g.channel_step + t);
                // half[j][i]: point i down the column j of the tiles.
                let mut d = [[S::splat(0.0); 4]; 4];
                for i in 0..F::M {
                    let mut near = [S::splat(0.0); 4];
                    for q in 0..F::M {
                        near[q] = gradient_line::<S, F>(g, c, t + q * per_chunk, i);
                    }
                    let n = if F::M == 4 {
                        S::deinterleave4(near)
                    } else {
                        let n = S::deinterleave2([near[0], near[1]]);
                        [n[0], n[1], n[0], n[1]]
                    };
                    for j in 0..F::M {
                        d[j][i] = n[j];
                    }
                }
                let mut half = [[S::splat(0.0); 4]; 6];
                for j in 0..F::M {
                    let o = F::output_transposed::<S>(&d[j]);
                    for i in 0..F::A {
                        half[i][j] = o[i];
                    }
                }
                for i in 0..F::A {
                    let o = F::output_transposed::<S>(&half[i]);
                    for j in 0..F::A {
                        S::store(v.add((i * F::A + j) * g.point_step), o[j]);
                    }
                }
            }
        }
    }
}

/// Row `i` of the tiles from `first` on, as many as a vector holds.
#[inline(always)]
unsafe fn gradient_line<S: Simd, F: Algorithm>(
    g: &Gradient,
    c: usize,
    first: usize,
    i: usize,
) -> S::V {
    let b = g.block;
    let per_chunk = S::LANES / F::M;
    let at = |tile: &Tile| ((tile.n * g.channels + c) * b.h + tile.y + i) * b.w + tile.x;
    // SAFETY: rows and columns are checked against the picture before each read.
    unsafe {
        if b.whole[first / per_chunk] {
            let tile = &b.tiles[first];
            if tile.y + i < b.h {
                S::load(g.dy.add(at(tile)))
            } else {
                S::splat(0.0)
            }
        } else {
            let mut line = [0f32; 16];
            for (k, tile) in b.tiles[first..first + per_chunk].iter().enumerate() {
                if !tile.void && tile.y + i < b.h {
                    for z in 0..F::M.min(b.w - tile.x) {
                        line[k * F::M + z] = *g.dy.add(at(tile) + z);
                    }
                }
            }
            S::load(line.as_ptr())
        }
    }
}

/// Operands of [`weight_back`].
pub(crate) struct WeightBack {
    /// Sums `[point][input]` of one output.
    pub s: *const f32,
    pub point_step: usize,
    pub inputs: usize,
    /// Result `[input, 3, 3]`.
    pub dw: *mut f32,
}

/// dw = Gᵀ s G for one output.
///
/// # Safety
/// The pointers cover the extents that the fields name, and the CPU has the features of `S`.
#[inline(always)]
pub(crate) unsafe fn weight_back<S: Simd, F: Algorithm>(g: &WeightBack) {
    let mut c = 0;
    while c < g.inputs {
        let n = S::LANES.min(g.inputs - c);
        // SAFETY: n floats at c exist in each point of the sums; the stack rows hold 16 floats;
        // the result has 9 floats for each input.
        unsafe {
            let mut half = [[S::splat(0.0); 6]; 3];
            for j in 0..F::A {
                let mut d = [S::splat(0.0); 6];
                for i in 0..F::A {
                    d[i] = S::load_partial(g.s.add((i * F::A + j) * g.point_step + c), n);
                }
                let o = F::weight_transposed::<S>(&d);
                for i in 0..3 {
                    half[i][j] = o[i];
                }
            }
            let mut taps = [[0f32; 16]; 9];
            for i in 0..3 {
                let o = F::weight_transposed::<S>(&half[i]);
                for j in 0..3 {
                    S::store(taps[3 * i + j].as_mut_ptr(), o[j]);
                }
            }
            for k in 0..n {
                for (tap, lanes) in taps.iter().enumerate() {
                    *g.dw.add((c + k) * 9 + tap) = lanes[k];
                }
            }
        }
        c += n;
    }
}
