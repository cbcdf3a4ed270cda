//! The attention block, y = x + norm₂(W_out · attention(W_qkv · norm₁(x)) + bias), forward and
//! backward, on tiles.
//!
//! Maps as wide as q, k and v never stand in memory: a block of positions at a time goes through
//! all of it in cache. Attention over the positions needs two sweeps, because the context
//! Σₚ softmax(k) vᵀ must be whole before anything can be drawn from it; its gradient needs two
//! more. Each sweep computes anew, from x, what it needs of the block.

use std::arch::x86_64::*;
use std::ops::Range;
use std::sync::Mutex;

use super::amx::Tiles;
use super::lanes;
use super::matrix::{Matrix, Panels, Room, Side, multiply};
use crate::attention_block::{AttentionGrads, AttentionWeights};
use crate::norm::MapShape;
use crate::pool::parallel_for;
use crate::raw::Shared;
use crate::workspace::{self, Slot};

/// Features of a head: one step of a sum.
pub(crate) const DIM: usize = 32;
/// Positions of a block.
pub(super) const BLOCK: usize = 64;
/// Parts of the work at most; they depend on the shape alone.
const PARTS: usize = 8;
/// Floats beside the maps: for the norms.
const SPARE: usize = 4 * BLOCK;

/// The context of each picture, and the sums of its softmax over the positions.
#[derive(Debug)]
pub(crate) struct Context {
    /// `[picture][head][32 of k][32 of v]`: Σₚ softmax(k) vᵀ / positions.
    pub(super) context: Vec<f32>,
    /// `[picture][head · 32]`: the largest k, and Σₚ e^(k − largest).
    largest: Vec<f32>,
    total: Vec<f32>,
}

/// Sizes, as all sweeps need them.
pub(super) struct Plan<'a> {
    pub s: &'a MapShape,
    pub w: &'a AttentionWeights<'a>,
    /// heads · 32.
    pub inner: usize,
    /// Channels, up to a multiple of 32.
    pub wide: usize,
    /// Blocks of a picture, and of all.
    blocks: usize,
    pub all: usize,
    pub parts: usize,
}

impl<'a> Plan<'a> {
    pub(super) fn new(s: &'a MapShape, w: &'a AttentionWeights<'a>) -> Self {
        let blocks = s.positions.div_ceil(BLOCK);
        let all = s.batch * blocks;
        Plan {
            s,
            w,
            inner: w.heads * DIM,
            wide: s.channels.next_multiple_of(32),
            blocks,
            all,
            parts: PARTS.min(all),
        }
    }

    /// The blocks of a part.
    fn part(&self, part: usize) -> Range<usize> {
        self.all * part / self.parts..self.all * (part + 1) / self.parts
    }

    /// The picture of a block, its first position, and how many it has.
    pub(super) fn block(&self, block: usize) -> [usize; 3] {
        let (picture, first) = (block / self.blocks, block % self.blocks * BLOCK);
        [picture, first, BLOCK.min(self.s.positions - first)]
    }

    /// Where the block's values of channel 0 lie in a map.
    fn at(&self, block: usize) -> usize {
        let [picture, first, _] = self.block(block);
        picture * self.s.channels * self.s.positions + first
    }

    /// Floats of the packed weights: as they are and transposed.
    fn weights_len(&self) -> usize {
        let square = self.inner.max(self.wide);
        // Four matrices in bf16, and one in f32 on its way.
        4 * self.inner * self.wide + 3 * self.inner * square
    }

    /// Floats of scratch memory that is enough for every sweep.
    fn room(&self) -> usize {
        12 * (self.wide + self.inner) * BLOCK + 4 * self.inner * DIM + SPARE
    }

    /// Floats of a part's sums of the weights' gradients.
    fn gradient_len(&self) -> usize {
        4 * self.inner * self.wide + 3 * self.wide
    }
}

/// The weights as left sides.
struct Weights {
    /// W_qkv, `[3 · inner][channels]`, and its transpose.
    qkv: Panels,
    qkv_back: Panels,
    /// W_out, `[channels][inner]`, and its transpose.
    out: Panels,
    out_back: Panels,
}

impl Weights {
    /// # Safety
    /// The room has [`Plan::weights_len`] floats; the CPU has tiles.
    unsafe fn pack(plan: &Plan, room: &mut Room) -> Self {
        let (inner, wide, channels) = (plan.inner, plan.wide, plan.s.channels);
        let weights = Weights {
            qkv: room.panels(3 * inner, wide),
            qkv_back: room.panels(wide, 3 * inner),
            out: room.panels(wide, inner),
            out_back: room.panels(inner, wide),
        };
        let staging = room.floats(3 * inner * wide);
        let matrix = |rows: usize, columns: usize| Matrix {
            at: staging,
            rows,
            columns,
        };
        // SAFETY: the staging matrix is as large as the largest; the panels are as planned.
        unsafe {
            let m = matrix(3 * inner, wide);
            m.take(plan.w.qkv, [3 * inner, channels], false);
            m.to_rows(weights.qkv);
            let m = matrix(wide, 3 * inner);
            m.take(plan.w.qkv, [channels, 3 * inner], true);
            m.to_rows(weights.qkv_back);
            let m = matrix(wide, inner);
            m.take(plan.w.out, [channels, inner], false);
            m.to_rows(weights.out);
            let m = matrix(inner, wide);
            m.take(plan.w.out, [inner, channels], true);
            m.to_rows(weights.out_back);
        }
        weights
    }

