//! Inference in bf16, on CPUs with tiles: maps `[batch, height, width, channels]`, as the bits of
//! bf16 numbers, from layer to layer.
//!
//! In this order 16 neighbouring places are a tile as they stand, and a map takes half the memory of
//! f32. Sums, norms and softmaxes are f32. Everything but [`join`], [`double`] and [`add`] needs
//! [tiles](Isa::has_tiles) and panics without them.

use crate::attention_block::{AttentionWeights, check_weights};
use crate::conv::forward_places;
use crate::isa::Isa;
use crate::norm::MapShape;
use crate::pool::parallel_for;
use crate::raw::Shared;
use crate::shape::{Conv2dShape, Epilogue};
use crate::tiles::{Bf16, attention_maps, channels_last as tiles, maps};
use crate::workspace::Buffer;

/// Copied at a time: enough that handing it to a thread costs nothing beside.
const CHUNK: usize = 1 << 15;

fn need_tiles() {
    assert!(Isa::has_tiles(), "maps of bf16 need tiles");
}

/// As many numbers, whatever they are: for kernels to fill.
pub fn unfilled(len: usize) -> Vec<u16> {
    // SAFETY: any two bytes are a u16.
    unsafe { crate::recycler::unfilled_of(len) }
}

/// A convolution's packed weights.
#[derive(Clone, Debug)]
pub struct Conv {
    s: Conv2dShape,
    u: Buffer,
    len: usize,
}

impl Conv {
    /// Packs `w`, `[out, in, kh, kw]`. The shape's batch, height and width do not matter.
    ///
    /// # Panics
    /// If the weights' length does not fit the shape, or it has no input channels.
    pub fn new(s: &Conv2dShape, w: &[f32]) -> Self {
        need_tiles();
        assert!(s.in_channels > 0, "nothing to convolve in {s:?}");
        let (mut u, len) = (Buffer::default(), tiles::packed_len(s));
        tiles::pack(s, w, &forward_places(s), u.get(len));
        Self { s: *s, u, len }
    }

    /// The shape for `batch` maps of `height` × `width`.
    pub fn shape(&self, [batch, height, width]: [usize; 3]) -> Conv2dShape {
        Conv2dShape {
            batch,
            height,
            width,
            ..self.s
        }
    }

    /// y = epilogue(conv(x, w)) + residual; what is to be added stands in `residual`, as large as y,
    /// and not in the epilogue.
    ///
    /// # Panics
    /// If a slice's length does not fit the shape.
    pub fn forward(
        &self,
        size: [usize; 3],
        x: &[u16],
        epilogue: &Epilogue,
        residual: Option<&[u16]>,
        y: &mut [u16],
    ) {
        need_tiles();
        assert!(epilogue.residual.is_none(), "the residual is a map of bf16");
        let s = &self.shape(size);
        let raw = epilogue.raw(s.batch, s.out_channels, y.len());
        let residual = residual.map(Bf16::of_bits);
        let (x, y) = (Bf16::of_bits(x), Bf16::of_bits_mut(y));
        tiles::conv(s, x, self.u.filled(self.len), raw, residual, y);
    }

    /// Bytes that the packed weights take.
    pub fn bytes(&self) -> usize {
        self.len * size_of::<f32>()
    }
}

/// y = SiLU(conv2(SiLU(conv1(x)·(1 + scale) + shift))) + skip.
///
/// Scale and shift are `[batch, out]`, the skip is as large as y.
///
/// # Panics
/// If a slice's length does not fit the shapes.
pub fn residual_block(
    [conv1, conv2]: [&Conv; 2],
    size: [usize; 3],
    [scale, shift]: [&[f32]; 2],
    x: &[u16],
    skip: &[u16],
    y: &mut [u16],
) {
    let mut hidden = unfilled(conv1.shape(size).output_len());
    let modulated = Epilogue {
        scale: Some(scale),
        shift: Some(shift),
        silu: true,
        ..Epilogue::default()
    };
    conv1.forward(size, x, &modulated, None, &mut hidden);
    let activated = Epilogue {
        silu: true,
        ..Epilogue::default()
    };
    conv2.forward(size, &hidden, &activated, Some(skip), y);
}

/// [`attention_block`](crate::attention_block()) with heads of 32 channels.
///
/// # Panics
/// If a slice's length does not fit the shape, or heads have other sizes.
pub fn attention_block(s: &MapShape, w: &AttentionWeights, x: &[u16], y: &mut [u16]) {
    assert!(
        AttentionWeights::has_bf16(w.heads, w.dim),
        "the block needs tiles"
    );
    check_weights(s, w);
    assert_eq!([x.len(), y.len()], [s.len(); 2], "{s:?}");
    attention_maps::forward(s, w, Bf16::of_bits(x), Bf16::of_bits_mut(y));
}

