//! The operations that the networks spend their time in, each in one place, so that a device with
//! kernels of its own can take them over while the networks stay defined once.
//!
//! On the CPU, in f32 and on maps of bf16 ([`to_maps`]), they run on `strdiffusion-kernels`, through
//! Burn's backend extension (`cpu`); everywhere else on Burn's own operations (`burn_ops`).

mod burn_ops;
mod cpu;
mod profile;

use burn::tensor::{DType, Tensor};
use strdiffusion_kernels::{AdamStep, Isa};

pub use burn_ops::{nearest_resize, pixel_shuffle, pixel_unshuffle, reflect_pad_to_multiple};
pub use cpu::{ChosenConvolutions, Convolutions, choose_convolutions, has_bf16, is_cpu};
pub use profile::{profiled, timed};
pub use strdiffusion_kernels::Precision as ConvolutionPrecision;

/// ε of every norm.
const NORM_EPS: f64 = 1e-5;
/// Negative slope of the guide block's leaky ReLU.
const SPADE_SLOPE: f64 = 0.2;

/// Whether our own kernels handle this tensor.
fn has_kernels<const D: usize>(x: &Tensor<D>) -> bool {
    let handled = match x.dtype() {
        DType::F32 => true,
        DType::BF16 => cpu::uses_tiles(),
        _ => false,
    };
    handled && cpu::is_cpu(&x.device())
}

/// `[b, c, h, w]` as what the layers of a network hand on. In inference in bf16 on a CPU with tiles
/// that is a map of bf16 whose channels lie together; anywhere else it stays as it is. All
/// operations here but [`channel_norm`], [`linear_attention`] and [`conv_silu_add`] take either.
pub fn to_maps(x: Tensor<4>) -> Tensor<4> {
    if x.dtype() == DType::F32 && has_kernels(&x) && cpu::uses_tiles() && !x.is_autodiff() {
        cpu::to_maps(x)
    } else {
        x
    }
}

/// The way back of [`to_maps`].
pub fn from_maps(x: Tensor<4>) -> Tensor<4> {
    if is_map(&x) { cpu::from_maps(x) } else { x }
}

fn is_map(x: &Tensor<4>) -> bool {
    x.dtype() == DType::BF16 && has_kernels(x)
}

/// x + y.
pub fn add(x: Tensor<4>, y: Tensor<4>) -> Tensor<4> {
    if is_map(&x) && is_map(&y) {
        cpu::add_maps(x, y)
    } else {
        x + y
    }
}

/// Convolution with a square kernel and zero padding: `[b, in, h, w]` → `[b, out, h', w']`.
pub fn conv2d(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    stride: usize,
    padding: usize,
) -> Tensor<4> {
    if has_kernels(&x) {
        cpu::conv2d(x, weight, bias, stride, padding)
    } else {
        burn_ops::conv2d(x, weight, bias, stride, padding)
    }
}

/// conv(x, weight / divisor) + bias, stride 1: a spectrally normalised convolution, whose divisor
/// `[1]` changes while its weights stay.
pub fn conv2d_over(
    x: Tensor<4>,
    weight: Tensor<4>,
    divisor: Tensor<1>,
    bias: Tensor<1>,
    padding: usize,
) -> Tensor<4> {
    if has_kernels(&x) {
        cpu::conv2d_over(x, weight, divisor, bias, padding)
    } else {
        let weight = weight / divisor.reshape([1, 1, 1, 1]);
        burn_ops::conv2d(x, weight, Some(bias), 1, padding)
    }
}

/// SiLU(conv2(SiLU(conv1(x) · (1 + scale) + shift))) + x, both convolutions 3×3: a residual block.
///
/// `scale` and `shift` are `[b, out]`.
pub fn residual_block(
    x: Tensor<4>,
    convs: [Tensor<4>; 2],
    modulation: [Tensor<2>; 2],
) -> Tensor<4> {
    if has_kernels(&x) && cpu::uses_tiles() {
        return cpu::residual_block(x, convs, modulation);
    }
    let skip = x.clone();
    residual_block_in_pieces(x, convs, modulation, skip)
}

