//! Winograd's minimal filtering F(m×m, 3×3): the transforms.
//!
//! y = Aᵀ [ (G g Gᵀ) ⊙ (Bᵀ d B) ] A (Winograd 1980; Lavin & Gray, CVPR 2016). F(4,3) takes the
//! points 0, ±5/8, ±3/2, ∞ instead of the textbook's 0, ±1, ±2, ∞: the same cost, and about a
//! tenth of the rounding error.

mod algorithm;
mod gradient;

pub(crate) use algorithm::{Algorithm, F23, F43};
pub(crate) use gradient::{Gradient, WeightBack, gradient, weight_back};

use super::rows::RawEpilogue;
use crate::simd::{Simd, silu};

/// A run of tiles within one row of tiles of one picture.
#[derive(Clone, Copy)]
pub(crate) struct Segment {
    pub n: usize,
    /// First output row and column of its tiles.
    pub y: usize,
    pub x: usize,
    pub count: usize,
    /// Where its rows start in the scratch memory.
    pub from: usize,
}

/// A tile of a block. Blocks are filled up to whole vectors with tiles that repeat the last one
/// on the way in and are `void` on the way out.
#[derive(Clone, Copy)]
pub(crate) struct Tile {
    pub n: usize,
    /// First output row and column.
    pub y: usize,
    pub x: usize,
    /// Where its first value stands in the scratch memory.
    pub from: usize,
    pub void: bool,
}

/// A block of tiles: what both transforms share.
pub(crate) struct Block<'a> {
    pub h: usize,
    pub w: usize,
    pub segments: &'a [Segment],
    /// A whole number of vectors.
    pub tiles: &'a [Tile],
    /// For each run of LANES / M tiles: whether they are neighbours and complete in width.
    pub whole: &'a [bool],
    /// Floats between the rows of a segment in scratch memory.
    pub row_step: usize,
}

/// Operands of [`input`].
pub(crate) struct Input<'a> {
    pub block: &'a Block<'a>,
    /// `[batch, channels, h, w]`.
    pub x: *const f32,
    pub channels: usize,
    /// Channels to transform: `c0..c1`.
    pub c0: usize,
    pub c1: usize,
    /// Scratch memory for one channel of the block.
    pub scratch: *mut f32,
    /// At least w zeros.
    pub zeros: *const f32,
    /// Result `[point][tile / group][channel][group]`, points `point_step` floats apart.
    pub v: *mut f32,
    pub point_step: usize,
    pub group: usize,
}

/// V = Bᵀ d B for each tile of a block and each channel in `c0..c1`; outside the picture is zero.
///
/// # Safety
/// The pointers cover the extents that the fields name, `scratch` and `v` overlap nothing else,
/// and the CPU has the features of `S`.
#[inline(always)]
pub(crate) unsafe fn input<S: Simd, F: Algorithm>(g: &Input) {
    let b = g.block;
    for c in g.c0..g.c1 {
        // SAFETY: the plane (n, c) lies in x; rows outside it are replaced by zeros; columns are
        // clipped to the picture. Scratch offsets come from the driver's layout.
        unsafe {
            for s in b.segments {
                columns::<S, F>(g, s, g.x.add((s.n * g.channels + c) * b.h * b.w));
            }
            let mut t = 0;
            while t < b.tiles.len() {
                let v =
                    g.v.add((t / g.group * g.channels + c) * g.group + t % g.group);
                rows::<S, F>(g, t, v);
                t += S::LANES;
            }
        }
    }
}

/// The transform down the columns, for all columns of a segment, into scratch memory.
#[inline(always)]
unsafe fn columns<S: Simd, F: Algorithm>(g: &Input, s: &Segment, plane: *const f32) {
    let b = g.block;
    let width = s.count * F::M + 2;
    // Scratch column j is picture column s.x − 1 + j.
    let lead = usize::from(s.x == 0);
    let first = s.x + lead - 1;
    let valid = (b.w - first).min(width - lead);
    // SAFETY: `first + valid` ≤ w, rows are within 0..h or the zeros, and scratch rows hold
    // `width` floats.
    unsafe {
        let mut row = [g.zeros; 6];
        for (i, r) in row.iter_mut().enumerate().take(F::A) {
            let y = s.y + i;
            if y >= 1 && y <= b.h {
                *r = plane.add((y - 1) * b.w + first);
            }
        }
        let out = g.scratch.add(s.from);
        for i in 0..F::A {
            let line = out.add(i * b.row_step);
            *line = 0.0;
            for j in lead + valid..width {
                *line.add(j) = 0.0;
            }
        }
        let ahead = 2 * b.h * b.w;
        let mut j = 0;
        while j + S::LANES <= valid {
            let mut d = [S::splat(0.0); 6];
            for i in 0..F::A {
                d[i] = S::load(row[i].add(j));
                S::prefetch(row[i].wrapping_add(j + ahead));
            }
            let o = F::input::<S>(&d);
            for i in 0..F::A {
                S::store(out.add(i * b.row_step + lead + j), o[i]);
            }
            j += S::LANES;
        }
        if j < valid {
            let n = valid - j;
            let mut d = [S::splat(0.0); 6];
            for i in 0..F::A {
                d[i] = S::load_partial(row[i].add(j), n);
            }
            let o = F::input::<S>(&d);
            for i in 0..F::A {
                S::store_partial(out.add(i * b.row_step + lead + j), n, o[i]);
            }
        }
    }
}

