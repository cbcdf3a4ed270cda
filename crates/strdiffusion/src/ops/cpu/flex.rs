//! The extension on Burn's CPU backend: tensors in, slices to the kernels, tensors out.

use std::array::from_fn;
use std::sync::Arc;

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::tensor::TensorData;
use strdiffusion_kernels::{
    self as kernels, AdamStep, AdamTensors, AttentionGrads, AttentionKept, AttentionShape,
    AttentionWeights, Conv2dShape, DoubledConv, Epilogue, GuideBlock, GuideGrads, GuideKept,
    MapShape, ModulateGrads, ResidualBlock, ResidualGrads, ResidualKept, SpadeGrads, unfilled,
};

use super::maps;
use super::packed;
use super::{
    AttentionInputs, BlockInputs, CpuGradients, CpuOps, GuideHalf, GuideInputs, JoinedBlockInputs,
    NORM_EPS, SLOPE, Window,
};

/// A tensor whose values stand in order; copies only if they do not.
pub(super) fn in_order(x: FlexTensor) -> FlexTensor {
    if x.is_contiguous() {
        x
    } else {
        x.to_contiguous()
    }
}

/// The values of a tensor that is [`in_order`].
pub(super) fn values(x: &FlexTensor) -> &[f32] {
    x.as_slice().expect("an f32 tensor in order")
}

pub(super) fn dims<const D: usize>(x: &FlexTensor) -> [usize; D] {
    x.layout().shape().dims::<D>()
}

fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
}

/// A fresh tensor of `x`'s shape; `fill` writes every value.
fn like(x: &FlexTensor, fill: impl FnOnce(&mut [f32])) -> FlexTensor {
    let shape = x.layout().shape().clone();
    let mut y = unfilled(shape.num_elements());
    fill(&mut y);
    FlexTensor::from_data(TensorData::new(y, shape))
}

pub(super) fn conv_shape(
    x: &FlexTensor,
    weight: &FlexTensor,
    stride: usize,
    padding: usize,
) -> Conv2dShape {
    let [out, _, kernel, _] = dims(weight);
    Conv2dShape::new(dims(x), out, kernel, stride, padding)
}

pub(super) fn map_shape(x: &FlexTensor) -> MapShape {
    let [batch, channels, h, w] = dims(x);
    MapShape {
        batch,
        channels,
        positions: h * w,
    }
}

fn attention_shape(qkv: &FlexTensor, heads: usize) -> AttentionShape {
    let [batch, channels, h, w] = dims(qkv);
    AttentionShape {
        batch,
        heads,
        dim: channels / 3 / heads,
        positions: h * w,
    }
}

fn doubled_conv(x: &FlexTensor, weight: &FlexTensor) -> DoubledConv {
    let [batch, in_channels, height, width] = dims(x);
    let [out_channels, ..]: [usize; 4] = dims(weight);
    DoubledConv {
        batch,
        in_channels,
        out_channels,
        height,
        width,
    }
}

/// Convolves with packed weights where they are kept, else packs them for this call.
fn convolve(
    x: FlexTensor,
    weight: FlexTensor,
    [stride, padding]: [usize; 2],
    keep: bool,
    epilogue: &Epilogue,
) -> FlexTensor {
    if maps::is_map(&x) {
        return maps::convolve(&x, &weight, [stride, padding], epilogue);
    }
    let x = in_order(x);
    let shape = conv_shape(&x, &weight, stride, padding);
    let [h, w] = shape.out_size();
    let mut y = unfilled(shape.output_len());
    let packed = if keep {
        packed::find_or_pack(&weight, &shape)
    } else {
        None
    };
    match packed {
        Some(packed) => {
            let size = [shape.batch, shape.height, shape.width];
            packed.forward(size, values(&x), epilogue, &mut y);
        }
        None => {
            let weight = in_order(weight);
            kernels::conv2d(
                &shape,
                values(&x),
                values(&weight),
                epilogue,
                packed::precision(),
                &mut y,
            );
        }
    }
    tensor(y, [shape.batch, shape.out_channels, h, w])
}

