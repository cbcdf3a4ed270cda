//! A residual block in training, in one piece: y = SiLU(conv2(SiLU(conv1(x)·(1 + scale) + shift)))
//! + skip(x).
//!
//! In pieces, every step of it would write a map of f32 and read it again. Here the maps that the
//! convolutions read are of bf16 and have their channels together, as the tiles read them anyway;
//! x, y and their gradients are planes of f32.

use std::arch::x86_64::*;

use super::channels_last::{Affine, Sink, Spot, back_into, back_map, forward_into};
use super::channels_last_grad::weight_grad;
use super::lanes::{self, Bf16, Element};
use super::maps::{self, unfilled};
use super::planes::{Added, Planes, ToPlanes, both};
use crate::norm::MapShape;
use crate::pool::parallel_for;
use crate::raw::Shared;
use crate::residual_block::{ResidualBlock, ResidualGrads};
use crate::shape::Conv2dShape;

/// What the backward pass needs of the forward pass.
#[derive(Debug)]
pub(crate) struct Kept {
    /// What the first convolution gave.
    first: Vec<Bf16>,
    /// What the second one read.
    hidden: Vec<Bf16>,
    /// What it gave.
    second: Vec<Bf16>,
}

/// Sums of the first convolution: kept, and activated for the second.
struct ToHidden {
    affine: Affine,
    /// Positions and channels of the maps.
    size: [usize; 2],
    first: Shared<*mut Bf16>,
    hidden: Shared<*mut Bf16>,
}

impl Sink for ToHidden {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn put(&self, at: Spot, sums: *const f32) {
        let [mul, add] = self.affine.load(at);
        for r in 0..at.count {
            let place = at.in_map(self.size, r);
            // SAFETY: both maps are as large as the convolution's output.
            unsafe {
                let v = both(sums, r);
                let hidden = [0, 1].map(|i| lanes::silu(_mm512_fmadd_ps(v[i], mul[i], add[i])));
                for (to, v) in [(self.first, v), (self.hidden, hidden)] {
                    let to = to.get().add(place).cast();
                    _mm512_mask_storeu_epi16(to, at.mask, lanes::round(v[0], v[1]));
                }
            }
        }
    }
}

/// The two convolutions' shapes.
fn shapes(b: &ResidualBlock) -> [Conv2dShape; 2] {
    let size = |channels| [b.batch, channels, b.height, b.width];
    [b.inputs(), b.out_channels].map(|c| Conv2dShape::new(size(c), b.out_channels, 3, 1, 1))
}

/// The skip's shape.
fn skip_shape(b: &ResidualBlock) -> Conv2dShape {
    let x = [b.batch, b.inputs(), b.height, b.width];
    Conv2dShape::new(x, b.out_channels, 1, 1, 0)
}

/// The map's shape.
fn map_of(b: &ResidualBlock, channels: usize) -> MapShape {
    MapShape {
        batch: b.batch,
        channels,
        positions: b.height * b.width,
    }
}

/// x as a map of bf16.
fn turned(b: &ResidualBlock, x: [&[f32]; 2]) -> Vec<Bf16> {
    let whole = map_of(b, b.inputs());
    let mut map = unfilled(whole.len());
    let mut first = 0;
    for (x, channels) in x.into_iter().zip(b.in_channels) {
        maps::part_from_planes(&map_of(b, channels), x, &whole, first, &mut map);
        first += channels;
    }
    map
}

/// y, and what the backward pass needs.
pub(crate) fn forward(b: &ResidualBlock, x: [&[f32]; 2], y: &mut [f32]) -> Kept {
    let [one, two] = shapes(b);
    let map = || unfilled(two.output_len());
    let (mut first, mut hidden, mut second) = (map(), map(), map());
    let to_hidden = ToHidden {
        affine: Affine::of(&one, |n, o| {
            let i = n * b.out_channels + o;
            (1.0 + b.scale[i], b.shift[i])
        }),
        size: [b.height * b.width, b.out_channels],
        first: Shared::of_mut(&mut first),
        hidden: Shared::of_mut(&mut hidden),
    };
    let map = turned(b, x);
    // SAFETY: the maps have the outputs' lengths.
    unsafe { forward_into(&one, &map, b.conv1, &to_hidden) };
    let to_y = |y: &mut [f32], added, kept| ToPlanes {
        y: Planes::whole(y, b.out_channels, b.height * b.width),
        bias: None,
        added,
        kept,
    };
    let added = match b.skip {
        None => Added::Others(Shared::of(x[0])),
        Some(skip) => {
            let to_y = to_y(y, Added::Nothing, None);
            // SAFETY: y has the output's length.
            unsafe { forward_into(&skip_shape(b), &map, skip, &to_y) };
            Added::Themselves
        }
    };
    drop(map);
    let to_y = to_y(y, added, Some(Shared::of_mut(&mut second)));
    // SAFETY: as above.
    unsafe { forward_into(&two, &hidden, b.conv2, &to_y) };
    Kept {
        first,
        hidden,
        second,
    }
}