    /// k and v of a block, `[k, then v][positions]`.
    ///
    /// # Safety
    /// As everything here.
    unsafe fn keys_and_values(&self, plan: &Plan, tiles: &Tiles, normed: Panels, to: Matrix) {
        let left = Side {
            panels: self.qkv,
            panel: plan.inner / 16,
            step: 0,
        };
        // SAFETY: the contract.
        unsafe { multiply(tiles, left, normed.into(), plan.wide / 32, to, false) };
    }
}

// SAFETY: only read once they are packed.
unsafe impl Sync for Weights {}

/// Runs `f` with the packed weights.
fn with_weights(plan: &Plan, f: impl FnOnce(&Weights)) {
    workspace::with(Slot::Weights, plan.weights_len(), |memory| {
        // SAFETY: the room is as planned; whoever comes here has checked the CPU.
        let weights = unsafe { Weights::pack(plan, &mut Room::new(memory)) };
        f(&weights);
    });
}

/// A block of x: normalised, and what the norm divided by.
struct Normed {
    /// (x − mean) / deviation.
    unit: Matrix,
    /// … · gain.
    scaled: Matrix,
    /// 1 / deviation of each position.
    inverse: *mut f32,
}

impl Normed {
    fn new(plan: &Plan, room: &mut Room) -> Self {
        Self {
            unit: room.matrix(plan.wide, BLOCK),
            scaled: room.matrix(plan.wide, BLOCK),
            inverse: room.floats(BLOCK),
        }
    }

    /// Normalises the channels of each position of `unit`, in place; rows behind the channels stay
    /// as they are in `unit`, and become zero in `scaled`.
    ///
    /// # Safety
    /// As everything here: the CPU has tiles, the matrices are as planned.
    #[target_feature(enable = "avx512f")]
    unsafe fn normalise(&self, plan: &Plan, gain: &[f32]) {
        const VECTORS: usize = BLOCK / 16;
        let channels = plan.s.channels;
        let count = _mm512_set1_ps(1.0 / channels as f32);
        let epsilon = _mm512_set1_ps(plan.w.epsilon);
        // All of the block's positions at a time: sums that do not wait for each other.
        // SAFETY: the contract.
        unsafe {
            let load = |c: usize, i: usize| _mm512_load_ps(self.unit.row(c).add(i * 16));
            let mut sums = [_mm512_setzero_ps(); VECTORS];
            for c in 0..channels {
                for (i, sum) in sums.iter_mut().enumerate() {
                    *sum = _mm512_add_ps(*sum, load(c, i));
                }
            }
            let means = sums.map(|sum| _mm512_mul_ps(sum, count));
            let mut squares = [_mm512_setzero_ps(); VECTORS];
            for c in 0..channels {
                for (i, squares) in squares.iter_mut().enumerate() {
                    let v = _mm512_sub_ps(load(c, i), means[i]);
                    *squares = _mm512_fmadd_ps(v, v, *squares);
                }
            }
            let inverses = squares.map(|squares| {
                let deviation = _mm512_sqrt_ps(_mm512_fmadd_ps(squares, count, epsilon));
                _mm512_div_ps(_mm512_set1_ps(1.0), deviation)
            });
            for (i, inverse) in inverses.iter().enumerate() {
                _mm512_store_ps(self.inverse.add(i * 16), *inverse);
            }
            for (c, gain) in gain.iter().enumerate() {
                for (i, inverse) in inverses.iter().enumerate() {
                    let v = _mm512_mul_ps(_mm512_sub_ps(load(c, i), means[i]), *inverse);
                    _mm512_store_ps(self.unit.row(c).add(i * 16), v);
                    let v = _mm512_mul_ps(v, _mm512_set1_ps(*gain));
                    _mm512_store_ps(self.scaled.row(c).add(i * 16), v);
                }
            }
            for c in channels..plan.wide {
                for i in 0..VECTORS {
                    _mm512_store_ps(self.scaled.row(c).add(i * 16), _mm512_setzero_ps());
                }
            }
        }
    }

    /// Reads a block of x, normalises it by the gain before, and rounds it for products.
    ///
    /// # Safety
    /// As [`read`].
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn take(&self, plan: &Plan, x: *const f32, valid: usize, pairs: Panels) {
        // SAFETY: the contract.
        unsafe {
            read(plan, x, valid, self.unit);
            self.normalise(plan, plan.w.pre_gain);
            self.scaled.to_pairs(pairs);
        }
    }