/// As [`residual_block`], of the [joined](join) x and y, whose skip is a 1×1 convolution of them with the
/// weights `skip`.
pub fn joined_residual_block(
    [x, y]: [Tensor<4>; 2],
    convs: [Tensor<4>; 2],
    modulation: [Tensor<2>; 2],
    skip: Tensor<4>,
) -> Tensor<4> {
    if has_kernels(&x) && cpu::uses_tiles() {
        return cpu::joined_residual_block([x, y], convs, modulation, skip);
    }
    let x = join(x, y);
    let skip = conv2d(x.clone(), skip, None, 1, 0);
    residual_block_in_pieces(x, convs, modulation, skip)
}

fn residual_block_in_pieces(
    x: Tensor<4>,
    [conv1, conv2]: [Tensor<4>; 2],
    [scale, shift]: [Tensor<2>; 2],
    skip: Tensor<4>,
) -> Tensor<4> {
    let hidden = modulated_conv_silu(x, conv1, scale, shift);
    conv_silu_add(hidden, conv2, skip)
}

/// Half a guide block: h ↦ conv(lrelu(norm(h) · (1 + γ) + β)), slope 0.2, with γ and β convolved from
/// relu(shared(S)); all convolutions 3×3. norm as in [`spade_activation`].
pub struct GuideHalf {
    /// `[hidden, 1, 3, 3]`.
    pub shared: Tensor<4>,
    /// `[hidden]`.
    pub shared_bias: Tensor<1>,
    /// γ's weights and then β's, `[2 · c, hidden, 3, 3]`.
    pub maps: Tensor<4>,
    /// `[2 · c]`.
    pub maps_bias: Tensor<1>,
    /// `[c, c, 3, 3]`.
    pub conv: Tensor<4>,
    /// `[c]`.
    pub conv_bias: Tensor<1>,
}

/// Whether [`guide_block`] handles these features: in training in bf16, on a CPU with tiles.
pub fn has_guide_block(x: &Tensor<4>) -> bool {
    has_kernels(x) && x.is_autodiff() && cpu::uses_tiles()
}

/// x + second(first(x)), of x `[b, c, h, w]` and a structure S `[b, 1, h, w]`, where
/// [`has_guide_block`] says so.
pub fn guide_block(x: Tensor<4>, structure: Tensor<4>, halves: [GuideHalf; 2]) -> Tensor<4> {
    cpu::guide_block(x, structure, halves)
}

/// SiLU(conv(x) · (1 + scale) + shift), 3×3: the first half of a residual block.
///
/// `scale` and `shift` are `[b, out]`.
pub fn modulated_conv_silu(
    x: Tensor<4>,
    weight: Tensor<4>,
    scale: Tensor<2>,
    shift: Tensor<2>,
) -> Tensor<4> {
    if has_kernels(&x) {
        cpu::modulated_conv_silu(x, weight, scale, shift)
    } else {
        burn_ops::modulated_conv_silu(x, weight, scale, shift)
    }
}

/// SiLU(conv(x)) + skip, 3×3: the second half of a residual block.
pub fn conv_silu_add(x: Tensor<4>, weight: Tensor<4>, skip: Tensor<4>) -> Tensor<4> {
    if has_kernels(&x) {
        cpu::conv_silu_add(x, weight, skip)
    } else {
        burn_ops::conv_silu_add(x, weight, skip)
    }
}

/// Normalises the channels of each pixel to mean 0 and (biased) variance 1, times `gain`
/// `[1, c, 1, 1]`; ε = 1e-5 inside the root.
pub fn channel_norm(x: Tensor<4>, gain: Tensor<4>) -> Tensor<4> {
    if has_kernels(&x) {
        cpu::channel_norm(x, gain)
    } else {
        burn_ops::channel_norm(x, gain)
    }
}

/// leaky_relu(norm(x) · (1 + γ) + β), slope 0.2, where norm makes the channels of each pixel mean
/// 0 and (unbiased) variance 1; ε = 1e-5 inside the root. All of one shape.
pub fn spade_activation(x: Tensor<4>, gamma: Tensor<4>, beta: Tensor<4>) -> Tensor<4> {
    if has_kernels(&x) {
        cpu::spade_activation(x, gamma, beta)
    } else {
        burn_ops::spade_activation(x, gamma, beta)
    }
}

/// Linear attention of `heads` heads over the pixels.
///
/// `qkv` is `[b, 3 · heads · d, h, w]`; the result `[b, heads · d, h, w]`. q is softmaxed over its
/// d features and scaled by d^−½, k over the positions, v divided by h·w.
pub fn linear_attention(qkv: Tensor<4>, heads: usize) -> Tensor<4> {
    if has_kernels(&qkv) {
        cpu::linear_attention(qkv, heads)
    } else {
        burn_ops::linear_attention(qkv, heads)
    }
}

