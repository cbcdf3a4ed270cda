//! The conditional U-Net of both processes (Luo et al., ICML 2023), with the guide blocks that
//! StrDiffusion adds for the texture.
//!
//! One definition serves both: the structure network has no guide blocks. It reads the state x_t,
//! its condition μ and the timestep, and predicts noise (or x_0 − μ, see
//! [`Prediction`](crate::sde::Prediction)) of the state's shape.

use burn::module::Module;
use burn::tensor::activation::{gelu, silu};
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::embedding::sinusoidal;
use super::guide::{GuideAlignment, GuideBlock};
use super::layers::{ChannelNorm, Conv2d, Conv2dConfig, Init, InitRng, Linear};
use super::precision::Network;
use super::{MOST_CHANNELS, MOST_WIDTH};
use crate::error::{Error, Result};
use crate::ops::{self, Convolutions};

/// Heads of the linear attention, and features of each.
pub(super) const HEADS: usize = 4;
pub(super) const HEAD_DIM: usize = 32;

/// Sizes of a [`ConditionalUNet`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConditionalUNetConfig {
    /// Channels of the state x_t and of the condition μ: 3 for texture, 1 for structure.
    pub in_channels: usize,
    /// Channels of the prediction.
    pub out_channels: usize,
    /// Channels at full resolution (nf).
    pub width: usize,
    /// Number of levels; channels double at each.
    pub depth: usize,
    /// Channels that the network reads beside state and condition; 0 in the paper. See
    /// [`Conditioning`](crate::conditioning::Conditioning).
    #[serde(default)]
    pub context_channels: usize,
    /// Whether the network is steered by a structure.
    pub guided: bool,
    /// Whether it also reads the structure that guides it as a channel of its input, at full
    /// resolution; false in the paper.
    #[serde(default)]
    pub guide_input: bool,
    /// Side of the squares of pixels that the first convolution takes as channels of one position,
    /// and the last one gives back (pixel unshuffle); 1, the paper's, takes each pixel by itself.
    #[serde(default = "single_pixels")]
    pub patch: usize,
}

fn single_pixels() -> usize {
    1
}

impl ConditionalUNetConfig {
    /// The texture network: RGB, guided.
    pub fn texture(width: usize, depth: usize) -> Self {
        Self {
            in_channels: 3,
            out_channels: 3,
            width,
            depth,
            context_channels: 0,
            guided: true,
            guide_input: false,
            patch: 1,
        }
    }

    /// The structure network: one channel, no guide.
    pub fn structure(width: usize, depth: usize) -> Self {
        Self {
            in_channels: 1,
            out_channels: 1,
            width,
            depth,
            context_channels: 0,
            guided: false,
            guide_input: false,
            patch: 1,
        }
    }

    /// Checks that a network of these sizes can be built.
    ///
    /// # Errors
    /// Names the first size that is out of range.
    pub fn validate(&self) -> Result<()> {
        let complain = |what: String| Err(Error::Config(what));
        if self.in_channels == 0 || self.out_channels == 0 {
            return complain("a network needs at least one channel in and out".into());
        }
        let channels = [self.in_channels, self.out_channels, self.context_channels];
        if channels.iter().any(|&channels| channels > MOST_CHANNELS) {
            return complain(format!(
                "a network's channels are {channels:?} (in, out, context): each must be at most \
                 {MOST_CHANNELS}"
            ));
        }
        if self.width > MOST_WIDTH {
            return complain(format!(
                "width (nf) is {}: it must be at most {MOST_WIDTH}",
                self.width
            ));
        }
        if self.width < 4 || !self.width.is_multiple_of(2) {
            return complain(format!(
                "width (nf) is {}: it must be even and at least 4",
                self.width
            ));
        }
        if !(1..=8).contains(&self.depth) {
            return complain(format!("depth is {}: it must be 1 to 8", self.depth));
        }
        if !matches!(self.patch, 1 | 2 | 4 | 8) {
            return complain(format!("patch is {}: it must be 1, 2, 4 or 8", self.patch));
        }
        if self.guide_input && !self.guided {
            return complain("guide_input needs a guided network; set guided too".into());
        }
        Ok(())
    }

    /// A fresh network whose weights are drawn from `seed`.
    ///
    /// # Errors
    /// As [`validate`](Self::validate).
    pub fn init(&self, seed: u64, device: &Device) -> Result<ConditionalUNet> {
        self.build(&mut InitRng::seed_from_u64(seed), device)
    }

