//! What else happens to maps in bf16 whose channels lie together: their way in and out, and the
//! guide's norm.

use std::arch::x86_64::*;

use super::lanes::{self, Bf16, Element};
use crate::norm::MapShape;
use crate::pool::parallel_for;
use crate::raw::Shared;
use crate::recycler::unfilled_of;

/// Channels and positions that are turned together.
pub(super) const DEEP: usize = 32;
pub(super) const WIDE: usize = 16;
/// Positions of an item.
const BLOCK: usize = 256;

/// A map for kernels to fill.
pub(super) fn unfilled(len: usize) -> Vec<Bf16> {
    // SAFETY: any two bytes are a bf16.
    unsafe { unfilled_of(len) }
}

/// Calls `f` with every picture's stretches of positions: the picture, the first, and their end.
pub(super) fn stretches(s: &MapShape, f: impl Fn(usize, usize, usize) + Sync) {
    let blocks = s.positions.div_ceil(BLOCK);
    parallel_for(s.batch * blocks, |item| {
        let (picture, first) = (item / blocks, item % blocks * BLOCK);
        f(picture, first, s.positions.min(first + BLOCK));
    });
}

/// Up to 32 channels at up to 16 neighbouring positions of a picture.
#[derive(Clone, Copy)]
pub(super) struct Block {
    pub picture: usize,
    pub position: usize,
    pub channel: usize,
    /// How many channels and positions there are.
    pub deep: usize,
    pub wide: usize,
}

impl Block {
    /// Where the block's channel `c` starts in `[batch, channels, positions]`.
    pub(super) fn plane(&self, s: &MapShape, c: usize) -> usize {
        (self.picture * s.channels + self.channel + c) * s.positions + self.position
    }

    /// Where the block's position `i` starts in `[batch, positions, channels]`.
    fn place(&self, s: &MapShape, i: usize) -> usize {
        (self.picture * s.positions + self.position + i) * s.channels + self.channel
    }
}

/// Calls `f` with all blocks of a map.
pub(super) fn for_blocks(s: &MapShape, f: impl Fn(Block) + Sync) {
    stretches(s, |picture, first, end| {
        for position in (first..end).step_by(WIDE) {
            for channel in (0..s.channels).step_by(DEEP) {
                f(Block {
                    picture,
                    position,
                    channel,
                    deep: DEEP.min(s.channels - channel),
                    wide: WIDE.min(end - position),
                });
            }
        }
    });
}

/// Pairs of a block's channels of a map of bf16, `[pair][position]`; zeros behind the channels and
/// the positions.
///
/// # Safety
/// The block lies within the map. The CPU has tiles.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
pub(super) unsafe fn load_turned(s: &MapShape, block: Block, from: *const Bf16) -> [__m512i; 16] {
    let mask = lanes::first16(block.deep);
    let mut rows = [_mm512_setzero_si512(); 16];
    for (i, row) in rows.iter_mut().take(block.wide).enumerate() {
        // SAFETY: the contract.
        *row = unsafe { _mm512_maskz_loadu_epi16(mask, from.add(block.place(s, i)).cast()) };
    }
    lanes::transpose(&mut rows);
    rows
}

/// The way back of [`load_turned`].
///
/// # Safety
/// As there, to write.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
pub(super) unsafe fn store_turned(
    s: &MapShape,
    block: Block,
    mut pairs: [__m512i; 16],
    to: *mut Bf16,
) {
    let mask = lanes::first16(block.deep);
    lanes::transpose(&mut pairs);
    for (i, row) in pairs.iter().take(block.wide).enumerate() {
        // SAFETY: the contract.
        unsafe { _mm512_mask_storeu_epi16(to.add(block.place(s, i)).cast(), mask, *row) };
    }
}

/// `[batch, channels, positions]` in f32 to `[batch, positions, channels]` in bf16.
pub(crate) fn from_planes(s: &MapShape, x: &[f32], y: &mut [Bf16]) {
    part_from_planes(s, x, s, 0, y);
}

/// As [`from_planes`], to the channels from `first` on of a map of more of them.
pub(crate) fn part_from_planes(
    s: &MapShape,
    x: &[f32],
    whole: &MapShape,
    first: usize,
    y: &mut [Bf16],
) {
    assert_eq!([x.len(), y.len()], [s.len(), whole.len()]);
    assert_eq!([s.batch, s.positions], [whole.batch, whole.positions]);
    assert!(first + s.channels <= whole.channels);
    let (from, to) = (Shared::of(x), Shared::of_mut(y));
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn turn(
        s: &MapShape,
        whole: &MapShape,
        block: Block,
        first: usize,
        from: *const f32,
        to: *mut Bf16,
    ) {
        let mask = lanes::first(block.wide);
        let plane = |c: usize| {
            let mask = if c < block.deep { mask } else { 0 };
            // SAFETY: the masked places lie within the plane.
            unsafe { f32::load(from.wrapping_add(block.plane(s, c)), mask) }
        };
        let pairs = std::array::from_fn(|i| lanes::pairs(plane(2 * i), plane(2 * i + 1)));
        let channel = first + block.channel;
        // SAFETY: the contract.
        unsafe { store_turned(whole, Block { channel, ..block }, pairs, to) };
    }
    for_blocks(s, |block| {
        // SAFETY: both maps have the asserted lengths; the block is this item's alone.
        unsafe { turn(s, whole, block, first, from.get(), to.get()) }
    });
}

/// The way back of [`from_planes`].
pub(crate) fn to_planes(s: &MapShape, x: &[Bf16], y: &mut [f32]) {
    to_planes_with(s, x, None, y);
}