/// A residual block, without a gradient, to whose output the skip is added.
fn residual_block_past(
    [x, conv1, scale, shift, conv2]: BlockInputs<Flex>,
    skip: FlexTensor,
) -> FlexTensor {
    if maps::is_map(&x) {
        let (scale, shift) = (in_order(scale), in_order(shift));
        let modulation = [values(&scale), values(&shift)];
        return maps::residual_block(&x, [&conv1, &conv2], modulation, &skip);
    }
    let hidden = Flex::modulated_conv_silu(x, conv1, scale, shift);
    Flex::conv_silu_add(hidden, conv2, skip)
}

impl CpuOps for Flex {
    fn conv2d(
        x: FlexTensor,
        weight: FlexTensor,
        stride: usize,
        padding: usize,
        keep: bool,
    ) -> FlexTensor {
        convolve(x, weight, [stride, padding], keep, &Epilogue::default())
    }

    fn conv2d_bias(
        x: FlexTensor,
        weight: FlexTensor,
        bias: FlexTensor,
        stride: usize,
        padding: usize,
        keep: bool,
    ) -> FlexTensor {
        let bias = in_order(bias);
        let epilogue = Epilogue {
            bias: Some(values(&bias)),
            ..Epilogue::default()
        };
        convolve(x, weight, [stride, padding], keep, &epilogue)
    }

    fn conv2d_over(
        x: FlexTensor,
        weight: FlexTensor,
        divisor: FlexTensor,
        bias: FlexTensor,
        padding: usize,
    ) -> FlexTensor {
        let (divisor, bias) = (in_order(divisor), in_order(bias));
        let epilogue = Epilogue {
            gain: Some(1.0 / values(&divisor)[0]),
            bias: Some(values(&bias)),
            ..Epilogue::default()
        };
        convolve(x, weight, [1, padding], true, &epilogue)
    }

    fn modulated_conv_silu(
        x: FlexTensor,
        weight: FlexTensor,
        scale: FlexTensor,
        shift: FlexTensor,
    ) -> FlexTensor {
        let (scale, shift) = (in_order(scale), in_order(shift));
        let epilogue = Epilogue {
            scale: Some(values(&scale)),
            shift: Some(values(&shift)),
            silu: true,
            ..Epilogue::default()
        };
        convolve(x, weight, [1, 1], true, &epilogue)
    }

    fn conv_silu_add(x: FlexTensor, weight: FlexTensor, skip: FlexTensor) -> FlexTensor {
        let skip = in_order(skip);
        let epilogue = Epilogue {
            silu: true,
            residual: Some(values(&skip)),
            ..Epilogue::default()
        };
        convolve(x, weight, [1, 1], true, &epilogue)
    }

    fn residual_block(
        x: FlexTensor,
        conv1: FlexTensor,
        scale: FlexTensor,
        shift: FlexTensor,
        conv2: FlexTensor,
    ) -> FlexTensor {
        let skip = x.clone();
        residual_block_past([x, conv1, scale, shift, conv2], skip)
    }

    fn joined_residual_block(
        x: FlexTensor,
        y: FlexTensor,
        conv1: FlexTensor,
        scale: FlexTensor,
        shift: FlexTensor,
        conv2: FlexTensor,
        skip: FlexTensor,
    ) -> FlexTensor {
        let x = Self::join(x, y);
        let skip = <Self as CpuOps>::conv2d(x.clone(), skip, 1, 0, true);
        residual_block_past([x, conv1, scale, shift, conv2], skip)
    }

    fn guide_block(
        x: FlexTensor,
        structure: FlexTensor,
        first: GuideHalf<Flex>,
        second: GuideHalf<Flex>,
    ) -> FlexTensor {
        Self::guide_block_kept(GuideHalf::inputs(x, structure, first, second)).0
    }