    /// The same network with zeros, for weights that are to be read.
    ///
    /// # Errors
    /// As [`validate`](Self::validate).
    pub(crate) fn zeros(&self, device: &Device) -> Result<ConditionalUNet> {
        self.build(&mut InitRng::zeros(), device)
    }

    fn build(&self, rng: &mut InitRng, device: &Device) -> Result<ConditionalUNet> {
        self.validate()?;
        let (width, time_dim) = (self.width, self.width * 4);
        let level_channels = |level: usize| [width << level, width << (level + 1)];

        let downs = (0..self.depth).map(|level| {
            let [c, next] = level_channels(level);
            let downsample = if level + 1 == self.depth {
                Conv2dConfig::same([c, next], 3)
            } else {
                Conv2dConfig {
                    channels: [c, next],
                    kernel: 4,
                    stride: 2,
                    padding: 1,
                    bias: true,
                    init: Init::FanIn,
                }
            };
            DownLevel {
                block1: ResBlock::new([c, c], time_dim, rng, device),
                block2: ResBlock::new([c, c], time_dim, rng, device),
                attention: LinearAttention::new(c, rng, device),
                downsample: downsample.init(rng, device),
                guide: self.guided.then(|| GuideBlock::new(next, rng, device)),
            }
        });
        let downs = downs.collect();
        let ups = (0..self.depth).rev().map(|level| {
            let [c, next] = level_channels(level);
            let upsample = Conv2dConfig::same([next, c], 3);
            let upsample = if level == 0 {
                upsample
            } else {
                upsample.with_bias()
            };
            UpLevel {
                block1: ResBlock::new([next + c, next], time_dim, rng, device),
                block2: ResBlock::new([next + c, next], time_dim, rng, device),
                attention: LinearAttention::new(next, rng, device),
                upsample: upsample.init(rng, device),
                doubles: level != 0,
            }
        });
        let ups = ups.collect();
        let middle = width << self.depth;
        Ok(ConditionalUNet {
            init_conv: Conv2dConfig::same(
                [self.input_channels() * self.patch.pow(2), width],
                self.stem_kernel(),
            )
            .init(rng, device),
            time: TimeEmbedding::new(width, time_dim, rng, device),
            downs,
            mid_block1: ResBlock::new([middle, middle], time_dim, rng, device),
            mid_attention: LinearAttention::new(middle, rng, device),
            mid_block2: ResBlock::new([middle, middle], time_dim, rng, device),
            ups,
            final_block: ResBlock::new([2 * width, width], time_dim, rng, device),
            final_conv: Conv2dConfig::same([width, self.out_channels * self.patch.pow(2)], 3)
                .with_bias()
                .init(rng, device),
            patch: self.patch,
            guide_input: self.guide_input,
            convolutions: Convolutions::default(),
        })
    }

    /// Numbers that a network of these sizes has at the least: those of its largest convolution and
    /// of its first one.
    pub(crate) fn fewest_weights(&self) -> usize {
        let middle = self.width << self.depth;
        let patch = self.patch.pow(2);
        let stem = self.input_channels() * patch * self.width * self.stem_kernel().pow(2);
        9 * (middle * middle + self.out_channels * patch * self.width) + stem
    }

    /// Channels that the network reads: x_t − μ, μ, the context, and the guide if it is read.
    pub fn input_channels(&self) -> usize {
        2 * self.in_channels + self.context_channels + usize::from(self.guide_input)
    }

    /// Side of the first convolution's kernel, in positions: 7 pixels, or 3 patches.
    pub(super) fn stem_kernel(&self) -> usize {
        if self.patch == 1 { 7 } else { 3 }
    }

    /// A picture is padded to a multiple of so many pixels.
    fn multiple(&self) -> usize {
        self.patch << self.depth
    }

    /// Checks that pictures of `height` × `width` can pass: mirrored padding needs a picture
    /// larger than its margin.
    ///
    /// # Errors
    /// States the size and the smallest side that works.
    pub fn check_size(&self, height: usize, width: usize) -> Result<()> {
        let multiple = self.multiple();
        let fits = |side: usize| side > 0 && side.next_multiple_of(multiple) - side < side;
        if fits(height) && fits(width) {
            return Ok(());
        }
        Err(Error::Size(format!(
            "a picture of {width}×{height} is too small for a network of depth {}: each side must \
             be at least {} pixels",
            self.depth,
            multiple / 2 + 1
        )))
    }
}

