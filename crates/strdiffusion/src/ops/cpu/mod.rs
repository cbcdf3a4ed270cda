//! The operations on the CPU: `strdiffusion-kernels` behind Burn's backend extension.
//!
//! - here: functions on tensors, which dispatch to the extension;
//! - `flex`: the extension on Burn's CPU backend, on plain slices;
//! - `autodiff`: its gradients;
//! - `maps`: what it does with maps in bf16, in inference on CPUs with tiles;
//! - `packed`: weights packed once for inference.

mod autodiff;
mod flex;
mod maps;
mod packed;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, DispatchDevice, ExtensionType, backend_extension};
use burn::tensor::{Device, Tensor};
use std::sync::Arc;
use strdiffusion_kernels::{
    AdamStep, AttentionKept, AttentionWeights, GuideKept, Precision, ResidualKept,
};

use super::profile::timed;

pub(super) use packed::uses_tiles;
pub use packed::{ChosenConvolutions, Convolutions, choose_convolutions, has_bf16};

const NORM_EPS: f32 = super::NORM_EPS as f32;
const SLOPE: f32 = super::SPADE_SLOPE as f32;

/// Operations with kernels of our own. Shapes are those of [`super`].
#[backend_extension(Autodiff, Flex)]
trait CpuOps: Backend {
    /// `keep` says that the weights will be used again as they are, so that packing them pays.
    fn conv2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        stride: usize,
        padding: usize,
        keep: bool,
    ) -> FloatTensor<Self>;
    fn conv2d_bias(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        stride: usize,
        padding: usize,
        keep: bool,
    ) -> FloatTensor<Self>;
    /// Stride 1; the weights count divided by the one number of `divisor`, `[1]`.
    fn conv2d_over(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        divisor: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        padding: usize,
    ) -> FloatTensor<Self>;
    fn modulated_conv_silu(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
    fn conv_silu_add(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        skip: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
    /// A residual block whose skip is x.
    fn residual_block(
        x: FloatTensor<Self>,
        conv1: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        conv2: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
    /// A residual block of the channels of x and then those of y, whose skip is a 1×1 convolution of them.
    fn joined_residual_block(
        x: FloatTensor<Self>,
        y: FloatTensor<Self>,
        conv1: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        conv2: FloatTensor<Self>,
        skip: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
    /// A guide block. Where [`uses_tiles`] says so.
    fn guide_block(
        x: FloatTensor<Self>,
        structure: FloatTensor<Self>,
        #[extension_type] first: GuideHalf<Self>,
        #[extension_type] second: GuideHalf<Self>,
    ) -> FloatTensor<Self>;
    fn modulate_silu(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
    fn silu(x: FloatTensor<Self>) -> FloatTensor<Self>;
    fn channel_norm(x: FloatTensor<Self>, gain: FloatTensor<Self>) -> FloatTensor<Self>;
    fn spade_activation(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
    fn linear_attention(qkv: FloatTensor<Self>, heads: usize) -> FloatTensor<Self>;
    /// The channels of x and then those of y.
    fn join(x: FloatTensor<Self>, y: FloatTensor<Self>) -> FloatTensor<Self>;
    fn nearest_double(x: FloatTensor<Self>) -> FloatTensor<Self>;
    /// The 3×3 convolution of the doubled x, which is never made. Where [`uses_tiles`] says so.
    fn doubled_conv2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
    /// f32 to the maps that inference in bf16 hands from layer to layer; no gradient.
    fn to_maps(x: FloatTensor<Self>) -> FloatTensor<Self>;
    /// The way back; no gradient.
    fn from_maps(x: FloatTensor<Self>) -> FloatTensor<Self>;
    /// x + y of two maps; no gradient.
    fn add_maps(x: FloatTensor<Self>, y: FloatTensor<Self>) -> FloatTensor<Self>;
    /// New weights and moments; nothing here has a gradient.
    fn adam_step(
        weight: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        step: AdamStep,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
    /// The nearest orthogonal matrix, roughly; no gradient. Where the CPU has tiles.
    fn orthogonal(matrix: FloatTensor<Self>) -> FloatTensor<Self>;
    /// average · decay + value · (1 − decay); no gradient.
    fn blend(average: FloatTensor<Self>, value: FloatTensor<Self>, decay: f32)
    -> FloatTensor<Self>;
    /// With a gradient only where [`trains_attention_block`] says so.
    #[allow(clippy::too_many_arguments, reason = "the weights of one block")]
    fn attention_block(
        x: FloatTensor<Self>,
        pre_gain: FloatTensor<Self>,
        qkv: FloatTensor<Self>,
        out: FloatTensor<Self>,
        out_bias: FloatTensor<Self>,
        post_gain: FloatTensor<Self>,
        heads: usize,
    ) -> FloatTensor<Self>;
}

/// What half a guide block is made of; the kernels' `GuideHalf` says what that is.
#[derive(ExtensionType)]
struct GuideHalf<B: Backend> {
    shared: FloatTensor<B>,
    shared_bias: FloatTensor<B>,
    maps: FloatTensor<B>,
    maps_bias: FloatTensor<B>,
    conv: FloatTensor<B>,
    conv_bias: FloatTensor<B>,
}

impl<B: Backend> GuideHalf<B> {
    /// All that a guide block reads.
    fn inputs(
        x: FloatTensor<B>,
        structure: FloatTensor<B>,
        first: Self,
        second: Self,
    ) -> GuideInputs<B> {
        [
            x,
            structure,
            first.shared,
            first.shared_bias,
            first.maps,
            first.maps_bias,
            first.conv,
            first.conv_bias,
            second.shared,
            second.shared_bias,
            second.maps,
            second.maps_bias,
            second.conv,
            second.conv_bias,
        ]
    }
}

/// How a convolution's kernel moved, and with what numbers.
#[derive(Clone, Copy, Debug)]
struct Window {
    stride: usize,
    padding: usize,
    precision: Precision,
}

impl Window {
    /// Of a convolution that starts now.
    fn now(stride: usize, padding: usize) -> Self {
        Self {
            stride,
            padding,
            precision: packed::precision(),
        }
    }
}

/// x, first weights, scale, shift, second weights of a residual block.
type BlockInputs<B> = [FloatTensor<B>; 5];

/// x, y, first weights, scale, shift, second weights, the skip's weights of a joined one.
type JoinedBlockInputs<B> = [FloatTensor<B>; 7];

/// x, the structure, and both halves of a guide block.
type GuideInputs<B> = [FloatTensor<B>; 14];

/// x, gain before, weights to q, k and v, weights back and their bias, gain after.
type AttentionInputs<B> = [FloatTensor<B>; 6];

/// Gradients of [`CpuOps`], taken on the backend under the autodiff one.
trait CpuGradients: Backend {
    fn conv2d_dx(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        dy: FloatTensor<Self>,
        window: Window,
    ) -> FloatTensor<Self>;
    fn conv2d_dw(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        dy: FloatTensor<Self>,
        window: Window,
    ) -> FloatTensor<Self>;
    fn conv2d_db(dy: FloatTensor<Self>) -> FloatTensor<Self>;
    /// A residual block, and what its gradient needs.
    fn residual_block_kept(inputs: BlockInputs<Self>) -> (FloatTensor<Self>, Arc<ResidualKept>);
    /// With respect to the block's inputs, in their order.
    fn residual_block_grads(
        inputs: BlockInputs<Self>,
        kept: &ResidualKept,
        dy: FloatTensor<Self>,
    ) -> BlockInputs<Self>;
    /// As [`residual_block_kept`](Self::residual_block_kept), of a joined one.
    fn joined_block_kept(inputs: JoinedBlockInputs<Self>)
    -> (FloatTensor<Self>, Arc<ResidualKept>);
    /// As [`residual_block_grads`](Self::residual_block_grads), of a joined one.
    fn joined_block_grads(
        inputs: JoinedBlockInputs<Self>,
        kept: &ResidualKept,
        dy: FloatTensor<Self>,
    ) -> JoinedBlockInputs<Self>;
    /// A guide block, and what its gradient needs.
    fn guide_block_kept(inputs: GuideInputs<Self>) -> (FloatTensor<Self>, Arc<GuideKept>);
    /// With respect to the block's inputs, in their order; with respect to the structure if that is
    /// wanted, else it comes back as it is.
    fn guide_block_grads(
        inputs: GuideInputs<Self>,
        kept: &GuideKept,
        dy: FloatTensor<Self>,
        wants_structure: bool,
    ) -> GuideInputs<Self>;
    /// An attention block, and what its gradient needs.
    fn attention_block_kept(
        inputs: AttentionInputs<Self>,
        heads: usize,
    ) -> (FloatTensor<Self>, Arc<AttentionKept>);
    /// With respect to the block's inputs, in their order.
    fn attention_block_grads(
        inputs: AttentionInputs<Self>,
        heads: usize,
        kept: &AttentionKept,
        dy: FloatTensor<Self>,
    ) -> AttentionInputs<Self>;
    /// With respect to x, scale and shift.
    fn modulate_silu_grads(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        dy: FloatTensor<Self>,
    ) -> [FloatTensor<Self>; 3];
    fn silu_grad(x: FloatTensor<Self>, dy: FloatTensor<Self>) -> FloatTensor<Self>;
    /// With respect to x and the gain.
    fn channel_norm_grads(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        dy: FloatTensor<Self>,
    ) -> [FloatTensor<Self>; 2];
    /// With respect to x, γ and β.
    fn spade_activation_grads(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        dy: FloatTensor<Self>,
    ) -> [FloatTensor<Self>; 3];
    /// The output, and what the gradient needs of the forward pass.
    fn linear_attention_with_state(qkv: FloatTensor<Self>, heads: usize) -> [FloatTensor<Self>; 2];
    fn linear_attention_grad(
        qkv: FloatTensor<Self>,
        state: FloatTensor<Self>,
        dy: FloatTensor<Self>,
        heads: usize,
    ) -> FloatTensor<Self>;
    /// With respect to x, which had so many channels, and to y.
    fn join_grads(dy: FloatTensor<Self>, channels: usize) -> [FloatTensor<Self>; 2];
    fn nearest_double_grad(dy: FloatTensor<Self>) -> FloatTensor<Self>;
    /// With respect to x, the weights and the bias.
    fn doubled_conv2d_grads(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        dy: FloatTensor<Self>,
    ) -> [FloatTensor<Self>; 3];
}

/// Whether a device is the CPU, with or without autodiff.
pub fn is_cpu(device: &Device) -> bool {
    match device.as_dispatch() {
        DispatchDevice::Flex(_) => true,
        DispatchDevice::Autodiff(inner) => matches!(**inner, DispatchDevice::Flex(_)),
        #[allow(unreachable_patterns, reason = "other devices are features")]
        _ => false,
    }
}

pub(super) fn conv2d(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    stride: usize,
    padding: usize,
) -> Tensor<4> {
    let keep = !x.is_autodiff();
    let kind = kind_of(&weight, stride);
    let (x, weight) = (x.into_dispatch(), weight.into_dispatch());
    timed(kind, || {
        Tensor::from_dispatch(match bias {
            Some(bias) => {
                Dispatch::conv2d_bias(x, weight, bias.into_dispatch(), stride, padding, keep)
            }
            None => <Dispatch as CpuOps>::conv2d(x, weight, stride, padding, keep),
        })
    })
}

/// What a convolution is called in a profile.
fn kind_of(weight: &Tensor<4>, stride: usize) -> impl FnOnce() -> String + use<> {
    let [.., k] = weight.dims();
    move || match stride {
        1 => format!("{k}×{k} convolution"),
        _ => format!("{k}×{k} convolution, stride {stride}"),
    }
}

pub(super) fn conv2d_over(
    x: Tensor<4>,
    weight: Tensor<4>,
    divisor: Tensor<1>,
    bias: Tensor<1>,
    padding: usize,
) -> Tensor<4> {
    let kind = kind_of(&weight, 1);
    timed(kind, || {
        Tensor::from_dispatch(Dispatch::conv2d_over(
            x.into_dispatch(),
            weight.into_dispatch(),
            divisor.into_dispatch(),
            bias.into_dispatch(),
            padding,
        ))
    })
}

pub(super) fn modulated_conv_silu(
    x: Tensor<4>,
    weight: Tensor<4>,
    scale: Tensor<2>,
    shift: Tensor<2>,
) -> Tensor<4> {
    let kind = kind_of(&weight, 1);
    timed(kind, || {
        Tensor::from_dispatch(Dispatch::modulated_conv_silu(
            x.into_dispatch(),
            weight.into_dispatch(),
            scale.into_dispatch(),
            shift.into_dispatch(),
        ))
    })
}

pub(super) fn conv_silu_add(x: Tensor<4>, weight: Tensor<4>, skip: Tensor<4>) -> Tensor<4> {
    let kind = kind_of(&weight, 1);
    timed(kind, || {
        Tensor::from_dispatch(Dispatch::conv_silu_add(
            x.into_dispatch(),
            weight.into_dispatch(),
            skip.into_dispatch(),
        ))
    })
}

pub(super) fn to_maps(x: Tensor<4>) -> Tensor<4> {
    timed(
        || "to and from maps".into(),
        || Tensor::from_dispatch(Dispatch::to_maps(x.into_dispatch())),
    )
}

pub(super) fn from_maps(x: Tensor<4>) -> Tensor<4> {
    timed(
        || "to and from maps".into(),
        || Tensor::from_dispatch(Dispatch::from_maps(x.into_dispatch())),
    )
}

pub(super) fn add_maps(x: Tensor<4>, y: Tensor<4>) -> Tensor<4> {
    timed(
        || "sum".into(),
        || Tensor::from_dispatch(Dispatch::add_maps(x.into_dispatch(), y.into_dispatch())),
    )
}

/// Whether attention blocks of such heads that are computed now have a gradient of their own.
pub(super) fn trains_attention_block(heads: usize, dim: usize) -> bool {
    packed::precision() == Precision::Bf16 && AttentionWeights::has_bf16(heads, dim)
}

pub(super) fn residual_block(
    x: Tensor<4>,
    [conv1, conv2]: [Tensor<4>; 2],
    [scale, shift]: [Tensor<2>; 2],
) -> Tensor<4> {
    timed(
        || "residual block".into(),
        || {
            Tensor::from_dispatch(Dispatch::residual_block(
                x.into_dispatch(),
                conv1.into_dispatch(),
                scale.into_dispatch(),
                shift.into_dispatch(),
                conv2.into_dispatch(),
            ))
        },
    )
}

pub(super) fn joined_residual_block(
    [x, y]: [Tensor<4>; 2],
    [conv1, conv2]: [Tensor<4>; 2],
    [scale, shift]: [Tensor<2>; 2],
    skip: Tensor<4>,
) -> Tensor<4> {
    timed(
        || "residual block".into(),
        || {
            Tensor::from_dispatch(Dispatch::joined_residual_block(
                x.into_dispatch(),
                y.into_dispatch(),
                conv1.into_dispatch(),
                scale.into_dispatch(),
                shift.into_dispatch(),
                conv2.into_dispatch(),
                skip.into_dispatch(),
            ))
        },
    )
}

pub(super) fn guide_block(
    x: Tensor<4>,
    structure: Tensor<4>,
    [first, second]: [super::GuideHalf; 2],
) -> Tensor<4> {
    let half = |half: super::GuideHalf| GuideHalf::<Dispatch> {
        shared: half.shared.into_dispatch(),
        shared_bias: half.shared_bias.into_dispatch(),
        maps: half.maps.into_dispatch(),
        maps_bias: half.maps_bias.into_dispatch(),
        conv: half.conv.into_dispatch(),
        conv_bias: half.conv_bias.into_dispatch(),
    };
    timed(
        || "guide block".into(),
        || {
            Tensor::from_dispatch(Dispatch::guide_block(
                x.into_dispatch(),
                structure.into_dispatch(),
                half(first),
                half(second),
            ))
        },
    )
}

pub(super) fn channel_norm(x: Tensor<4>, gain: Tensor<4>) -> Tensor<4> {
    timed(
        || "channel norm".into(),
        || {
            Tensor::from_dispatch(Dispatch::channel_norm(
                x.into_dispatch(),
                gain.into_dispatch(),
            ))
        },
    )
}

pub(super) fn spade_activation(x: Tensor<4>, gamma: Tensor<4>, beta: Tensor<4>) -> Tensor<4> {
    timed(
        || "guide norm".into(),
        || {
            Tensor::from_dispatch(Dispatch::spade_activation(
                x.into_dispatch(),
                gamma.into_dispatch(),
                beta.into_dispatch(),
            ))
        },
    )
}

pub(super) fn linear_attention(qkv: Tensor<4>, heads: usize) -> Tensor<4> {
    timed(
        || "linear attention".into(),
        || Tensor::from_dispatch(Dispatch::linear_attention(qkv.into_dispatch(), heads)),
    )
}

pub(super) fn join(x: Tensor<4>, y: Tensor<4>) -> Tensor<4> {
    timed(
        || "joining".into(),
        || Tensor::from_dispatch(Dispatch::join(x.into_dispatch(), y.into_dispatch())),
    )
}

pub(super) fn nearest_double(x: Tensor<4>) -> Tensor<4> {
    timed(
        || "doubling".into(),
        || Tensor::from_dispatch(Dispatch::nearest_double(x.into_dispatch())),
    )
}

pub(super) fn doubled_conv2d(x: Tensor<4>, weight: Tensor<4>, bias: Tensor<1>) -> Tensor<4> {
    timed(
        || "3×3 convolution, doubled".into(),
        || {
            Tensor::from_dispatch(Dispatch::doubled_conv2d(
                x.into_dispatch(),
                weight.into_dispatch(),
                bias.into_dispatch(),
            ))
        },
    )
}

pub(super) fn attention_block(x: Tensor<4>, weights: super::AttentionWeights) -> Tensor<4> {
    timed(
        || "attention block".into(),
        || {
            Tensor::from_dispatch(Dispatch::attention_block(
                x.into_dispatch(),
                weights.pre_gain.into_dispatch(),
                weights.qkv.into_dispatch(),
                weights.out.into_dispatch(),
                weights.out_bias.into_dispatch(),
                weights.post_gain.into_dispatch(),
                weights.heads,
            ))
        },
    )
}

pub(super) fn adam_step<const D: usize>(
    step: AdamStep,
    [weight, gradient, first, second]: [Tensor<D>; 4],
) -> [Tensor<D>; 3] {
    let (weight, first, second) = Dispatch::adam_step(
        weight.into_dispatch(),
        gradient.into_dispatch(),
        first.into_dispatch(),
        second.into_dispatch(),
        step,
    );
    [weight, first, second].map(Tensor::from_dispatch)
}

pub(super) fn orthogonal(matrix: Tensor<2>) -> Tensor<2> {
    Tensor::from_dispatch(Dispatch::orthogonal(matrix.into_dispatch()))
}

pub(super) fn blend<const D: usize>(average: Tensor<D>, value: Tensor<D>, decay: f64) -> Tensor<D> {
    let (average, value) = (average.into_dispatch(), value.into_dispatch());
    Tensor::from_dispatch(Dispatch::blend(average, value, decay as f32))
}
