//! Convolution on tiles.
//!
//! sums\[16 outputs\]\[16 places\] = Σ weights\[16 outputs\]\[32 terms\] · terms\[32\]\[16 places\]
//!
//! The terms of 16 neighbouring places lie in a *strip*: for each input row, for each column tap,
//! for each pair of channels, 16 pairs of bf16 (64 bytes). The terms of an output row are then one
//! run of the strip, from its first input row to its last, and 16 rows of 64 bytes of that run are
//! a tile as they stand. Strips are made block by block, in cache.

use std::arch::x86_64::*;

use super::amx::{self, Sums, Tiles};
use super::lanes::{self, Element, Row};
use super::{BLOCK_BYTES, TILE, TILE_FLOATS};
use crate::kernels::rows::RawEpilogue;
use crate::pool::parallel_for;
use crate::raw::Shared;
use crate::taps::{Places, Taps};
use crate::workspace::{self, Slot};

/// Whether a convolution can be computed here.
pub(crate) fn supports(t: &Taps) -> bool {
    // A tap's column lies in the vector of its place or in a neighbouring one.
    let near = |tap: isize| tap.div_euclid(t.stride as isize).abs() <= 16;
    let last = t.first[1] + t.taps[1] as isize - 1;
    matches!(t.stride, 1 | 2) && t.terms() > 0 && near(t.first[1]) && near(last)
}

/// Rows of 64 bytes that an input row takes in a strip.
fn row_terms(t: &Taps) -> usize {
    t.taps[1] * t.inputs.div_ceil(2)
}

/// Steps of 32 terms in an output's sum.
fn steps(t: &Taps) -> usize {
    (t.taps[0] * row_terms(t)).div_ceil(16)
}

/// Floats whose room the packed weights take.
pub(crate) fn packed_len(t: &Taps) -> usize {
    t.outputs.div_ceil(16) * steps(t) * TILE_FLOATS
}

/// Packs the weights `[outputs / 16][step][16 outputs][32 terms]`. The terms of an output follow each
/// other as in a strip: row tap, column tap, channel (an even number of them).
pub(crate) fn pack(t: &Taps, w: &[f32], places: &Places, u: &mut [f32]) {
    assert_eq!(u.len(), packed_len(t));
    if t.outputs == 0 {
        return;
    }
    // Steps are even and those of both taps run the same way: all places lie between these.
    for [o, c] in [[0, 0], [t.outputs - 1, t.inputs - 1]] {
        for tap in [[0, 0], t.taps.map(|n| n - 1)] {
            assert!(places.of(o, c, tap) < w.len());
        }
    }
    let steps = steps(t);
    let (to, from) = (Shared::of_mut(u), Shared::of(w));
    parallel_for(t.outputs.div_ceil(16), |panel| {
        // One output's terms, half a float each, as they come; then step by step into the tiles.
        workspace::with(Slot::Rows, steps * 16 + 16, |row| {
            for o in 0..16 {
                let output = panel * 16 + o;
                row.fill(0.0);
                // SAFETY: the row has room for all steps and a vector more; the places are within
                // w; tiles of this panel, which is this item's alone.
                unsafe {
                    if output < t.outputs {
                        pack_output(t, from.get(), places, output, row.as_mut_ptr().cast());
                    }
                    let tiles = to.get().add(panel * steps * TILE_FLOATS + o * 16);
                    for step in 0..steps {
                        let from = row.as_ptr().add(step * 16);
                        tiles
                            .add(step * TILE_FLOATS)
                            .copy_from_nonoverlapping(from, 16);
                    }
                }
            }
        });
    });
}

