//! Gradients of a convolution's weights, of maps whose channels lie together.
//!
//! dw\[tap\]\[16 outputs\]\[16 inputs\] += dy\[16 outputs\]\[32 places\] · x\[32 places\]\[16 inputs\]
//!
//! All pictures are one long line of places: rows follow one another with as many zeros between
//! them as the kernel reaches beyond a picture, and so do pictures. Every tap then reads the line
//! from another place on. In a tile, pairs of places lie together; of x there are two copies, whose
//! pairs start at even and at odd places.

use std::arch::x86_64::*;
use std::ops::Range;

use super::amx::{self, Sums, Tiles};
use super::lanes::{self, Bf16};
use super::{TILE, TILE_FLOATS};
use crate::pool::parallel_for;
use crate::raw::Shared;
use crate::shape::Conv2dShape;
use crate::workspace::{self, Slot};

/// Places of a step.
const STEP: usize = 32;
/// Copies of x.
const SETS: usize = 2;
/// What an item's copies of x may take, and what its copy of dy: together they should stay in a core's
/// second-level cache.
const INPUT_BYTES: usize = 640 << 10;
const GRADIENT_BYTES: usize = 640 << 10;
/// Panels of inputs in an item: the more, the less often dy is copied.
const PANELS: usize = 8;
/// What an item's sums may take.
const SUM_BYTES: usize = 1200 << 10;
/// Items that keep several threads at work.
const ITEMS: usize = 8;

/// A line's zeros and rows.
#[derive(Clone, Copy)]
struct Line {
    height: usize,
    width: usize,
    /// From row to row in places, and from picture to picture in rows.
    pitch: usize,
    tall: usize,
    batch: usize,
}

/// How the work is cut. It depends on the shape alone, and so does the order of the sums.
struct Plan {
    line: Line,
    inputs: usize,
    outputs: usize,
    kernel: usize,
    /// Panels of 16 inputs, and of 16 outputs: one, or an even number.
    input_panels: usize,
    output_panels: usize,
    /// Panels of inputs in an item.
    block: usize,
    /// Rows of the line in a chunk, whose places are summed together.
    rows: usize,
    chunks: usize,
    /// Parts into which the chunks are dealt, each with sums of its own.
    parts: usize,
}

impl Plan {
    fn of(s: &Conv2dShape) -> Self {
        let kernel = s.kernel[0];
        let line = Line {
            height: s.height,
            width: s.width,
            pitch: s.width + s.padding,
            tall: s.height + s.padding,
            batch: s.batch,
        };
        let input_panels = s.in_channels.div_ceil(16);
        let output_panels = match s.out_channels.div_ceil(16) {
            1 => 1,
            more => more.next_multiple_of(2),
        };
        let taps = kernel * kernel;
        let mut block = input_panels.min(PANELS);
        while block > 2 && taps * block * output_panels * TILE > SUM_BYTES {
            block = block.div_ceil(2).next_multiple_of(2);
        }
        let all = line.batch * line.tall;
        let mut plan = Plan {
            line,
            inputs: s.in_channels,
            outputs: s.out_channels,
            kernel,
            input_panels,
            output_panels,
            block,
            rows: 1,
            chunks: all,
            parts: 1,
        };
        let blocks = plan.blocks();
        // No more rows than give each part a chunk.
        let most = all.div_ceil(ITEMS.div_ceil(blocks));
        let fits = |rows: usize| {
            let steps = plan.steps(rows);
            block * SETS * plan.pairs(steps) * 64 <= INPUT_BYTES
                && output_panels * steps * TILE <= GRADIENT_BYTES
        };
        let mut rows = most;
        while rows > 1 && !fits(rows) {
            rows = rows.div_ceil(2);
        }
        plan.rows = rows;
        plan.chunks = all.div_ceil(rows);
        plan.parts = ITEMS.div_ceil(blocks).min(plan.chunks);
        plan
    }

    fn blocks(&self) -> usize {
        self.input_panels.div_ceil(self.block)
    }

    fn steps(&self, rows: usize) -> usize {
        (rows * self.line.pitch).div_ceil(STEP)
    }

