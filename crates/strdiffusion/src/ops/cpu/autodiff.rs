//! Gradients of the extension: each operation records its inputs and asks the backend under it.
//!
//! A fused operation is taken apart here, so that what its gradient needs is kept.

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Backend, TensorMetadata};

use std::sync::Arc;
use strdiffusion_kernels::{AdamStep, AttentionKept, GuideKept, ResidualKept};

use super::{CpuGradients, CpuOps, GuideHalf, Window};
use crate::ops::profile::timer;

/// Runs a forward pass; where a gradient is wanted, keeps the listed inputs (and `extra`) for it.
macro_rules! record {
    ($backward:expr, $strategy:ty, [$($input:ident),+], $extra:expr, $forward:expr) => {
        match $backward
            .prepare::<$strategy>([$($input.node()),+])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(mut prep) => {
                let nodes = [$(prep.checkpoint(&$input)),+];
                let extra = $extra;
                $(let $input = $input.into_primitive();)+
                prep.finish((nodes, extra), $forward)
            }
            OpsKind::UnTracked(prep) => {
                $(let $input = $input.into_primitive();)+
                prep.finish($forward)
            }
        }
    };
}

/// As [`record!`] for a block whose forward pass keeps more than its inputs: `$kept` gives the output and
/// what the gradient needs, `$plain` the output alone, where no gradient is wanted.
macro_rules! record_block {
    ($backward:expr, $strategy:ty, $inputs:expr, $kept:expr, $plain:expr) => {{
        let inputs = $inputs;
        match $backward
            .prepare::<$strategy>(inputs.each_ref().map(|t| t.node()))
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(mut prep) => {
                let nodes = inputs.each_ref().map(|t| prep.checkpoint(t));
                let (y, kept) = $kept(inputs.map(|t| t.into_primitive()));
                prep.finish((nodes, kept), y)
            }
            OpsKind::UnTracked(prep) => prep.finish($plain(inputs.map(|t| t.into_primitive()))),
        }
    }};
}

/// The inputs that a forward pass kept.
fn inputs<B: Backend, const N: usize>(
    nodes: [NodeId; N],
    checkpointer: &mut Checkpointer,
) -> [FloatTensor<B>; N] {
    nodes.map(|node| checkpointer.retrieve_node_output(node))
}

/// Hands each gradient to its parent, if the parent wants one.
fn hand_out<B: Backend, const N: usize>(
    parents: [Option<NodeId>; N],
    gradients: [FloatTensor<B>; N],
    grads: &mut Gradients,
) {
    for (parent, gradient) in parents.into_iter().zip(gradients) {
        if let Some(parent) = parent {
            grads.register::<B>(parent, gradient);
        }
    }
}

#[derive(Debug)]
struct ConvBackward;

impl<B: CpuGradients> Backward<B, 2> for ConvBackward {
    type State = ([NodeId; 2], Window);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, ck: &mut Checkpointer) {
        let _timer = timer(|| "convolution, gradient".into());
        let dy = grads.consume::<B>(&ops.node);
        let (nodes, window) = ops.state;
        let [x, w] = inputs::<B, 2>(nodes, ck);
        let [to_x, to_w] = ops.parents;
        if let Some(parent) = to_x {
            let dx = B::conv2d_dx(x.clone(), w.clone(), dy.clone(), window);
            grads.register::<B>(parent.id, dx);
        }
        if let Some(parent) = to_w {
            grads.register::<B>(parent.id, B::conv2d_dw(x, w, dy, window));
        }
    }
}

#[derive(Debug)]
struct ConvBiasBackward;

