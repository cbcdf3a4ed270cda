//! Convolution of maps in bf16 whose channels lie together, `[batch, height, width, channels]`.
//!
//! sums\[16 places\]\[16 outputs\] = Σ terms\[16 places\]\[32 channels\] · weights\[32 channels\]\[16 outputs\]
//!
//! The rows that a block of places reads are copied with zeros around them,
//! `[row][32 channels][column modulo the stride][column / stride]`, so that 16 neighbouring places
//! are a tile as they stand and every tap is an offset from them. Where the layout of
//! [`conv`](super::conv) writes each value once for every column tap, this one writes it once.

use std::arch::x86_64::*;

use super::amx::{self, Sums, Tiles};
use super::lanes::{self, Bf16, Element};
use super::{TILE, TILE_FLOATS};
use crate::conv::forward_places;
use crate::grad::input_gradient_taps;
use crate::kernels::rows::RawEpilogue;
use crate::pool::parallel_for;
use crate::raw::Shared;
use crate::shape::{Conv2dShape, Epilogue};
use crate::taps::Places;
use crate::workspace::{self, Slot};

/// Channels of a tile.
const DEEP: usize = 32;
/// Outputs that are computed together: two tiles.
const GROUP: usize = 32;
/// What a block's copied input may take: half of a core's second-level cache.
const BLOCK_BYTES: usize = 1000 << 10;
/// Groups of channels that a sum takes at a time, so that their weights and the block's share of
/// the input stay in a core's second-level cache.
const STRETCH: usize = 16;
/// Weights that take more do not fit there, and are read anew for each block: it should be large.
const MANY_WEIGHTS: usize = 2 << 20;
/// Items that keep several threads at work.
const ITEMS: usize = 8;
/// Results that take more do not fit into a core's second-level cache beside the block.
const STREAMED: usize = 4 << 20;

/// Tiles of an output's sum.
fn steps(s: &Conv2dShape) -> usize {
    s.kernel[0] * s.in_channels.div_ceil(DEEP) * s.kernel[1]
}

/// Floats whose room the packed weights take.
pub(crate) fn packed_len(s: &Conv2dShape) -> usize {
    s.out_channels.div_ceil(GROUP) * steps(s) * 2 * TILE_FLOATS
}

/// The row tap, the channels and the column tap of every step, stretch after stretch.
fn terms(s: &Conv2dShape) -> impl Iterator<Item = [usize; 3]> {
    let [kh, kw] = s.kernel;
    let blocks = s.in_channels.div_ceil(DEEP);
    (0..blocks).step_by(STRETCH).flat_map(move |first| {
        let own = first..blocks.min(first + STRETCH);
        (0..kh).flat_map(move |y| {
            let own = own.clone();
            own.flat_map(move |b| (0..kw).map(move |x| [y, b, x]))
        })
    })
}

/// Packs weights that lie at `places`: `[outputs / 32][step][2][16 pairs of channels][16 outputs][2]`.
pub(crate) fn pack(s: &Conv2dShape, w: &[f32], places: &Places, u: &mut [f32]) {
    assert_eq!(w.len(), s.weight_len());
    assert_eq!(u.len(), packed_len(s));
    let steps = steps(s);
    let (to, from) = (Shared::of_mut(u), Shared::of(w));
    parallel_for(s.out_channels.div_ceil(GROUP), |group| {
        for (step, term) in terms(s).enumerate() {
            for half in 0..2 {
                let tile = (group * steps + step) * 2 + half;
                // SAFETY: tiles of this group, which is this item's alone; the weights have the
                // asserted length.
                unsafe {
                    let to = to.get().add(tile * TILE_FLOATS);
                    pack_tile(s, from.get(), places, group * GROUP + half * 16, term, to);
                }
            }
        }
    });
}