    /// Turns the gradient of the norm's result into that of its input, in place; adds the gain's
    /// gradient to `gains`.
    ///
    /// # Safety
    /// As [`normalise`](Self::normalise), which must have been called.
    #[target_feature(enable = "avx512f")]
    unsafe fn back(&self, plan: &Plan, gain: &[f32], gradient: Matrix, gains: *mut f32) {
        let count = _mm512_set1_ps(1.0 / plan.s.channels as f32);
        // SAFETY: the contract.
        unsafe {
            let mut means = [[_mm512_setzero_ps(); 2]; BLOCK / 16];
            for (c, gain) in gain.iter().enumerate() {
                let mut sum = _mm512_setzero_ps();
                for (i, [mean, dot]) in means.iter_mut().enumerate() {
                    let d = _mm512_load_ps(gradient.row(c).add(i * 16));
                    let unit = _mm512_load_ps(self.unit.row(c).add(i * 16));
                    sum = _mm512_fmadd_ps(d, unit, sum);
                    let d = _mm512_mul_ps(d, _mm512_set1_ps(*gain));
                    *mean = _mm512_add_ps(*mean, d);
                    *dot = _mm512_fmadd_ps(d, unit, *dot);
                }
                *gains.add(c) += _mm512_reduce_add_ps(sum);
            }
            let means = means.map(|m| m.map(|m| _mm512_mul_ps(m, count)));
            for (c, gain) in gain.iter().enumerate() {
                for (i, [mean, dot]) in means.iter().enumerate() {
                    let at = gradient.row(c).add(i * 16);
                    let unit = _mm512_load_ps(self.unit.row(c).add(i * 16));
                    let d = _mm512_mul_ps(_mm512_load_ps(at), _mm512_set1_ps(*gain));
                    let d = _mm512_sub_ps(_mm512_sub_ps(d, *mean), _mm512_mul_ps(unit, *dot));
                    let inverse = _mm512_load_ps(self.inverse.add(i * 16));
                    _mm512_store_ps(at, _mm512_mul_ps(d, inverse));
                }
            }
        }
    }
}

/// Reads a block of a map; zeros behind its channels and positions.
///
/// # Safety
/// `from` is the block's first value in a map; as everything here.
#[target_feature(enable = "avx512f")]
unsafe fn read(plan: &Plan, from: *const f32, valid: usize, to: Matrix) {
    // SAFETY: the contract.
    unsafe {
        for c in 0..plan.wide {
            for at in (0..BLOCK).step_by(16) {
                let mask = if c < plan.s.channels {
                    lanes::first(valid.saturating_sub(at))
                } else {
                    0
                };
                let from = from.wrapping_add(c * plan.s.positions + at);
                _mm512_store_ps(to.row(c).add(at), _mm512_maskz_loadu_ps(mask, from));
            }
        }
    }
}

/// Writes a block of a map, plus the same block of another one.
///
/// # Safety
/// As [`read`].
#[target_feature(enable = "avx512f")]
unsafe fn write(plan: &Plan, from: Matrix, plus: *const f32, valid: usize, to: *mut f32) {
    // SAFETY: the contract.
    unsafe {
        for c in 0..plan.s.channels {
            for at in (0..valid).step_by(16) {
                let mask = lanes::first(valid - at);
                let place = c * plan.s.positions + at;
                let mut v = _mm512_load_ps(from.row(c).add(at));
                if !plus.is_null() {
                    v = _mm512_add_ps(v, _mm512_maskz_loadu_ps(mask, plus.add(place)));
                }
                _mm512_mask_storeu_ps(to.add(place), mask, v);
            }
        }
    }
}

/// Softmax over the 32 features of each head and position, times 32^−½, in place.
///
/// # Safety
/// As everything here.
#[target_feature(enable = "avx512f")]
unsafe fn softmax_features(q: Matrix) {
    let scale = _mm512_set1_ps((DIM as f32).powf(-0.5));
    // SAFETY: the contract.
    unsafe {
        for head in (0..q.rows).step_by(DIM) {
            for at in (0..BLOCK).step_by(16) {
                let place = |i: usize| q.row(head + i).add(at);
                let mut largest = _mm512_load_ps(place(0));
                for i in 1..DIM {
                    largest = _mm512_max_ps(largest, _mm512_load_ps(place(i)));
                }
                let mut total = _mm512_setzero_ps();
                for i in 0..DIM {
                    let v = lanes::exp(_mm512_sub_ps(_mm512_load_ps(place(i)), largest));
                    total = _mm512_add_ps(total, v);
                    _mm512_store_ps(place(i), v);
                }
                let factor = _mm512_div_ps(scale, total);
                for i in 0..DIM {
                    _mm512_store_ps(place(i), _mm512_mul_ps(_mm512_load_ps(place(i)), factor));
                }
            }
        }
    }
}

/// The gradient through [`softmax_features`], in place: dq from q's and the result's.
///
/// # Safety
/// As everything here.
#[target_feature(enable = "avx512f")]
unsafe fn softmax_features_back(q: Matrix, gradient: Matrix) {
    let scale = _mm512_set1_ps((DIM as f32).sqrt());
    // SAFETY: the contract.
    unsafe {
        for head in (0..q.rows).step_by(DIM) {
            for at in (0..BLOCK).step_by(16) {
                let place = |m: Matrix, i: usize| m.row(head + i).add(at);
                let mut dot = _mm512_setzero_ps();
                for i in 0..DIM {
                    let d = _mm512_load_ps(place(gradient, i));
                    dot = _mm512_fmadd_ps(_mm512_load_ps(place(q, i)), d, dot);
                }
                let dot = _mm512_mul_ps(dot, scale);
                for i in 0..DIM {
                    let d = _mm512_sub_ps(_mm512_load_ps(place(gradient, i)), dot);
                    let d = _mm512_mul_ps(_mm512_load_ps(place(q, i)), d);
                    _mm512_store_ps(place(gradient, i), d);
                }
            }
        }
    }
}