    /// How far the last tap reads ahead.
    fn reach(&self) -> usize {
        (self.kernel - 1) * (self.line.pitch + 1)
    }

    /// Pairs of places in a copy of x.
    fn pairs(&self, steps: usize) -> usize {
        (steps * STEP + self.reach()).div_ceil(2)
    }

    fn taps(&self) -> usize {
        self.kernel * self.kernel
    }

    /// Tiles of sums of an item: products of two by two, or of one by four.
    fn sum_tiles(&self) -> usize {
        let panels = self.block * self.taps();
        if self.output_panels > 1 {
            panels.next_multiple_of(2) * self.output_panels
        } else {
            panels.next_multiple_of(4)
        }
    }

    /// Which of an item's tiles has the sums of output panel `o` and the item's `panel`, which is an
    /// input panel and a tap.
    fn sum_of(&self, o: usize, panel: usize) -> usize {
        if self.output_panels > 1 {
            let products = (self.block * self.taps()).div_ceil(2);
            (o / 2 * products + panel / 2) * 4 + o % 2 * 2 + panel % 2
        } else {
            panel
        }
    }
}

/// dw, `[out, in, k, k]`, for stride 1, odd kernels and as much padding as keeps the size.
pub(crate) fn weight_grad(s: &Conv2dShape, x: &[Bf16], dy: &[Bf16], dw: &mut [f32]) {
    let k = s.kernel[0];
    assert!(s.stride == 1 && s.kernel == [k; 2] && k == 2 * s.padding + 1);
    assert_eq!(x.len(), s.input_len());
    assert_eq!(dy.len(), s.output_len());
    assert_eq!(dw.len(), s.weight_len());
    if x.is_empty() || dw.is_empty() {
        return dw.fill(0.0);
    }
    let plan = &Plan::of(s);
    let sums_len = plan.sum_tiles() * TILE_FLOATS;
    let (input, gradient, result) = (Shared::of(x), Shared::of(dy), Shared::of_mut(dw));
    let len = plan.blocks() * plan.parts * sums_len;
    workspace::with(Slot::Weights, len, |sums| {
        let sums = Shared::of_mut(sums);
        parallel_for(plan.blocks() * plan.parts, |item| {
            let (block, part) = (item / plan.parts, item % plan.parts);
            let own = plan.chunks * part / plan.parts..plan.chunks * (part + 1) / plan.parts;
            // SAFETY: this item's own sums; the maps have the asserted lengths.
            unsafe {
                let sums = sums.get().add(item * sums_len);
                plan.add_chunks(input.get(), gradient.get(), block, own, sums);
            }
        });
        parallel_for(plan.input_panels, |panel| {
            // SAFETY: the weights of 16 inputs are this item's own.
            unsafe { plan.gather(sums.get(), sums_len, panel, result.get()) };
        });
    });
}

/// A walk along the line: the next place of the map, or none between rows and pictures.
struct Walk {
    line: Line,
    picture: usize,
    row: usize,
    column: usize,
}

impl Walk {
    /// From a row of the line on.
    fn new(line: Line, row: usize) -> Self {
        Walk {
            line,
            picture: row / line.tall,
            row: row % line.tall,
            column: 0,
        }
    }

    /// The number of the place that it has come to, and a step on.
    #[inline]
    fn next(&mut self) -> Option<usize> {
        let line = &self.line;
        let inside =
            self.column < line.width && self.row < line.height && self.picture < line.batch;
        let place = (self.picture * line.height + self.row) * line.width + self.column;
        self.column += 1;
        if self.column == line.pitch {
            self.column = 0;
            self.row += 1;
            if self.row == line.tall {
                self.row = 0;
                self.picture += 1;
            }
        }
        inside.then_some(place)
    }
}

/// 32 channels from `c` on of a place of a map; zeros behind the last, and where there is no place.
///
/// # Safety
/// The map has the place, with so many channels; the CPU has tiles.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn load(map: *const Bf16, channels: usize, c: usize, place: Option<usize>) -> __m512i {
    match place {
        Some(place) if c < channels => {
            let mask = lanes::first16(channels - c);
            // SAFETY: the masked channels are the place's.
            unsafe { _mm512_maskz_loadu_epi16(mask, map.add(place * channels + c).cast()) }
        }
        _ => _mm512_setzero_si512(),
    }
}