/// The transform along the rows for one vector of tiles, from scratch memory to V.
#[inline(always)]
unsafe fn rows<S: Simd, F: Algorithm>(g: &Input, t: usize, v: *mut f32) {
    let b = g.block;
    let per_chunk = S::LANES / F::M;
    let chunks = t / per_chunk;
    // SAFETY: each tile's rows in scratch memory are followed by room for a vector.
    unsafe {
        for i in 0..F::A {
            let mut near = [S::splat(0.0); 4];
            let mut far = [S::splat(0.0); 4];
            for q in 0..F::M {
                let tile = &b.tiles[t + q * per_chunk];
                if b.whole[chunks + q] {
                    let p = g.scratch.add(tile.from + i * b.row_step);
                    near[q] = S::load(p);
                    far[q] = S::load(p.add(F::M));
                } else {
                    let tiles = &b.tiles[t + q * per_chunk..][..per_chunk];
                    let (n, f) = assemble(g, tiles, F::M, i);
                    near[q] = S::load(n.as_ptr());
                    far[q] = S::load(f.as_ptr());
                }
            }
            let d = if F::M == 4 {
                let n = S::deinterleave4(near);
                let f = S::deinterleave4(far);
                [n[0], n[1], n[2], n[3], f[0], f[1]]
            } else {
                let n = S::deinterleave2([near[0], near[1]]);
                let f = S::deinterleave2([far[0], far[1]]);
                [n[0], n[1], f[0], f[1], n[0], n[0]]
            };
            let o = F::input::<S>(&d);
            for j in 0..F::A {
                S::store(v.add((i * F::A + j) * g.point_step), o[j]);
            }
        }
    }
}

/// Row i of tiles that are not neighbours: the first M values of each, and the two after them.
///
/// # Safety
/// As [`input`].
#[inline(never)]
unsafe fn assemble(g: &Input, tiles: &[Tile], m: usize, i: usize) -> ([f32; 16], [f32; 16]) {
    let (mut near, mut far) = ([0f32; 16], [0f32; 16]);
    for (k, tile) in tiles.iter().enumerate() {
        // SAFETY: each tile's rows in scratch memory hold M + 2 values.
        let row = unsafe {
            let from = g.scratch.add(tile.from + i * g.block.row_step);
            std::slice::from_raw_parts(from, m + 2)
        };
        near[k * m..][..m].copy_from_slice(&row[..m]);
        far[k * m..][..2].copy_from_slice(&row[m..]);
    }
    (near, far)
}

/// Operands of [`output`].
pub(crate) struct Output<'a> {
    pub block: &'a Block<'a>,
    /// Products `[point][channel][tile]`.
    pub m: *const f32,
    pub point_step: usize,
    pub channel_step: usize,
    /// Output channels of the first product, and how many there are.
    pub c0: usize,
    pub count: usize,
    /// `[batch, channels, h, w]`.
    pub y: *mut f32,
    pub epilogue: RawEpilogue,
}

/// y = Aᵀ m A, then bias, scale, shift, SiLU and residual, straight to NCHW.
///
/// # Safety
/// The pointers cover the extents that the fields name, no other thread writes these tiles and
/// channels, and the CPU has the features of `S`.
#[inline(always)]
pub(crate) unsafe fn output<S: Simd, F: Algorithm>(g: &Output) {
    let b = g.block;
    let per_chunk = S::LANES / F::M;
    let e = &g.epilogue;
    for c in 0..g.count {
        let mut t = 0;
        while t < b.tiles.len() {
            // SAFETY: products are covered for every tile, void ones too; only rows and columns
            // inside the picture are written.
            unsafe {
                let m = g.m.add(c * g.channel_step + t);
                let mut half = [[S::splat(0.0); 6]; 4];
                for j in 0..F::A {
                    let mut d = [S::splat(0.0); 6];
                    for i in 0..F::A {
                        d[i] = S::load(m.add((i * F::A + j) * g.point_step));
                    }
                    let o = F::output::<S>(&d);
                    for i in 0..F::M {
                        half[i][j] = o[i];
                    }
                }
                let channel = g.c0 + c;
                let (mul, add) = affine::<S>(e, &b.tiles[t..t + S::LANES], channel);
                for i in 0..F::M {
                    let mut o = F::output::<S>(&half[i]);
                    for z in 0..F::M {
                        o[z] = S::fma(o[z], mul, add);
                        if e.silu {
                            o[z] = silu::<S>(o[z]);
                        }
                    }
                    if F::M == 4 {
                        o = S::interleave4(o);
                    } else {
                        let p = S::interleave2([o[0], o[1]]);
                        o = [p[0], p[1], p[0], p[1]];
                    }
                    for q in 0..F::M {
                        let first = t + q * per_chunk;
                        let tile = &b.tiles[first];
                        if b.whole[first / per_chunk] {
                            if tile.void || tile.y + i >= b.h {
                                continue;
                            }
                            let at =
                                ((tile.n * e.channels + channel) * b.h + tile.y + i) * b.w + tile.x;
                            if !e.residual.is_null() {
                                o[q] = S::add(o[q], S::load(e.residual.add(at)));
                            }
                            S::store(g.y.add(at), o[q]);
                        } else {
                            let mut line = [0f32; 16];
                            S::store(line.as_mut_ptr(), o[q]);
                            let tiles = &b.tiles[first..first + per_chunk];
                            scatter(g, &line, tiles, F::M, channel, i);
                        }
                    }
                }
            }
            t += S::LANES;
        }
    }
}