/// The terms of one output as bf16, in their order.
///
/// # Safety
/// `to` has room for all terms and 32 more; all places lie within `w`; the CPU has tiles.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn pack_output(t: &Taps, w: *const f32, places: &Places, output: usize, to: *mut u16) {
    let channels = t.inputs.next_multiple_of(2);
    let step = _mm512_set1_epi32(places.input as i32);
    let offsets = _mm512_mullo_epi32(lanes::lanes(), step);
    for y in 0..t.taps[0] {
        for x in 0..t.taps[1] {
            let to = to.wrapping_add((y * t.taps[1] + x) * channels);
            for c in (0..t.inputs).step_by(32) {
                let gather = |c: usize| {
                    if c >= t.inputs {
                        return _mm512_setzero_ps();
                    }
                    let from = w.wrapping_add(places.of(output, c, [y, x]));
                    let mask = lanes::first(t.inputs - c);
                    let zero = _mm512_setzero_ps();
                    // SAFETY: the masked places lie within w.
                    unsafe { _mm512_mask_i32gather_ps::<4>(zero, mask, offsets, from) }
                };
                let v = lanes::round(gather(c), gather(c + 16));
                // SAFETY: at most 32 terms behind the last, which the next tap overwrites.
                unsafe { _mm512_storeu_si512(to.add(c).cast(), v) };
            }
        }
    }
}

/// A block of places of a picture.
struct Block {
    picture: usize,
    /// Rows of the grid.
    rows: [usize; 2],
    /// Vectors of 16 columns of the grid.
    columns: [usize; 2],
}

impl Block {
    /// Input rows that it needs.
    fn input_rows(&self, t: &Taps) -> usize {
        (self.rows[1] - self.rows[0] - 1) * t.stride + t.taps[0]
    }
}

/// How the places are cut into blocks; it depends on the shape alone.
struct Cut {
    /// Vectors of columns and rows in a block.
    wide: usize,
    tall: usize,
    /// Blocks across and down.
    across: usize,
    down: usize,
}

impl Cut {
    fn of(t: &Taps) -> Self {
        let [rows, columns] = [t.grid[0], t.grid[1].div_ceil(16)];
        let row_bytes = row_terms(t) * 64;
        // How many rows fit at a width.
        let fit = |wide: usize| {
            let input_rows = BLOCK_BYTES / (row_bytes * wide);
            input_rows
                .checked_sub(t.taps[0])
                .map_or(0, |spare| (spare / t.stride + 1).min(rows))
        };
        let mut wide = columns;
        // Rows of a block share terms: rather few columns than few rows.
        while wide > 2 && fit(wide) < rows.min(8) {
            wide = wide.div_ceil(2).next_multiple_of(2);
        }
        // Enough blocks that several threads end together.
        let enough = (t.batch * rows * columns).div_ceil(8 * wide).max(4);
        let tall = fit(wide).min(enough).clamp(1, rows);
        while wide > 2 && t.batch * rows.div_ceil(tall) * columns.div_ceil(wide) < 8 {
            wide = wide.div_ceil(2).next_multiple_of(2);
        }
        Cut {
            wide,
            tall,
            across: columns.div_ceil(wide),
            down: rows.div_ceil(tall),
        }
    }
}

/// Bytes from one strip to the next: an odd number of lines, so that the strips of a row do not
/// all fall into one set of the first-level cache.
fn strip_bytes(t: &Taps, input_rows: usize) -> usize {
    (input_rows * row_terms(t) | 1) * 64
}

/// Results that take more do not fit into a core's second-level cache beside the strips.
const STREAMED: usize = 4 << 20;

/// Room for a product's sums.
#[repr(align(64))]
struct Products([f32; 4 * TILE_FLOATS]);

/// y = epilogue(conv(x, u)), with u from [`pack`]. Writes the places of the grid only.
pub(crate) fn conv(t: &Taps, x: &[f32], u: &[f32], y: &mut [f32], epilogue: RawEpilogue) {
    assert_eq!(y.len(), t.output_len());
    let (bytes, aligned) = (size_of_val(y), y.as_ptr().addr().is_multiple_of(64));
    let sink = Finished {
        epilogue,
        stream: bytes > STREAMED && t.out[1].is_multiple_of(16) && aligned,
        y: Shared::of_mut(y),
    };
    // SAFETY: y has the asserted length.
    unsafe { conv_into(t, x, u, &sink) };
}

