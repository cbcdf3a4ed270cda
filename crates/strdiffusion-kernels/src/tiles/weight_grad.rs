//! Gradients of a convolution's weights on tiles.
//!
//! dw\[tap\]\[16 inputs\]\[16 outputs\] += x\[16 inputs\]\[32 places\] · dy\[32 places\]\[16 outputs\]
//!
//! dy is rounded and transposed once for all taps. Of x, each tap needs the columns and rows that
//! it meets: a *set* is a copy of the picture's rows as one tap sees them. Where rows are long, the
//! taps of one column share a set and differ in where they start. Short rows are joined, so that
//! few places of a tile stay empty, and each tap has a set of its own.

use std::arch::x86_64::*;
use std::ops::Range;

use super::amx::{self, Sums, Tiles};
use super::lanes::{self, Row};
use super::{BLOCK_BYTES, TILE, TILE_FLOATS};
use crate::pool::parallel_for;
use crate::raw::Shared;
use crate::shape::Conv2dShape;
use crate::workspace::{self, Slot};

/// Places that are summed together: rows of one picture, or of several.
#[derive(Clone)]
struct Chunk {
    pictures: Range<usize>,
    rows: Range<usize>,
    /// Its steps of 32 places, among those of all chunks.
    steps: Range<usize>,
}

/// How the work is cut. It depends on the shape alone, and so does the order of the sums.
struct Plan {
    s: Conv2dShape,
    /// Output height and width.
    out: [usize; 2],
    taps: usize,
    /// Steps in an output row; 0 where rows are joined.
    across: usize,
    /// Copies of a channel, and lines that a copy has beyond the chunk's rows.
    sets: usize,
    more: usize,
    /// Panels of 16 inputs and outputs.
    inputs: usize,
    outputs: usize,
    /// Panels of inputs in an item of work.
    block: usize,
    chunks: Vec<Chunk>,
    /// Parts into which the chunks are dealt, each with sums of its own.
    parts: usize,
}

impl Plan {
    fn of(s: &Conv2dShape) -> Self {
        let [oh, ow] = s.out_size();
        let [kh, kw] = s.kernel;
        let taps = kh * kw;
        let (inputs, outputs) = (s.in_channels.div_ceil(16), s.out_channels.div_ceil(16));
        let outputs = if outputs > 1 {
            outputs.next_multiple_of(2)
        } else {
            1
        };
        // Long rows where at least three quarters of their places are filled.
        let long = ow.div_ceil(32);
        let across = if 4 * ow >= 3 * 32 * long { long } else { 0 };
        let (sets, more) = if across > 0 {
            (kw * s.stride, (kh - 1) / s.stride)
        } else {
            (taps, 0)
        };
        let mut block = inputs.min(4);
        while block > 1 && taps * block * outputs * TILE > BLOCK_BYTES {
            block /= 2;
        }
        let steps_of = |pictures: usize, rows: usize| {
            if across > 0 {
                rows * across
            } else {
                (pictures * rows * ow).div_ceil(32)
            }
        };
        let fits = |pictures: usize, rows: usize| {
            block * sets * (steps_of(pictures, rows) + more * across) * TILE <= BLOCK_BYTES
        };
        let mut tall = oh;
        while tall > 1 && !fits(1, tall) {
            tall = tall.div_ceil(2);
        }
        let mut several = 1;
        if across == 0 && tall == oh {
            while several < s.batch && fits(several + 1, oh) {
                several += 1;
            }
        }
        let mut chunks: Vec<Chunk> = vec![];
        for first in (0..s.batch).step_by(several) {
            for y in (0..oh).step_by(tall) {
                let pictures = first..s.batch.min(first + several);
                let rows = y..oh.min(y + tall);
                let start = chunks.last().map_or(0, |chunk| chunk.steps.end);
                let steps = steps_of(pictures.len(), rows.len());
                chunks.push(Chunk {
                    pictures,
                    rows,
                    steps: start..start + steps,
                });
            }
        }
        let parts = 8usize.div_ceil(inputs.div_ceil(block)).min(chunks.len());
        Plan {
            s: *s,
            out: [oh, ow],
            taps,
            across,
            sets,
            more,
            inputs,
            outputs,
            block,
            chunks,
            parts,
        }
    }