/// Two 3×3 convolutions with SiLU and a skip; the timestep scales and shifts between them. No
/// normalisation.
#[derive(Module, Debug)]
pub struct ResBlock {
    /// Time embedding → scale and shift of each output channel.
    pub time: Linear,
    /// First convolution, no bias.
    pub conv1: Conv2d,
    /// Second convolution, no bias.
    pub conv2: Conv2d,
    /// 1×1 convolution where the channels change, else the identity.
    pub skip: Option<Conv2d>,
}

impl ResBlock {
    fn new(
        channels @ [c_in, c_out]: [usize; 2],
        time_dim: usize,
        rng: &mut InitRng,
        device: &Device,
    ) -> Self {
        Self {
            time: Linear::new([time_dim, 2 * c_out], Init::FanIn, rng, device),
            conv1: Conv2dConfig::same(channels, 3).init(rng, device),
            conv2: Conv2dConfig::same([c_out, c_out], 3).init(rng, device),
            skip: (c_in != c_out).then(|| Conv2dConfig::same(channels, 1).init(rng, device)),
        }
    }

    /// `[b, out, h, w]` and a time embedding, `[b, 4·nf]` or `[1, 4·nf]` for all → `[b, out, h, w]`.
    pub fn forward(&self, x: Tensor<4>, time: Tensor<2>) -> Tensor<4> {
        let modulation = self.modulation(time, x.dims()[0]);
        ops::residual_block(x, self.convs(), modulation)
    }

    /// The channels of `[b, c, h, w]` and `[b, in - c, h, w]`, and a time embedding as above → `[b, out, h, w]`.
    ///
    /// # Panics
    /// If the block has as many outputs as inputs.
    pub fn forward_joined(&self, parts: [Tensor<4>; 2], time: Tensor<2>) -> Tensor<4> {
        let skip = self.skip.as_ref().expect("a block with fewer outputs");
        let skip = skip.weight.val();
        let modulation = self.modulation(time, parts[0].dims()[0]);
        ops::joined_residual_block(parts, self.convs(), modulation, skip)
    }

    fn convs(&self) -> [Tensor<4>; 2] {
        [self.conv1.weight.val(), self.conv2.weight.val()]
    }

    /// Scale and shift, `[b, out]` each.
    fn modulation(&self, time: Tensor<2>, batch: usize) -> [Tensor<2>; 2] {
        let modulation = self.time.forward(silu(time)); // [b, 2·out]
        // Not earlier: a product of one row may be rounded differently from one of several, and what
        // a picture is filled with must not depend on its batch.
        let modulation = match modulation.dims()[0] {
            1 => modulation.repeat_dim(0, batch),
            _ => modulation,
        };
        let c_out = modulation.dims()[1] / 2;
        let scale = modulation.clone().narrow(1, 0, c_out);
        [scale, modulation.narrow(1, c_out, c_out)]
    }
}

/// x + norm(W_out · attention(W_qkv · norm(x))).
#[derive(Module, Debug)]
pub struct LinearAttention {
    /// Norm before.
    pub norm: ChannelNorm,
    /// 1×1, to 3 · 4 heads · 32 features, no bias.
    pub to_qkv: Conv2d,
    /// 1×1, back to the channels.
    pub to_out: Conv2d,
    /// Norm after.
    pub out_norm: ChannelNorm,
}

impl LinearAttention {
    fn new(channels: usize, rng: &mut InitRng, device: &Device) -> Self {
        let hidden = HEADS * HEAD_DIM;
        Self {
            norm: ChannelNorm::new(channels, device),
            to_qkv: Conv2dConfig::same([channels, 3 * hidden], 1).init(rng, device),
            to_out: Conv2dConfig::same([hidden, channels], 1)
                .with_bias()
                .init(rng, device),
            out_norm: ChannelNorm::new(channels, device),
        }
    }

    /// `[b, c, h, w]` → the same shape.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let out_bias = self.to_out.bias.as_ref().expect("to_out has a bias");
        ops::attention_block(
            x,
            ops::AttentionWeights {
                heads: HEADS,
                pre_gain: self.norm.gain.val(),
                qkv: self.to_qkv.weight.val(),
                out: self.to_out.weight.val(),
                out_bias: out_bias.val(),
                post_gain: self.out_norm.gain.val(),
            },
        )
    }
}