/// k to e^(k − largest), zero behind the positions; `total` and the context take the new largest.
///
/// # Safety
/// As everything here; the others have a value, or a row, for each row of k.
#[target_feature(enable = "avx512f")]
unsafe fn exponentials(
    k: Matrix,
    valid: usize,
    largest: *mut f32,
    total: *mut f32,
    context: Matrix,
) {
    // SAFETY: the contract.
    unsafe {
        for r in 0..k.rows {
            let mut most = _mm512_set1_ps(*largest.add(r));
            for at in (0..valid).step_by(16) {
                let mask = lanes::first(valid - at);
                most = _mm512_mask_max_ps(most, mask, most, _mm512_load_ps(k.row(r).add(at)));
            }
            let most = _mm512_reduce_max_ps(most);
            let before = *largest.add(r);
            if most > before {
                let factor = (before - most).exp();
                *largest.add(r) = most;
                *total.add(r) *= factor;
                (0..DIM).for_each(|i| *context.row(r).add(i) *= factor);
            }
            *total.add(r) += exponentials_of(k.row(r), valid, most);
        }
    }
}

/// A row of k to e^(k − most), zero behind the positions; their sum.
///
/// # Safety
/// As everything here.
#[target_feature(enable = "avx512f")]
unsafe fn exponentials_of(row: *mut f32, valid: usize, most: f32) -> f32 {
    let mut sum = _mm512_setzero_ps();
    // SAFETY: a row of a block.
    unsafe {
        for at in (0..BLOCK).step_by(16) {
            let mask = lanes::first(valid.saturating_sub(at));
            let v = _mm512_sub_ps(_mm512_load_ps(row.add(at)), _mm512_set1_ps(most));
            let v = _mm512_maskz_mov_ps(mask, lanes::exp(v));
            _mm512_store_ps(row.add(at), v);
            sum = _mm512_add_ps(sum, v);
        }
    }
    _mm512_reduce_add_ps(sum)
}

/// row · factor, in place.
///
/// # Safety
/// As everything here.
#[target_feature(enable = "avx512f")]
unsafe fn scale_row(row: *mut f32, factor: f32) {
    for at in (0..BLOCK).step_by(16) {
        // SAFETY: a row of a block.
        unsafe {
            let v = _mm512_mul_ps(_mm512_load_ps(row.add(at)), _mm512_set1_ps(factor));
            _mm512_store_ps(row.add(at), v);
        }
    }
}

/// to\[head\] (+)= left\[head\] · right\[head\] over the block's positions: contexts.
///
/// # Safety
/// As [`multiply`].
pub(super) unsafe fn contexts(tiles: &Tiles, left: Panels, right: Panels, to: Matrix) {
    for head in 0..to.rows / DIM {
        let side = |panels| Side {
            panels,
            panel: 2 * head,
            step: 0,
        };
        // SAFETY: two panels of 16 for each head.
        unsafe {
            let to = to.part(head * DIM, DIM);
            multiply(tiles, side(left), side(right), BLOCK / 32, to, true);
        }
    }
}

/// to\[head\] = left\[head\] · right\[head\] over a head's features.
///
/// # Safety
/// As [`multiply`].
unsafe fn by_heads(tiles: &Tiles, left: Panels, right: Panels, to: Matrix) {
    for head in 0..to.rows / DIM {
        let left = Side {
            panels: left,
            panel: 2 * head,
            step: 0,
        };
        let right = Side {
            panels: right,
            panel: 0,
            step: head,
        };
        // SAFETY: a step of features for each head.
        unsafe { multiply(tiles, left, right, 1, to.part(head * DIM, DIM), false) };
    }
}

/// Contexts `[head][32][32]` as left sides: as they are, and each transposed.
struct ContextPanels {
    rows: Panels,
    back: Panels,
    staging: Matrix,
}

impl ContextPanels {
    fn new(plan: &Plan, room: &mut Room) -> Self {
        Self {
            rows: room.panels(plan.inner, DIM),
            back: room.panels(plan.inner, DIM),
            staging: room.matrix(plan.inner, DIM),
        }
    }

    /// # Safety
    /// As everything here.
    unsafe fn take(&self, context: &[f32]) {
        let size = DIM * DIM;
        // SAFETY: the matrices are as planned.
        unsafe {
            self.staging.take(context, [self.staging.rows, DIM], false);
            self.staging.to_rows(self.rows);
            for (head, values) in context.chunks_exact(size).enumerate() {
                self.staging
                    .part(head * DIM, DIM)
                    .take(values, [DIM, DIM], true);
            }
            self.staging.to_rows(self.back);
        }
    }
}

/// What each part found of which picture.
pub(super) type ByParts<T> = Vec<Mutex<Vec<(usize, T)>>>;

/// Sums of the parts of a picture's context.
pub(super) struct Partial {
    pub context: Vec<f32>,
    pub largest: Vec<f32>,
    pub total: Vec<f32>,
}

