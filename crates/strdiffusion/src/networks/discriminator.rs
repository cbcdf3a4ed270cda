//! The discriminator: does a texture belong to a structure at timestep t?
//!
//! Architecture of the time-conditioned discriminator of denoising diffusion GANs (Xiao et al.,
//! ICLR 2022). Training drives the score of matching pairs up.

use burn::module::Module;
use burn::nn::{GroupNorm, GroupNormConfig};
use burn::tensor::activation::leaky_relu;
use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::MOST_WIDTH;
use super::embedding::sinusoidal;
use super::layers::{Conv2d, Conv2dConfig, Init, InitRng, Linear};
use super::precision::Network;
use crate::error::{Error, Result};
use crate::ops::{self, Convolutions};
use crate::weights::host_values;

/// Pictures whose spread is compared with each other.
const STDDEV_GROUP: usize = 4;
/// Groups of channels, at most, that are normalised together.
const NORM_GROUPS: usize = 8;
/// Negative slope of every leaky ReLU.
const SLOPE: f64 = 0.2;

/// Sizes of a [`Discriminator`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiscriminatorConfig {
    /// Channels in: texture and structure together.
    pub in_channels: usize,
    /// Base width (ngf).
    pub width: usize,
    /// Features of the time embedding.
    pub time_dim: usize,
    /// Whether each block normalises what its first convolution says, by groups of channels (Wu and
    /// He, ECCV 2018): beyond the paper.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub group_norm: bool,
}

impl DiscriminatorConfig {
    /// RGB and one channel of structure, time embedding of 256.
    pub fn new(width: usize) -> Self {
        Self {
            in_channels: 4,
            width,
            time_dim: 256,
            group_norm: false,
        }
    }

    /// Checks that a network of these sizes can be built.
    ///
    /// # Errors
    /// Names the first size that is out of range.
    pub fn validate(&self) -> Result<()> {
        if self.in_channels == 0 || self.width == 0 {
            return Err(Error::Config(
                "a discriminator needs at least one channel and a width (ngf) of at least 1".into(),
            ));
        }
        let sizes = [self.in_channels, self.width, self.time_dim];
        if sizes.iter().any(|&size| size > MOST_WIDTH) {
            return Err(Error::Config(format!(
                "the discriminator's sizes are {sizes:?} (channels in, width, time_dim): each must \
                 be at most {MOST_WIDTH}"
            )));
        }
        if self.time_dim < 4 || !self.time_dim.is_multiple_of(2) {
            return Err(Error::Config(format!(
                "the discriminator's time_dim is {}: it must be even and at least 4",
                self.time_dim
            )));
        }
        Ok(())
    }

    /// Numbers that a network of these sizes has at the least: those of its last convolution, of its
    /// first one and of the time's maps.
    pub(crate) fn fewest_weights(&self) -> usize {
        let last = 8 * self.width;
        9 * last * (last + 1) + 2 * self.width * self.in_channels + 2 * self.time_dim.pow(2)
    }

    /// A fresh network whose weights are drawn from `seed`: variance scaling over the mean fan,
    /// with the second convolution of each block and the final one scaled to almost nothing.
    ///
    /// # Errors
    /// As [`validate`](Self::validate).
    pub fn init(&self, seed: u64, device: &Device) -> Result<Discriminator> {
        self.build(&mut InitRng::seed_from_u64(seed), device)
    }

    /// The same network with zeros, for weights that are to be read.
    ///
    /// # Errors
    /// As [`validate`](Self::validate).
    pub(crate) fn zeros(&self, device: &Device) -> Result<Discriminator> {
        self.build(&mut InitRng::zeros(), device)
    }