/// The weights of 32 channels and 16 outputs for one tap.
///
/// # Safety
/// `to` has room for a tile, `w` has all weights; the CPU has tiles.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
pub(super) unsafe fn pack_tile(
    s: &Conv2dShape,
    w: *const f32,
    places: &Places,
    first: usize,
    [y, b, x]: [usize; 3],
    to: *mut f32,
) {
    let mask = lanes::first(s.out_channels.saturating_sub(first));
    let step = _mm512_set1_epi32(places.output as i32);
    let offsets = _mm512_mullo_epi32(lanes::lanes(), step);
    let gather = |c: usize| {
        if c >= s.in_channels || mask == 0 {
            return _mm512_setzero_ps();
        }
        let from = w.wrapping_add(places.of(first, c, [y, x]));
        // SAFETY: the masked places lie within w.
        unsafe { _mm512_mask_i32gather_ps::<4>(_mm512_setzero_ps(), mask, offsets, from) }
    };
    for pair in 0..16 {
        let c = b * DEEP + 2 * pair;
        // SAFETY: a row of the tile.
        unsafe {
            let at = to.add(pair * 16).cast();
            _mm512_store_si512(at, lanes::pairs(gather(c), gather(c + 1)));
        }
    }
}

/// How the places are cut into blocks, and how a block's input lies; it depends on the shape alone.
struct Plan<'a> {
    s: &'a Conv2dShape,
    /// Height and width of the output.
    out: [usize; 2],
    /// Groups of 16 places across.
    across: usize,
    /// Groups of 32 channels.
    blocks: usize,
    /// Columns of a phase in a copied row, and bytes of such a row.
    pitch: usize,
    row_bytes: usize,
    /// Rows of places in a block, and blocks down.
    tall: usize,
    down: usize,
    /// Parts that the groups of outputs are divided into.
    parts: usize,
}

impl<'a> Plan<'a> {
    fn new(s: &'a Conv2dShape) -> Self {
        let out @ [oh, ow] = s.out_size();
        let [kh, kw] = s.kernel;
        let (across, blocks) = (ow.div_ceil(16), s.in_channels.div_ceil(DEEP));
        let pitch = across * 16 + (kw - 1) / s.stride;
        let row_bytes = blocks * s.stride * pitch * 64;
        let fit = (BLOCK_BYTES / row_bytes)
            .checked_sub(kh)
            .map_or(1, |spare| spare / s.stride + 1);
        let many_weights = packed_len(s) * size_of::<f32>() > MANY_WEIGHTS;
        let enough = if many_weights {
            oh
        } else {
            (s.batch * oh).div_ceil(ITEMS).max(4)
        };
        let tall = oh.div_ceil(oh.div_ceil(fit.min(enough)));
        let down = oh.div_ceil(tall);
        let parts = if many_weights {
            let groups = s.out_channels.div_ceil(GROUP);
            // Powers of two share out evenly.
            let parts = ITEMS.div_ceil(s.batch * down).next_power_of_two();
            parts.min(groups)
        } else {
            1
        };
        Plan {
            s,
            out,
            across,
            blocks,
            pitch,
            row_bytes,
            tall,
            down,
            parts,
        }
    }

    /// Input rows of so many rows of places.
    fn input_rows(&self, rows: usize) -> usize {
        (rows - 1) * self.s.stride + self.s.kernel[0]
    }

    /// Where each step's terms lie from a place's first.
    fn offsets(&self) -> Vec<usize> {
        let stride = self.s.stride;
        terms(self.s)
            .map(|[y, b, x]| {
                let line = (b * stride + x % stride) * self.pitch;
                y * self.row_bytes + (line + x / stride) * 64
            })
            .collect()
    }