impl Partial {
    /// Of no positions.
    pub(super) fn none(plan: &Plan) -> Self {
        Self {
            context: vec![0.0; plan.inner * DIM],
            largest: vec![f32::MIN; plan.inner],
            total: vec![0.0; plan.inner],
        }
    }
}

/// The pictures that a part's blocks belong to, with their blocks.
pub(super) fn pictures(plan: &Plan, part: usize) -> impl Iterator<Item = (usize, Range<usize>)> {
    let (all, blocks) = (plan.part(part), plan.blocks);
    (all.start / blocks..all.end.div_ceil(blocks)).map(move |picture| {
        let own = picture * blocks..(picture + 1) * blocks;
        (picture, own.start.max(all.start)..own.end.min(all.end))
    })
}

/// First sweep: the context of every picture.
pub(crate) fn context(s: &MapShape, w: &AttentionWeights, x: &[f32]) -> Context {
    let plan = &Plan::new(s, w);
    if plan.all == 0 {
        return whole(plan, vec![]);
    }
    let partials: ByParts<Partial> = (0..plan.parts).map(|_| Default::default()).collect();
    let from = Shared::of(x);
    with_weights(plan, |weights| {
        parallel_for(plan.parts, |part| {
            let mut own = vec![];
            workspace::with(Slot::Input, plan.room(), |memory| {
                for (picture, blocks) in pictures(plan, part) {
                    // SAFETY: x has the map's length; the room is as planned.
                    let partial = unsafe {
                        let room = &mut Room::new(memory);
                        context_of(plan, weights, from.get(), blocks, room)
                    };
                    own.push((picture, partial));
                }
            });
            *partials[part].lock().expect("nobody panics with it") = own;
        });
    });
    whole(plan, partials)
}

/// The contexts of all pictures from what the parts found of them.
pub(super) fn whole(plan: &Plan, partials: ByParts<Partial>) -> Context {
    let (s, inner) = (plan.s, plan.inner);
    let planes = s.batch * inner;
    let mut found = Context {
        context: vec![0.0; planes * DIM],
        largest: vec![0.0; planes],
        total: vec![1.0; planes],
    };
    if plan.all == 0 {
        return found;
    }
    // The parts of a picture, in order.
    let mut parts: Vec<Vec<Partial>> = (0..s.batch).map(|_| vec![]).collect();
    for part in partials {
        for (picture, partial) in part.into_inner().expect("nobody panics with it") {
            parts[picture].push(partial);
        }
    }
    for (picture, parts) in parts.iter().enumerate() {
        for r in 0..inner {
            let largest = parts.iter().map(|p| p.largest[r]).fold(f32::MIN, f32::max);
            let factors: Vec<f32> = parts
                .iter()
                .map(|p| (p.largest[r] - largest).exp())
                .collect();
            let total: f32 = parts
                .iter()
                .zip(&factors)
                .map(|(p, f)| p.total[r] * f)
                .sum();
            let plane = picture * inner + r;
            (found.largest[plane], found.total[plane]) = (largest, total);
            for e in 0..DIM {
                let sums = parts.iter().zip(&factors);
                let sum: f32 = sums.map(|(p, f)| p.context[r * DIM + e] * f).sum();
                found.context[plane * DIM + e] = sum / (total * s.positions as f32);
            }
        }
    }
    found
}

/// The context of some blocks of a picture, not yet divided.
///
/// # Safety
/// As everything here; `x` is the whole map.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn context_of(
    plan: &Plan,
    weights: &Weights,
    x: *const f32,
    blocks: Range<usize>,
    room: &mut Room,
) -> Partial {
    let inner = plan.inner;
    let mut partial = Partial::none(plan);
    let normed = Normed::new(plan, room);
    let normed_pairs = room.panels(BLOCK, plan.wide);
    let kv = room.matrix(2 * inner, BLOCK);
    let (k_rows, v_turned) = (room.panels(inner, BLOCK), room.panels(inner, BLOCK));
    let sums = room.matrix(inner, DIM);
    // SAFETY: the room is as planned.
    unsafe {
        sums.clear();
        let tiles = Tiles::new();
        for block in blocks {
            let [_, _, valid] = plan.block(block);
            normed.take(plan, x.add(plan.at(block)), valid, normed_pairs);
            weights.keys_and_values(plan, &tiles, normed_pairs, kv);
            let (k, v) = (kv.part(0, inner), kv.part(inner, inner));
            let (largest, total) = (partial.largest.as_mut_ptr(), partial.total.as_mut_ptr());
            exponentials(k, valid, largest, total, sums);
            k.to_rows(k_rows);
            v.to_turned(v_turned);
            contexts(&tiles, k_rows, v_turned, sums);
        }
        sums.at
            .copy_to_nonoverlapping(partial.context.as_mut_ptr(), inner * DIM);
    }
    partial
}

/// What is drawn from the context in a block.
struct Drawn {
    normed: Normed,
    normed_pairs: Panels,
    /// Softmax of q.
    q: Matrix,
    q_pairs: Panels,
    attended: Matrix,
    attended_pairs: Panels,
    /// W_out · attended + bias, in `unit`, normalised.
    out: Normed,
}