impl<B: CpuGradients> Backward<B, 3> for ConvBiasBackward {
    type State = ([NodeId; 2], Window);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, ck: &mut Checkpointer) {
        let _timer = timer(|| "convolution, gradient".into());
        let dy = grads.consume::<B>(&ops.node);
        let (nodes, window) = ops.state;
        let [x, w] = inputs::<B, 2>(nodes, ck);
        let [to_x, to_w, to_b] = ops.parents;
        if let Some(parent) = to_x {
            let dx = B::conv2d_dx(x.clone(), w.clone(), dy.clone(), window);
            grads.register::<B>(parent.id, dx);
        }
        if let Some(parent) = to_w {
            grads.register::<B>(parent.id, B::conv2d_dw(x, w, dy.clone(), window));
        }
        if let Some(parent) = to_b {
            grads.register::<B>(parent.id, B::conv2d_db(dy));
        }
    }
}

#[derive(Debug)]
struct ResidualBlockBackward;

impl<B: CpuGradients> Backward<B, 5> for ResidualBlockBackward {
    type State = ([NodeId; 5], Arc<ResidualKept>);

    fn backward(self, ops: Ops<Self::State, 5>, grads: &mut Gradients, ck: &mut Checkpointer) {
        let _timer = timer(|| "residual block, gradient".into());
        let dy = grads.consume::<B>(&ops.node);
        let (nodes, kept) = ops.state;
        let gradients = B::residual_block_grads(inputs::<B, 5>(nodes, ck), &kept, dy);
        hand_out::<B, 5>(ops.parents.map(|p| p.map(|p| p.id)), gradients, grads);
    }
}

#[derive(Debug)]
struct JoinedResidualBlockBackward;

impl<B: CpuGradients> Backward<B, 7> for JoinedResidualBlockBackward {
    type State = ([NodeId; 7], Arc<ResidualKept>);

    fn backward(self, ops: Ops<Self::State, 7>, grads: &mut Gradients, ck: &mut Checkpointer) {
        let _timer = timer(|| "residual block, gradient".into());
        let dy = grads.consume::<B>(&ops.node);
        let (nodes, kept) = ops.state;
        let gradients = B::joined_block_grads(inputs::<B, 7>(nodes, ck), &kept, dy);
        hand_out::<B, 7>(ops.parents.map(|p| p.map(|p| p.id)), gradients, grads);
    }
}

#[derive(Debug)]
struct GuideBlockBackward;

impl<B: CpuGradients> Backward<B, 14> for GuideBlockBackward {
    type State = ([NodeId; 14], Arc<GuideKept>);

    fn backward(self, ops: Ops<Self::State, 14>, grads: &mut Gradients, ck: &mut Checkpointer) {
        let _timer = timer(|| "guide block, gradient".into());
        let dy = grads.consume::<B>(&ops.node);
        let (nodes, kept) = ops.state;
        let parents = ops.parents.map(|p| p.map(|p| p.id));
        let wants_structure = parents[1].is_some();
        let inputs = inputs::<B, 14>(nodes, ck);
        let gradients = B::guide_block_grads(inputs, &kept, dy, wants_structure);
        hand_out::<B, 14>(parents, gradients, grads);
    }
}

#[derive(Debug)]
struct AttentionBlockBackward;

impl<B: CpuGradients> Backward<B, 6> for AttentionBlockBackward {
    type State = ([NodeId; 6], (usize, Arc<AttentionKept>));

    fn backward(self, ops: Ops<Self::State, 6>, grads: &mut Gradients, ck: &mut Checkpointer) {
        let _timer = timer(|| "attention block, gradient".into());
        let dy = grads.consume::<B>(&ops.node);
        let (nodes, (heads, kept)) = ops.state;
        let gradients = B::attention_block_grads(inputs::<B, 6>(nodes, ck), heads, &kept, dy);
        hand_out::<B, 6>(ops.parents.map(|p| p.map(|p| p.id)), gradients, grads);
    }
}

#[derive(Debug)]
struct ModulateSiluBackward;

impl<B: CpuGradients> Backward<B, 3> for ModulateSiluBackward {
    type State = ([NodeId; 3], ());

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, ck: &mut Checkpointer) {
        let _timer = timer(|| "scale, shift, SiLU, gradient".into());
        let dy = grads.consume::<B>(&ops.node);
        let [x, scale, shift] = inputs::<B, 3>(ops.state.0, ck);
        hand_out::<B, 3>(
            ops.parents.map(|p| p.map(|p| p.id)),
            B::modulate_silu_grads(x, scale, shift, dy),
            grads,
        );
    }
}

