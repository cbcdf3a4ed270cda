//! The attention block, y = x + norm₂(W_out · attention(W_qkv · norm₁(x)) + bias), of maps whose
//! channels lie together, for inference.
//!
//! As in [`attention`](super::attention) a block of positions at a time goes through all of it, in
//! two sweeps. Here positions are rows, as they stand in a map, and once a picture's context is
//! whole it is folded into W_out, so that the softmax of q goes straight to the block's output.

use std::arch::x86_64::*;
use std::ops::Range;

use super::amx::Tiles;
use super::attention::{BLOCK, ByParts, DIM, Partial, Plan, contexts, pictures, whole};
use super::channels_last::pack_tile;
use super::lanes::{self, Bf16};
use super::maps;
use super::matrix::{Matrix, Panels, Room, Side, multiply};
use crate::attention_block::AttentionWeights;
use crate::conv::forward_places;
use crate::norm::MapShape;
use crate::pool::parallel_for;
use crate::raw::Shared;
use crate::shape::Conv2dShape;
use crate::workspace::{self, Slot};

/// The weights as right sides.
struct Weights {
    /// W_qkv: terms are channels, columns q, k and v.
    qkv: Panels,
    /// W_out: terms are features of the heads, columns channels.
    out: Panels,
    /// Gains and bias, up to the padded channels: even ones of 32, then odd ones.
    pre_gain: *mut f32,
    post_gain: *mut f32,
    bias: *mut f32,
}

// SAFETY: only read once they are packed.
unsafe impl Sync for Weights {}

/// Floats that they take.
fn weights_len(plan: &Plan) -> usize {
    2 * plan.inner * plan.wide + 3 * plan.wide
}

/// Floats of scratch memory that is enough for either sweep.
fn room(plan: &Plan) -> usize {
    let (inner, wide) = (plan.inner, plan.wide);
    BLOCK * (2 * wide + 4 * inner) + inner * (2 * wide + 3 * DIM)
}

impl Weights {
    /// # Safety
    /// The memory has [`weights_len`] floats; the CPU has tiles.
    unsafe fn pack(plan: &Plan, memory: &mut [f32]) -> Self {
        let (inner, wide, channels) = (plan.inner, plan.wide, plan.s.channels);
        let room = &mut Room::new(memory);
        let weights = Weights {
            qkv: room.panels(3 * inner, wide),
            out: room.panels(wide, inner),
            pre_gain: room.floats(wide),
            post_gain: room.floats(wide),
            bias: room.floats(wide),
        };
        let pack = |to: Panels, w: &[f32], [inputs, outputs]: [usize; 2], columns: usize| {
            let s = Conv2dShape::new([0, inputs, 1, 1], outputs, 1, 1, 0);
            assert_eq!(w.len(), s.weight_len());
            let places = forward_places(&s);
            let (from, first) = (Shared::of(w), Shared::from_raw_mut(to.at));
            parallel_for(columns / 16, |panel| {
                let to = Panels {
                    at: first.get(),
                    ..to
                };
                for step in 0..to.steps {
                    // SAFETY: this panel's tiles, which are this item's alone.
                    unsafe {
                        let tile = to.tile(panel, step);
                        pack_tile(&s, from.get(), &places, panel * 16, [0, step, 0], tile);
                    }
                }
            });
        };
        pack(weights.qkv, plan.w.qkv, [channels, 3 * inner], 3 * inner);
        pack(weights.out, plan.w.out, [inner, channels], wide);
        let halved = |to: *mut f32, from: &[f32]| {
            for c in 0..wide {
                let value = from.get(c).copied().unwrap_or(0.0);
                // SAFETY: within the padded channels.
                unsafe { *to.add(c / 32 * 32 + c % 2 * 16 + c % 32 / 2) = value };
            }
        };
        halved(weights.pre_gain, plan.w.pre_gain);
        halved(weights.post_gain, plan.w.post_gain);
        halved(weights.bias, plan.w.out_bias.unwrap_or(&[]));
        weights
    }

