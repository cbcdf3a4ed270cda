//! A guide block in training, in one piece: y = x + half₁(half₀(x)), each half
//! conv(lrelu(norm · (1 + γ) + β)), with γ and β convolved from relu(shared(S)).
//!
//! γ and β leave their convolution only activated, and are computed again for the gradient: they are
//! sums over few channels. As in a residual block, maps are of bf16 with their channels together; x,
//! y and their gradients are planes of f32.

use std::arch::x86_64::*;

use super::channels_last::{Sink, Spot, back_into, back_map, forward_into, forward_map};
use super::channels_last_grad::weight_grad;
use super::guide_norm::{self, Normed};
use super::lanes::{self, Bf16, Element};
use super::maps::{self, unfilled};
use super::planes::{Added, Planes, ToPlanes, both};
use crate::guide_block::{GuideBlock, GuideGrads, GuideHalf};
use crate::norm::MapShape;
use crate::raw::Shared;
use crate::shape::Conv2dShape;

/// What the backward pass needs of the forward pass.
#[derive(Debug)]
pub(crate) struct Kept {
    /// What the convolutions read.
    steered: [Vec<Bf16>; 2],
    /// What the first one gave, normed.
    second: Normed,
}

/// Outputs of a spot.
const GROUP: usize = 32;

/// relu(sums + bias).
struct Rectified {
    /// Whole groups.
    bias: Vec<f32>,
    /// Positions and channels of the map.
    size: [usize; 2],
    y: Shared<*mut Bf16>,
}

impl Sink for Rectified {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn put(&self, at: Spot, sums: *const f32) {
        let zero = _mm512_setzero_ps();
        for r in 0..at.count {
            // SAFETY: the map is as large as the convolution's output, the bias covers the group.
            unsafe {
                let (v, bias) = (both(sums, r), group(&self.bias, at.output));
                let v = [0, 1].map(|i| _mm512_max_ps(_mm512_add_ps(v[i], bias[i]), zero));
                let to = self.y.get().add(at.in_map(self.size, r)).cast();
                _mm512_mask_storeu_epi16(to, at.mask, lanes::round(v[0], v[1]));
            }
        }
    }
}

/// The gradient before a [`Rectified`] map.
struct Gated<'a> {
    rectified: &'a [Bf16],
    size: [usize; 2],
    y: Shared<*mut Bf16>,
}

impl Sink for Gated<'_> {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn put(&self, at: Spot, sums: *const f32) {
        for r in 0..at.count {
            let place = at.in_map(self.size, r);
            // SAFETY: both maps are as large as the convolution's output.
            unsafe {
                let v = both(sums, r);
                let from = self.rectified.as_ptr().add(place).cast();
                let gate = _mm512_maskz_loadu_epi16(at.mask, from);
                let open = _mm512_cmpgt_epi16_mask(gate, _mm512_setzero_si512());
                let v = _mm512_maskz_mov_epi16(open, lanes::round(v[0], v[1]));
                _mm512_mask_storeu_epi16(self.y.get().add(place).cast(), at.mask, v);
            }
        }
    }
}

/// lrelu(norm · γ + β), of sums that are γ and β of 16 channels.
struct Steered<'a> {
    norm: &'a [Bf16],
    /// Of the sums, in whole groups; γ's with the 1 that it is added to.
    bias: Vec<f32>,
    slope: f32,
    /// Positions and channels of the map.
    size: [usize; 2],
    y: Shared<*mut Bf16>,
}

impl Sink for Steered<'_> {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn put(&self, at: Spot, sums: *const f32) {
        let [positions, channels] = self.size;
        let channel = at.output / 2;
        let mask = lanes::first(channels - channel);
        let (zero, slope) = (_mm512_setzero_ps(), _mm512_set1_ps(self.slope));
        for r in 0..at.count {
            let place = (at.picture * positions + at.place + r) * channels + channel;
            // SAFETY: these channels of both maps; the bias covers the group.
            unsafe {
                let (v, bias) = (both(sums, r), group(&self.bias, at.output));
                let [gamma, beta] = [0, 1].map(|i| _mm512_add_ps(v[i], bias[i]));
                let norm = Bf16::load(self.norm.as_ptr().add(place), mask);
                let v = _mm512_fmadd_ps(norm, gamma, beta);
                let v = _mm512_fmadd_ps(slope, _mm512_min_ps(v, zero), _mm512_max_ps(v, zero));
                Bf16::store(self.y.get().add(place), mask, v);
            }
        }
    }
}