/// Timestep → `[b, 4·nf]`: sinusoidal(nf), linear, GELU, linear.
#[derive(Module, Debug)]
pub struct TimeEmbedding {
    /// nf → 4·nf.
    pub linear1: Linear,
    /// 4·nf → 4·nf.
    pub linear2: Linear,
    width: usize,
}

impl TimeEmbedding {
    fn new(width: usize, time_dim: usize, rng: &mut InitRng, device: &Device) -> Self {
        Self {
            linear1: Linear::new([width, time_dim], Init::FanIn, rng, device),
            linear2: Linear::new([time_dim, time_dim], Init::FanIn, rng, device),
            width,
        }
    }

    /// One row for each time.
    pub fn forward(&self, times: &[f32], device: &Device) -> Tensor<2> {
        let sines = sinusoidal(times, self.width, device);
        let sines = sines.cast(self.linear1.weight.val().dtype());
        self.linear2.forward(gelu(self.linear1.forward(sines)))
    }
}

/// One level on the way down.
#[derive(Module, Debug)]
pub struct DownLevel {
    /// Its output is the level's first skip.
    pub block1: ResBlock,
    /// Second block.
    pub block2: ResBlock,
    /// Its output is the level's second skip.
    pub attention: LinearAttention,
    /// 4×4, stride 2; at the last level 3×3, stride 1.
    pub downsample: Conv2d,
    /// Steered by the structure; texture only.
    pub guide: Option<GuideBlock>,
}

/// One level on the way up.
#[derive(Module, Debug)]
pub struct UpLevel {
    /// Takes the level's second skip.
    pub block1: ResBlock,
    /// Takes the level's first skip.
    pub block2: ResBlock,
    /// Attention.
    pub attention: LinearAttention,
    /// 3×3 convolution, after doubling the size (but not at the outermost level).
    pub upsample: Conv2d,
    doubles: bool,
}

impl UpLevel {
    fn upsampled(&self, x: Tensor<4>) -> Tensor<4> {
        if !self.doubles {
            return self.upsample.forward(x);
        }
        let Conv2d { weight, bias, .. } = &self.upsample;
        let bias = bias.as_ref().expect("what doubles has a bias");
        ops::doubled_conv2d(x, weight.val(), bias.val())
    }
}

/// The noise network ε̂(x_t, μ, t) of structure, or ε̂(y_t, μ, t; S) of texture.
#[derive(Module, Debug)]
pub struct ConditionalUNet {
    /// 7×7, 2·in → nf; with patches 3×3.
    pub init_conv: Conv2d,
    /// Timestep embedding.
    pub time: TimeEmbedding,
    /// Levels from fine to coarse.
    pub downs: Vec<DownLevel>,
    /// Middle.
    pub mid_block1: ResBlock,
    /// Middle.
    pub mid_attention: LinearAttention,
    /// Middle.
    pub mid_block2: ResBlock,
    /// Levels from coarse to fine.
    pub ups: Vec<UpLevel>,
    /// Takes the first convolution's output once more.
    pub final_block: ResBlock,
    /// 3×3, nf → out.
    pub final_conv: Conv2d,
    patch: usize,
    guide_input: bool,
    #[module(skip)]
    convolutions: Convolutions,
}

impl Network for ConditionalUNet {
    fn convolutions(&mut self) -> &mut Convolutions {
        &mut self.convolutions
    }
}

impl ConditionalUNet {
    /// The prediction for a state `[b, in, h, w]`.
    ///
    /// `times` holds one timestep for the whole batch or one for each picture; `guide` is the
    /// structure `[b, 1, h', w']`, required if and only if the network is guided, and `context` the
    /// further channels that the network reads, if it reads any. The network computes with the
    /// numbers of its weights; the prediction has those of the state.
    ///
    /// # Panics
    /// If shapes disagree, if a side is too small for the depth (see
    /// [`ConditionalUNetConfig::check_size`]), or if a guide is missing.
    pub fn forward(
        &self,
        state: Tensor<4>,
        condition: Tensor<4>,
        context: Option<Tensor<4>>,
        times: &[f32],
        guide: Option<Tensor<4>>,
        alignment: GuideAlignment,
    ) -> Tensor<4> {
        let watch = &mut |_: &str, _: &Tensor<4>| {};
        self.forward_with(state, condition, context, times, guide, alignment, watch)
    }