    fn steps(&self) -> usize {
        self.chunks.last().map_or(0, |chunk| chunk.steps.end)
    }

    /// Tiles of a set of a chunk.
    fn set_tiles(&self, chunk: &Chunk) -> usize {
        chunk.steps.len() + self.more * self.across
    }

    /// Where a tap finds its places: the set, and tiles to skip in it.
    fn place_of(&self, tap: usize) -> [usize; 2] {
        let (ky, kx) = (tap / self.s.kernel[1], tap % self.s.kernel[1]);
        if self.across == 0 {
            return [tap, 0];
        }
        let stride = self.s.stride;
        [kx * stride + ky % stride, ky / stride * self.across]
    }

    /// Tiles of sums of an item with `count` panels of inputs: products of two by two, or of four
    /// by one.
    fn sum_tiles(&self, count: usize) -> usize {
        let panels = count * self.taps;
        if self.outputs > 1 {
            panels.next_multiple_of(2) * self.outputs
        } else {
            panels.next_multiple_of(4)
        }
    }

    /// Which of an item's tiles has the sums of input panel `c`, tap and output panel.
    fn sum_of(&self, count: usize, c: usize, tap: usize, o: usize) -> usize {
        let panel = c * self.taps + tap;
        if self.outputs > 1 {
            let products = (count * self.taps).div_ceil(2);
            (o / 2 * products + panel / 2) * 4 + panel % 2 * 2 + o % 2
        } else {
            panel
        }
    }

    /// Panels of inputs in the block's item.
    fn count(&self, block: usize) -> usize {
        self.block.min(self.inputs - block * self.block)
    }
}

/// A map whose rows are read: the input as a tap sees it, or dy.
#[derive(Clone, Copy)]
struct Map {
    at: *const f32,
    channels: usize,
    size: [usize; 2],
    stride: usize,
    /// Input row and column of place (0, 0).
    first: [isize; 2],
}

impl Map {
    /// The row under output row `y` of a picture's channel.
    ///
    /// # Safety
    /// The map covers the picture.
    unsafe fn row(&self, picture: usize, channel: usize, y: usize) -> Row {
        let [height, width] = self.size;
        let y = (y * self.stride) as isize + self.first[0];
        let at = if channel < self.channels && y >= 0 && y < height as isize {
            let plane = picture * self.channels + channel;
            // SAFETY: within the map.
            unsafe { self.at.add((plane * height + y as usize) * width) }
        } else {
            std::ptr::null()
        };
        Row { at, width }
    }

    /// 16 or fewer values under the output columns from `x` on.
    ///
    /// # Safety
    /// As [`Row::values`].
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn values(&self, row: Row, x: usize, count: usize) -> __m512 {
        let x = (x * self.stride) as isize + self.first[1];
        // SAFETY: the contract.
        unsafe { row.values(x, count, self.stride) }
    }
}

/// dw, `[out, in, kh, kw]`, for stride 1 or 2.
pub(crate) fn weight_grad(s: &Conv2dShape, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    assert_eq!(x.len(), s.input_len());
    assert_eq!(dy.len(), s.output_len());
    assert_eq!(dw.len(), s.weight_len());
    assert!(matches!(s.stride, 1 | 2));
    let plan = &Plan::of(s);
    if plan.steps() == 0 || dw.is_empty() {
        return dw.fill(0.0);
    }
    let blocks = plan.inputs.div_ceil(plan.block);
    let sums_len = plan.sum_tiles(plan.block) * TILE_FLOATS;
    let turned_len = plan.outputs * plan.steps() * TILE_FLOATS;
    let input = Shared::of(x);
    let gradient = Shared::of(dy);
    let result = Shared::of_mut(dw);
    workspace::with(Slot::Shared, turned_len, |turned| {
        let turned = Shared::of_mut(turned);
        parallel_for(plan.outputs * plan.chunks.len(), |item| {
            let (panel, chunk) = (item / plan.chunks.len(), item % plan.chunks.len());
            // SAFETY: this item's own tiles of `turned`; dy has the asserted length.
            unsafe {
                turn(
                    plan,
                    gradient.get(),
                    panel,
                    &plan.chunks[chunk],
                    turned.get(),
                )
            };
        });
        workspace::with(Slot::Weights, blocks * plan.parts * sums_len, |sums| {
            let sums = Shared::of_mut(sums);
            parallel_for(blocks * plan.parts, |item| {
                let (block, part) = (item / plan.parts, item % plan.parts);
                let chunks = plan.chunks.len();
                let mine = chunks * part / plan.parts..chunks * (part + 1) / plan.parts;
                // SAFETY: this item's own sums; x has the asserted length.
                unsafe {
                    let own = sums.get().add(item * sums_len);
                    add_chunks(
                        plan,
                        input.get(),
                        turned.get(),
                        block,
                        &plan.chunks[mine],
                        own,
                    );
                }
            });
            let panels = s.out_channels.div_ceil(16);
            parallel_for(plan.inputs * panels, |item| {
                let (c, o) = (item / panels, item % panels);
                // SAFETY: the weights of 16 inputs and outputs are this item's own.
                unsafe {
                    let from = sums.get().cast_const();
                    gather_sums(plan, from, sums_len, [c, o], result.get());
                }
            });
        });
    });
}

