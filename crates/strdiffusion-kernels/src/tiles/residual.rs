//! A residual block in training, in one piece: y = SiLU(conv2(SiLU(conv1(x)·(1 + scale) + shift)))
//! + skip.
//!
//! In pieces, every step of it would write a map of f32 and read it again. Here the maps between
//! the convolutions exist in bf16 only, as the tiles read them anyway.

use std::arch::x86_64::*;

use super::conv::{Place, Sink, conv, conv_into, pack, packed_len};
use super::lanes::{self, Bf16, Element};
use super::weight_grad;
use crate::conv::{forward_places, forward_taps};
use crate::grad::input_gradient_taps;
use crate::pool::parallel_for;
use crate::raw::Shared;
use crate::recycler::unfilled_of;
use crate::residual_block::{ResidualBlock, ResidualGrads};
use crate::shape::{Conv2dShape, Epilogue};
use crate::taps::{Places, Taps};
use crate::workspace::{self, Slot};

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
struct ToHidden<'a> {
    scale: &'a [f32],
    shift: &'a [f32],
    channels: usize,
    first: Shared<*mut Bf16>,
    hidden: Shared<*mut Bf16>,
}

impl Sink for ToHidden<'_> {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn put(&self, place: Place, sums: *const f32) {
        let first = place.picture * self.channels + place.channel;
        let scale = &self.scale[first..first + place.channels];
        let shift = &self.shift[first..first + place.channels];
        for (r, (scale, add)) in scale.iter().zip(shift).enumerate() {
            let at = place.at + r * place.plane;
            // SAFETY: both maps are as large as the convolution's output.
            unsafe {
                let v = _mm512_load_ps(sums.add(r * 16));
                Bf16::store(self.first.get().add(at), place.mask, v);
                let v = _mm512_fmadd_ps(v, _mm512_set1_ps(1.0 + scale), _mm512_set1_ps(*add));
                Bf16::store(self.hidden.get().add(at), place.mask, lanes::silu(v));
            }
        }
    }
}

/// Sums of the second convolution: kept, activated, and added to the skip.
struct ToOutput {
    second: Shared<*mut Bf16>,
    skip: Shared<*const f32>,
    y: Shared<*mut f32>,
}

impl Sink for ToOutput {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn put(&self, place: Place, sums: *const f32) {
        for r in 0..place.channels {
            let at = place.at + r * place.plane;
            // SAFETY: all maps are as large as the convolution's output.
            unsafe {
                let v = _mm512_load_ps(sums.add(r * 16));
                Bf16::store(self.second.get().add(at), place.mask, v);
                let skip = f32::load(self.skip.get().add(at), place.mask);
                let v = _mm512_add_ps(lanes::silu(v), skip);
                f32::store(self.y.get().add(at), place.mask, v);
            }
        }
    }
}

/// Sums as they are, rounded.
struct ToBf16(Shared<*mut Bf16>);

impl Sink for ToBf16 {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn put(&self, place: Place, sums: *const f32) {
        for r in 0..place.channels {
            let at = place.at + r * place.plane;
            // SAFETY: the map is as large as the convolution's output.
            unsafe {
                let v = _mm512_load_ps(sums.add(r * 16));
                Bf16::store(self.0.get().add(at), place.mask, v);
            }
        }
    }
}

/// Calls `f` with weights packed for this call.
fn with_packed(t: &Taps, places: &Places, w: &[f32], f: impl FnOnce(&[f32])) {
    workspace::with(Slot::Weights, packed_len(t), |u| {
        pack(t, w, places, u);
        f(u);
    });
}

/// A map for kernels to fill.
fn unfilled(len: usize) -> Vec<Bf16> {
    // SAFETY: any two bytes are a bf16.
    unsafe { unfilled_of(len) }
}

/// The two convolutions' shapes.
fn shapes(b: &ResidualBlock) -> [Conv2dShape; 2] {
    let size = |channels| [b.batch, channels, b.height, b.width];
    [b.in_channels, b.out_channels].map(|c| Conv2dShape::new(size(c), b.out_channels, 3, 1, 1))
}

/// y, and what the backward pass needs.
pub(crate) fn forward(b: &ResidualBlock, x: &[f32], skip: &[f32], y: &mut [f32]) -> Kept {
    let [one, two] = shapes(b);
    let map = || unfilled(two.output_len());
    let (mut first, mut hidden, mut second) = (map(), map(), map());
    let to_hidden = ToHidden {
        scale: b.scale,
        shift: b.shift,
        channels: b.out_channels,
        first: Shared::of_mut(&mut first),
        hidden: Shared::of_mut(&mut hidden),
    };
    let taps = forward_taps(&one);
    with_packed(&taps, &forward_places(&one), b.conv1, |u| {
        // SAFETY: the maps have the outputs' lengths.
        unsafe { conv_into(&taps, x, u, &to_hidden) };
    });
    let to_output = ToOutput {
        second: Shared::of_mut(&mut second),
        skip: Shared::of(skip),
        y: Shared::of_mut(y),
    };
    let taps = forward_taps(&two);
    with_packed(&taps, &forward_places(&two), b.conv2, |u| {
        // SAFETY: as above.
        unsafe { conv_into(&taps, &hidden, u, &to_output) };
    });
    Kept {
        first,
        hidden,
        second,
    }
}