    fn adam_step(
        weight: FlexTensor,
        gradient: FlexTensor,
        first: FlexTensor,
        second: FlexTensor,
        step: AdamStep,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let [weight, gradient, first, second] = [weight, gradient, first, second].map(in_order);
        let shape = weight.layout().shape().clone();
        let mut new = [(); 3].map(|()| unfilled(shape.num_elements()));
        let [new_weight, new_first, new_second] = &mut new;
        kernels::adam_step(
            step,
            AdamTensors {
                weight: values(&weight),
                first: values(&first),
                second: values(&second),
            },
            values(&gradient),
            AdamTensors {
                weight: new_weight,
                first: new_first,
                second: new_second,
            },
        );
        new.map(|values| FlexTensor::from_data(TensorData::new(values, shape.clone())))
            .into()
    }

    fn orthogonal(matrix: FlexTensor) -> FlexTensor {
        let matrix = in_order(matrix);
        like(&matrix, |out| {
            kernels::orthogonal(dims(&matrix), values(&matrix), out);
        })
    }

    fn blend(average: FlexTensor, value: FlexTensor, decay: f32) -> FlexTensor {
        let (average, value) = (in_order(average), in_order(value));
        like(&average, |out| {
            kernels::blend(values(&average), values(&value), decay, out);
        })
    }

    fn modulate_silu(x: FlexTensor, scale: FlexTensor, shift: FlexTensor) -> FlexTensor {
        let (x, scale, shift) = (in_order(x), in_order(scale), in_order(shift));
        like(&x, |y| {
            let (scale, shift) = (Some(values(&scale)), Some(values(&shift)));
            kernels::modulate_silu(&map_shape(&x), values(&x), scale, shift, y);
        })
    }

    fn silu(x: FlexTensor) -> FlexTensor {
        let x = in_order(x);
        like(&x, |y| {
            kernels::modulate_silu(&map_shape(&x), values(&x), None, None, y)
        })
    }

    fn channel_norm(x: FlexTensor, gain: FlexTensor) -> FlexTensor {
        let (x, gain) = (in_order(x), in_order(gain));
        like(&x, |y| {
            kernels::layer_norm(&map_shape(&x), values(&x), values(&gain), NORM_EPS, None, y);
        })
    }

    fn spade_activation(x: FlexTensor, gamma: FlexTensor, beta: FlexTensor) -> FlexTensor {
        if maps::is_map(&x) {
            return maps::spade(&x, &gamma, &beta);
        }
        let (x, gamma, beta) = (in_order(x), in_order(gamma), in_order(beta));
        like(&x, |y| {
            let (gamma, beta) = (values(&gamma), values(&beta));
            kernels::spade(&map_shape(&x), values(&x), gamma, beta, NORM_EPS, SLOPE, y);
        })
    }

    fn linear_attention(qkv: FlexTensor, heads: usize) -> FlexTensor {
        let [out, _] = Self::linear_attention_with_state(qkv, heads);
        out
    }

    fn join(x: FlexTensor, y: FlexTensor) -> FlexTensor {
        if maps::is_map(&x) {
            return maps::join(&x, &y);
        }
        let (x, y) = (in_order(x), in_order(y));
        let ([batch, a, h, w], [_, b, _, _]) = (dims(&x), dims::<4>(&y));
        let mut joined = unfilled(batch * (a + b) * h * w);
        kernels::join(batch, values(&x), values(&y), &mut joined);
        tensor(joined, [batch, a + b, h, w])
    }

    fn to_maps(x: FlexTensor) -> FlexTensor {
        maps::from_planes(x)
    }

    fn from_maps(x: FlexTensor) -> FlexTensor {
        maps::to_planes(&x)
    }

    fn add_maps(x: FlexTensor, y: FlexTensor) -> FlexTensor {
        maps::add(&x, &y)
    }

    fn nearest_double(x: FlexTensor) -> FlexTensor {
        if maps::is_map(&x) {
            return maps::double(&x);
        }
        let x = in_order(x);
        let [b, c, h, w] = dims(&x);
        let mut y = unfilled(b * c * h * w * 4);
        kernels::upsample_nearest2(b * c, h, w, values(&x), &mut y);
        tensor(y, [b, c, 2 * h, 2 * w])
    }