#[derive(Debug)]
struct SiluBackward;

impl<B: CpuGradients> Backward<B, 1> for SiluBackward {
    type State = ([NodeId; 1], ());

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, ck: &mut Checkpointer) {
        let _timer = timer(|| "SiLU, gradient".into());
        let dy = grads.consume::<B>(&ops.node);
        let [x] = inputs::<B, 1>(ops.state.0, ck);
        hand_out::<B, 1>(
            ops.parents.map(|p| p.map(|p| p.id)),
            [B::silu_grad(x, dy)],
            grads,
        );
    }
}

#[derive(Debug)]
struct ChannelNormBackward;

impl<B: CpuGradients> Backward<B, 2> for ChannelNormBackward {
    type State = ([NodeId; 2], ());

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, ck: &mut Checkpointer) {
        let _timer = timer(|| "channel norm, gradient".into());
        let dy = grads.consume::<B>(&ops.node);
        let [x, gain] = inputs::<B, 2>(ops.state.0, ck);
        hand_out::<B, 2>(
            ops.parents.map(|p| p.map(|p| p.id)),
            B::channel_norm_grads(x, gain, dy),
            grads,
        );
    }
}

#[derive(Debug)]
struct SpadeActivationBackward;

impl<B: CpuGradients> Backward<B, 3> for SpadeActivationBackward {
    type State = ([NodeId; 3], ());

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, ck: &mut Checkpointer) {
        let _timer = timer(|| "guide norm, gradient".into());
        let dy = grads.consume::<B>(&ops.node);
        let [x, gamma, beta] = inputs::<B, 3>(ops.state.0, ck);
        hand_out::<B, 3>(
            ops.parents.map(|p| p.map(|p| p.id)),
            B::spade_activation_grads(x, gamma, beta, dy),
            grads,
        );
    }
}

#[derive(Debug)]
struct LinearAttentionBackward;

impl<B: CpuGradients> Backward<B, 1> for LinearAttentionBackward {
    type State = ([NodeId; 1], (FloatTensor<B>, usize));

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, ck: &mut Checkpointer) {
        let _timer = timer(|| "linear attention, gradient".into());
        let dy = grads.consume::<B>(&ops.node);
        let (nodes, (state, heads)) = ops.state;
        let [qkv] = inputs::<B, 1>(nodes, ck);
        let gradient = B::linear_attention_grad(qkv, state, dy, heads);
        hand_out::<B, 1>(ops.parents.map(|p| p.map(|p| p.id)), [gradient], grads);
    }
}

#[derive(Debug)]
struct JoinBackward;

impl<B: CpuGradients> Backward<B, 2> for JoinBackward {
    type State = usize;

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let _timer = timer(|| "joining, gradient".into());
        let dy = grads.consume::<B>(&ops.node);
        let gradients = B::join_grads(dy, ops.state);
        hand_out::<B, 2>(ops.parents.map(|p| p.map(|p| p.id)), gradients, grads);
    }
}

#[derive(Debug)]
struct NearestDoubleBackward;

impl<B: CpuGradients> Backward<B, 1> for NearestDoubleBackward {
    type State = ();

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let _timer = timer(|| "doubling, gradient".into());
        let dy = grads.consume::<B>(&ops.node);
        hand_out::<B, 1>(
            ops.parents.map(|p| p.map(|p| p.id)),
            [B::nearest_double_grad(dy)],
            grads,
        );
    }
}

#[derive(Debug)]
struct DoubledConvBackward;

impl<B: CpuGradients> Backward<B, 3> for DoubledConvBackward {
    type State = ([NodeId; 3], ());

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, ck: &mut Checkpointer) {
        let _timer = timer(|| "3×3 convolution, doubled, gradient".into());
        let dy = grads.consume::<B>(&ops.node);
        let [x, weight, _] = inputs::<B, 3>(ops.state.0, ck);
        hand_out::<B, 3>(
            ops.parents.map(|p| p.map(|p| p.id)),
            B::doubled_conv2d_grads(x, weight, dy),
            grads,
        );
    }
}

