//! The operations that the networks spend their time in, each in one place, so that a device with
//! kernels of its own can take them over while the networks stay defined once.

use burn::tensor::activation::silu;
use burn::tensor::module::{conv2d as burn_conv2d, interpolate};
use burn::tensor::ops::{ConvOptions, InterpolateMode, InterpolateOptions};
use burn::tensor::{Tensor, activation};

/// Convolution with a square kernel and zero padding: `[b, in, h, w]` → `[b, out, h', w']`.
pub fn conv2d(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    stride: usize,
    padding: usize,
) -> Tensor<4> {
    let options = ConvOptions::new([stride; 2], [padding; 2], [1, 1], 1);
    burn_conv2d(x, weight, bias, options)
}

/// SiLU(conv(x) · (1 + scale) + shift): the first half of a residual block.
///
/// `scale` and `shift` are `[b, out]`.
pub fn modulated_conv_silu(
    x: Tensor<4>,
    weight: Tensor<4>,
    scale: Tensor<2>,
    shift: Tensor<2>,
) -> Tensor<4> {
    let [b, c] = scale.dims();
    let h = conv2d(x, weight, None, 1, 1);
    silu(h * (scale + 1.0).reshape([b, c, 1, 1]) + shift.reshape([b, c, 1, 1]))
}

/// SiLU(conv(x)) + skip: the second half of a residual block.
pub fn conv_silu_add(x: Tensor<4>, weight: Tensor<4>, skip: Tensor<4>) -> Tensor<4> {
    silu(conv2d(x, weight, None, 1, 1)) + skip
}

/// Normalises the channels of each pixel to mean 0 and (biased) variance 1, times `gain`
/// `[1, c, 1, 1]`; ε = 1e-5 inside the root.
pub fn channel_norm(x: Tensor<4>, gain: Tensor<4>) -> Tensor<4> {
    let centred = x.clone() - x.mean_dim(1);
    let variance = centred.clone().square().mean_dim(1);
    centred * (variance + 1e-5).sqrt().recip() * gain
}

/// Normalises the channels of each pixel to mean 0 and (unbiased) variance 1; ε = 1e-5 inside the
/// root. The positional norm of the guide blocks.
pub fn positional_norm(x: Tensor<4>) -> Tensor<4> {
    let [_, c, _, _] = x.dims();
    let centred = x.clone() - x.mean_dim(1);
    let variance = centred.clone().square().sum_dim(1) / (c as f64 - 1.0);
    centred / (variance + 1e-5).sqrt()
}

/// Linear attention of `heads` heads over the pixels.
///
/// `qkv` is `[b, 3 · heads · d, h, w]`; the result `[b, heads · d, h, w]`. q is softmaxed over its
/// d features and scaled by d^−½, k over the positions, v divided by h·w.
pub fn linear_attention(qkv: Tensor<4>, heads: usize) -> Tensor<4> {
    let [b, c, h, w] = qkv.dims();
    let (n, hidden) = (h * w, c / 3);
    let d = hidden / heads;
    let part = |i: usize| {
        qkv.clone()
            .narrow(1, i * hidden, hidden)
            .reshape([b, heads, d, n]) // [b, heads, d, h·w]
    };
    let q = activation::softmax(part(0), 2) * (d as f64).powf(-0.5);
    let k = activation::softmax(part(1), 3);
    let v = part(2) / n as f64;
    let context = k.matmul(v.swap_dims(2, 3)); // [b, heads, d, d]
    let out = context.swap_dims(2, 3).matmul(q); // [b, heads, d, h·w]
    out.reshape([b, hidden, h, w])
}

/// Doubles height and width; each pixel becomes four.
pub fn nearest_double(x: Tensor<4>) -> Tensor<4> {
    let [_, _, h, w] = x.dims();
    let options =
        InterpolateOptions::new(InterpolateMode::Nearest).with_output_size([2 * h, 2 * w]);
    interpolate(x, options)
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

fn reflect_extend(x: Tensor<4>, dim: usize, extra: usize) -> Tensor<4> {
    if extra == 0 {
        return x;
    }
    let len = x.dims()[dim];
    let margin = x.clone().narrow(dim, len - 1 - extra, extra).flip([dim as isize]);
    Tensor::cat(vec![x, margin], dim)
}