    fn doubled_conv2d(x: FlexTensor, weight: FlexTensor, bias: FlexTensor) -> FlexTensor {
        let [x, weight, bias] = [x, weight, bias].map(in_order);
        let s = doubled_conv(&x, &weight);
        let shape = [s.batch, s.out_channels, 2 * s.height, 2 * s.width];
        let mut y = unfilled(shape.iter().product());
        s.forward(values(&x), values(&weight), values(&bias), &mut y);
        tensor(y, shape)
    }

    fn attention_block(
        x: FlexTensor,
        pre_gain: FlexTensor,
        qkv: FlexTensor,
        out: FlexTensor,
        out_bias: FlexTensor,
        post_gain: FlexTensor,
        heads: usize,
    ) -> FlexTensor {
        // A map keeps its order.
        let x = if maps::is_map(&x) { x } else { in_order(x) };
        let [pre_gain, qkv, out, out_bias, post_gain] =
            [pre_gain, qkv, out, out_bias, post_gain].map(in_order);
        let inputs = [x, pre_gain, qkv, out, out_bias, post_gain];
        with_attention(&inputs, heads, |weights, s| {
            if maps::is_map(&inputs[0]) {
                return maps::attention_block(&inputs[0], s, weights);
            }
            like(&inputs[0], |y| {
                kernels::attention_block(s, weights, values(&inputs[0]), y);
            })
        })
    }
}

/// A guide block of tensors that are [`in_order`].
fn guide_block([x, _, weights @ ..]: &GuideInputs<Flex>) -> GuideBlock<'_> {
    let [batch, channels, height, width] = dims(x);
    let [hidden] = dims(&weights[1]);
    let half = |first: usize| kernels::GuideHalf::of(from_fn(|i| values(&weights[first + i])));
    GuideBlock {
        batch,
        channels,
        hidden,
        height,
        width,
        epsilon: NORM_EPS,
        slope: SLOPE,
        halves: [half(0), half(6)],
    }
}

/// Runs `f` with an attention block of tensors that are [`in_order`].
fn with_attention<R>(
    [x, pre_gain, qkv, out, out_bias, post_gain]: &AttentionInputs<Flex>,
    heads: usize,
    f: impl FnOnce(&AttentionWeights, &MapShape) -> R,
) -> R {
    let [_, inner, _, _] = dims(out);
    let weights = AttentionWeights {
        heads,
        dim: inner / heads,
        pre_gain: values(pre_gain),
        qkv: values(qkv),
        out: values(out),
        out_bias: Some(values(out_bias)),
        post_gain: values(post_gain),
        epsilon: NORM_EPS,
    };
    f(&weights, &map_shape(x))
}

/// Gradients as tensors of their inputs' shapes.
fn shaped<const N: usize>(inputs: [FlexTensor; N], gradients: [Vec<f32>; N]) -> [FlexTensor; N] {
    let mut gradients = gradients.into_iter();
    inputs.map(|t| {
        let values = gradients.next().expect("one for each input");
        FlexTensor::from_data(TensorData::new(values, t.layout().shape().clone()))
    })
}

/// Runs `f` with a residual block of tensors that are [`in_order`], and the parts of its x.
fn with_block<R>(
    [x, conv1, scale, shift, conv2]: [&FlexTensor; 5],
    joined: Option<[&FlexTensor; 2]>,
    f: impl FnOnce(&ResidualBlock, [&[f32]; 2]) -> R,
) -> R {
    let [batch, channels, height, width] = dims(x);
    let [out_channels, ..]: [usize; 4] = dims(conv1);
    let (more, y) = joined.map_or((0, &[][..]), |[y, _]| (dims::<4>(y)[1], values(y)));
    let block = ResidualBlock {
        batch,
        in_channels: [channels, more],
        out_channels,
        height,
        width,
        conv1: values(conv1),
        conv2: values(conv2),
        scale: values(scale),
        shift: values(shift),
        skip: joined.map(|[_, skip]| values(skip)),
    };
    f(&block, [values(x), y])
}