impl Drawn {
    fn new(plan: &Plan, room: &mut Room) -> Self {
        Self {
            normed: Normed::new(plan, room),
            normed_pairs: room.panels(BLOCK, plan.wide),
            q: room.matrix(plan.inner, BLOCK),
            q_pairs: room.panels(BLOCK, plan.inner),
            attended: room.matrix(plan.inner, BLOCK),
            attended_pairs: room.panels(BLOCK, plan.inner),
            out: Normed::new(plan, room),
        }
    }

    /// # Safety
    /// As everything here; `x` is the block's place in the map.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn draw(
        &self,
        plan: &Plan,
        tiles: &Tiles,
        weights: &Weights,
        context: &ContextPanels,
        x: *const f32,
        valid: usize,
    ) {
        // SAFETY: the contract.
        unsafe {
            self.normed.take(plan, x, valid, self.normed_pairs);
            let pairs = self.normed_pairs.into();
            multiply(
                tiles,
                weights.qkv.into(),
                pairs,
                plan.wide / 32,
                self.q,
                false,
            );
            softmax_features(self.q);
            self.q.to_pairs(self.q_pairs);
            by_heads(tiles, context.back, self.q_pairs, self.attended);
            self.attended.to_pairs(self.attended_pairs);
            let pairs = self.attended_pairs.into();
            let out = self.out.unit;
            multiply(
                tiles,
                weights.out.into(),
                pairs,
                plan.inner / 32,
                out,
                false,
            );
            if let Some(bias) = plan.w.out_bias {
                for (c, bias) in bias.iter().enumerate() {
                    for at in (0..BLOCK).step_by(16) {
                        let place = out.row(c).add(at);
                        let v = _mm512_add_ps(_mm512_load_ps(place), _mm512_set1_ps(*bias));
                        _mm512_store_ps(place, v);
                    }
                }
            }
            self.out.normalise(plan, plan.w.post_gain);
        }
    }
}

/// Second sweep: y, with the context of the first.
pub(crate) fn forward(
    s: &MapShape,
    w: &AttentionWeights,
    context: &Context,
    x: &[f32],
    y: &mut [f32],
) {
    let plan = &Plan::new(s, w);
    let (from, to) = (Shared::of(x), Shared::of_mut(y));
    with_weights(plan, |weights| {
        parallel_for(plan.parts, |part| {
            workspace::with(Slot::Input, plan.room(), |memory| {
                let room = &mut Room::new(memory);
                let panels = ContextPanels::new(plan, room);
                let drawn = Drawn::new(plan, room);
                let tiles = Tiles::new();
                for (picture, blocks) in pictures(plan, part) {
                    let size = plan.inner * DIM;
                    // SAFETY: x and y have the map's length; these blocks are this item's alone.
                    unsafe {
                        panels.take(&context.context[picture * size..][..size]);
                        for block in blocks {
                            let [_, _, valid] = plan.block(block);
                            let x = from.get().add(plan.at(block));
                            drawn.draw(plan, &tiles, weights, &panels, x, valid);
                            let y = to.get().add(plan.at(block));
                            write(plan, drawn.out.scaled, x, valid, y);
                        }
                    }
                }
            });
        });
    });
}

/// A part's sums of the weights' gradients, padded as the plan says.
#[derive(Clone, Copy)]
struct Sums {
    /// `[3 · inner][wide]`.
    qkv: Matrix,
    /// `[wide][inner]`.
    out: Matrix,
    bias: *mut f32,
    pre: *mut f32,
    post: *mut f32,
}

impl Sums {
    fn new(plan: &Plan, memory: &mut [f32]) -> Self {
        let room = &mut Room::new(memory);
        Sums {
            qkv: room.matrix(3 * plan.inner, plan.wide),
            out: room.matrix(plan.wide, plan.inner),
            bias: room.floats(plan.wide),
            pre: room.floats(plan.wide),
            post: room.floats(plan.wide),
        }
    }
}

