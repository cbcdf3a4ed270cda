//! Maps in bf16 whose channels lie together, as inference in bf16 hands them from layer to layer
//! where the CPU has tiles.
//!
//! To everybody else they are tensors `[b, c, h, w]` of bf16 like any other: only their strides
//! say that a place's channels are neighbours.

use std::sync::Arc;

use burn::backend::flex::FlexTensor;
use burn::tensor::{DType, TensorData};
use half::bf16;
use half::slice::HalfFloatSliceExt as _;
use half::vec::HalfBitsVecExt as _;
use strdiffusion_kernels::channels_last::{self, Conv};
use strdiffusion_kernels::{AttentionWeights, Conv2dShape, Epilogue, MapShape, unfilled};

use super::flex::{conv_shape, dims, in_order, map_shape, values};
use super::{NORM_EPS, SLOPE, packed};

/// The numbers of a map in their order.
struct Map {
    /// `[b, h, w, c]`.
    tensor: FlexTensor,
}

impl Map {
    fn of(x: &FlexTensor) -> Self {
        let tensor = in_order(x.permute(&[0, 2, 3, 1]));
        Self { tensor }
    }

    fn bits(&self) -> &[u16] {
        let values: &[bf16] = self.tensor.as_slice().expect("a bf16 tensor in order");
        values.reinterpret_cast()
    }
}

/// A map `[b, c, h, w]` that `fill` writes every number of, place after place.
fn map([b, c, h, w]: [usize; 4], fill: impl FnOnce(&mut [u16])) -> FlexTensor {
    let mut bits = channels_last::unfilled(b * c * h * w);
    fill(&mut bits);
    let values: Vec<bf16> = bits.reinterpret_into();
    FlexTensor::from_data(TensorData::new(values, [b, h, w, c])).permute(&[0, 3, 1, 2])
}

/// Whether a tensor is one.
pub(super) fn is_map(x: &FlexTensor) -> bool {
    x.dtype() == DType::BF16
}

/// From f32.
pub(super) fn from_planes(x: FlexTensor) -> FlexTensor {
    let x = in_order(x);
    map(dims(&x), |y| {
        channels_last::from_planes(&map_shape(&x), values(&x), y)
    })
}

/// To f32.
pub(super) fn to_planes(x: &FlexTensor) -> FlexTensor {
    let s = map_shape(x);
    let mut y = unfilled(s.batch * s.channels * s.positions);
    channels_last::to_planes(&s, Map::of(x).bits(), &mut y);
    FlexTensor::from_data(TensorData::new(y, dims::<4>(x)))
}

/// Packed weights: kept ones, or for this call.
fn conv(weight: &FlexTensor, shape: &Conv2dShape) -> Arc<Conv> {
    packed::find_or_pack_for_maps(weight, shape).unwrap_or_else(|| {
        let weight = in_order(weight.clone());
        Arc::new(Conv::new(shape, values(&weight)))
    })
}

/// A convolution of the weights, and what follows it.
pub(super) fn convolve(
    x: &FlexTensor,
    weight: &FlexTensor,
    [stride, padding]: [usize; 2],
    epilogue: &Epilogue,
) -> FlexTensor {
    let s = conv_shape(x, weight, stride, padding);
    let [h, w] = s.out_size();
    let size = [s.batch, s.height, s.width];
    map([s.batch, s.out_channels, h, w], |y| {
        conv(weight, &s).forward(size, Map::of(x).bits(), epilogue, None, y);
    })
}

/// A residual block.
pub(super) fn residual_block(
    x: &FlexTensor,
    [conv1, conv2]: [&FlexTensor; 2],
    modulation: [&[f32]; 2],
    skip: &FlexTensor,
) -> FlexTensor {
    let [batch, inputs, height, width] = dims(x);
    let [out, ..] = dims::<4>(conv1);
    let shape = |inputs| Conv2dShape::new([batch, inputs, height, width], out, 3, 1, 1);
    let convs = [conv(conv1, &shape(inputs)), conv(conv2, &shape(out))];
    let size = [batch, height, width];
    map([batch, out, height, width], |y| {
        let convs = [&*convs[0], &*convs[1]];
        let (x, skip) = (Map::of(x), Map::of(skip));
        channels_last::residual_block(convs, size, modulation, x.bits(), skip.bits(), y);
    })
}

/// An attention block.
pub(super) fn attention_block(
    x: &FlexTensor,
    s: &MapShape,
    weights: &AttentionWeights,
) -> FlexTensor {
    map(dims(x), |y| {
        channels_last::attention_block(s, weights, Map::of(x).bits(), y)
    })
}

/// The guide's norm.
pub(super) fn spade(x: &FlexTensor, gamma: &FlexTensor, beta: &FlexTensor) -> FlexTensor {
    let [x_map, gamma, beta] = [x, gamma, beta].map(Map::of);
    map(dims(x), |y| {
        let of = [gamma.bits(), beta.bits()];
        channels_last::spade(&map_shape(x), x_map.bits(), of, NORM_EPS, SLOPE, y);
    })
}

/// The channels of x and then those of y.
pub(super) fn join(x: &FlexTensor, y: &FlexTensor) -> FlexTensor {
    let ([batch, a, h, w], [_, b, _, _]) = (dims(x), dims::<4>(y));
    map([batch, a + b, h, w], |joined| {
        channels_last::join(batch * h * w, Map::of(x).bits(), Map::of(y).bits(), joined);
    })
}

/// x + y.
pub(super) fn add(x: &FlexTensor, y: &FlexTensor) -> FlexTensor {
    map(dims(x), |sum| {
        channels_last::add(Map::of(x).bits(), Map::of(y).bits(), sum)
    })
}

/// Doubles height and width.
pub(super) fn double(x: &FlexTensor) -> FlexTensor {
    let [b, c, h, w] = dims(x);
    map([b, c, 2 * h, 2 * w], |y| {
        channels_last::double([b, h, w], c, Map::of(x).bits(), y)
    })
}
