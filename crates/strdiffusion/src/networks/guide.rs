//! The guide block: how the structure steers the texture.
//!
//! A SPADE residual block (Park et al., CVPR 2019) whose normalisation is positional (Li et al.,
//! NeurIPS 2019): statistics over the channels of each pixel, then a gain γ and an offset β that
//! are convolved from the structure S. Its shortcut is the identity.

use burn::module::Module;
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::layers::{Conv2d, Conv2dConfig, Init, InitRng, SpectralConv2d};
use crate::ops;

/// Channels of the convolution that γ and β share.
pub(super) const HIDDEN: usize = 16;

/// How a guide meets features whose picture was padded to a multiple of 2^depth.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GuideAlignment {
    /// The guide is padded as the picture is, so that both stay aligned.
    #[default]
    Padded,
    /// The unpadded guide is stretched to the padded features, which shifts it where the size is
    /// no multiple of 2^depth: what the reference implementation does.
    Stretched,
}

/// Spatially adaptive normalisation and activation (slope 0.2) of `[b, c, h, w]` by a structure `[b, 1, h', w']`.
#[derive(Module, Debug)]
pub struct Spade {
    /// 1 → 16 channels.
    pub shared: Conv2d,
    /// 16 → c channels: γ.
    pub gamma: Conv2d,
    /// 16 → c channels: β.
    pub beta: Conv2d,
}

impl Spade {
    fn new(channels: usize, rng: &mut InitRng, device: &Device) -> Self {
        let mut conv = |channels| {
            Conv2dConfig::same(channels, 3)
                .with_bias()
                .with_init(Init::Normal(0.02))
                .init(rng, device)
        };
        Self {
            shared: conv([1, HIDDEN]),
            gamma: conv([HIDDEN, channels]),
            beta: conv([HIDDEN, channels]),
        }
    }

    /// Half a guide block: this norm, and a convolution behind it.
    fn half(&self, conv: &SpectralConv2d) -> ops::GuideHalf {
        let bias = |conv: &Conv2d| conv.bias.as_ref().expect("a guide's bias").val();
        let (gamma, beta) = (&self.gamma, &self.beta);
        ops::GuideHalf {
            shared: self.shared.weight.val(),
            shared_bias: bias(&self.shared),
            maps: Tensor::cat(vec![gamma.weight.val(), beta.weight.val()], 0),
            maps_bias: Tensor::cat(vec![bias(gamma), bias(beta)], 0),
            conv: conv.normalised_weight(),
            conv_bias: conv.bias.val(),
        }
    }

    /// lrelu(norm(x) · (1 + γ(S)) + β(S)), with S resized (nearest) to x.
    pub fn forward(&self, x: Tensor<4>, structure: Tensor<4>) -> Tensor<4> {
        let [_, _, h, w] = x.dims();
        let hidden = relu(self.shared.forward(ops::nearest_resize(structure, [h, w])));
        let hidden = ops::to_maps(hidden);
        let gamma = self.gamma.forward(hidden.clone());
        let beta = self.beta.forward(hidden);
        ops::spade_activation(x, gamma, beta)
    }
}

/// x + conv1(lrelu(spade1(conv0(lrelu(spade0(x, S))), S))), slope 0.2.
#[derive(Module, Debug)]
pub struct GuideBlock {
    /// First normalisation.
    pub spade0: Spade,
    /// First convolution.
    pub conv0: SpectralConv2d,
    /// Second normalisation.
    pub spade1: Spade,
    /// Second convolution.
    pub conv1: SpectralConv2d,
}

impl GuideBlock {
    /// A fresh block for features of `channels` channels.
    pub fn new(channels: usize, rng: &mut InitRng, device: &Device) -> Self {
        Self {
            spade0: Spade::new(channels, rng, device),
            conv0: SpectralConv2d::new(channels, rng, device),
            spade1: Spade::new(channels, rng, device),
            conv1: SpectralConv2d::new(channels, rng, device),
        }
    }

    /// `[b, c, h, w]` and a structure `[b, 1, h', w']` → `[b, c, h, w]`.
    pub fn forward(&self, x: Tensor<4>, structure: Tensor<4>) -> Tensor<4> {
        if ops::has_guide_block(&x) {
            let [_, _, h, w] = x.dims();
            let structure = ops::nearest_resize(structure, [h, w]);
            let halves = [self.spade0.half(&self.conv0), self.spade1.half(&self.conv1)];
            return ops::guide_block(x, structure, halves);
        }
        let h = self.spade0.forward(x.clone(), structure.clone());
        let h = self.conv0.forward(h);
        let h = self.spade1.forward(h, structure);
        ops::add(x, self.conv1.forward(h))
    }
}