/// All gradients but the skip's, which is dy. `add_dy`: the skip is x itself.
pub(crate) fn backward(
    b: &ResidualBlock,
    kept: &Kept,
    x: &[f32],
    dy: &[f32],
    add_dy: bool,
    grads: ResidualGrads,
) {
    let [one, two] = shapes(b);
    let (len, positions) = (two.output_len(), b.height * b.width);
    let planes = b.batch * b.out_channels;
    // With respect to the second convolution's sums.
    let mut after = unfilled(len);
    let to = Shared::of_mut(&mut after);
    parallel_for(planes, |plane| {
        let own = plane * positions..(plane + 1) * positions;
        // SAFETY: this plane of each map, which is this item's alone.
        unsafe {
            slope_times(
                &kept.second[own.clone()],
                &dy[own.clone()],
                to.get().add(own.start),
            )
        };
    });
    weight_grad(&two, &kept.hidden, &after, grads.dconv2);
    // With respect to the hidden map, and then, in its place, to the first convolution's sums.
    let mut before = unfilled(len);
    let to = Shared::of_mut(&mut before);
    let (taps, places) = input_gradient_taps(&two);
    with_packed(&taps, &places, b.conv2, |u| {
        // SAFETY: the map has the input's length.
        unsafe { conv_into(&taps, &after, u, &ToBf16(to)) };
    });
    let dscale = Shared::of_mut(grads.dscale);
    let dshift = Shared::of_mut(grads.dshift);
    parallel_for(planes, |plane| {
        let first = &kept.first[plane * positions..(plane + 1) * positions];
        let (mul, add) = (1.0 + b.scale[plane], b.shift[plane]);
        // SAFETY: this plane of the map and of the sums, which are this item's alone.
        unsafe {
            let sums = modulate_back(first, mul, add, to.get().add(plane * positions));
            *dscale.get().add(plane) = sums[0];
            *dshift.get().add(plane) = sums[1];
        }
    });
    weight_grad(&one, x, &before, grads.dconv1);
    let (taps, places) = input_gradient_taps(&one);
    let epilogue = Epilogue {
        residual: add_dy.then_some(dy),
        ..Epilogue::default()
    };
    let epilogue = epilogue.raw(one.batch, one.in_channels, grads.dx.len());
    with_packed(&taps, &places, b.conv1, |u| {
        conv(&taps, &before, u, grads.dx, epilogue);
    });
}

/// to = dy · SiLU′(v).
///
/// # Safety
/// `to` has room for as many; the CPU has tiles.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn slope_times(v: &[Bf16], dy: &[f32], to: *mut Bf16) {
    for i in (0..v.len()).step_by(16) {
        let mask = lanes::first(v.len() - i);
        // SAFETY: the masked places lie within the slices.
        unsafe {
            let slope = lanes::silu_slope(Bf16::load(v.as_ptr().add(i), mask));
            let dy = f32::load(dy.as_ptr().add(i), mask);
            Bf16::store(to.add(i), mask, _mm512_mul_ps(dy, slope));
        }
    }
}

/// Through SiLU(v · mul + add), in place; Σ du · v and Σ du, where du is the gradient before the
/// SiLU.
///
/// # Safety
/// `gradient` covers as many as `v`; the CPU has tiles.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn modulate_back(v: &[Bf16], mul: f32, add: f32, gradient: *mut Bf16) -> [f32; 2] {
    /// Values whose sums are kept in f32.
    const STRETCH: usize = 4096;
    let (muls, adds) = (_mm512_set1_ps(mul), _mm512_set1_ps(add));
    let mut totals = [0f64; 2];
    for start in (0..v.len()).step_by(STRETCH) {
        let (mut dot, mut sum) = (_mm512_setzero_ps(), _mm512_setzero_ps());
        let end = v.len().min(start + STRETCH);
        for i in (start..end).step_by(16) {
            let mask = lanes::first(end - i);
            // SAFETY: the masked places lie within both.
            unsafe {
                let v = Bf16::load(v.as_ptr().add(i), mask);
                let slope = lanes::silu_slope(_mm512_fmadd_ps(v, muls, adds));
                let du = _mm512_mul_ps(Bf16::load(gradient.add(i), mask), slope);
                dot = _mm512_fmadd_ps(du, v, dot);
                sum = _mm512_add_ps(sum, du);
                Bf16::store(gradient.add(i), mask, _mm512_mul_ps(du, muls));
            }
        }
        totals[0] += f64::from(_mm512_reduce_add_ps(dot));
        totals[1] += f64::from(_mm512_reduce_add_ps(sum));
    }
    totals.map(|total| total as f32)
}