/// All gradients, from dy.
pub(crate) fn backward(
    s: &MapShape,
    w: &AttentionWeights,
    context: &Context,
    x: &[f32],
    dy: &[f32],
    grads: AttentionGrads,
) {
    let plan = &Plan::new(s, w);
    if plan.all == 0 {
        grads.dpre_gain.fill(0.0);
        grads.dqkv.fill(0.0);
        grads.dout.fill(0.0);
        grads.dout_bias.fill(0.0);
        return grads.dpost_gain.fill(0.0);
    }
    let (from, back) = (Shared::of(x), Shared::of(dy));
    let to = Shared::of_mut(&mut *grads.dx);
    let size = plan.inner * DIM;
    let len = plan.gradient_len();
    // The gradient of each part's share of each picture's context.
    let partials: ByParts<Vec<f32>> = (0..plan.parts).map(|_| Default::default()).collect();
    workspace::with(Slot::Shared, plan.parts * len, |sums| {
        sums.fill(0.0);
        let all = Shared::of_mut(sums);
        // SAFETY: each part's own sums.
        let sums_of = |part: usize| unsafe {
            let memory = std::slice::from_raw_parts_mut(all.get().add(part * len), len);
            Sums::new(plan, memory)
        };
        with_weights(plan, |weights| {
            parallel_for(plan.parts, |part| {
                let (sums, mut own) = (sums_of(part), vec![]);
                workspace::with(Slot::Input, plan.room(), |memory| {
                    for (picture, blocks) in pictures(plan, part) {
                        let own_context = &context.context[picture * size..][..size];
                        // SAFETY: all maps have the length that the plan says; these blocks and
                        // sums are this item's alone.
                        let gradient = unsafe {
                            let maps = [from.get(), back.get()];
                            let room = &mut Room::new(memory);
                            drawn_back(
                                plan,
                                weights,
                                own_context,
                                maps,
                                to.get(),
                                blocks,
                                sums,
                                room,
                            )
                        };
                        own.push((picture, gradient));
                    }
                });
                *partials[part].lock().expect("nobody panics with it") = own;
            });
            let mut gradient = vec![0.0; s.batch * size];
            for part in partials {
                for (picture, share) in part.into_inner().expect("nobody panics with it") {
                    let sum = &mut gradient[picture * size..][..size];
                    sum.iter_mut().zip(&share).for_each(|(sum, v)| *sum += v);
                }
            }
            parallel_for(plan.parts, |part| {
                let sums = sums_of(part);
                workspace::with(Slot::Input, plan.room(), |memory| {
                    for (picture, blocks) in pictures(plan, part) {
                        let gradient = &gradient[picture * size..][..size];
                        // SAFETY: as above.
                        unsafe {
                            let maps = [from.get(), back.get()];
                            let room = &mut Room::new(memory);
                            context_back(
                                plan,
                                weights,
                                context,
                                gradient,
                                picture,
                                maps,
                                to.get(),
                                blocks,
                                sums,
                                room,
                            );
                        }
                    }
                });
            });
        });
        let parts: Vec<Sums> = (0..plan.parts).map(sums_of).collect();
        // SAFETY: the parts' sums are whole, and nobody writes them any more.
        unsafe {
            add_up(&parts, |p| p.qkv, [3 * plan.inner, s.channels], grads.dqkv);
            add_up(&parts, |p| p.out, [s.channels, plan.inner], grads.dout);
            let row = |at| Matrix {
                at,
                rows: 1,
                columns: plan.wide,
            };
            add_up(&parts, |p| row(p.bias), [1, s.channels], grads.dout_bias);
            add_up(&parts, |p| row(p.pre), [1, s.channels], grads.dpre_gain);
            add_up(&parts, |p| row(p.post), [1, s.channels], grads.dpost_gain);
        }
    });
}

/// The parts' sums, in order.
///
/// # Safety
/// The matrices are readable.
unsafe fn add_up(
    parts: &[Sums],
    which: impl Fn(&Sums) -> Matrix,
    [rows, columns]: [usize; 2],
    to: &mut [f32],
) {
    for r in 0..rows {
        for c in 0..columns {
            // SAFETY: within the matrices.
            let values = parts
                .iter()
                .map(|part| unsafe { *which(part).row(r).add(c) });
            to[r * columns + c] = values.sum();
        }
    }
}

/// Third sweep: the gradient of what was drawn from the context. Leaves q's share of the gradient
/// of norm₁'s result in dx, and returns the context's.
///
/// # Safety
/// As everything here; the maps are x and dy.
#[allow(clippy::too_many_arguments, reason = "operands of one sweep")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn drawn_back(
    plan: &Plan,
    weights: &Weights,
    context: &[f32],
    [x, dy]: [*const f32; 2],
    dx: *mut f32,
    blocks: Range<usize>,
    sums: Sums,
    room: &mut Room,
) -> Vec<f32> {
    let (inner, wide) = (plan.inner, plan.wide);
    let mut gradient = vec![0.0; inner * DIM];
    let panels = ContextPanels::new(plan, room);
    let drawn = Drawn::new(plan, room);
    let dout = room.matrix(wide, BLOCK);
    let (dout_rows, dout_pairs) = (room.panels(wide, BLOCK), room.panels(BLOCK, wide));
    let dattended = room.matrix(inner, BLOCK);
    let dattended_pairs = room.panels(BLOCK, inner);
    let dq = room.matrix(inner, BLOCK);
    let (rows, turned) = (room.panels(inner, BLOCK), room.panels(inner, BLOCK));
    let normed_turned = room.panels(wide, BLOCK);
    let dcontext = room.matrix(inner, DIM);
    // SAFETY: the room is as planned.
    unsafe {
        panels.take(context);
        dcontext.clear();
        let tiles = Tiles::new();
        for block in blocks {
            let [_, _, valid] = plan.block(block);
            let at = plan.at(block);
            drawn.draw(plan, &tiles, weights, &panels, x.add(at), valid);
            read(plan, dy.add(at), valid, dout);
            drawn.out.back(plan, plan.w.post_gain, dout, sums.post);
            for c in 0..plan.s.channels {
                let mut sum = _mm512_setzero_ps();
                for at in (0..BLOCK).step_by(16) {
                    sum = _mm512_add_ps(sum, _mm512_load_ps(dout.row(c).add(at)));
                }
                *sums.bias.add(c) += _mm512_reduce_add_ps(sum);
            }
            // W_out and what it read.
            dout.to_rows(dout_rows);
            drawn.attended.to_turned(turned);
            let steps = BLOCK / 32;
            multiply(
                &tiles,
                dout_rows.into(),
                turned.into(),
                steps,
                sums.out,
                true,
            );
            dout.to_pairs(dout_pairs);
            let (left, right) = (weights.out_back.into(), dout_pairs.into());
            multiply(&tiles, left, right, wide / 32, dattended, false);
            // Context and q.
            drawn.q.to_rows(rows);
            dattended.to_turned(turned);
            contexts(&tiles, rows, turned, dcontext);
            dattended.to_pairs(dattended_pairs);
            by_heads(&tiles, panels.rows, dattended_pairs, dq);
            softmax_features_back(drawn.q, dq);
            // W_q and what it read.
            dq.to_rows(rows);
            drawn.normed.scaled.to_turned(normed_turned);
            let to = sums.qkv.part(0, inner);
            multiply(&tiles, rows.into(), normed_turned.into(), steps, to, true);
            dq.to_pairs(dattended_pairs);
            let (left, right) = (weights.qkv_back.into(), dattended_pairs.into());
            multiply(&tiles, left, right, inner / 32, dout, false);
            write(plan, dout, std::ptr::null(), valid, dx.add(at));
        }
        dcontext
            .at
            .copy_to_nonoverlapping(gradient.as_mut_ptr(), inner * DIM);
    }
    gradient
}