/// Rounds and transposes 16 outputs of dy: `[output panel][step][16 pairs of places][16 outputs]`.
///
/// # Safety
/// `to` has room for all panels, and the CPU has tiles.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn turn(plan: &Plan, dy: *const f32, panel: usize, chunk: &Chunk, to: *mut f32) {
    let map = Map {
        at: dy,
        channels: plan.s.out_channels,
        size: plan.out,
        stride: 1,
        first: [0, 0],
    };
    let count = chunk.steps.len();
    workspace::with(Slot::Input, 16 * count * 16, |lines| {
        let lines = lines.as_mut_ptr().cast::<u8>();
        // SAFETY: 16 channels of `count` lines; the tiles of this panel and chunk.
        unsafe {
            for i in 0..16 {
                let to = lines.add(i * count * 64);
                fill_lines(plan, &map, chunk, panel * 16 + i, to, 64);
            }
            let to = to.add((panel * plan.steps() + chunk.steps.start) * TILE_FLOATS);
            for step in 0..count {
                let mut tile: [__m512i; 16] = std::array::from_fn(|i| {
                    _mm512_load_si512(lines.add((i * count + step) * 64).cast())
                });
                lanes::transpose(&mut tile);
                for (i, row) in tile.iter().enumerate() {
                    _mm512_store_si512(to.add(step * TILE_FLOATS + i * 16).cast(), *row);
                }
            }
        }
    });
}

/// The places of one channel under the chunk's rows, as lines of 32 bf16, `step` bytes apart.
///
/// # Safety
/// `to` has room and is aligned to 64 bytes; the map covers the chunk's pictures.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn fill_lines(
    plan: &Plan,
    map: &Map,
    chunk: &Chunk,
    channel: usize,
    to: *mut u8,
    step: usize,
) {
    let (rows, width) = (chunk.rows.clone(), plan.out[1]);
    if plan.across > 0 {
        let mut to = to;
        for y in rows {
            // SAFETY: the chunk has one picture; a line for each 32 places.
            unsafe {
                let row = map.row(chunk.pictures.start, channel, y);
                for i in 0..plan.across {
                    let x = i * 32;
                    let low = map.values(row, x, 16.min(width - x));
                    let high = match width.saturating_sub(x + 16) {
                        0 => _mm512_setzero_ps(),
                        left => map.values(row, x + 16, left.min(16)),
                    };
                    _mm512_store_si512(to.cast(), lanes::round(low, high));
                    to = to.add(step);
                }
            }
        }
        return;
    }
    let places = chunk.pictures.len() * rows.len() * width;
    let lines = places.div_ceil(32);
    workspace::with(Slot::Rows, lines * 32 + 16, |joined| {
        let mut at = 0;
        for picture in chunk.pictures.clone() {
            for y in rows.clone() {
                // SAFETY: the map covers the picture.
                let row = unsafe { map.row(picture, channel, y) };
                for x in (0..width).step_by(16) {
                    let count = 16.min(width - x);
                    // SAFETY: at + 16 ≤ places + 16; the next vector overwrites what is too much.
                    unsafe {
                        let v = map.values(row, x, count);
                        _mm512_storeu_ps(joined.as_mut_ptr().add(at), v);
                    }
                    at += count;
                }
            }
        }
        joined[places..lines * 32].fill(0.0);
        for line in 0..lines {
            // SAFETY: 32 floats of each line.
            unsafe {
                let from = joined.as_ptr().add(line * 32);
                let v = lanes::round(_mm512_loadu_ps(from), _mm512_loadu_ps(from.add(16)));
                _mm512_store_si512(to.add(line * step).cast(), v);
            }
        }
    });
}