    /// Copies the rows that `rows` rows of places from `first` on read.
    ///
    /// # Safety
    /// `x` is the picture, `to` has room; the CPU has tiles.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn copy(&self, x: *const Bf16, first: usize, rows: usize, to: *mut u8) {
        let s = self.s;
        let zero = _mm512_setzero_si512();
        for r in 0..self.input_rows(rows) {
            let y = (first * s.stride + r).wrapping_sub(s.padding);
            // SAFETY: a row of the copy, and of the picture where it has one.
            unsafe {
                let to = to.add(r * self.row_bytes);
                if y >= s.height {
                    to.write_bytes(0, self.row_bytes);
                    continue;
                }
                let from = x.add(y * s.width * s.in_channels);
                for b in 0..self.blocks {
                    let mask = lanes::first16(s.in_channels - b * DEEP);
                    for phase in 0..s.stride {
                        let to = to.add((b * s.stride + phase) * self.pitch * 64);
                        // Column i holds the picture's i · stride + phase − padding.
                        let end = (s.width + s.padding).saturating_sub(phase);
                        let end = end.div_ceil(s.stride).min(self.pitch);
                        let start = s.padding.saturating_sub(phase).div_ceil(s.stride).min(end);
                        for i in (0..start).chain(end..self.pitch) {
                            _mm512_store_si512(to.add(i * 64).cast(), zero);
                        }
                        for i in start..end {
                            let column = i * s.stride + phase - s.padding;
                            let at = from.add(column * s.in_channels + b * DEEP);
                            let v = _mm512_maskz_loadu_epi16(mask, at.cast());
                            _mm512_store_si512(to.add(i * 64).cast(), v);
                        }
                    }
                }
            }
        }
    }
}

/// Where sums of 32 outputs at up to 16 neighbouring places of a row belong.
#[derive(Clone, Copy)]
pub(super) struct Spot {
    pub picture: usize,
    /// The first place, counted along the rows of its picture, and how many there are.
    pub place: usize,
    pub count: usize,
    /// The first output, and which of the 32 there are.
    pub output: usize,
    pub mask: u32,
}

impl Spot {
    /// Where place `r` of the spot stands in a map of so many positions and channels.
    #[inline]
    pub(super) fn in_map(&self, [positions, channels]: [usize; 2], r: usize) -> usize {
        (self.picture * positions + self.place + r) * channels + self.output
    }
}

/// Where a convolution's sums go.
pub(super) trait Sink: Sync {
    /// Takes two tiles of sums, `[16 places][16 outputs]` each.
    ///
    /// # Safety
    /// The spot lies within an output as large as the convolution's, and no other thread has it; the
    /// CPU has tiles.
    unsafe fn put(&self, at: Spot, sums: *const f32);
}

/// (v · mul + add) for each picture and output, whole groups of them.
pub(super) struct Affine {
    mul: Vec<f32>,
    add: Vec<f32>,
    outputs: usize,
}

impl Affine {
    /// As `at` says for a picture and an output; zeros behind the outputs.
    pub(super) fn of(s: &Conv2dShape, at: impl Fn(usize, usize) -> (f32, f32)) -> Self {
        let outputs = s.out_channels.next_multiple_of(GROUP);
        let (mut mul, mut add) = (vec![], vec![]);
        for n in 0..s.batch {
            for o in 0..outputs {
                let (m, a) = if o < s.out_channels {
                    at(n, o)
                } else {
                    (0.0, 0.0)
                };
                mul.push(m);
                add.push(a);
            }
        }
        Affine { mul, add, outputs }
    }

    /// The factors and what is added, for both halves of the spot's outputs.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) fn load(&self, at: Spot) -> [[__m512; 2]; 2] {
        let first = at.picture * self.outputs + at.output;
        // SAFETY: whole groups of 32 outputs.
        let half = |v: &[f32]| unsafe {
            let v = &v[first..first + GROUP];
            [
                _mm512_loadu_ps(v.as_ptr()),
                _mm512_loadu_ps(v.as_ptr().add(16)),
            ]
        };
        [half(&self.mul), half(&self.add)]
    }
}

/// A map, and what follows the sums.
struct Output {
    y: Shared<*mut Bf16>,
    residual: Option<Shared<*const Bf16>>,
    affine: Affine,
    silu: bool,
    /// Height times width, and outputs.
    size: [usize; 2],
    /// Whether results go past the caches: every group of them is a whole cache line.
    stream: bool,
}