/// All gradients.
pub(crate) fn backward(
    b: &ResidualBlock,
    kept: &Kept,
    x: [&[f32]; 2],
    dy: &[f32],
    grads: ResidualGrads,
) {
    let [one, two] = shapes(b);
    let len = two.output_len();
    // With respect to the second convolution's sums.
    let mut after = unfilled(len);
    slopes_times(&map_of(b, b.out_channels), &kept.second, dy, &mut after);
    weight_grad(&two, &kept.hidden, &after, grads.dconv2);
    // With respect to the hidden map, and then, in its place, to the first convolution's sums.
    let mut before = unfilled(len);
    back_map(&two, &after, b.conv2, &mut before);
    modulate_back(b, &kept.first, &mut before, grads.dscale, grads.dshift);
    let map = turned(b, x);
    weight_grad(&one, &map, &before, grads.dconv1);
    let parts = grads.dx.map(Shared::of_mut);
    let to_dx = |added| ToPlanes {
        y: Planes {
            parts,
            channels: b.in_channels,
            positions: b.height * b.width,
        },
        bias: None,
        added,
        kept: None,
    };
    let added = match b.skip {
        None => Added::Others(Shared::of(dy)),
        Some(skip) => {
            let s = skip_shape(b);
            let mut turned_dy = after;
            maps::from_planes(&map_of(b, b.out_channels), dy, &mut turned_dy);
            weight_grad(&s, &map, &turned_dy, grads.dskip);
            // SAFETY: dx has the input's length.
            unsafe { back_into(&s, &turned_dy, skip, &to_dx(Added::Nothing)) };
            Added::Themselves
        }
    };
    drop(map);
    // SAFETY: as above.
    unsafe { back_into(&one, &before, b.conv1, &to_dx(added)) };
}

/// to = dy · SiLU′(v), of which dy has planes.
fn slopes_times(s: &MapShape, v: &[Bf16], dy: &[f32], to: &mut [Bf16]) {
    assert_eq!([v.len(), dy.len(), to.len()], [s.len(); 3]);
    let (v, dy, to) = (Shared::of(v), Shared::of(dy), Shared::of_mut(to));
    maps::for_blocks(s, |block| {
        // SAFETY: the maps have the asserted lengths; the block is this item's alone.
        unsafe { block_slopes_times(s, block, v.get(), dy.get(), to.get()) }
    });
}

/// One block of [`slopes_times`].
///
/// # Safety
/// The block lies within all maps; the CPU has tiles.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn block_slopes_times(
    s: &MapShape,
    block: maps::Block,
    v: *const Bf16,
    dy: *const f32,
    to: *mut Bf16,
) {
    let mask = lanes::first(block.wide);
    // SAFETY: the contract; the masked places lie within the plane.
    unsafe {
        let mut pairs = maps::load_turned(s, block, v);
        for (i, pair) in pairs.iter_mut().enumerate() {
            let [low, high] = lanes::halves(*pair);
            let dy = |c: usize| {
                let mask = if c < block.deep { mask } else { 0 };
                f32::load(dy.wrapping_add(block.plane(s, c)), mask)
            };
            let low = _mm512_mul_ps(dy(2 * i), lanes::silu_slope(low));
            let high = _mm512_mul_ps(dy(2 * i + 1), lanes::silu_slope(high));
            *pair = lanes::pairs(low, high);
        }
        maps::store_turned(s, block, pairs, to);
    }
}

/// Positions whose sums are kept in f32.
const STRETCH: usize = 1024;

