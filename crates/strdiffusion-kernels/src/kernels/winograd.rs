//! Winograd's minimal filtering F(m×m, 3×3): the transforms.
//!
//! y = Aᵀ [ (G g Gᵀ) ⊙ (Bᵀ d B) ] A (Winograd 1980; Lavin & Gray, CVPR 2016). F(4,3) takes the
//! points 0, ±5/8, ±3/2, ∞ instead of the textbook's 0, ±1, ±2, ∞: the same cost, and about a
//! tenth of the rounding error.

use super::rows::RawEpilogue;
use crate::simd::{Simd, silu};

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
                    let (mut n, mut f) = ([0f32; 16], [0f32; 16]);
                    for (k, tile) in b.tiles[t + q * per_chunk..][..per_chunk].iter().enumerate() {
                        let p = g.scratch.add(tile.from + i * b.row_step);
                        std::ptr::copy_nonoverlapping(p, n.as_mut_ptr().add(k * F::M), F::M);
                        std::ptr::copy_nonoverlapping(p.add(F::M), f.as_mut_ptr().add(k * F::M), 2);
                    }
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
                            for (k, tile) in b.tiles[first..first + per_chunk].iter().enumerate() {
                                if tile.void || tile.y + i >= b.h {
                                    continue;
                                }
                                let at = ((tile.n * e.channels + channel) * b.h + tile.y + i) * b.w
                                    + tile.x;
                                for z in 0..F::M.min(b.w - tile.x) {
                                    let mut v = line[k * F::M + z];
                                    if !e.residual.is_null() {
                                        v += *e.residual.add(at + z);
                                    }
                                    *g.y.add(at + z) = v;
                                }
                            }
                        }
                    }
                }
            }
            t += S::LANES;
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