/// Fourth sweep: the gradient through the context to k and v, and through norm₁ to x.
///
/// # Safety
/// As [`drawn_back`], whose results it takes.
#[allow(clippy::too_many_arguments, reason = "operands of one sweep")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn context_back(
    plan: &Plan,
    weights: &Weights,
    context: &Context,
    dcontext: &[f32],
    picture: usize,
    [x, dy]: [*const f32; 2],
    dx: *mut f32,
    blocks: Range<usize>,
    sums: Sums,
    room: &mut Room,
) {
    let (inner, wide) = (plan.inner, plan.wide);
    let panels = ContextPanels::new(plan, room);
    let normed = Normed::new(plan, room);
    let normed_pairs = room.panels(BLOCK, wide);
    let normed_turned = room.panels(wide, BLOCK);
    let kv = room.matrix(2 * inner, BLOCK);
    let dkv = room.matrix(2 * inner, BLOCK);
    let pairs = room.panels(BLOCK, inner);
    let (dkv_rows, dkv_pairs) = (room.panels(2 * inner, BLOCK), room.panels(BLOCK, 2 * inner));
    let dnormed = room.matrix(wide, BLOCK);
    let (k, v) = (kv.part(0, inner), kv.part(inner, inner));
    let (dk, dv) = (dkv.part(0, inner), dkv.part(inner, inner));
    let share = 1.0 / plan.s.positions as f32;
    let own = &context.context[picture * inner * DIM..][..inner * DIM];
    // Softmax takes a multiple of its result away: Σₚ softmax(k)·d softmax(k), which is known.
    let dots: Vec<f32> = (0..inner)
        .map(|r| {
            let row = r * DIM..(r + 1) * DIM;
            let products = own[row.clone()].iter().zip(&dcontext[row]);
            products.map(|(a, b)| a * b).sum()
        })
        .collect();
    // SAFETY: the room is as planned.
    unsafe {
        panels.take(dcontext);
        let tiles = Tiles::new();
        for block in blocks {
            let [_, _, valid] = plan.block(block);
            let at = plan.at(block);
            normed.take(plan, x.add(at), valid, normed_pairs);
            weights.keys_and_values(plan, &tiles, normed_pairs, kv);
            for r in 0..inner {
                let plane = picture * inner + r;
                exponentials_of(k.row(r), valid, context.largest[plane]);
                scale_row(k.row(r), 1.0 / context.total[plane]);
                scale_row(v.row(r), share);
            }
            v.to_pairs(pairs);
            by_heads(&tiles, panels.rows, pairs, dk);
            for (r, dot) in dots.iter().enumerate() {
                for at in (0..BLOCK).step_by(16) {
                    let d = _mm512_load_ps(dk.row(r).add(at));
                    let d = _mm512_sub_ps(d, _mm512_set1_ps(*dot));
                    let k = _mm512_load_ps(k.row(r).add(at));
                    _mm512_store_ps(dk.row(r).add(at), _mm512_mul_ps(k, d));
                }
            }
            k.to_pairs(pairs);
            by_heads(&tiles, panels.back, pairs, dv);
            (0..inner).for_each(|r| scale_row(dv.row(r), share));
            // W_k and W_v, and what they read.
            dkv.to_rows(dkv_rows);
            normed.scaled.to_turned(normed_turned);
            let to = sums.qkv.part(inner, 2 * inner);
            multiply(
                &tiles,
                dkv_rows.into(),
                normed_turned.into(),
                BLOCK / 32,
                to,
                true,
            );
            read(plan, dx.add(at), valid, dnormed);
            dkv.to_pairs(dkv_pairs);
            let left = Side {
                panels: weights.qkv_back,
                panel: 0,
                step: inner / 32,
            };
            multiply(
                &tiles,
                left,
                dkv_pairs.into(),
                2 * inner / 32,
                dnormed,
                true,
            );
            normed.back(plan, plan.w.pre_gain, dnormed, sums.pre);
            write(plan, dnormed, dy.add(at), valid, dx.add(at));
        }
    }
}