    /// Part of q, k and v, from the `first` of its heads' features on.
    ///
    /// # Safety
    /// As everything here: scratch memory as planned, a CPU with tiles.
    unsafe fn project(&self, plan: &Plan, tiles: &Tiles, normed: Panels, first: usize, to: Matrix) {
        let right = Side {
            panels: self.qkv,
            panel: first / 16,
            step: 0,
        };
        // SAFETY: the contract.
        unsafe { multiply(tiles, normed.into(), right, plan.wide / 32, to, false) };
    }
}

/// norm₁ of a block's positions as rows; zeros behind the last.
///
/// # Safety
/// As everything here; `x` is the block's first value.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn normalise(plan: &Plan, weights: &Weights, x: *const Bf16, valid: usize, to: Panels) {
    let channels = plan.s.channels;
    // SAFETY: the contract.
    unsafe {
        for p in 0..BLOCK {
            let row = |step: usize| to.tile(p / 16, step).add(p % 16 * 16).cast();
            if p >= valid {
                for step in 0..to.steps {
                    _mm512_store_si512(row(step), _mm512_setzero_si512());
                }
                continue;
            }
            let x = x.add(p * channels);
            let (mean, squares) = maps::moments(channels, x);
            let inverse = 1.0 / (squares / channels as f32 + plan.w.epsilon).sqrt();
            let (mean, inverse) = (_mm512_set1_ps(mean), _mm512_set1_ps(inverse));
            for step in 0..to.steps {
                let v = maps::load(channels, x, step * 32);
                // Behind the channels the gain is zero.
                let value = |i: usize| {
                    let gain = _mm512_load_ps(weights.pre_gain.add(step * 32 + i * 16));
                    let v = _mm512_mul_ps(_mm512_sub_ps(v[i], mean), inverse);
                    _mm512_mul_ps(v, gain)
                };
                _mm512_store_si512(row(step), lanes::pairs(value(0), value(1)));
            }
        }
    }
}

/// y = block(x).
pub(crate) fn forward(s: &MapShape, w: &AttentionWeights, x: &[Bf16], y: &mut [Bf16]) {
    let plan = &Plan::new(s, w);
    if plan.all == 0 || s.channels == 0 {
        return;
    }
    let (from, to) = (Shared::of(x), Shared::of_mut(y));
    let size = plan.inner * DIM;
    workspace::with(Slot::Weights, weights_len(plan), |memory| {
        // SAFETY: the memory is as planned; whoever comes here has checked the CPU.
        let weights = &unsafe { Weights::pack(plan, memory) };
        let partials: ByParts<Partial> = (0..plan.parts).map(|_| Default::default()).collect();
        parallel_for(plan.parts, |part| {
            let mut own = vec![];
            workspace::with(Slot::Input, room(plan), |memory| {
                for (picture, blocks) in pictures(plan, part) {
                    // SAFETY: x has the map's length; the room is as planned.
                    let partial = unsafe {
                        context_of(plan, weights, from.get(), blocks, &mut Room::new(memory))
                    };
                    own.push((picture, partial));
                }
            });
            *partials[part].lock().expect("nobody panics with it") = own;
        });
        let context = whole(plan, partials).context;
        parallel_for(plan.parts, |part| {
            workspace::with(Slot::Input, room(plan), |memory| {
                for (picture, blocks) in pictures(plan, part) {
                    let context = &context[picture * size..][..size];
                    let maps = (from.get(), to.get());
                    let room = &mut Room::new(memory);
                    // SAFETY: x and y have the map's length; these blocks are this item's alone.
                    unsafe { draw(plan, weights, context, maps, blocks, room) };
                }
            });
        });
    });
}

/// Where a block starts in a map, and how many positions it has.
fn place(plan: &Plan, block: usize) -> (usize, usize) {
    let [picture, first, valid] = plan.block(block);
    (
        (picture * plan.s.positions + first) * plan.s.channels,
        valid,
    )
}