/// A block's output, and what its gradient needs.
fn forward_kept(block: &ResidualBlock, x: [&[f32]; 2]) -> (FlexTensor, Arc<ResidualKept>) {
    let shape = [block.batch, block.out_channels, block.height, block.width];
    let mut y = unfilled(shape.iter().product());
    let kept = block.forward(x, &mut y);
    (tensor(y, shape), Arc::new(kept))
}

impl CpuGradients for Flex {
    fn residual_block_kept(inputs: BlockInputs<Flex>) -> (FlexTensor, Arc<ResidualKept>) {
        let inputs = inputs.map(in_order);
        with_block(inputs.each_ref(), None, forward_kept)
    }

    fn residual_block_grads(
        inputs: BlockInputs<Flex>,
        kept: &ResidualKept,
        dy: FlexTensor,
    ) -> BlockInputs<Flex> {
        let (inputs, dy) = (inputs.map(in_order), in_order(dy));
        let mut gradients = inputs.each_ref().map(|t| unfilled(values(t).len()));
        let [dx, dconv1, dscale, dshift, dconv2] = &mut gradients;
        let grads = ResidualGrads {
            dx: [dx, &mut []],
            dconv1,
            dconv2,
            dscale,
            dshift,
            dskip: &mut [],
        };
        with_block(inputs.each_ref(), None, |block, x| {
            block.backward(kept, x, values(&dy), grads);
        });
        shaped(inputs, gradients)
    }

    fn joined_block_kept(inputs: JoinedBlockInputs<Flex>) -> (FlexTensor, Arc<ResidualKept>) {
        let inputs = inputs.map(in_order);
        let [x, y, conv1, scale, shift, conv2, skip] = inputs.each_ref();
        let joined = Some([y, skip]);
        with_block([x, conv1, scale, shift, conv2], joined, forward_kept)
    }

    fn joined_block_grads(
        inputs: JoinedBlockInputs<Flex>,
        kept: &ResidualKept,
        dy: FlexTensor,
    ) -> JoinedBlockInputs<Flex> {
        let (inputs, dy) = (inputs.map(in_order), in_order(dy));
        let mut gradients = inputs.each_ref().map(|t| unfilled(values(t).len()));
        let [dx, dmore, dconv1, dscale, dshift, dconv2, dskip] = &mut gradients;
        let grads = ResidualGrads {
            dx: [dx, dmore],
            dconv1,
            dconv2,
            dscale,
            dshift,
            dskip,
        };
        let [x, y, conv1, scale, shift, conv2, skip] = inputs.each_ref();
        let joined = Some([y, skip]);
        with_block([x, conv1, scale, shift, conv2], joined, |block, x| {
            block.backward(kept, x, values(&dy), grads);
        });
        shaped(inputs, gradients)
    }

    fn guide_block_kept(inputs: GuideInputs<Flex>) -> (FlexTensor, Arc<GuideKept>) {
        let inputs = inputs.map(in_order);
        let [x, structure, ..] = &inputs;
        let mut y = unfilled(values(x).len());
        let kept = guide_block(&inputs).forward(values(x), values(structure), &mut y);
        (tensor(y, dims::<4>(x)), Arc::new(kept))
    }

    fn guide_block_grads(
        inputs: GuideInputs<Flex>,
        kept: &GuideKept,
        dy: FlexTensor,
        wants_structure: bool,
    ) -> GuideInputs<Flex> {
        let (inputs, dy) = (inputs.map(in_order), in_order(dy));
        let mut gradients = inputs.each_ref().map(|t| unfilled(values(t).len()));
        let [dx, dstructure, weights @ ..] = &mut gradients;
        let mut weights = weights.iter_mut().map(|v| &mut v[..]);
        let mut half =
            || kernels::GuideHalf::of(from_fn(|_| weights.next().expect("six for each")));
        let grads = GuideGrads {
            dx,
            dstructure: wants_structure.then_some(dstructure),
            halves: [half(), half()],
        };
        let (x, structure) = (values(&inputs[0]), values(&inputs[1]));
        guide_block(&inputs).backward(kept, x, structure, values(&dy), grads);
        shaped(inputs, gradients)
    }

