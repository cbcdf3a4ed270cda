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
    // Whatever lies closer together in w is gathered together.
    let by_outputs = places.output.abs() < places.input.abs();
    parallel_for(t.outputs.div_ceil(16), |panel| {
        // SAFETY: tiles of this panel, which is this item's alone; all places are within w.
        unsafe {
            let tiles = to.get().add(panel * steps * TILE_FLOATS);
            if by_outputs {
                pack_together(t, from.get(), places, panel * 16, tiles);
            } else {
                pack_one_by_one(t, from.get(), places, panel * 16, tiles);
            }
        }
    });
}

/// A panel of 16 outputs, each by itself: its terms as they come, then step by step into the tiles.
///
/// # Safety
/// `tiles` has room for the panel; all places lie within `w`; the CPU has tiles.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn pack_one_by_one(t: &Taps, w: *const f32, places: &Places, first: usize, tiles: *mut f32) {
    let steps = steps(t);
    workspace::with(Slot::Rows, steps * 16 + 16, |row| {
        for o in 0..16 {
            row.fill(0.0);
            // SAFETY: the row has room for all steps, half a float a term, and a vector more.
            unsafe {
                if first + o < t.outputs {
                    pack_output(t, w, places, first + o, row.as_mut_ptr().cast());
                }
                for step in 0..steps {
                    let from = row.as_ptr().add(step * 16);
                    let to = tiles.add(step * TILE_FLOATS + o * 16);
                    to.copy_from_nonoverlapping(from, 16);
                }
            }
        }
    });
}

/// The same, the panel's outputs together for each pair of channels.
///
/// # Safety
/// As [`pack_one_by_one`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn pack_together(t: &Taps, w: *const f32, places: &Places, first: usize, tiles: *mut f32) {
    let pairs = t.inputs.div_ceil(2);
    let rows = t.taps[0] * t.taps[1] * pairs;
    let mask = lanes::first(t.outputs - first);
    let step = _mm512_set1_epi32(places.output as i32);
    let offsets = _mm512_mullo_epi32(lanes::lanes(), step);
    for tile in 0..steps(t) {
        let mut terms = [_mm512_setzero_si512(); 16];
        for (i, terms) in terms.iter_mut().enumerate() {
            let row = tile * 16 + i;
            if row >= rows {
                continue;
            }
            let (tap, c) = (row / pairs, row % pairs * 2);
            let tap = [tap / t.taps[1], tap % t.taps[1]];
            let gather = |c: usize| {
                let zero = _mm512_setzero_ps();
                if c >= t.inputs {
                    return zero;
                }
                let from = w.wrapping_add(places.of(first, c, tap));
                // SAFETY: the masked places lie within w.
                unsafe { _mm512_mask_i32gather_ps::<4>(zero, mask, offsets, from) }
            };
            *terms = lanes::pairs(gather(c), gather(c + 1));
        }
        lanes::transpose(&mut terms);
        for (o, terms) in terms.iter().enumerate() {
            // SAFETY: row o of this tile.
            unsafe { _mm512_store_si512(tiles.add(tile * TILE_FLOATS + o * 16).cast(), *terms) };
        }
    }
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
    ((input_rows * row_terms(t)) | 1) * 64
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
    let e = &epilogue;
    let changes = e.gain != 1.0 || [e.bias, e.scale, e.shift].iter().any(|p| !p.is_null());
    let affine: Vec<[f32; 2]> = if changes {
        let planes = 0..t.batch * t.outputs;
        // SAFETY: the epilogue covers these pictures and channels.
        planes
            .map(|i| unsafe { e.affine(i / t.outputs, i % t.outputs) })
            .map(|(mul, add)| [mul, add])
            .collect()
    } else {
        vec![]
    };
    let sink = Finished {
        affine: Shared::from_raw(if changes {
            affine.as_ptr()
        } else {
            std::ptr::null()
        }),
        channels: t.outputs,
        silu: e.silu,
        residual: Shared::from_raw(e.residual),
        stream: bytes > STREAMED && t.out[1].is_multiple_of(16) && aligned,
        y: Shared::of_mut(y),
    };
    // SAFETY: y has the asserted length.
    unsafe { conv_into(t, x, u, &sink) };
}

/// 16 neighbouring places of some channels: where a tile of sums goes.
#[derive(Clone, Copy)]
struct Place {
    picture: usize,
    /// The channels: the first, and how many, at most 16.
    channel: usize,
    channels: usize,
    /// The first place of the first channel in the output, and values between channels.
    at: usize,
    plane: usize,
    /// Which of the 16 there are.
    mask: u16,
}

/// The plain output, with an epilogue.
struct Finished {
    y: Shared<*mut f32>,
    /// (v · mul + add) for each picture and channel; null for neither.
    affine: Shared<*const [f32; 2]>,
    channels: usize,
    silu: bool,
    residual: Shared<*const f32>,
    /// Whether results go past the caches: every vector of them is a whole cache line.
    stream: bool,
}