/// y = lrelu(norm(x) · (1 + γ) + β), where norm makes the channels of each place mean 0 and
/// (unbiased) variance 1; see [`spade`](crate::spade).
///
/// # Panics
/// If a slice's length does not fit the shape.
pub fn spade(
    s: &MapShape,
    x: &[u16],
    gamma_and_beta: [&[u16]; 2],
    epsilon: f32,
    slope: f32,
    y: &mut [u16],
) {
    need_tiles();
    let (x, y) = (Bf16::of_bits(x), Bf16::of_bits_mut(y));
    maps::spade(s, x, gamma_and_beta.map(Bf16::of_bits), epsilon, slope, y);
}

/// A map `[batch, channels, positions]` of f32 as one of bf16, rounded to the nearest.
///
/// # Panics
/// If a slice's length does not fit the shape.
pub fn from_planes(s: &MapShape, x: &[f32], y: &mut [u16]) {
    need_tiles();
    maps::from_planes(s, x, Bf16::of_bits_mut(y));
}

/// The way back of [`from_planes`].
///
/// # Panics
/// If a slice's length does not fit the shape.
pub fn to_planes(s: &MapShape, x: &[u16], y: &mut [f32]) {
    need_tiles();
    maps::to_planes(s, Bf16::of_bits(x), y);
}

/// The channels of x and then those of y, at each of so many places.
///
/// # Panics
/// If a slice's length is no multiple of the number of places, or does not fit.
pub fn join(places: usize, x: &[u16], y: &[u16], joined: &mut [u16]) {
    if places == 0 {
        return;
    }
    let (a, b) = (x.len() / places, y.len() / places);
    assert_eq!([a * places, b * places], [x.len(), y.len()]);
    assert_eq!(joined.len(), x.len() + y.len());
    let many = (CHUNK / (a + b).max(1)).max(1);
    let to = Shared::of_mut(joined);
    parallel_for(places.div_ceil(many), |chunk| {
        for place in chunk * many..places.min((chunk + 1) * many) {
            // SAFETY: this place's channels, which are this item's alone.
            let to =
                unsafe { std::slice::from_raw_parts_mut(to.get().add(place * (a + b)), a + b) };
            to[..a].copy_from_slice(&x[place * a..][..a]);
            to[a..].copy_from_slice(&y[place * b..][..b]);
        }
    });
}

/// Doubles height and width; each place of `channels` becomes four.
///
/// # Panics
/// If a slice's length does not fit.
pub fn double([batch, height, width]: [usize; 3], channels: usize, x: &[u16], y: &mut [u16]) {
    let row = width * channels;
    assert_eq!(x.len(), batch * height * row);
    assert_eq!(y.len(), 4 * x.len());
    let to = Shared::of_mut(y);
    parallel_for(batch * height, |line| {
        // SAFETY: this line's two rows of y, which are this item's alone.
        let to = unsafe { std::slice::from_raw_parts_mut(to.get().add(line * 4 * row), 4 * row) };
        let (upper, lower) = to.split_at_mut(2 * row);
        if channels > 0 {
            let from = x[line * row..][..row].chunks_exact(channels);
            for (pair, from) in upper.chunks_exact_mut(2 * channels).zip(from) {
                pair[..channels].copy_from_slice(from);
                pair[channels..].copy_from_slice(from);
            }
        }
        lower.copy_from_slice(upper);
    });
}

/// sum = x + y, rounded to the nearest.
///
/// # Panics
/// If lengths differ.
pub fn add(x: &[u16], y: &[u16], sum: &mut [u16]) {
    assert_eq!([x.len(), y.len()], [sum.len(); 2]);
    let value = |bits: u16| f32::from_bits(u32::from(bits) << 16);
    let to = Shared::of_mut(sum);
    parallel_for(x.len().div_ceil(CHUNK), |chunk| {
        let own = chunk * CHUNK..x.len().min((chunk + 1) * CHUNK);
        // SAFETY: this chunk of the sum, which is this item's alone.
        let to = unsafe { std::slice::from_raw_parts_mut(to.get().add(own.start), own.len()) };
        for ((to, x), y) in to.iter_mut().zip(&x[own.clone()]).zip(&y[own]) {
            let sum = value(*x) + value(*y);
            let bits = sum.to_bits();
            // Half a unit, or just below where the last bit kept is even. NaN stays what it is.
            let up = if sum.is_nan() {
                0
            } else {
                0x7fff + (bits >> 16 & 1)
            };
            *to = ((bits + up) >> 16) as u16;
        }
    });
}