    fn attention_block_kept(
        inputs: AttentionInputs<Flex>,
        heads: usize,
    ) -> (FlexTensor, Arc<AttentionKept>) {
        let inputs = inputs.map(in_order);
        with_attention(&inputs, heads, |weights, s| {
            let mut y = unfilled(s.len());
            let kept = weights.forward_bf16(s, values(&inputs[0]), &mut y);
            (tensor(y, dims::<4>(&inputs[0])), Arc::new(kept))
        })
    }

    fn attention_block_grads(
        inputs: AttentionInputs<Flex>,
        heads: usize,
        kept: &AttentionKept,
        dy: FlexTensor,
    ) -> AttentionInputs<Flex> {
        let (inputs, dy) = (inputs.map(in_order), in_order(dy));
        let mut gradients = inputs.each_ref().map(|t| unfilled(values(t).len()));
        let [dx, dpre_gain, dqkv, dout, dout_bias, dpost_gain] = &mut gradients;
        let grads = AttentionGrads {
            dx,
            dpre_gain,
            dqkv,
            dout,
            dout_bias,
            dpost_gain,
        };
        with_attention(&inputs, heads, |weights, s| {
            weights.backward_bf16(s, kept, values(&inputs[0]), values(&dy), grads);
        });
        shaped(inputs, gradients)
    }

    fn conv2d_dx(x: FlexTensor, weight: FlexTensor, dy: FlexTensor, window: Window) -> FlexTensor {
        let (weight, dy) = (in_order(weight), in_order(dy));
        let shape = conv_shape(&x, &weight, window.stride, window.padding);
        like(&x, |dx| {
            let (dy, weight) = (values(&dy), values(&weight));
            kernels::conv2d_input_grad(&shape, dy, weight, window.precision, dx);
        })
    }

    fn conv2d_dw(x: FlexTensor, weight: FlexTensor, dy: FlexTensor, window: Window) -> FlexTensor {
        let (x, dy) = (in_order(x), in_order(dy));
        let shape = conv_shape(&x, &weight, window.stride, window.padding);
        like(&weight, |dw| {
            kernels::conv2d_weight_grad(&shape, values(&x), values(&dy), window.precision, dw)
        })
    }

    fn conv2d_db(dy: FlexTensor) -> FlexTensor {
        let dy = in_order(dy);
        let [batch, channels, h, w] = dims(&dy);
        // Only the output's extents matter to this gradient.
        let shape = Conv2dShape::new([batch, 1, h, w], channels, 1, 1, 0);
        let mut db = vec![0.0; channels];
        kernels::conv2d_bias_grad(&shape, values(&dy), &mut db);
        tensor(db, [channels])
    }

    fn modulate_silu_grads(
        x: FlexTensor,
        scale: FlexTensor,
        shift: FlexTensor,
        dy: FlexTensor,
    ) -> [FlexTensor; 3] {
        let [x, scale, shift, dy] = [x, scale, shift, dy].map(in_order);
        let s = map_shape(&x);
        let mut dscale = vec![0.0; s.batch * s.channels];
        let mut dshift = vec![0.0; s.batch * s.channels];
        let dx = like(&x, |dx| {
            let grads = ModulateGrads {
                dx,
                dscale: Some(&mut dscale),
                dshift: Some(&mut dshift),
            };
            let (scale, shift) = (Some(values(&scale)), Some(values(&shift)));
            kernels::modulate_silu_backward(&s, values(&x), scale, shift, values(&dy), grads);
        });
        let rows = [s.batch, s.channels];
        [dx, tensor(dscale, rows), tensor(dshift, rows)]
    }

    fn silu_grad(x: FlexTensor, dy: FlexTensor) -> FlexTensor {
        let (x, dy) = (in_order(x), in_order(dy));
        like(&x, |dx| {
            let grads = ModulateGrads {
                dx,
                dscale: None,
                dshift: None,
            };
            let s = map_shape(&x);
            kernels::modulate_silu_backward(&s, values(&x), None, None, values(&dy), grads);
        })
    }