/// The context of some blocks of a picture, not yet divided.
///
/// # Safety
/// As everything here; `x` is the whole map.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn context_of(
    plan: &Plan,
    weights: &Weights,
    x: *const Bf16,
    blocks: Range<usize>,
    room: &mut Room,
) -> Partial {
    let inner = plan.inner;
    let mut partial = Partial::none(plan);
    let normed = room.panels(BLOCK, plan.wide);
    let (k, v) = (room.matrix(BLOCK, inner), room.matrix(BLOCK, inner));
    let (k_turned, v_pairs) = (room.panels(inner, BLOCK), room.panels(inner, BLOCK));
    let sums = room.matrix(inner, DIM);
    // SAFETY: the room is as planned.
    unsafe {
        sums.clear();
        let tiles = Tiles::new();
        for block in blocks {
            let (at, valid) = place(plan, block);
            normalise(plan, weights, x.add(at), valid, normed);
            weights.project(plan, &tiles, normed, inner, k);
            weights.project(plan, &tiles, normed, 2 * inner, v);
            exponentials(k, valid, &mut partial, sums);
            k.to_rows_of_transpose(k_turned);
            v.to_pairs(v_pairs);
            contexts(&tiles, k_turned, v_pairs, sums);
        }
        let to = partial.context.as_mut_ptr();
        sums.at.copy_to_nonoverlapping(to, inner * DIM);
    }
    partial
}

/// k to e^(k − largest), zero behind the positions; the partial and its sums take the new largest.
///
/// # Safety
/// As everything here.
#[target_feature(enable = "avx512f")]
unsafe fn exponentials(k: Matrix, valid: usize, partial: &mut Partial, sums: Matrix) {
    // SAFETY: the contract: all have a value, or a row, for each column of k.
    unsafe {
        for c in (0..k.columns).step_by(16) {
            let largest = partial.largest.as_mut_ptr().add(c);
            let total = partial.total.as_mut_ptr().add(c);
            let before = _mm512_loadu_ps(largest);
            let mut most = before;
            for p in 0..valid {
                most = _mm512_max_ps(most, _mm512_load_ps(k.row(p).add(c)));
            }
            let factor = lanes::exp(_mm512_sub_ps(before, most));
            let changed = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(most, before);
            if changed != 0 {
                let mut factors = [0f32; 16];
                _mm512_storeu_ps(factors.as_mut_ptr(), factor);
                for (i, factor) in factors.iter().enumerate() {
                    let row = sums.row(c + i);
                    let factor = _mm512_set1_ps(if changed >> i & 1 == 1 { *factor } else { 1.0 });
                    for at in (0..DIM).step_by(16) {
                        let v = _mm512_mul_ps(_mm512_load_ps(row.add(at)), factor);
                        _mm512_store_ps(row.add(at), v);
                    }
                }
                _mm512_storeu_ps(largest, most);
            }
            let kept = _mm512_loadu_ps(total);
            let mut sum = _mm512_mask_mul_ps(kept, changed, kept, factor);
            for p in 0..valid {
                let at = k.row(p).add(c);
                let v = lanes::exp(_mm512_sub_ps(_mm512_load_ps(at), most));
                sum = _mm512_add_ps(sum, v);
                _mm512_store_ps(at, v);
            }
            for p in valid..BLOCK {
                _mm512_store_ps(k.row(p).add(c), _mm512_setzero_ps());
            }
            _mm512_storeu_ps(total, sum);
        }
    }
}

/// y of some blocks of a picture with this context.
///
/// # Safety
/// As everything here; x and y are the whole maps.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn draw(
    plan: &Plan,
    weights: &Weights,
    context: &[f32],
    (x, y): (*const Bf16, *mut Bf16),
    blocks: Range<usize>,
    room: &mut Room,
) {
    let (inner, wide) = (plan.inner, plan.wide);
    // W_out · context.
    let staging = room.matrix(inner, DIM);
    let context_rows = room.panels(inner, DIM);
    let folded = room.matrix(inner, wide);
    let folded_pairs = room.panels(wide, inner);
    let normed = room.panels(BLOCK, wide);
    let q = room.matrix(BLOCK, inner);
    let q_rows = room.panels(BLOCK, inner);
    let out = room.matrix(BLOCK, wide);
    // SAFETY: the room is as planned.
    unsafe {
        let tiles = Tiles::new();
        staging.take(context, [inner, DIM], false);
        staging.to_rows(context_rows);
        for head in 0..plan.w.heads {
            let left = Side {
                panels: context_rows,
                panel: 2 * head,
                step: 0,
            };
            let right = Side {
                panels: weights.out,
                panel: 0,
                step: head,
            };
            let to = folded.part(head * DIM, DIM);
            multiply(&tiles, left, right, 1, to, false);
        }
        folded.to_pairs(folded_pairs);
        for block in blocks {
            let (at, valid) = place(plan, block);
            normalise(plan, weights, x.add(at), valid, normed);
            weights.project(plan, &tiles, normed, 0, q);
            softmax(q, q_rows);
            let (left, right) = (q_rows.into(), folded_pairs.into());
            multiply(&tiles, left, right, inner / 32, out, false);
            for p in 0..valid {
                let at = at + p * plan.s.channels;
                finish(plan, weights, out.row(p), x.add(at), y.add(at));
            }
        }
    }
}