    /// As [`forward`](Self::forward), showing the output of every block to `watch` under the
    /// block's path, such as `downs.0.block1`.
    #[allow(
        clippy::too_many_arguments,
        reason = "what the network reads, and an observer"
    )]
    pub fn forward_with(
        &self,
        state: Tensor<4>,
        condition: Tensor<4>,
        context: Option<Tensor<4>>,
        times: &[f32],
        guide: Option<Tensor<4>>,
        alignment: GuideAlignment,
        watch: &mut dyn FnMut(&str, &Tensor<4>),
    ) -> Tensor<4> {
        let _chosen = ops::choose_convolutions(self.convolutions);
        let [_, _, height, width] = state.dims();
        let (outside, inside) = (state.dtype(), self.init_conv.weight.val().dtype());
        let multiple = self.patch << self.downs.len();
        let mut input = vec![state - condition.clone(), condition];
        input.extend(context);
        if self.guide_input {
            input.push(guide.clone().expect("a guided network needs a structure"));
        }
        let input = Tensor::cat(input, 1).cast(inside);
        let guide = guide.map(|guide| guide.cast(inside));
        let input = ops::reflect_pad_to_multiple(input, multiple);
        let input = ops::pixel_unshuffle(input, self.patch);
        let guide = guide.map(|guide| match alignment {
            GuideAlignment::Padded => ops::reflect_pad_to_multiple(guide, multiple),
            GuideAlignment::Stretched => guide,
        });
        let time = self.time.forward(times, &input.device());

        let mut seen = |path: String, x: Tensor<4>| {
            watch(&path, &x);
            x
        };
        let stem = ops::to_maps(self.init_conv.forward(input));
        let stem = seen("init_conv".into(), stem);
        let mut x = stem.clone();
        let mut skips = Vec::with_capacity(2 * self.downs.len());
        for (i, level) in self.downs.iter().enumerate() {
            x = seen(
                format!("downs.{i}.block1"),
                level.block1.forward(x, time.clone()),
            );
            skips.push(x.clone());
            x = seen(
                format!("downs.{i}.block2"),
                level.block2.forward(x, time.clone()),
            );
            x = seen(format!("downs.{i}.attention"), level.attention.forward(x));
            skips.push(x.clone());
            x = seen(format!("downs.{i}.downsample"), level.downsample.forward(x));
            if let Some(block) = &level.guide {
                let structure = guide.clone().expect("a guided network needs a structure");
                x = seen(format!("downs.{i}.guide"), block.forward(x, structure));
            }
        }
        x = seen(
            "mid_block1".into(),
            self.mid_block1.forward(x, time.clone()),
        );
        x = seen("mid_attention".into(), self.mid_attention.forward(x));
        x = seen(
            "mid_block2".into(),
            self.mid_block2.forward(x, time.clone()),
        );
        for (i, level) in self.ups.iter().enumerate() {
            for (name, block) in [("block1", &level.block1), ("block2", &level.block2)] {
                let skip = skips.pop().expect("two skips for each level");
                x = seen(
                    format!("ups.{i}.{name}"),
                    block.forward_joined([x, skip], time.clone()),
                );
            }
            x = seen(format!("ups.{i}.attention"), level.attention.forward(x));
            x = seen(format!("ups.{i}.upsample"), level.upsampled(x));
        }
        let joined = self.final_block.forward_joined([x, stem], time);
        x = seen("final_block".into(), joined);
        x = ops::from_maps(x);
        x = seen("final_conv".into(), self.final_conv.forward(x));
        let x = ops::pixel_shuffle(x, self.patch);
        x.narrow(2, 0, height).narrow(3, 0, width).cast(outside)
    }

    /// Whether the network is steered by a structure.
    pub fn is_guided(&self) -> bool {
        self.downs.iter().any(|level| level.guide.is_some())
    }

    /// One power iteration of every spectrally normalised convolution; training does this before
    /// each forward pass.
    pub fn iterate_power(&mut self) {
        for block in self
            .downs
            .iter_mut()
            .filter_map(|level| level.guide.as_mut())
        {
            block.conv0.iterate_power();
            block.conv1.iterate_power();
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;

    use super::*;
    use crate::sampling::{NoiseSource, SeededNoise};
    use crate::weights::host_values;

    fn noise(seed: u64, shape: [usize; 3]) -> Tensor<4> {
        let [c, h, w] = shape;
        let values = SeededNoise::new(&[seed]).normal(0, shape).unwrap();
        Tensor::from_data(TensorData::new(values, [1, c, h, w]), &Device::flex())
    }

    fn output(network: &ConditionalUNet, [h, w]: [usize; 2], guide: &Tensor<4>) -> Vec<f32> {
        let output = network.forward(
            noise(1, [3, h, w]),
            noise(2, [3, h, w]),
            None,
            &[40.0],
            Some(guide.clone()),
            GuideAlignment::Padded,
        );
        assert_eq!(output.dims(), [1, 3, h, w]);
        host_values(output)
    }

    #[test]
    fn a_config_without_the_newer_keys_is_the_network_that_it_was() {
        let text =
            r#"{"in_channels": 3, "out_channels": 3, "width": 8, "depth": 2, "guided": true}"#;
        let config: ConditionalUNetConfig = serde_json::from_str(text).unwrap();
        assert_eq!(config, ConditionalUNetConfig::texture(8, 2));
        let network = config.init(0, &Device::flex()).unwrap();
        assert_eq!(network.init_conv.weight.dims(), [8, 6, 7, 7]);
    }

    /// At widths at which products of one row and of several are computed in different ways.
    #[test]
    fn a_picture_does_not_depend_on_what_it_is_batched_with() {
        let network = ConditionalUNetConfig::texture(32, 2);
        let network = network.init(4, &Device::flex()).unwrap();
        let side = 16;
        let [state, condition, guide] =
            [(1, 3), (2, 3), (3, 1)].map(|(seed, channels)| noise(seed, [channels, side, side]));
        let outputs = |batch: usize| {
            let repeated = |x: &Tensor<4>| x.clone().repeat_dim(0, batch);
            let output = network.forward(
                repeated(&state),
                repeated(&condition),
                None,
                &[40.0],
                Some(repeated(&guide)),
                GuideAlignment::Padded,
            );
            host_values(output)
        };
        let alone = outputs(1);
        for batch in [2, 3, 5] {
            let together = outputs(batch);
            assert!(
                together.chunks(alone.len()).all(|values| values == alone),
                "{batch}"
            );
        }
    }

    #[test]
    fn patches_keep_the_size_of_any_picture() {
        let config = ConditionalUNetConfig {
            patch: 2,
            ..ConditionalUNetConfig::texture(8, 2)
        };
        let network = config.init(3, &Device::flex()).unwrap();
        assert_eq!(network.init_conv.weight.dims(), [8, 24, 3, 3]);
        for [h, w] in [[16, 16], [13, 18]] {
            config.check_size(h, w).unwrap();
            let values = output(&network, [h, w], &noise(3, [1, h, w]));
            assert!(values.iter().all(|v| v.is_finite()));
        }
        assert!(config.check_size(4, 16).is_err());
    }

    /// The guide blocks of a network of depth 2 see every second pixel at most.
    #[test]
    fn a_guide_at_the_input_is_read_to_the_pixel() {
        let [h, w] = [16, 16];
        let guide = noise(3, [1, h, w]);
        let moved = guide.clone().slice_fill([0..1, 0..1, 5..6, 7..8], 2.0);
        for (guide_input, patch) in [(false, 1), (true, 1), (true, 2)] {
            let config = ConditionalUNetConfig {
                guide_input,
                patch,
                ..ConditionalUNetConfig::texture(8, 2)
            };
            let network = config.init(5, &Device::flex()).unwrap();
            let differs = output(&network, [h, w], &guide) != output(&network, [h, w], &moved);
            assert_eq!(differs, guide_input, "patch {patch}");
        }
    }

    #[test]
    fn sizes_that_no_network_has_are_refused() {
        let texture = ConditionalUNetConfig::texture(8, 2);
        let patch = ConditionalUNetConfig {
            patch: 3,
            ..texture.clone()
        };
        assert!(patch.validate().unwrap_err().to_string().contains("patch"));
        let unguided = ConditionalUNetConfig {
            guide_input: true,
            guided: false,
            ..texture
        };
        let error = unguided.validate().unwrap_err().to_string();
        assert!(error.contains("guide_input"), "{error}");
    }
}