    fn build(&self, rng: &mut InitRng, device: &Device) -> Result<Discriminator> {
        self.validate()?;
        let w = self.width;
        let time = TimeHead {
            linear1: Linear::new([self.time_dim; 2], Init::FanAverage(1.0), rng, device),
            linear2: Linear::new([self.time_dim; 2], Init::FanAverage(1.0), rng, device),
            width: self.time_dim,
        };
        let mut block = |channels, halves| DownBlock::new(channels, halves, self, rng, device);
        let blocks = vec![
            block([2 * w, 2 * w], false),
            block([2 * w, 4 * w], true),
            block([4 * w, 8 * w], true),
            block([8 * w, 8 * w], true),
        ];
        Ok(Discriminator {
            time,
            blocks,
            start_conv: Conv2dConfig::same([self.in_channels, 2 * w], 1)
                .with_bias()
                .with_init(Init::FanAverage(1.0))
                .init(rng, device),
            final_conv: Conv2dConfig::same([8 * w + 1, 8 * w], 3)
                .with_bias()
                .with_init(Init::FanAverage(0.0))
                .init(rng, device),
            end_linear: Linear::new([8 * w, 1], Init::FanAverage(1.0), rng, device),
            convolutions: Convolutions::default(),
        })
    }
}

/// Timestep → `[b, time_dim]`: sinusoidal, linear, leaky ReLU, linear, leaky ReLU.
#[derive(Module, Debug)]
pub struct TimeHead {
    /// First map.
    pub linear1: Linear,
    /// Second map.
    pub linear2: Linear,
    width: usize,
}

impl TimeHead {
    fn forward(&self, times: &[f32], device: &Device) -> Tensor<2> {
        let sines = sinusoidal(times, self.width, device).cast(self.linear1.weight.val().dtype());
        let x = self.linear1.forward(sines);
        leaky_relu(self.linear2.forward(leaky_relu(x, SLOPE)), SLOPE)
    }
}

/// A residual block that may halve the picture.
#[derive(Module, Debug)]
pub struct DownBlock {
    /// 3×3.
    pub conv1: Conv2d,
    /// Time embedding → offset of each channel.
    pub time: Linear,
    /// 3×3.
    pub conv2: Conv2d,
    /// 1×1, no bias.
    pub skip: Conv2d,
    /// After `conv1`, if any.
    pub norm: Option<GroupNorm>,
    halves: bool,
}

impl DownBlock {
    fn new(
        channels @ [_, c_out]: [usize; 2],
        halves: bool,
        config: &DiscriminatorConfig,
        rng: &mut InitRng,
        device: &Device,
    ) -> Self {
        let fits = |groups: &usize| c_out.is_multiple_of(*groups);
        let groups = (1..=NORM_GROUPS).rev().find(fits).unwrap_or(1);
        let norm = || GroupNormConfig::new(groups, c_out).init(device);
        let scaled = |config: Conv2dConfig, scale| config.with_init(Init::FanAverage(scale));
        Self {
            conv1: scaled(Conv2dConfig::same(channels, 3).with_bias(), 1.0).init(rng, device),
            time: Linear::new([config.time_dim, c_out], Init::FanAverage(1.0), rng, device),
            conv2: scaled(Conv2dConfig::same([c_out, c_out], 3).with_bias(), 0.0).init(rng, device),
            skip: scaled(Conv2dConfig::same(channels, 1), 1.0).init(rng, device),
            norm: config.group_norm.then(norm),
            halves,
        }
    }

    /// `[b, in, h, w]` → `[b, out, h, w]`, or half the size.
    fn forward(&self, x: Tensor<4>, time: Tensor<2>) -> Tensor<4> {
        let offset = self.time.forward(time);
        let [b, c] = offset.dims();
        let h = self.conv1.forward(leaky_relu(x.clone(), SLOPE));
        let h = match &self.norm {
            Some(norm) => norm.forward(h),
            None => h,
        };
        let h = h + offset.reshape([b, c, 1, 1]);
        let h = leaky_relu(h, SLOPE);
        let (h, x) = if self.halves {
            (fir_halve(h), fir_halve(x))
        } else {
            (h, x)
        };
        (self.conv2.forward(h) + self.skip.forward(x)) / std::f64::consts::SQRT_2
    }
}

/// Scores pairs of texture and structure.
#[derive(Module, Debug)]
pub struct Discriminator {
    /// Timestep embedding.
    pub time: TimeHead,
    /// 1×1, in → 2·ngf.
    pub start_conv: Conv2d,
    /// Four blocks; all but the first halve the picture.
    pub blocks: Vec<DownBlock>,
    /// 3×3, after the spread of the batch is joined as one more channel.
    pub final_conv: Conv2d,
    /// Sum over positions → score.
    pub end_linear: Linear,
    #[module(skip)]
    convolutions: Convolutions,
}