/// Adds up an item's chunks.
///
/// # Safety
/// `sums` has room for the item's tiles; `turned` holds dy.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn add_chunks(
    plan: &Plan,
    x: *const f32,
    turned: *const f32,
    block: usize,
    chunks: &[Chunk],
    sums: *mut f32,
) {
    let count = plan.count(block);
    for (i, chunk) in chunks.iter().enumerate() {
        let set_tiles = plan.set_tiles(chunk);
        let len = count * plan.sets * set_tiles * TILE_FLOATS;
        workspace::with(Slot::Input, len, |copies| {
            let copies = copies.as_mut_ptr().cast::<u8>();
            // SAFETY: `copies` has room for all sets; panels and sums as planned.
            unsafe {
                fill_sets(plan, x, block, chunk, copies);
                let tiles = Tiles::new();
                let steps = chunk.steps.len();
                let last = count * plan.taps - 1;
                let a = |panel: usize| {
                    let panel = panel.min(last);
                    let [set, skip] = plan.place_of(panel % plan.taps);
                    let tile = (panel / plan.taps * plan.sets + set) * set_tiles + skip;
                    copies.cast_const().add(tile * TILE)
                };
                let b = |o: usize| {
                    turned
                        .add((o * plan.steps() + chunk.steps.start) * TILE_FLOATS)
                        .cast::<u8>()
                };
                let mut to = Sums {
                    at: sums,
                    add: i > 0,
                };
                if plan.outputs > 1 {
                    for o in (0..plan.outputs).step_by(2) {
                        for p in (0..=last).step_by(2) {
                            let (a, b) = ([a(p), a(p + 1)], [b(o), b(o + 1)]);
                            amx::two_by_two(&tiles, a, b, steps, to);
                            to.at = to.at.add(4 * TILE_FLOATS);
                        }
                    }
                } else {
                    for p in (0..=last).step_by(4) {
                        let a = [a(p), a(p + 1), a(p + 2), a(p + 3)];
                        amx::four_by_one(&tiles, a, b(0), steps, to);
                        to.at = to.at.add(4 * TILE_FLOATS);
                    }
                }
            }
        });
    }
}

/// The block's inputs as the taps see them: `[input panel][set][line][16 inputs][32 places]`.
///
/// # Safety
/// `to` has room and is aligned to 64 bytes.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn fill_sets(plan: &Plan, x: *const f32, block: usize, chunk: &Chunk, to: *mut u8) {
    let (s, set_bytes) = (&plan.s, plan.set_tiles(chunk) * TILE);
    for panel in 0..plan.count(block) {
        for i in 0..16 {
            let channel = (block * plan.block + panel) * 16 + i;
            // SAFETY: row i of the tiles of this panel's sets.
            let to = unsafe { to.add(panel * plan.sets * set_bytes + i * 64) };
            if plan.across > 0 {
                // SAFETY: as above.
                unsafe { fill_long_rows(plan, x, channel, chunk, to, set_bytes) };
                continue;
            }
            for set in 0..plan.sets {
                let [ky, kx] = [set / s.kernel[1], set % s.kernel[1]].map(|k| k as isize);
                let map = Map {
                    at: x,
                    channels: s.in_channels,
                    size: [s.height, s.width],
                    stride: s.stride,
                    first: [ky - s.padding as isize, kx - s.padding as isize],
                };
                // SAFETY: as above.
                unsafe {
                    let to = to.add(set * set_bytes);
                    fill_lines(plan, &map, chunk, channel, to, TILE);
                }
            }
        }
    }
}