/// Through SiLU(first · (1 + scale) + shift), in place: the gradients with respect to `first`, and to
/// scale and shift.
fn modulate_back(
    b: &ResidualBlock,
    first: &[Bf16],
    gradient: &mut [Bf16],
    dscale: &mut [f32],
    dshift: &mut [f32],
) {
    let (channels, positions) = (b.out_channels, b.height * b.width);
    let stretches = positions.div_ceil(STRETCH);
    let groups = channels.div_ceil(CHANNELS);
    // Of each group of channels in each stretch: Σ du · first and Σ du, du before the SiLU.
    let mut sums = vec![[[0f32; CHANNELS]; 2]; b.batch * stretches * groups];
    {
        let (first, gradient) = (Shared::of(first), Shared::of_mut(gradient));
        let sums = Shared::of_mut(&mut sums);
        parallel_for(b.batch * stretches, |item| {
            let (picture, stretch) = (item / stretches, item % stretches);
            let own = stretch * STRETCH..positions.min((stretch + 1) * STRETCH);
            for group in 0..groups {
                let c = group * CHANNELS;
                let count = CHANNELS.min(channels - c);
                let of = picture * channels + c..picture * channels + c + count;
                let at = (picture * positions + own.start) * channels + c;
                // SAFETY: these positions' channels of both maps and their sums, which are this
                // item's alone.
                unsafe {
                    *sums.get().add(item * groups + group) = stretch_back(
                        [channels, own.len()],
                        [&b.scale[of.clone()], &b.shift[of]],
                        first.get().add(at),
                        gradient.get().add(at),
                    );
                }
            }
        });
    }
    for n in 0..b.batch {
        for c in 0..channels {
            let total = |which: usize| -> f64 {
                let of = |stretch: usize| (n * stretches + stretch) * groups + c / CHANNELS;
                let sum = |stretch: usize| f64::from(sums[of(stretch)][which][c % CHANNELS]);
                (0..stretches).map(sum).sum()
            };
            dscale[n * channels + c] = total(0) as f32;
            dshift[n * channels + c] = total(1) as f32;
        }
    }
}

/// Channels that lie in one cache line.
const CHANNELS: usize = 32;

/// One stretch of [`modulate_back`] for 32 channels or, as scale and shift have, fewer.
///
/// # Safety
/// Both maps have so many positions, `channels` apart, with these channels; the CPU has tiles.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn stretch_back(
    [channels, positions]: [usize; 2],
    [scale, shift]: [&[f32]; 2],
    first: *const Bf16,
    gradient: *mut Bf16,
) -> [[f32; CHANNELS]; 2] {
    // Even and odd channels apart, as pairs come apart.
    let apart = |v: &[f32], plus: f32| {
        [0, 1].map(|half| {
            let mut own = [0.0; 16];
            for (to, v) in own.iter_mut().zip(v.iter().skip(half).step_by(2)) {
                *to = v + plus;
            }
            // SAFETY: 16 floats.
            unsafe { _mm512_loadu_ps(own.as_ptr()) }
        })
    };
    let (mul, add) = (apart(scale, 1.0), apart(shift, 0.0));
    let mask = lanes::first16(scale.len());
    let mut sums = [[_mm512_setzero_ps(); 2]; 2];
    for i in 0..positions {
        // SAFETY: the masked channels of a position.
        unsafe {
            let v = _mm512_maskz_loadu_epi16(mask, first.add(i * channels).cast());
            let to = gradient.add(i * channels).cast();
            let dy = lanes::halves(_mm512_maskz_loadu_epi16(mask, to));
            let v = lanes::halves(v);
            let dv = [0, 1].map(|half| {
                let slope = lanes::silu_slope(_mm512_fmadd_ps(v[half], mul[half], add[half]));
                let du = _mm512_mul_ps(dy[half], slope);
                sums[0][half] = _mm512_fmadd_ps(du, v[half], sums[0][half]);
                sums[1][half] = _mm512_add_ps(sums[1][half], du);
                _mm512_mul_ps(du, mul[half])
            });
            _mm512_mask_storeu_epi16(to, mask, lanes::pairs(dv[0], dv[1]));
        }
    }
    sums.map(|[even, odd]| {
        let mut halves = [[0f32; 16]; 2];
        for (to, v) in halves.iter_mut().zip([even, odd]) {
            // SAFETY: 16 floats.
            unsafe { _mm512_storeu_ps(to.as_mut_ptr(), v) };
        }
        std::array::from_fn(|c| halves[c % 2][c / 2])
    })
}