/// Weights of a whole attention block of `c` channels.
pub struct AttentionWeights {
    /// Heads.
    pub heads: usize,
    /// Gain of the norm before, `[1, c, 1, 1]`.
    pub pre_gain: Tensor<4>,
    /// 1×1 convolution to q, k and v, `[3 · heads · d, c, 1, 1]`.
    pub qkv: Tensor<4>,
    /// 1×1 convolution back, `[c, heads · d, 1, 1]`.
    pub out: Tensor<4>,
    /// Its bias, `[c]`.
    pub out_bias: Tensor<1>,
    /// Gain of the norm after, `[1, c, 1, 1]`.
    pub post_gain: Tensor<4>,
}

/// x + norm(W_out · attention(W_qkv · norm(x)) + bias).
pub fn attention_block(x: Tensor<4>, weights: AttentionWeights) -> Tensor<4> {
    let [_, inner, _, _] = weights.out.dims();
    let dim = inner / weights.heads;
    if has_kernels(&x) && (!x.is_autodiff() || cpu::trains_attention_block(weights.heads, dim)) {
        return cpu::attention_block(x, weights);
    }
    let qkv = conv2d(
        channel_norm(x.clone(), weights.pre_gain),
        weights.qkv,
        None,
        1,
        0,
    );
    // What attention gives has the size of v / (h·w), and the norm makes it large again: too small
    // for half precision in between.
    let full = DType::F32;
    let attended = linear_attention(qkv.cast(full), weights.heads);
    let bias = weights.out_bias.cast(full);
    let out = conv2d(attended, weights.out.cast(full), Some(bias), 1, 0);
    let dtype = x.dtype();
    x + channel_norm(out, weights.post_gain.cast(full)).cast(dtype)
}

/// One step of Adam: weight, gradient, first and second moment to weight and moments. `None` where
/// our own kernels do not handle these tensors.
pub fn adam_step<const D: usize>(
    step: AdamStep,
    tensors: [Tensor<D>; 4],
) -> Option<[Tensor<D>; 3]> {
    (tensors.iter().all(has_kernels)).then(|| cpu::adam_step(step, tensors))
}

/// Whether [`orthogonal`] handles this matrix: it needs our own kernels, and a CPU with tiles.
pub fn has_orthogonal(matrix: &Tensor<2>) -> bool {
    has_kernels(matrix) && Isa::has_tiles()
}

/// U Vᵀ, roughly, of a matrix U S Vᵀ, by Newton-Schulz steps in bf16, where [`has_orthogonal`] says so.
pub fn orthogonal(matrix: Tensor<2>) -> Tensor<2> {
    cpu::orthogonal(matrix)
}

/// average · decay + value · (1 − decay): a moving average's step. Nothing here has a gradient.
pub fn blend<const D: usize>(average: Tensor<D>, value: Tensor<D>, decay: f64) -> Tensor<D> {
    if has_kernels(&average) && has_kernels(&value) {
        cpu::blend(average, value, decay)
    } else {
        average * decay + value * (1.0 - decay)
    }
}

/// The channels of x and then those of y; both of one size.
pub fn join(x: Tensor<4>, y: Tensor<4>) -> Tensor<4> {
    if has_kernels(&x) && has_kernels(&y) {
        cpu::join(x, y)
    } else {
        Tensor::cat(vec![x, y], 1)
    }
}

/// Doubles height and width; each pixel becomes four.
pub fn nearest_double(x: Tensor<4>) -> Tensor<4> {
    if has_kernels(&x) {
        cpu::nearest_double(x)
    } else {
        burn_ops::nearest_double(x)
    }
}

/// The 3×3 convolution, padding 1, of the [doubled](nearest_double) x; bias `[out]`.
pub fn doubled_conv2d(x: Tensor<4>, weight: Tensor<4>, bias: Tensor<1>) -> Tensor<4> {
    // In inference on tiles, maps of bf16 are doubled in no time.
    if has_kernels(&x) && x.is_autodiff() && cpu::uses_tiles() {
        return cpu::doubled_conv2d(x, weight, bias);
    }
    conv2d(nearest_double(x), weight, Some(bias), 1, 1)
}