/// All sets of one channel, where rows are long: a row is read and rounded once, and shifted for
/// each column tap.
///
/// # Safety
/// As [`fill_sets`], for this channel's row of each tile.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn fill_long_rows(
    plan: &Plan,
    x: *const f32,
    channel: usize,
    chunk: &Chunk,
    to: *mut u8,
    set_bytes: usize,
) {
    let s = &plan.s;
    let (pad, stride) = (s.padding as isize, s.stride as isize);
    let lanes = lanes::lanes16();
    for line in 0..chunk.rows.len() + plan.more {
        for row_phase in 0..s.stride {
            let map = Map {
                at: x,
                channels: s.in_channels,
                size: [s.height, s.width],
                stride: s.stride,
                first: [row_phase as isize - pad, 0],
            };
            // SAFETY: the map covers the picture.
            let row = unsafe { map.row(chunk.pictures.start, channel, chunk.rows.start + line) };
            for phase in 0..stride {
                // Every `stride`-th column from `phase` on, 32 of them.
                // SAFETY: `Row` reads within the row only.
                let load = |step: isize| unsafe {
                    let at = step * 32 * stride + phase;
                    lanes::round(
                        row.values(at, 16, s.stride),
                        row.values(at + 16 * stride, 16, s.stride),
                    )
                };
                let first = (phase + pad).rem_euclid(stride) as usize;
                let (mut before, mut now) = (load(-1), load(0));
                for step in 0..plan.across {
                    let after = load(step as isize + 1);
                    let at = (line * plan.across + step) * TILE;
                    for kx in (first..s.kernel[1]).step_by(s.stride) {
                        let by = (kx as isize - pad).div_euclid(stride);
                        let order = _mm512_add_epi16(lanes, _mm512_set1_epi16(by as i16));
                        let shifted = match by {
                            0 => now,
                            // 32 + by, modulo 64, is a place in (before, now) as it is.
                            ..0 => _mm512_permutex2var_epi16(
                                before,
                                _mm512_add_epi16(order, _mm512_set1_epi16(32)),
                                now,
                            ),
                            _ => _mm512_permutex2var_epi16(now, order, after),
                        };
                        // SAFETY: this line of the set of column tap kx.
                        unsafe {
                            let set = kx * s.stride + row_phase;
                            _mm512_store_si512(to.add(set * set_bytes + at).cast(), shifted);
                        }
                    }
                    (before, now) = (now, after);
                }
            }
        }
    }
}

/// Adds the parts' sums of 16 inputs and outputs, in order, and writes them where they belong.
///
/// # Safety
/// `sums` holds what all items summed; `dw` is the whole result.
#[target_feature(enable = "avx512f")]
unsafe fn gather_sums(
    plan: &Plan,
    sums: *const f32,
    sums_len: usize,
    [c, o]: [usize; 2],
    dw: *mut f32,
) {
    let s = &plan.s;
    let (block, within) = (c / plan.block, c % plan.block);
    let inputs = lanes::first(s.in_channels - c * 16);
    let outputs = 16.min(s.out_channels - o * 16);
    let step = _mm512_set1_epi32(plan.taps as i32);
    let places = _mm512_mullo_epi32(lanes::lanes(), step);
    for tap in 0..plan.taps {
        let tile = plan.sum_of(plan.count(block), within, tap, o);
        // SAFETY: a tile of each part's sums; the weights of this tap, these inputs and outputs.
        unsafe {
            let from = sums.add(block * plan.parts * sums_len + tile * TILE_FLOATS);
            let mut rows: [__m512i; 16] = std::array::from_fn(|i| {
                let mut sum = _mm512_load_ps(from.add(i * 16));
                for part in 1..plan.parts {
                    let more = _mm512_load_ps(from.add(part * sums_len + i * 16));
                    sum = _mm512_add_ps(sum, more);
                }
                _mm512_castps_si512(sum)
            });
            lanes::transpose(&mut rows);
            for (i, row) in rows.iter().enumerate().take(outputs) {
                let at = ((o * 16 + i) * s.in_channels + c * 16) * plan.taps + tap;
                let values = _mm512_castsi512_ps(*row);
                _mm512_mask_i32scatter_ps::<4>(dw.add(at), inputs, places, values);
            }
        }
    }
}