    fn channel_norm_grads(x: FlexTensor, gain: FlexTensor, dy: FlexTensor) -> [FlexTensor; 2] {
        let [x, gain, dy] = [x, gain, dy].map(in_order);
        let s = map_shape(&x);
        let mut dgain = vec![0.0; s.channels];
        let dx = like(&x, |dx| {
            let (x, gain, dy) = (values(&x), values(&gain), values(&dy));
            kernels::layer_norm_backward(&s, x, gain, NORM_EPS, dy, dx, &mut dgain);
        });
        [dx, tensor(dgain, [1, s.channels, 1, 1])]
    }

    fn spade_activation_grads(
        x: FlexTensor,
        gamma: FlexTensor,
        beta: FlexTensor,
        dy: FlexTensor,
    ) -> [FlexTensor; 3] {
        let [x, gamma, beta, dy] = [x, gamma, beta, dy].map(in_order);
        let s = map_shape(&x);
        let (mut dgamma, mut dbeta) = (unfilled(s.len()), unfilled(s.len()));
        let dx = like(&x, |dx| {
            let grads = SpadeGrads {
                dx,
                dgamma: &mut dgamma,
                dbeta: &mut dbeta,
            };
            let (x, gamma, beta) = (values(&x), values(&gamma), values(&beta));
            kernels::spade_backward(&s, x, gamma, beta, NORM_EPS, SLOPE, values(&dy), grads);
        });
        let shape: [usize; 4] = dims(&x);
        [dx, tensor(dgamma, shape), tensor(dbeta, shape)]
    }

    fn linear_attention_with_state(qkv: FlexTensor, heads: usize) -> [FlexTensor; 2] {
        let qkv = in_order(qkv);
        let s = attention_shape(&qkv, heads);
        let [b, c, h, w] = dims(&qkv);
        let (mut out, mut state) = (unfilled(s.out_len()), unfilled(s.state_len()));
        kernels::linear_attention(&s, values(&qkv), &mut out, &mut state);
        let state_len = state.len();
        [tensor(out, [b, c / 3, h, w]), tensor(state, [state_len])]
    }

    fn linear_attention_grad(
        qkv: FlexTensor,
        state: FlexTensor,
        dy: FlexTensor,
        heads: usize,
    ) -> FlexTensor {
        let [qkv, state, dy] = [qkv, state, dy].map(in_order);
        let s = attention_shape(&qkv, heads);
        like(&qkv, |dqkv| {
            kernels::linear_attention_backward(&s, values(&qkv), values(&state), values(&dy), dqkv);
        })
    }

    fn join_grads(dy: FlexTensor, a: usize) -> [FlexTensor; 2] {
        let dy = in_order(dy);
        let [batch, channels, h, w] = dims(&dy);
        let sizes = [a, channels - a];
        let [mut da, mut db] = sizes.map(|c| unfilled(batch * c * h * w));
        kernels::join_backward(batch, values(&dy), &mut da, &mut db);
        let [a, b] = sizes;
        [tensor(da, [batch, a, h, w]), tensor(db, [batch, b, h, w])]
    }

    fn nearest_double_grad(dy: FlexTensor) -> FlexTensor {
        let dy = in_order(dy);
        let [b, c, h, w] = dims(&dy);
        let (h, w) = (h / 2, w / 2);
        let mut dx = unfilled(b * c * h * w);
        kernels::upsample_nearest2_backward(b * c, h, w, values(&dy), &mut dx);
        tensor(dx, [b, c, h, w])
    }

    fn doubled_conv2d_grads(x: FlexTensor, weight: FlexTensor, dy: FlexTensor) -> [FlexTensor; 3] {
        let [x, weight, dy] = [x, weight, dy].map(in_order);
        let s = doubled_conv(&x, &weight);
        let (dy_values, w) = (values(&dy), values(&weight));
        let dx = like(&x, |dx| s.input_grad(dy_values, w, dx));
        let dw = like(&weight, |dw| s.weight_grad(values(&x), dy_values, dw));
        [dx, dw, Self::conv2d_db(dy)]
    }
}