/// Where a convolution's sums go.
pub(super) trait Sink: Sync {
    /// Takes 16 neighbouring sums of a channel: those of the mask, at places from `at` on in an
    /// output as large as the convolution's.
    ///
    /// # Safety
    /// The places lie within that output, and no other thread has them.
    unsafe fn put(&self, picture: usize, channel: usize, at: usize, mask: u16, sums: __m512);

    /// The same for every `stride`-th place.
    ///
    /// # Safety
    /// As [`put`](Self::put).
    unsafe fn put_apart(&self, _at: usize, _stride: usize, _mask: u16, _sums: __m512) {
        unreachable!("only plain results are taken apart");
    }
}

/// The plain output, with an epilogue.
struct Finished {
    epilogue: RawEpilogue,
    y: Shared<*mut f32>,
    /// Whether results go past the caches: every vector of them is a whole cache line.
    stream: bool,
}

impl Sink for Finished {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn put(&self, picture: usize, channel: usize, at: usize, mask: u16, sums: __m512) {
        let e = &self.epilogue;
        // SAFETY: the places are within y and the residual, which is as large.
        unsafe {
            let (mul, add) = e.affine(picture, channel);
            let mut v = _mm512_fmadd_ps(sums, _mm512_set1_ps(mul), _mm512_set1_ps(add));
            if e.silu {
                v = lanes::silu(v);
            }
            if !e.residual.is_null() {
                v = _mm512_add_ps(v, _mm512_maskz_loadu_ps(mask, e.residual.add(at)));
            }
            let to = self.y.get().add(at);
            if self.stream && mask == !0 {
                _mm512_stream_ps(to, v);
            } else {
                _mm512_mask_storeu_ps(to, mask, v);
            }
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn put_apart(&self, at: usize, stride: usize, mask: u16, sums: __m512) {
        let places = _mm512_mullo_epi32(lanes::lanes(), _mm512_set1_epi32(stride as i32));
        // SAFETY: the contract. Input gradients, which alone are taken apart, have no epilogue.
        unsafe { _mm512_mask_i32scatter_ps::<4>(self.y.get().add(at), mask, places, sums) };
    }
}

/// Hands conv(x, u) to a sink, for the places of the grid.
///
/// # Safety
/// The sink takes an output as large as the convolution's.
pub(super) unsafe fn conv_into<E: Element>(t: &Taps, x: &[E], u: &[f32], sink: &impl Sink) {
    assert_eq!(x.len(), t.batch * t.inputs * t.h * t.w);
    assert_eq!(u.len(), packed_len(t));
    assert!(u.as_ptr().addr().is_multiple_of(64), "tiles are aligned");
    if t.batch * t.grid[0] * t.grid[1] * t.outputs == 0 {
        return;
    }
    let cut = Cut::of(t);
    let columns = t.grid[1].div_ceil(16);
    let call = Call {
        t,
        x: Shared::of(x),
        u: Shared::of(u),
        sink,
    };
    parallel_for(t.batch * cut.down * cut.across, |item| {
        let (rest, across) = (item / cut.across, item % cut.across);
        let (picture, down) = (rest / cut.down, rest % cut.down);
        let block = Block {
            picture,
            rows: [down * cut.tall, t.grid[0].min((down + 1) * cut.tall)],
            columns: [across * cut.wide, columns.min((across + 1) * cut.wide)],
        };
        let bytes = (block.columns[1] - block.columns[0]) * strip_bytes(t, block.input_rows(t));
        // The last step may read up to a tile behind the last strip.
        workspace::with(Slot::Input, (bytes + TILE) / 4, |strips| {
            let strips = strips.as_mut_ptr().cast::<u8>();
            // SAFETY: the strips have room as computed; the slices have their asserted lengths;
            // `supports` and the choice of this method vouch for shape and CPU.
            unsafe {
                strips.add(bytes).write_bytes(0, TILE);
                call.fill_strips(&block, strips);
                call.multiply(&block, strips);
            }
        });
    });
}

/// One call.
struct Call<'a, E, S> {
    t: &'a Taps,
    x: Shared<*const E>,
    u: Shared<*const f32>,
    sink: &'a S,
}

impl<E: Element, S: Sink> Call<'_, E, S> {
    /// Rounds the block's input: `[strip][input row][column tap][pair][16 pairs]`.
    ///
    /// # Safety
    /// `to` has room, and the CPU has tiles.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn fill_strips(&self, block: &Block, to: *mut u8) {
        let t = self.t;
        let pairs = t.inputs.div_ceil(2);
        let row_bytes = row_terms(t) * 64;
        let input_rows = block.input_rows(t);
        let strip = strip_bytes(t, input_rows);
        let [c0, c1] = block.columns;
        for i in 1..=c1 - c0 {
            // The gap before the next strip: a last step may read it, and what lies there from
            // another call may be NaN, which times a weight of 0 is not 0.
            // SAFETY: within the strips, aligned.
            unsafe { _mm512_store_si512(to.add(i * strip - 64).cast(), _mm512_setzero_si512()) };
        }
        for r in 0..input_rows {
            let y = (block.rows[0] * t.stride + r) as isize + t.first[0];
            if y < 0 || y >= t.h as isize {
                for i in 0..c1 - c0 {
                    // SAFETY: a row of a strip.
                    unsafe { to.add(i * strip + r * row_bytes).write_bytes(0, row_bytes) };
                }
                continue;
            }
            for pair in 0..pairs {
                let row = |channel: usize| Row {
                    at: if channel < t.inputs {
                        let plane = block.picture * t.inputs + channel;
                        // SAFETY: row y of that plane.
                        unsafe { self.x.get().add((plane * t.h + y as usize) * t.w) }
                    } else {
                        std::ptr::null()
                    },
                    width: t.w,
                };
                let (low, high) = (row(2 * pair), row(2 * pair + 1));
                // SAFETY: rows of the input; a tap's place of this pair in each strip.
                unsafe {
                    let to = to.add(r * row_bytes + pair * 64);
                    self.fill_pair([low, high], [c0, c1], to, strip, pairs * 64);
                }
            }
        }
    }

    /// A pair of channels of one row, for all strips and column taps.
    ///
    /// # Safety
    /// The rows are readable, each strip's place for each tap writable and aligned.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn fill_pair(
        &self,
        [low, high]: [Row<E>; 2],
        [c0, c1]: [usize; 2],
        to: *mut u8,
        strip: usize,
        tap_bytes: usize,
    ) {
        let t = self.t;
        let stride = t.stride as isize;
        // Vectors of pairs, of which a tap picks 16 neighbours; with stride 2 those of every second
        // column. `phase` is the tap's column modulo the stride.
        let whole = (t.w / 16) as isize;
        let load = |vector: isize, phase: isize| unsafe {
            let at = vector * 16 * stride + phase;
            // SAFETY: only what lies within the rows is read.
            if stride == 1 {
                // All that most networks need, without `Row`'s care for any column.
                let mask = match vector {
                    ..0 => 0,
                    v if v < whole => !0,
                    v if v == whole => lanes::first(t.w % 16),
                    _ => 0,
                };
                let mask_high = if high.at.is_null() { 0 } else { mask };
                lanes::pairs(
                    E::load(low.at.wrapping_offset(at), mask),
                    E::load(high.at.wrapping_offset(at), mask_high),
                )
            } else {
                lanes::pairs(low.values(at, 16, t.stride), high.values(at, 16, t.stride))
            }
        };
        for phase in 0..stride {
            let mut taps = (0..t.taps[1])
                .filter(|tap| (t.first[1] + *tap as isize).rem_euclid(stride) == phase);
            let Some(first_tap) = taps.next() else {
                continue;
            };
            let (mut before, mut now) = (load(c0 as isize - 1, phase), load(c0 as isize, phase));
            for i in 0..c1 - c0 {
                let after = load((c0 + i) as isize + 1, phase);
                for tap in (first_tap..t.taps[1]).step_by(t.stride) {
                    let by = (t.first[1] + tap as isize).div_euclid(stride);
                    let shifted = match by {
                        0 => now,
                        ..0 => pick(before, now, 16 + by),
                        _ => pick(now, after, by),
                    };
                    // SAFETY: the contract.
                    unsafe {
                        let at = to.add(i * strip + tap * tap_bytes);
                        _mm512_store_si512(at.cast(), shifted);
                    }
                }
                (before, now) = (now, after);
            }
        }
    }

    /// The block's products, and their way out.
    ///
    /// # Safety
    /// The strips are filled; as [`conv`].
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn multiply(&self, block: &Block, strips: *const u8) {
        let t = self.t;
        let steps = steps(t);
        let row_bytes = row_terms(t) * 64;
        let strip = strip_bytes(t, block.input_rows(t));
        let tiles = Tiles::new();
        let mut products = Products([0.0; 4 * TILE_FLOATS]);
        let sums = Sums {
            at: products.0.as_mut_ptr(),
            add: false,
        };
        let wide = block.columns[1] - block.columns[0];
        let tall = block.rows[1] - block.rows[0];
        let places = wide * tall;
        // Strips two by two, rows within: neighbouring rows share most of their terms.
        let place = |i: usize| {
            let (pair, r) = (i / (2 * tall), i % (2 * tall));
            if 2 * pair + 1 < wide {
                [2 * pair + r % 2, r / 2]
            } else {
                [2 * pair, r]
            }
        };
        // SAFETY: the run of a place lies in its strip, or ends in zeros behind it.
        let terms = |i: usize| unsafe {
            let [column, row] = place(i);
            strips.add(column * strip + row * t.stride * row_bytes)
        };
        let mut o = 0;
        while o < t.outputs {
            let two = t.outputs - o > 16;
            // SAFETY: panel o / 16 of the packed weights.
            let panel = unsafe { self.u.get().cast::<u8>().add(o / 16 * steps * TILE) };
            let group = if two { 2 } else { 4 };
            for i in (0..places).step_by(group) {
                let last = places - 1;
                let at = |j: usize| terms((i + j).min(last));
                // SAFETY: panels of `steps` tiles each; the sums are this thread's own.
                unsafe {
                    if two {
                        let weights = [panel, panel.add(steps * TILE)];
                        amx::two_by_two(&tiles, weights, [at(0), at(1)], steps, sums);
                    } else {
                        amx::one_by_four(&tiles, panel, [at(0), at(1), at(2), at(3)], steps, sums);
                    }
                    for j in 0..group.min(places - i) {
                        let from = sums.at.cast_const().add(j * TILE_FLOATS);
                        self.finish(block, place(i + j), o, from);
                        if two {
                            self.finish(block, place(i + j), o + 16, from.add(2 * TILE_FLOATS));
                        }
                    }
                }
            }
            o += if two { 32 } else { 16 };
        }
    }

    /// Hands over the sums of 16 outputs, from `o` on, at one place of the block.
    ///
    /// # Safety
    /// `from` is a tile of sums, the place lies within the block.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn finish(&self, block: &Block, [column, row]: [usize; 2], o: usize, from: *const f32) {
        let t = self.t;
        let x = (block.columns[0] + column) * 16;
        let mask = lanes::first(t.grid[1] - x);
        let out_row = (block.rows[0] + row) * t.out_stride + t.out_first[0];
        let out_column = x * t.out_stride + t.out_first[1];
        for r in 0..16.min(t.outputs - o) {
            let plane = block.picture * t.outputs + o + r;
            let at = (plane * t.out[0] + out_row) * t.out[1] + out_column;
            // SAFETY: the grid lies within the output; no other item has this place.
            unsafe {
                let sums = _mm512_load_ps(from.add(r * 16));
                if t.out_stride == 1 {
                    self.sink.put(block.picture, o + r, at, mask, sums);
                } else {
                    self.sink.put_apart(at, t.out_stride, mask, sums);
                }
            }
        }
    }
}

/// Lanes `by` … `by` + 15 of (a, b).
#[inline]
#[target_feature(enable = "avx512f")]
fn pick(a: __m512i, b: __m512i, by: isize) -> __m512i {
    let order = _mm512_add_epi32(lanes::lanes(), _mm512_set1_epi32(by as i32));
    _mm512_permutex2var_epi32(a, order, b)
}