/// Writes row i of tiles that are not neighbours, or not complete, from one vector.
///
/// # Safety
/// As [`output`].
#[inline(never)]
unsafe fn scatter(
    g: &Output,
    line: &[f32; 16],
    tiles: &[Tile],
    m: usize,
    channel: usize,
    i: usize,
) {
    let (b, e) = (g.block, &g.epilogue);
    for (tile, values) in tiles.iter().zip(line.chunks_exact(m)) {
        if tile.void || tile.y + i >= b.h {
            continue;
        }
        let at = ((tile.n * e.channels + channel) * b.h + tile.y + i) * b.w + tile.x;
        for (z, v) in values.iter().take(b.w - tile.x).enumerate() {
            // SAFETY: row and column lie within the picture.
            unsafe {
                let residual = if e.residual.is_null() {
                    0.0
                } else {
                    *e.residual.add(at + z)
                };
                *g.y.add(at + z) = v + residual;
            }
        }
    }
}

/// The epilogue's factor and summand for each tile of a vector.
#[inline(always)]
unsafe fn affine<S: Simd>(e: &RawEpilogue, tiles: &[Tile], c: usize) -> (S::V, S::V) {
    // SAFETY: every tile, void ones too, names a picture of the batch.
    unsafe {
        let (first, last) = (&tiles[0], &tiles[tiles.len() - 1]);
        if first.n == last.n {
            let (a, b) = e.affine(first.n, c);
            return (S::splat(a), S::splat(b));
        }
        let (mut a, mut b) = ([0f32; 16], [0f32; 16]);
        for (i, tile) in tiles.iter().enumerate() {
            (a[i], b[i]) = e.affine(tile.n, c);
        }
        (S::load(a.as_ptr()), S::load(b.as_ptr()))
    }
}

/// Operands of [`weight`].
pub(crate) struct Weight {
    /// 3×3 kernels; the one for output o and input c starts at `o·out_step + c·in_step`.
    pub w: *const f32,
    pub out_step: usize,
    pub in_step: usize,
    /// Whether to turn each kernel by 180°, as the input gradient needs.
    pub turned: bool,
    pub inputs: usize,
    pub outputs: usize,
    /// First output of the panel.
    pub o0: usize,
    /// Outputs in a panel: MR.
    pub panel: usize,
    /// Result `[point][input][panel]`.
    pub u: *mut f32,
}

/// U = G g Gᵀ for one panel of outputs; outputs past the last give zero.
///
/// # Safety
/// The pointers cover the extents that the fields name, and the CPU has the features of `S`.
#[inline(always)]
pub(crate) unsafe fn weight<S: Simd, F: Algorithm>(g: &Weight) {
    let total = g.inputs * g.panel;
    let mut i = 0;
    while i < total {
        let n = S::LANES.min(total - i);
        let mut taps = [[0f32; 16]; 9];
        for k in 0..n {
            let (c, o) = ((i + k) / g.panel, g.o0 + (i + k) % g.panel);
            if o < g.outputs {
                for (tap, lanes) in taps.iter_mut().enumerate() {
                    let from = if g.turned { 8 - tap } else { tap };
                    // SAFETY: o and c are within the weights.
                    lanes[k] = unsafe { *g.w.add(o * g.out_step + c * g.in_step + from) };
                }
            }
        }
        // SAFETY: the stack rows hold 16 floats; `n` floats at i exist in each point of the result.
        unsafe {
            let mut half = [[S::splat(0.0); 3]; 6];
            for x in 0..3 {
                let column = [
                    S::load(taps[x].as_ptr()),
                    S::load(taps[3 + x].as_ptr()),
                    S::load(taps[6 + x].as_ptr()),
                ];
                let o = F::weight::<S>(&column);
                for y in 0..F::A {
                    half[y][x] = o[y];
                }
            }
            for y in 0..F::A {
                let o = F::weight::<S>(&half[y]);
                for x in 0..F::A {
                    S::store_partial(g.u.add((y * F::A + x) * total + i), n, o[x]);
                }
            }
        }
        i += n;
    }
}