/// y = epilogue(conv(x, u)) + residual, with u from [`pack`]; the epilogue has no residual of its own.
pub(crate) fn conv(
    s: &Conv2dShape,
    x: &[Bf16],
    u: &[f32],
    epilogue: RawEpilogue,
    residual: Option<&[Bf16]>,
    y: &mut [Bf16],
) {
    assert_eq!(y.len(), s.output_len());
    assert!(residual.is_none_or(|residual| residual.len() == y.len()));
    let [oh, ow] = s.out_size();
    let whole = s.out_channels.is_multiple_of(GROUP) && y.as_ptr().addr().is_multiple_of(64);
    let output = Output {
        stream: whole && size_of_val(y) > STREAMED,
        y: Shared::of_mut(y),
        residual: residual.map(Shared::of),
        // SAFETY: the epilogue covers these pictures and channels.
        affine: Affine::of(s, |n, o| unsafe { epilogue.affine(n, o) }),
        silu: epilogue.silu,
        size: [oh * ow, s.out_channels],
    };
    // SAFETY: y is as large as the output.
    unsafe { conv_into(s, x, u, &output) };
}

/// Hands conv(x, w) to a sink, with weights packed for this call.
///
/// # Safety
/// As [`conv_into`].
pub(super) unsafe fn forward_into(s: &Conv2dShape, x: &[Bf16], w: &[f32], sink: &impl Sink) {
    with_packed(s, &forward_places(s), w, |u| {
        // SAFETY: the contract.
        unsafe { conv_into(s, x, u, sink) };
    });
}

/// y = conv(x, w) + bias, with weights packed for this call.
pub(super) fn forward_map(
    s: &Conv2dShape,
    x: &[Bf16],
    w: &[f32],
    bias: Option<&[f32]>,
    y: &mut [Bf16],
) {
    let epilogue = Epilogue {
        bias,
        ..Epilogue::default()
    };
    let epilogue = epilogue.raw(s.batch, s.out_channels, y.len());
    with_packed(s, &forward_places(s), w, |u| {
        conv(s, x, u, epilogue, None, y)
    });
}

/// Hands the gradient of conv(x, w), stride 1, with respect to x to a sink, as large as x.
///
/// # Safety
/// As [`conv_into`].
pub(super) unsafe fn back_into(s: &Conv2dShape, dy: &[Bf16], w: &[f32], sink: &impl Sink) {
    with_packed(&back(s), &input_gradient_taps(s).1, w, |u| {
        // SAFETY: the contract.
        unsafe { conv_into(&back(s), dy, u, sink) };
    });
}

/// The gradient of conv(x, w), stride 1, with respect to x.
pub(super) fn back_map(s: &Conv2dShape, dy: &[Bf16], w: &[f32], dx: &mut [Bf16]) {
    let plain = Epilogue::default().raw(s.batch, s.in_channels, dx.len());
    with_packed(&back(s), &input_gradient_taps(s).1, w, |u| {
        conv(&back(s), dy, u, plain, None, dx);
    });
}

/// The convolution that gives the input's gradient from the output's.
fn back(s: &Conv2dShape) -> Conv2dShape {
    Conv2dShape {
        in_channels: s.out_channels,
        out_channels: s.in_channels,
        ..*s
    }
}

/// Calls `f` with weights, which lie at `places`, packed for this call.
fn with_packed(s: &Conv2dShape, places: &Places, w: &[f32], f: impl FnOnce(&[f32])) {
    workspace::with(Slot::Weights, packed_len(s), |u| {
        pack(s, w, places, u);
        f(u);
    });
}

/// Hands conv(x, u) to a sink.
///
/// # Safety
/// The sink takes an output as large as the convolution's.
pub(super) unsafe fn conv_into(s: &Conv2dShape, x: &[Bf16], u: &[f32], sink: &impl Sink) {
    assert_eq!(x.len(), s.input_len());
    assert_eq!(u.len(), packed_len(s));
    assert!(u.as_ptr().addr().is_multiple_of(64), "tiles are aligned");
    if s.output_len() == 0 {
        return;
    }
    let groups = s.out_channels.div_ceil(GROUP);
    let plan = Plan::new(s);
    let offsets = plan.offsets();
    let (from, weights) = (Shared::of(x), Shared::of(u));
    parallel_for(s.batch * plan.down * plan.parts, |item| {
        let (block, part) = (item / plan.parts, item % plan.parts);
        let (picture, down) = (block / plan.down, block % plan.down);
        let first = down * plan.tall;
        let rows = plan.tall.min(plan.out[0] - first);
        let bytes = plan.input_rows(rows) * plan.row_bytes;
        workspace::with(Slot::Input, bytes / 4, |copy| {
            let copy = copy.as_mut_ptr().cast::<u8>();
            let groups = groups * part / plan.parts..groups * (part + 1) / plan.parts;
            // SAFETY: all slices have their asserted lengths; these places and outputs are this
            // item's alone; whoever comes here has checked the CPU.
            unsafe {
                let x = from.get().add(picture * s.height * s.width * s.in_channels);
                plan.copy(x, first, rows, copy);
                for group in groups {
                    let weights = weights.get().add(group * offsets.len() * 2 * TILE_FLOATS);
                    let at = [picture, first, group];
                    plan.multiply(copy, rows, &offsets, weights.cast(), at, sink);
                }
            }
        });
    });
}

