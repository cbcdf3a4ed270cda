//! The operations in terms of Burn's own: for GPUs and half precision.

use burn::tensor::activation::{leaky_relu, silu, softmax};
use burn::tensor::module::{conv2d as burn_conv2d, interpolate};
use burn::tensor::ops::{ConvOptions, InterpolateMode, InterpolateOptions};
use burn::tensor::{DType, Tensor};

use super::{NORM_EPS, SPADE_SLOPE};

pub(super) fn conv2d(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    stride: usize,
    padding: usize,
) -> Tensor<4> {
    let options = ConvOptions::new([stride; 2], [padding; 2], [1, 1], 1);
    burn_conv2d(x, weight, bias, options)
}

pub(super) fn modulated_conv_silu(
    x: Tensor<4>,
    weight: Tensor<4>,
    scale: Tensor<2>,
    shift: Tensor<2>,
) -> Tensor<4> {
    let [b, c] = scale.dims();
    let h = conv2d(x, weight, None, 1, 1);
    silu(h * (scale + 1.0).reshape([b, c, 1, 1]) + shift.reshape([b, c, 1, 1]))
}

pub(super) fn conv_silu_add(x: Tensor<4>, weight: Tensor<4>, skip: Tensor<4>) -> Tensor<4> {
    silu(conv2d(x, weight, None, 1, 1)) + skip
}

// Both norms take their sums of squares in full precision: in half precision the squares of small
// values vanish, and those of large ones overflow.

pub(super) fn channel_norm(x: Tensor<4>, gain: Tensor<4>) -> Tensor<4> {
    let dtype = x.dtype();
    let x = x.cast(DType::F32);
    let centred = x.clone() - x.mean_dim(1);
    let variance = centred.clone().square().mean_dim(1);
    (centred * (variance + NORM_EPS).sqrt().recip()).cast(dtype) * gain
}

pub(super) fn spade_activation(x: Tensor<4>, gamma: Tensor<4>, beta: Tensor<4>) -> Tensor<4> {
    let [_, c, _, _] = x.dims();
    let dtype = x.dtype();
    let x = x.cast(DType::F32);
    let centred = x.clone() - x.mean_dim(1);
    let variance = centred.clone().square().sum_dim(1) / (c as f64 - 1.0);
    let norm = (centred / (variance + NORM_EPS).sqrt()).cast(dtype);
    leaky_relu(norm * (gamma + 1.0) + beta, SPADE_SLOPE)
}

pub(super) fn linear_attention(qkv: Tensor<4>, heads: usize) -> Tensor<4> {
    let [b, c, h, w] = qkv.dims();
    let (n, hidden) = (h * w, c / 3);
    let d = hidden / heads;
    let part = |i: usize| {
        qkv.clone()
            .narrow(1, i * hidden, hidden)
            .reshape([b, heads, d, n]) // [b, heads, d, h·w]
    };
    let q = softmax(part(0), 2) * (d as f64).powf(-0.5);
    let k = softmax(part(1), 3);
    let v = part(2) / n as f64;
    let context = k.matmul(v.swap_dims(2, 3)); // [b, heads, d, d]
    let out = context.swap_dims(2, 3).matmul(q); // [b, heads, d, h·w]
    out.reshape([b, hidden, h, w])
}

pub(super) fn nearest_double(x: Tensor<4>) -> Tensor<4> {
    let [_, _, h, w] = x.dims();
    nearest_resize(x, [2 * h, 2 * w])
}

/// Picks the nearest pixel, counted from the top left: output (i, j) is input
/// (⌊i·h/h'⌋, ⌊j·w/w'⌋).
pub fn nearest_resize(x: Tensor<4>, [height, width]: [usize; 2]) -> Tensor<4> {
    let [_, _, h, w] = x.dims();
    if [h, w] == [height, width] {
        return x;
    }
    let options =
        InterpolateOptions::new(InterpolateMode::Nearest).with_output_size([height, width]);
    interpolate(x, options)
}

/// Mirrors the picture's right and bottom margins (the border pixel is not repeated) until its
/// sides are multiples of `multiple`.
pub fn reflect_pad_to_multiple(x: Tensor<4>, multiple: usize) -> Tensor<4> {
    let [_, _, h, w] = x.dims();
    let x = reflect_extend(x, 2, h.next_multiple_of(multiple) - h);
    reflect_extend(x, 3, w.next_multiple_of(multiple) - w)
}

/// Takes squares of `patch` × `patch` pixels as channels of one position, `[b, c, h, w]` →
/// `[b, c · patch², h / patch, w / patch]`: channel (k · patch + i) · patch + j is pixel (i, j) of
/// each square of channel k (PyTorch's order).
pub fn pixel_unshuffle(x: Tensor<4>, patch: usize) -> Tensor<4> {
    if patch == 1 {
        return x;
    }
    let [b, c, h, w] = x.dims();
    x.reshape([b, c, h / patch, patch, w / patch, patch])
        .permute([0, 1, 3, 5, 2, 4])
        .reshape([b, c * patch * patch, h / patch, w / patch])
}

/// The inverse of [`pixel_unshuffle`]: `[b, c · patch², h, w]` → `[b, c, h · patch, w · patch]`.
pub fn pixel_shuffle(x: Tensor<4>, patch: usize) -> Tensor<4> {
    if patch == 1 {
        return x;
    }
    let [b, c, h, w] = x.dims();
    let c = c / (patch * patch);
    x.reshape([b, c, patch, patch, h, w])
        .permute([0, 1, 4, 2, 5, 3])
        .reshape([b, c, h * patch, w * patch])
}

fn reflect_extend(x: Tensor<4>, dim: usize, extra: usize) -> Tensor<4> {
    if extra == 0 {
        return x;
    }
    let len = x.dims()[dim];
    let margin = x
        .clone()
        .narrow(dim, len - 1 - extra, extra)
        .flip([dim as isize]);
    Tensor::cat(vec![x, margin], dim)
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;
    use crate::weights::host_values;

    fn counted(shape: [usize; 4]) -> Tensor<4> {
        let len: usize = shape.iter().product();
        let values: Vec<f32> = (0..len).map(|i| i as f32).collect();
        Tensor::from_data(TensorData::new(values, shape), &Device::flex())
    }

    /// Expected: PyTorch's documented order, channel (k · p + i) · p + j for pixel (i, j).
    #[test]
    fn patches_become_channels_in_row_order_and_back() {
        let x = counted([1, 2, 4, 6]);
        let patches = pixel_unshuffle(x.clone(), 2);
        assert_eq!(patches.dims(), [1, 8, 2, 3]);
        let channel = |k: usize| host_values(patches.clone().narrow(1, k, 1));
        assert_eq!(channel(0), [0.0, 2.0, 4.0, 12.0, 14.0, 16.0]);
        assert_eq!(channel(1), [1.0, 3.0, 5.0, 13.0, 15.0, 17.0]);
        assert_eq!(channel(2), [6.0, 8.0, 10.0, 18.0, 20.0, 22.0]);
        assert_eq!(channel(4)[0], 24.0);
        for patch in [1, 2] {
            let back = pixel_shuffle(pixel_unshuffle(x.clone(), patch), patch);
            assert_eq!(host_values(back), host_values(x.clone()));
        }
    }
}