impl Finished {
    /// Takes a tile of sums, `[channel][16 places]`, for a place in an output as large as the
    /// convolution's.
    ///
    /// # Safety
    /// The place lies within that output, and no other thread has it; the CPU has tiles.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn put(&self, place: Place, sums: *const f32) {
        let affine = self.affine.get();
        let stream = self.stream && place.mask == !0;
        // SAFETY: the place lies within y and the residual, which is as large.
        unsafe {
            for r in 0..place.channels {
                let at = place.at + r * place.plane;
                let mut v = _mm512_load_ps(sums.add(r * 16));
                if !affine.is_null() {
                    let i = place.picture * self.channels + place.channel + r;
                    let [mul, add] = *affine.add(i);
                    v = _mm512_fmadd_ps(v, _mm512_set1_ps(mul), _mm512_set1_ps(add));
                }
                if self.silu {
                    v = lanes::silu(v);
                }
                let residual = self.residual.get();
                if !residual.is_null() {
                    v = _mm512_add_ps(v, _mm512_maskz_loadu_ps(place.mask, residual.add(at)));
                }
                let to = self.y.get().add(at);
                if stream {
                    _mm512_stream_ps(to, v);
                } else {
                    _mm512_mask_storeu_ps(to, place.mask, v);
                }
            }
        }
    }

    /// The same for every `stride`-th place.
    ///
    /// # Safety
    /// As [`put`](Self::put).
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn put_apart(&self, place: Place, stride: usize, sums: *const f32) {
        let places = _mm512_mullo_epi32(lanes::lanes(), _mm512_set1_epi32(stride as i32));
        // SAFETY: the contract. Input gradients, which alone are taken apart, have no epilogue.
        unsafe {
            for r in 0..place.channels {
                let to = self.y.get().add(place.at + r * place.plane);
                let v = _mm512_load_ps(sums.add(r * 16));
                _mm512_mask_i32scatter_ps::<4>(to, place.mask, places, v);
            }
        }
    }
}

/// Hands conv(x, u) to a sink, for the places of the grid.
///
/// # Safety
/// The sink takes an output as large as the convolution's.
unsafe fn conv_into(t: &Taps, x: &[f32], u: &[f32], sink: &Finished) {
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
struct Call<'a> {
    t: &'a Taps,
    x: Shared<*const f32>,
    u: Shared<*const f32>,
    sink: &'a Finished,
}

impl Call<'_> {
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
        [low, high]: [Row; 2],
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
        // SAFETY: only what lies within the rows is read.
        let load = |vector: isize, phase: isize| unsafe {
            let at = vector * 16 * stride + phase;
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
                    f32::load(low.at.wrapping_offset(at), mask),
                    f32::load(high.at.wrapping_offset(at), mask_high),
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
        let mut o = 0;
        while o < t.outputs {
            let two = t.outputs - o > 16;
            // SAFETY: panel o / 16 of the packed weights.
            let panel = unsafe { self.u.get().cast::<u8>().add(o / 16 * steps * TILE) };
            let group = if two { 2 } else { 4 };
            // Strips two by two, rows within: neighbouring rows share most of their terms.
            for column in (0..wide).step_by(2) {
                let across = 2.min(wide - column);
                let last = tall - 1;
                for row in (0..tall).step_by(group / across) {
                    let place = |j: usize| {
                        if across == 2 {
                            [column + j % 2, row + j / 2]
                        } else {
                            [column, row + j]
                        }
                    };
                    // SAFETY: the run of a place lies in its strip, or ends in zeros behind it.
                    let terms = |j: usize| unsafe {
                        let [column, row] = place(j);
                        strips.add(column * strip + row.min(last) * t.stride * row_bytes)
                    };
                    // SAFETY: panels of `steps` tiles each; the sums are this thread's own.
                    unsafe {
                        if two {
                            let weights = [panel, panel.add(steps * TILE)];
                            amx::two_by_two(&tiles, weights, [terms(0), terms(1)], steps, sums);
                        } else {
                            let terms = [terms(0), terms(1), terms(2), terms(3)];
                            amx::one_by_four(&tiles, panel, terms, steps, sums);
                        }
                        for j in 0..group {
                            let [column, row] = place(j);
                            if row > last {
                                break;
                            }
                            let from = sums.at.cast_const().add(j * TILE_FLOATS);
                            self.finish(block, [column, row], o, from);
                            if two {
                                self.finish(
                                    block,
                                    [column, row],
                                    o + 16,
                                    from.add(2 * TILE_FLOATS),
                                );
                            }
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
        let out_row = (block.rows[0] + row) * t.out_stride + t.out_first[0];
        let out_column = x * t.out_stride + t.out_first[1];
        let plane = t.out[0] * t.out[1];
        let first = (block.picture * t.outputs + o) * plane;
        let place = Place {
            picture: block.picture,
            channel: o,
            channels: 16.min(t.outputs - o),
            at: first + out_row * t.out[1] + out_column,
            plane,
            mask: lanes::first(t.grid[1] - x),
        };
        // SAFETY: the grid lies within the output; no other item has this place.
        unsafe {
            if t.out_stride == 1 {
                self.sink.put(place, from);
            } else {
                self.sink.put_apart(place, t.out_stride, from);
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