/// As [`to_planes`], with other planes added.
pub(super) fn to_planes_with(s: &MapShape, x: &[Bf16], added: Option<&[f32]>, y: &mut [f32]) {
    assert_eq!([x.len(), y.len()], [s.len(); 2]);
    assert!(added.is_none_or(|added| added.len() == y.len()));
    let (from, to) = (Shared::of(x), Shared::of_mut(y));
    let added = added.map(Shared::of);
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn turn(
        s: &MapShape,
        block: Block,
        from: *const Bf16,
        added: Option<*const f32>,
        to: *mut f32,
    ) {
        let mask = lanes::first(block.wide);
        // SAFETY: the contract; the masked places lie within the planes.
        unsafe {
            let pairs = load_turned(s, block, from);
            for c in 0..block.deep {
                let plane = block.plane(s, c);
                let mut v = lanes::halves(pairs[c / 2])[c % 2];
                if let Some(added) = added {
                    v = _mm512_add_ps(v, f32::load(added.add(plane), mask));
                }
                f32::store(to.add(plane), mask, v);
            }
        }
    }
    for_blocks(s, |block| {
        let added = added.map(|added| added.get());
        // SAFETY: as in `from_planes`.
        unsafe { turn(s, block, from.get(), added, to.get()) }
    });
}

/// The even and the odd ones of 32 channels of a position from `c` on; zeros behind the last.
///
/// # Safety
/// `from` has so many channels, more than `c`; the CPU has tiles.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
pub(super) unsafe fn load(channels: usize, from: *const Bf16, c: usize) -> [__m512; 2] {
    // SAFETY: the masked places lie within the channels.
    unsafe {
        let mask = lanes::first16(channels - c);
        lanes::halves(_mm512_maskz_loadu_epi16(mask, from.add(c).cast()))
    }
}

/// The mean of a position's channels, and the sum of the squared distances from it.
///
/// # Safety
/// As [`load`].
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
pub(super) unsafe fn moments(channels: usize, x: *const Bf16) -> (f32, f32) {
    let mut sum = _mm512_setzero_ps();
    for c in (0..channels).step_by(DEEP) {
        // SAFETY: these channels.
        let [even, odd] = unsafe { load(channels, x, c) };
        sum = _mm512_add_ps(sum, _mm512_add_ps(even, odd));
    }
    let mean = _mm512_reduce_add_ps(sum) / channels as f32;
    let means = _mm512_set1_ps(mean);
    let mut squares = _mm512_setzero_ps();
    for c in (0..channels).step_by(DEEP) {
        // SAFETY: these channels.
        let [even, odd] = unsafe { load(channels, x, c) };
        let left = channels - c;
        // Channels that are not there are no distance from the mean.
        let even = _mm512_maskz_sub_ps(lanes::first(left.div_ceil(2)), even, means);
        let odd = _mm512_maskz_sub_ps(lanes::first(left / 2), odd, means);
        squares = _mm512_fmadd_ps(even, even, squares);
        squares = _mm512_fmadd_ps(odd, odd, squares);
    }
    (mean, _mm512_reduce_add_ps(squares))
}

/// The guide's norm: lrelu(norm(x) · (1 + γ) + β), over the channels of each position.
pub(crate) fn spade(
    s: &MapShape,
    x: &[Bf16],
    [gamma, beta]: [&[Bf16]; 2],
    epsilon: f32,
    slope: f32,
    y: &mut [Bf16],
) {
    let len = s.batch * s.channels * s.positions;
    assert_eq!([x.len(), gamma.len(), beta.len(), y.len()], [len; 4]);
    let operands = [x, gamma, beta].map(Shared::of);
    let to = Shared::of_mut(y);
    stretches(s, |picture, first, end| {
        for position in picture * s.positions + first..picture * s.positions + end {
            let at = position * s.channels;
            // SAFETY: this position's channels of maps with the asserted lengths.
            unsafe {
                let [x, gamma, beta] = [0, 1, 2].map(|i: usize| operands[i].get().add(at));
                spade_position(
                    s.channels,
                    x,
                    [gamma, beta],
                    epsilon,
                    slope,
                    to.get().add(at),
                );
            }
        }
    });
}

/// One position of [`spade`].
///
/// # Safety
/// All have so many channels; the CPU has tiles.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn spade_position(
    channels: usize,
    x: *const Bf16,
    [gamma, beta]: [*const Bf16; 2],
    epsilon: f32,
    slope: f32,
    y: *mut Bf16,
) {
    // SAFETY: the contract.
    let (mean, squares) = unsafe { moments(channels, x) };
    let variance = squares / (channels as f32 - 1.0);
    let inverse = _mm512_set1_ps(1.0 / (variance + epsilon).sqrt());
    let (one, zero) = (_mm512_set1_ps(1.0), _mm512_setzero_ps());
    let (means, slopes) = (_mm512_set1_ps(mean), _mm512_set1_ps(slope));
    for c in (0..channels).step_by(DEEP) {
        // SAFETY: these channels.
        let [x, gamma, beta] = [x, gamma, beta].map(|map| unsafe { load(channels, map, c) });
        let value = |i: usize| {
            let norm = _mm512_mul_ps(_mm512_sub_ps(x[i], means), inverse);
            let v = _mm512_fmadd_ps(norm, _mm512_add_ps(one, gamma[i]), beta[i]);
            _mm512_fmadd_ps(slopes, _mm512_min_ps(v, zero), _mm512_max_ps(v, zero))
        };
        let v = lanes::pairs(value(0), value(1));
        // SAFETY: the masked places lie within the channels.
        unsafe {
            _mm512_mask_storeu_epi16(y.add(c).cast(), lanes::first16(channels - c), v);
        }
    }
}