/// A group of numbers from `first` on.
#[inline]
#[target_feature(enable = "avx512f")]
fn group(v: &[f32], first: usize) -> [__m512; 2] {
    let v = &v[first..first + GROUP];
    // SAFETY: 32 floats.
    [0, 16].map(|i| unsafe { _mm512_loadu_ps(v.as_ptr().add(i)) })
}

/// The convolutions' shapes.
struct Shapes {
    shared: Conv2dShape,
    maps: Conv2dShape,
    conv: Conv2dShape,
}

impl Shapes {
    fn of(b: &GuideBlock) -> Self {
        let conv = |inputs, outputs| {
            Conv2dShape::new([b.batch, inputs, b.height, b.width], outputs, 3, 1, 1)
        };
        Shapes {
            shared: conv(1, b.hidden),
            maps: conv(b.hidden, 2 * b.channels),
            conv: conv(b.channels, b.channels),
        }
    }
}

/// The shape of maps of so many channels.
fn map_of(b: &GuideBlock, channels: usize) -> MapShape {
    MapShape {
        batch: b.batch,
        channels,
        positions: b.height * b.width,
    }
}

/// The structure as a map.
fn turned(b: &GuideBlock, structure: &[f32]) -> Vec<Bf16> {
    let mut map = unfilled(structure.len());
    maps::from_planes(&map_of(b, 1), structure, &mut map);
    map
}

/// relu(shared(S)).
fn hidden(b: &GuideBlock, half: &GuideHalf<&[f32]>, structure: &[Bf16]) -> Vec<Bf16> {
    let s = Shapes::of(b).shared;
    let mut y = unfilled(s.output_len());
    let mut bias = half.shared_bias.to_vec();
    bias.resize(b.hidden.next_multiple_of(GROUP), 0.0);
    let sink = Rectified {
        bias,
        size: [b.height * b.width, b.hidden],
        y: Shared::of_mut(&mut y),
    };
    // SAFETY: y has the output's length.
    unsafe { forward_into(&s, structure, half.shared, &sink) };
    y
}

/// What a half's convolution reads.
fn steered(
    b: &GuideBlock,
    half: &GuideHalf<&[f32]>,
    norm: &[Bf16],
    structure: &[Bf16],
) -> Vec<Bf16> {
    // γ of 16 channels and β of the same: the two tiles of a group.
    let s = Conv2dShape {
        out_channels: 2 * b.channels.next_multiple_of(GROUP / 2),
        ..Shapes::of(b).maps
    };
    let row = b.hidden * 9;
    let (mut weights, mut bias) = (vec![0.0; s.weight_len()], vec![0.0; s.out_channels]);
    for c in 0..b.channels {
        let at = c / 16 * GROUP + c % 16;
        for (at, from) in [(at, c), (at + 16, b.channels + c)] {
            weights[at * row..][..row].copy_from_slice(&half.maps[from * row..][..row]);
            bias[at] = half.maps_bias[from];
        }
        bias[at] += 1.0;
    }
    let mut y = unfilled(norm.len());
    let sink = Steered {
        norm,
        bias,
        slope: b.slope,
        size: [b.height * b.width, b.channels],
        y: Shared::of_mut(&mut y),
    };
    // SAFETY: the sink takes these outputs.
    unsafe { forward_into(&s, &hidden(b, half, structure), &weights, &sink) };
    y
}

/// y, and what the backward pass needs.
pub(crate) fn forward(b: &GuideBlock, x: &[f32], structure: &[f32], y: &mut [f32]) -> Kept {
    let (s, map) = (Shapes::of(b).conv, map_of(b, b.channels));
    let structure = turned(b, structure);
    let [one, two] = &b.halves;
    let first = Normed::of_planes(&map, x, b.epsilon);
    let first = steered(b, one, &first.map, &structure);
    let mut between = unfilled(x.len());
    forward_map(&s, &first, one.conv, Some(one.conv_bias), &mut between);
    let norm = Normed::of_map(&map, between, b.epsilon);
    let second = steered(b, two, &norm.map, &structure);
    let to_y = ToPlanes {
        y: Planes::whole(y, b.channels, map.positions),
        bias: Some(two.conv_bias),
        added: Added::Others(Shared::of(x)),
        kept: None,
    };
    // SAFETY: y has the output's length.
    unsafe { forward_into(&s, &second, two.conv, &to_y) };
    Kept {
        steered: [first, second],
        second: norm,
    }
}