/// Pairs of (a, b) for the first 16 channels, and for the others.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn interleave(a: __m512i, b: __m512i) -> [__m512i; 2] {
    const ORDERS: [[u16; 32]; 2] = {
        let mut orders = [[0; 32]; 2];
        let mut i = 0;
        while i < 64 {
            let lane = i % 32;
            orders[i / 32][lane] = (i / 32 * 16 + lane / 2 + lane % 2 * 32) as u16;
            i += 1;
        }
        orders
    };
    ORDERS.each_ref().map(|order| {
        // SAFETY: 64 bytes.
        let order = unsafe { _mm512_loadu_si512(order.as_ptr().cast()) };
        _mm512_permutex2var_epi16(a, order, b)
    })
}

impl Plan {
    /// Adds up an item's chunks.
    ///
    /// # Safety
    /// The maps are x and dy, `sums` has room for the item's tiles; the CPU has tiles.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn add_chunks(
        &self,
        x: *const Bf16,
        dy: *const Bf16,
        block: usize,
        chunks: Range<usize>,
        sums: *mut f32,
    ) {
        let all = self.line.batch * self.line.tall;
        let first = block * self.block;
        let panels = self.block.min(self.input_panels - first);
        for chunk in chunks.clone() {
            let row = chunk * self.rows;
            let steps = self.steps(self.rows.min(all - row));
            let pairs = self.pairs(steps);
            let copies_len = panels.next_multiple_of(2) * SETS * pairs * 16;
            let turned_len = self.output_panels.next_multiple_of(2) * steps * TILE_FLOATS;
            workspace::with(Slot::Input, copies_len, |copies| {
                workspace::with(Slot::Product, turned_len, |turned| {
                    let copies = copies.as_mut_ptr().cast::<u8>();
                    let turned = turned.as_mut_ptr().cast::<u8>();
                    let to = Sums {
                        at: sums,
                        add: chunk > chunks.start,
                    };
                    // SAFETY: both have room as computed.
                    unsafe {
                        self.copy(x, [row, pairs], first..first + panels, copies);
                        self.turn(dy, row..row + self.rows, turned, steps);
                        self.multiply(copies, turned, panels, steps, to);
                    }
                });
            });
        }
    }

    /// Copies what the taps of a chunk from `row` on read: `[panel][set][pair][16 inputs][2]`.
    ///
    /// # Safety
    /// `to` has room for an even number of panels.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn copy(
        &self,
        x: *const Bf16,
        [row, pairs]: [usize; 2],
        panels: Range<usize>,
        to: *mut u8,
    ) {
        let pad = self.kernel / 2;
        let set_bytes = pairs * 64;
        for (i, panel) in panels.step_by(2).enumerate() {
            // The first tap is `pad` rows and places back; zeros precede the line and each row.
            let mut walk = Walk::new(self.line, row.saturating_sub(pad));
            let mut zeros = pad + pad.saturating_sub(row) * self.line.pitch;
            let mut place = || {
                if zeros > 0 {
                    zeros -= 1;
                    return None;
                }
                walk.next()
            };
            // SAFETY: places of x, two panels of copies.
            unsafe {
                let to = to.add(2 * i * SETS * set_bytes);
                let mut now = load(x, self.inputs, panel * 16, place());
                for q in 0..2 * pairs {
                    let next = load(x, self.inputs, panel * 16, place());
                    let [low, high] = interleave(now, next);
                    let at = to.add(q % SETS * set_bytes + q / SETS * 64);
                    _mm512_store_si512(at.cast(), low);
                    _mm512_store_si512(at.add(SETS * set_bytes).cast(), high);
                    now = next;
                }
            }
        }
    }

    /// Transposes a chunk of dy: `[panel][step][16 outputs][32 places]`; zeros behind its last row.
    ///
    /// # Safety
    /// `to` has room for an even number of panels.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn turn(&self, dy: *const Bf16, rows: Range<usize>, to: *mut u8, steps: usize) {
        for panel in (0..self.output_panels).step_by(2) {
            let mut walk = Walk::new(self.line, rows.start);
            let mut left = rows.len() * self.line.pitch;
            for step in 0..steps {
                let mut halves = [[_mm512_setzero_si512(); 16]; 2];
                for pair in 0..16 {
                    // SAFETY: places of dy.
                    let [a, b] = [0; 2].map(|_| unsafe {
                        let place = if left > 0 { walk.next() } else { None };
                        left = left.saturating_sub(1);
                        load(dy, self.outputs, panel * 16, place)
                    });
                    let [low, high] = interleave(a, b);
                    halves[0][pair] = low;
                    halves[1][pair] = high;
                }
                for (i, half) in halves.iter_mut().enumerate() {
                    lanes::transpose(half);
                    for (row, v) in half.iter().enumerate() {
                        // SAFETY: a tile of the panel.
                        unsafe {
                            let tile = to.add(((panel + i) * steps + step) * TILE);
                            _mm512_store_si512(tile.add(row * 64).cast(), *v);
                        }
                    }
                }
            }
        }
    }

    /// Adds a chunk's products.
    ///
    /// # Safety
    /// `copies` and `turned` are filled, `to` has room for the item's tiles.
    unsafe fn multiply(
        &self,
        copies: *const u8,
        turned: *const u8,
        panels: usize,
        steps: usize,
        to: Sums,
    ) {
        let tiles = Tiles::new();
        let (taps, pitch) = (self.taps(), self.line.pitch);
        let set_bytes = self.pairs(steps) * 64;
        let last = panels * taps - 1;
        let b = |panel: usize| {
            let panel = panel.min(last);
            let tap = panel % taps;
            let ahead = tap / self.kernel * pitch + tap % self.kernel;
            let set = panel / taps * SETS + ahead % SETS;
            copies.wrapping_add(set * set_bytes + ahead / 2 * 64)
        };
        let a = |o: usize| turned.wrapping_add(o * steps * TILE);
        let sums = |o: usize, panel: usize| Sums {
            at: to.at.wrapping_add(self.sum_of(o, panel) * TILE_FLOATS),
            ..to
        };
        // SAFETY: a tap's last tile ends with the pairs; the sums are this item's.
        unsafe {
            if self.output_panels > 1 {
                for o in (0..self.output_panels).step_by(2) {
                    for p in (0..=last).step_by(2) {
                        let (a, b) = ([a(o), a(o + 1)], [b(p), b(p + 1)]);
                        amx::two_by_two(&tiles, a, b, steps, sums(o, p));
                    }
                }
            } else {
                for p in (0..=last).step_by(4) {
                    let b = [b(p), b(p + 1), b(p + 2), b(p + 3)];
                    amx::one_by_four(&tiles, a(0), b, steps, sums(0, p));
                }
            }
        }
    }

    /// Adds the parts' sums of 16 inputs, in order, and writes them where they belong.
    ///
    /// # Safety
    /// `sums` holds what all items summed; `dw` is the whole result.
    #[target_feature(enable = "avx512f")]
    unsafe fn gather(&self, sums: *const f32, sums_len: usize, panel: usize, dw: *mut f32) {
        let (block, within) = (panel / self.block, panel % self.block);
        let taps = self.taps();
        let mask = lanes::first(self.inputs - panel * 16);
        let places = _mm512_mullo_epi32(lanes::lanes(), _mm512_set1_epi32(taps as i32));
        for o in 0..self.outputs {
            for tap in 0..taps {
                let tile = self.sum_of(o / 16, within * taps + tap);
                // SAFETY: a row of a tile of each part's sums; the weights of this tap.
                unsafe {
                    let from =
                        sums.add(block * self.parts * sums_len + tile * TILE_FLOATS + o % 16 * 16);
                    let mut sum = _mm512_load_ps(from);
                    for part in 1..self.parts {
                        sum = _mm512_add_ps(sum, _mm512_load_ps(from.add(part * sums_len)));
                    }
                    let to = dw.add((o * self.inputs + panel * 16) * taps + tap);
                    _mm512_mask_i32scatter_ps::<4>(to, mask, places, sum);
                }
            }
        }
    }
}