impl Network for Discriminator {
    fn convolutions(&mut self) -> &mut Convolutions {
        &mut self.convolutions
    }
}

impl Discriminator {
    /// One score for each pair at timestep t, as [`forward`](Self::forward) gives it to a pair that is
    /// alone: it reads how a batch spreads, and a fill shall not depend on its company.
    pub fn score_each(&self, t: f32, texture: &Tensor<4>, structure: &Tensor<4>) -> Vec<f32> {
        let [pictures, ..] = texture.dims();
        let alone = |all: &Tensor<4>, picture| all.clone().narrow(0, picture, 1);
        (0..pictures)
            .map(|i| self.forward(&[t], alone(texture, i), alone(structure, i)))
            .flat_map(host_values)
            .collect()
    }

    /// One score for each pair, `[b]`; higher means a better match.
    ///
    /// `texture` is `[b, 3, h, w]`, `structure` `[b, 1, h, w]`; `times` holds one timestep for the
    /// whole batch or one for each pair. Any batch size works: pair i is compared with the pairs
    /// i + k·n of its group, n = ⌈b/4⌉.
    pub fn forward(&self, times: &[f32], texture: Tensor<4>, structure: Tensor<4>) -> Tensor<1> {
        let _chosen = ops::choose_convolutions(self.convolutions);
        let [batch, ..] = texture.dims();
        let input = Tensor::cat(vec![texture, structure], 1);
        let time = self.time.forward(times, &input.device());
        let time = if times.len() == 1 {
            time.repeat_dim(0, batch)
        } else {
            time
        };
        let mut x = self.start_conv.forward(input);
        for block in &self.blocks {
            x = block.forward(x, time.clone());
        }
        let spread = group_stddev(x.clone());
        let x = leaky_relu(
            self.final_conv.forward(Tensor::cat(vec![x, spread], 1)),
            SLOPE,
        );
        let [b, c, h, w] = x.dims();
        let summed = x.reshape([b, c, h * w]).sum_dim(2).reshape([b, c]);
        self.end_linear.forward(summed).reshape([b])
    }
}

/// One channel that holds, for each picture, the mean standard deviation over its group.
fn group_stddev(x: Tensor<4>) -> Tensor<4> {
    let [batch, c, h, w] = x.dims();
    let groups = batch.div_ceil(STDDEV_GROUP);
    let mut channels: Vec<Option<Tensor<4>>> = vec![None; batch];
    for group in 0..groups {
        let members: Vec<usize> = (group..batch).step_by(groups).collect();
        let count = members.len();
        let stack = Tensor::cat(
            members
                .iter()
                .map(|&i| x.clone().narrow(0, i, 1).reshape([1, c * h * w]))
                .collect(),
            0,
        ); // [members, c·h·w]
        let centred = stack.clone() - stack.mean_dim(0);
        let stddev = (centred.square().mean_dim(0) + 1e-8).sqrt();
        let mean = stddev
            .mean_dim(1)
            .reshape([1, 1, 1, 1])
            .expand([1, 1, h, w]);
        debug_assert!(count > 0);
        for i in members {
            channels[i] = Some(mean.clone());
        }
    }
    let channels = channels
        .into_iter()
        .map(|c| c.expect("every picture has a group"));
    Tensor::cat(channels.collect(), 0)
}

/// Low-pass filter [1, 3, 3, 1] in both directions, then every second pixel.
fn fir_halve(x: Tensor<4>) -> Tensor<4> {
    let [b, c, h, w] = x.dims();
    let taps = [1f32, 3.0, 3.0, 1.0];
    let kernel: Vec<f32> = taps
        .iter()
        .flat_map(|a| taps.iter().map(move |b| a * b / 64.0))
        .collect();
    let kernel: Tensor<4> = Tensor::from_data(TensorData::new(kernel, [1, 1, 4, 4]), &x.device());
    let kernel = kernel.cast(x.dtype());
    // Channels are filtered one by one, so they may stand in the batch.
    let y = ops::conv2d(x.reshape([b * c, 1, h, w]), kernel, None, 2, 1);
    let [_, _, h, w] = y.dims();
    y.reshape([b, c, h, w])
}