impl Plan<'_> {
    /// 32 outputs of a block whose input is copied.
    ///
    /// # Safety
    /// `copy` and `weights` are what the plan says; the places lie within the output.
    unsafe fn multiply(
        &self,
        copy: *const u8,
        rows: usize,
        offsets: &[usize],
        weights: *const u8,
        [picture, first, group]: [usize; 3],
        sink: &impl Sink,
    ) {
        let places = rows * self.across;
        let taps = self.s.kernel[0] * self.s.kernel[1];
        let stretches = self.blocks.div_ceil(STRETCH);
        // Sums of several stretches wait for the next one, those of one leave at once.
        let room = if stretches > 1 { places.div_ceil(2) } else { 1 };
        workspace::with(Slot::Product, room * 4 * TILE_FLOATS, |sums| {
            let sums = sums.as_mut_ptr();
            let tiles = Tiles::new();
            for stretch in 0..stretches {
                let from = stretch * STRETCH * taps;
                let own = &offsets[from..offsets.len().min(from + STRETCH * taps)];
                for i in (0..places).step_by(2) {
                    let terms = [i, (i + 1).min(places - 1)].map(|i| {
                        let (row, column) = (i / self.across, i % self.across);
                        let row = row * self.s.stride * self.row_bytes;
                        copy.wrapping_add(row + column * TILE)
                    });
                    let sums = sums.wrapping_add(i / 2 % room * 4 * TILE_FLOATS);
                    let add = Sums {
                        at: sums,
                        add: stretch > 0,
                    };
                    let weights = weights.wrapping_add(from * 2 * TILE);
                    // SAFETY: each step's terms lie in the copy, its weights among this group's.
                    unsafe {
                        amx::two_by_two_at(&tiles, terms, own, weights, add);
                        if stretch + 1 < stretches {
                            continue;
                        }
                        for i in i..places.min(i + 2) {
                            let width = self.out[1];
                            let column = i % self.across * 16;
                            let at = Spot {
                                picture,
                                place: (first + i / self.across) * width + column,
                                count: 16.min(width - column),
                                output: group * GROUP,
                                mask: lanes::first16(self.s.out_channels - group * GROUP),
                            };
                            sink.put(at, sums.add(i % 2 * 2 * TILE_FLOATS));
                        }
                    }
                }
            }
        });
    }
}

impl Sink for Output {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn put(&self, at: Spot, sums: *const f32) {
        let masks = [at.mask as u16, (at.mask >> 16) as u16];
        let [mul, add] = self.affine.load(at);
        // SAFETY: places lie within y and the residual.
        unsafe {
            for r in 0..at.count {
                let place = at.in_map(self.size, r);
                let value = |i: usize| {
                    let v = _mm512_load_ps(sums.add(i * TILE_FLOATS + r * 16));
                    let v = _mm512_fmadd_ps(v, mul[i], add[i]);
                    let v = if self.silu { lanes::silu(v) } else { v };
                    match &self.residual {
                        Some(residual) => {
                            let from = residual.get().wrapping_add(place + 16 * i);
                            _mm512_add_ps(v, Bf16::load(from, masks[i]))
                        }
                        None => v,
                    }
                };
                let v = lanes::round(value(0), value(1));
                let to = self.y.get().add(place);
                if self.stream {
                    _mm512_stream_si512(to.cast(), v);
                } else {
                    _mm512_mask_storeu_epi16(to.cast(), at.mask, v);
                }
            }
        }
    }
}