/// Softmax over the 32 features of each head and position, times 32^−½, as rows.
///
/// # Safety
/// As everything here.
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn softmax(q: Matrix, to: Panels) {
    let scale = (DIM as f32).powf(-0.5);
    // SAFETY: the contract.
    unsafe {
        for p in 0..q.rows {
            for head in 0..q.columns / DIM {
                let from = q.row(p).add(head * DIM);
                let v = [_mm512_load_ps(from), _mm512_load_ps(from.add(16))];
                let most = _mm512_set1_ps(_mm512_reduce_max_ps(_mm512_max_ps(v[0], v[1])));
                let v = v.map(|v| lanes::exp(_mm512_sub_ps(v, most)));
                let total = _mm512_reduce_add_ps(_mm512_add_ps(v[0], v[1]));
                let factor = _mm512_set1_ps(scale / total);
                let v = v.map(|v| _mm512_mul_ps(v, factor));
                let row = to.tile(p / 16, head).add(p % 16 * 16);
                _mm512_store_si512(row.cast(), lanes::round(v[0], v[1]));
            }
        }
    }
}

/// x + norm₂(out + bias) of one position.
///
/// # Safety
/// As everything here; `out` has the padded channels, x and y the position's.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn finish(plan: &Plan, weights: &Weights, out: *mut f32, x: *const Bf16, y: *mut Bf16) {
    let channels = plan.s.channels;
    // Even and odd channels, as maps give them.
    let even = _mm512_slli_epi32(lanes::lanes(), 1);
    let odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
    let count = 1.0 / channels as f32;
    // SAFETY: the contract.
    unsafe {
        let mut sum = _mm512_setzero_ps();
        for c in (0..channels).step_by(32) {
            let (low, high) = (_mm512_load_ps(out.add(c)), _mm512_load_ps(out.add(c + 16)));
            for (i, order) in [even, odd].into_iter().enumerate() {
                let at = c + i * 16;
                let v = _mm512_permutex2var_ps(low, order, high);
                let v = _mm512_add_ps(v, _mm512_load_ps(weights.bias.add(at)));
                // Behind the channels everything is zero.
                sum = _mm512_add_ps(sum, v);
                _mm512_store_ps(out.add(at), v);
            }
        }
        let mean = _mm512_set1_ps(_mm512_reduce_add_ps(sum) * count);
        let mut squares = _mm512_setzero_ps();
        for c in (0..channels).step_by(32) {
            let left = channels - c;
            for (i, count) in [left.div_ceil(2), left / 2].into_iter().enumerate() {
                let v = _mm512_load_ps(out.add(c + i * 16));
                let v = _mm512_maskz_sub_ps(lanes::first(count), v, mean);
                squares = _mm512_fmadd_ps(v, v, squares);
            }
        }
        let variance = _mm512_reduce_add_ps(squares) * count;
        let inverse = _mm512_set1_ps(1.0 / (variance + plan.w.epsilon).sqrt());
        for c in (0..channels).step_by(32) {
            let x = maps::load(channels, x, c);
            let value = |i: usize| {
                let at = c + i * 16;
                let v = _mm512_mul_ps(_mm512_sub_ps(_mm512_load_ps(out.add(at)), mean), inverse);
                _mm512_fmadd_ps(v, _mm512_load_ps(weights.post_gain.add(at)), x[i])
            };
            let v = lanes::pairs(value(0), value(1));
            _mm512_mask_storeu_epi16(y.add(c).cast(), lanes::first16(channels - c), v);
        }
    }
}