/// All gradients.
pub(crate) fn backward(
    b: &GuideBlock,
    kept: &Kept,
    x: &[f32],
    structure: &[f32],
    dy: &[f32],
    grads: GuideGrads,
) {
    let map = map_of(b, b.channels);
    let structure = turned(b, structure);
    let [one, two] = grads.halves;
    let mut dstructure = grads.dstructure.map(|d| Planes::whole(d, 1, map.positions));
    let mut back = |i: usize, norm: &Normed, d: &[Bf16], grads, added| {
        let to_structure = dstructure.as_mut().map(|d| ToPlanes {
            y: Planes { ..*d },
            bias: None,
            added,
            kept: None,
        });
        let half = Half {
            block: b,
            weights: &b.halves[i],
            norm,
            steered: &kept.steered[i],
            structure: &structure,
        };
        half.back(d, grads, to_structure)
    };
    let mut d = unfilled(x.len());
    maps::from_planes(&map, dy, &mut d);
    let d = back(1, &kept.second, &d, two, Added::Nothing);
    let norm = Normed::of_planes(&map, x, b.epsilon);
    let d = back(0, &norm, &d, one, Added::Themselves);
    maps::to_planes_with(&map, &d, Some(dy), grads.dx);
}

/// Half a block on the way back.
struct Half<'a> {
    block: &'a GuideBlock<'a>,
    weights: &'a GuideHalf<&'a [f32]>,
    norm: &'a Normed,
    /// What the convolution read.
    steered: &'a [Bf16],
    structure: &'a [Bf16],
}

impl Half<'_> {
    /// The gradient with respect to what was normed, from that of the convolution's output.
    fn back(
        &self,
        d: &[Bf16],
        grads: GuideHalf<&mut [f32]>,
        to_structure: Option<ToPlanes>,
    ) -> Vec<Bf16> {
        let (b, w) = (self.block, self.weights);
        let Shapes { shared, maps, conv } = Shapes::of(b);
        guide_norm::sums(&map_of(b, b.channels), d, grads.conv_bias);
        weight_grad(&conv, self.steered, d, grads.conv);
        let mut through = unfilled(d.len());
        back_map(&conv, d, w.conv, &mut through);

        let hidden = hidden(b, w, self.structure);
        let mut gamma = unfilled(d.len());
        let only_gamma = Conv2dShape {
            out_channels: b.channels,
            ..maps
        };
        let (weights, bias) = (&w.maps[..maps.weight_len() / 2], &w.maps_bias[..b.channels]);
        forward_map(&only_gamma, &hidden, weights, Some(bias), &mut gamma);
        let mut dmaps = unfilled(maps.output_len());
        let steering = guide_norm::Steering {
            gamma: &gamma,
            steered: self.steered,
            slope: b.slope,
        };
        let s = map_of(b, b.channels);
        guide_norm::back(&s, self.norm, steering, &mut through, &mut dmaps);
        drop(gamma);

        guide_norm::sums(&map_of(b, 2 * b.channels), &dmaps, grads.maps_bias);
        weight_grad(&maps, &hidden, &dmaps, grads.maps);
        let mut dhidden = unfilled(hidden.len());
        let gated = Gated {
            rectified: &hidden,
            size: [s.positions, b.hidden],
            y: Shared::of_mut(&mut dhidden),
        };
        // SAFETY: both maps have the input's length.
        unsafe { back_into(&maps, &dmaps, w.maps, &gated) };
        guide_norm::sums(&map_of(b, b.hidden), &dhidden, grads.shared_bias);
        weight_grad(&shared, self.structure, &dhidden, grads.shared);
        if let Some(to_structure) = to_structure {
            // SAFETY: the structure's gradient has its length.
            unsafe { back_into(&shared, &dhidden, w.shared, &to_structure) };
        }
        through
    }
}