impl<B: CpuOps + CpuGradients, C: CheckpointStrategy> CpuOps for Autodiff<B, C> {
    fn conv2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        stride: usize,
        padding: usize,
        keep: bool,
    ) -> FloatTensor<Self> {
        record!(
            ConvBackward,
            C,
            [x, weight],
            Window::now(stride, padding),
            <B as CpuOps>::conv2d(x, weight, stride, padding, keep)
        )
    }

    fn conv2d_bias(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        stride: usize,
        padding: usize,
        keep: bool,
    ) -> FloatTensor<Self> {
        match ConvBiasBackward
            .prepare::<C>([x.node(), weight.node(), bias.node()])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(mut prep) => {
                let nodes = [prep.checkpoint(&x), prep.checkpoint(&weight)];
                let [x, weight, bias] = [x, weight, bias].map(|t| t.into_primitive());
                let y = B::conv2d_bias(x, weight, bias, stride, padding, keep);
                prep.finish((nodes, Window::now(stride, padding)), y)
            }
            OpsKind::UnTracked(prep) => {
                let [x, weight, bias] = [x, weight, bias].map(|t| t.into_primitive());
                prep.finish(B::conv2d_bias(x, weight, bias, stride, padding, keep))
            }
        }
    }

    fn conv2d_over(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        divisor: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        padding: usize,
    ) -> FloatTensor<Self> {
        let divisor = Self::float_reshape(divisor, [1, 1, 1, 1].into());
        let weight = Self::float_div(weight, divisor);
        Self::conv2d_bias(x, weight, bias, 1, padding, false)
    }

    fn modulated_conv_silu(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let h = <Self as CpuOps>::conv2d(x, weight, 1, 1, false);
        Self::modulate_silu(h, scale, shift)
    }

    fn conv_silu_add(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        skip: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let h = <Self as CpuOps>::conv2d(x, weight, 1, 1, false);
        Self::float_add(<Self as CpuOps>::silu(h), skip)
    }

    fn residual_block(
        x: FloatTensor<Self>,
        conv1: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        conv2: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        record_block!(
            ResidualBlockBackward,
            C,
            [x, conv1, scale, shift, conv2],
            B::residual_block_kept,
            |[x, conv1, scale, shift, conv2]: [_; 5]| {
                B::residual_block(x, conv1, scale, shift, conv2)
            }
        )
    }

    fn joined_residual_block(
        x: FloatTensor<Self>,
        y: FloatTensor<Self>,
        conv1: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        conv2: FloatTensor<Self>,
        skip: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        record_block!(
            JoinedResidualBlockBackward,
            C,
            [x, y, conv1, scale, shift, conv2, skip],
            B::joined_block_kept,
            |[x, y, conv1, scale, shift, conv2, skip]: [_; 7]| {
                B::joined_residual_block(x, y, conv1, scale, shift, conv2, skip)
            }
        )
    }

    fn guide_block(
        x: FloatTensor<Self>,
        structure: FloatTensor<Self>,
        first: GuideHalf<Self>,
        second: GuideHalf<Self>,
    ) -> FloatTensor<Self> {
        record_block!(
            GuideBlockBackward,
            C,
            GuideHalf::inputs(x, structure, first, second),
            B::guide_block_kept,
            |inputs| B::guide_block_kept(inputs).0
        )
    }

    fn modulate_silu(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        record!(
            ModulateSiluBackward,
            C,
            [x, scale, shift],
            (),
            B::modulate_silu(x, scale, shift)
        )
    }

    fn silu(x: FloatTensor<Self>) -> FloatTensor<Self> {
        record!(SiluBackward, C, [x], (), <B as CpuOps>::silu(x))
    }

    fn channel_norm(x: FloatTensor<Self>, gain: FloatTensor<Self>) -> FloatTensor<Self> {
        record!(
            ChannelNormBackward,
            C,
            [x, gain],
            (),
            B::channel_norm(x, gain)
        )
    }

    fn spade_activation(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        record!(
            SpadeActivationBackward,
            C,
            [x, gamma, beta],
            (),
            B::spade_activation(x, gamma, beta)
        )
    }

    fn linear_attention(qkv: FloatTensor<Self>, heads: usize) -> FloatTensor<Self> {
        match LinearAttentionBackward
            .prepare::<C>([qkv.node()])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(mut prep) => {
                let nodes = [prep.checkpoint(&qkv)];
                let [out, state] = B::linear_attention_with_state(qkv.into_primitive(), heads);
                prep.finish((nodes, (state, heads)), out)
            }
            OpsKind::UnTracked(prep) => {
                prep.finish(B::linear_attention(qkv.into_primitive(), heads))
            }
        }
    }

    fn doubled_conv2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        record!(
            DoubledConvBackward,
            C,
            [x, weight, bias],
            (),
            B::doubled_conv2d(x, weight, bias)
        )
    }

    fn to_maps(_: FloatTensor<Self>) -> FloatTensor<Self> {
        unreachable!("maps are for inference")
    }

    fn from_maps(_: FloatTensor<Self>) -> FloatTensor<Self> {
        unreachable!("maps are for inference")
    }

    fn add_maps(_: FloatTensor<Self>, _: FloatTensor<Self>) -> FloatTensor<Self> {
        unreachable!("maps are for inference")
    }

    fn adam_step(
        weight: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        step: AdamStep,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let [weight, gradient, first, second] =
            [weight, gradient, first, second].map(|t| t.into_primitive());
        let (weight, first, second) = B::adam_step(weight, gradient, first, second, step);
        let [weight, first, second] = [weight, first, second].map(Self::from_inner);
        (weight, first, second)
    }

    fn orthogonal(matrix: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::from_inner(B::orthogonal(matrix.into_primitive()))
    }

    fn blend(
        average: FloatTensor<Self>,
        value: FloatTensor<Self>,
        decay: f32,
    ) -> FloatTensor<Self> {
        Self::from_inner(B::blend(
            average.into_primitive(),
            value.into_primitive(),
            decay,
        ))
    }

    fn join(x: FloatTensor<Self>, y: FloatTensor<Self>) -> FloatTensor<Self> {
        let [_, channels, _, _] = x.shape().dims::<4>();
        match JoinBackward
            .prepare::<C>([x.node(), y.node()])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => {
                prep.finish(channels, B::join(x.into_primitive(), y.into_primitive()))
            }
            OpsKind::UnTracked(prep) => {
                prep.finish(B::join(x.into_primitive(), y.into_primitive()))
            }
        }
    }

    fn nearest_double(x: FloatTensor<Self>) -> FloatTensor<Self> {
        match NearestDoubleBackward
            .prepare::<C>([x.node()])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => prep.finish((), B::nearest_double(x.into_primitive())),
            OpsKind::UnTracked(prep) => prep.finish(B::nearest_double(x.into_primitive())),
        }
    }

    fn attention_block(
        x: FloatTensor<Self>,
        pre_gain: FloatTensor<Self>,
        qkv: FloatTensor<Self>,
        out: FloatTensor<Self>,
        out_bias: FloatTensor<Self>,
        post_gain: FloatTensor<Self>,
        heads: usize,
    ) -> FloatTensor<Self> {
        record_block!(
            AttentionBlockBackward,
            C,
            [x, pre_gain, qkv, out, out_bias, post_gain],
            |inputs| {
                let (y, kept) = B::attention_block_kept(inputs, heads);
                (y, (heads, kept))
            },
            |[x, pre_gain, qkv, out, out_bias, post_gain]: [_; 6]| {
                B::attention_block(x, pre_gain, qkv, out, out_bias, post_gain, heads)
            }
        )
    }
}
