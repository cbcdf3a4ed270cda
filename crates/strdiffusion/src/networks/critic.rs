//! The critic: does a patch of a fill look like a patch of a photograph? It takes part in training
//! alone (the adversarial term), and beyond the paper.
//!
//! A patch discriminator (Isola et al., CVPR 2017) on 2×2 pixels as channels, with group norm (Wu and
//! He, ECCV 2018): without a norm one of this size stays near chance.

use burn::module::Module;
use burn::nn::{GroupNorm, GroupNormConfig};
use burn::tensor::activation::leaky_relu;
use burn::tensor::{Device, Tensor};

use super::layers::{Conv2d, Conv2dConfig, InitRng};
use crate::ops;

/// Pixels of a side that are one position's channels at the first layer.
const PATCH: usize = 2;
/// Levels, each of half the size of the one before, with a score for each position.
const LEVELS: usize = 2;
/// Groups of channels that are normalised together.
const GROUPS: usize = 8;
/// Negative slope of every leaky ReLU.
const SLOPE: f64 = 0.2;

/// Scores patches of pictures.
#[derive(Module, Debug)]
pub struct Critic {
    stem: Conv2d,
    levels: Vec<Level>,
}

#[derive(Module, Debug)]
struct Level {
    /// 4×4, stride 2.
    halve: Conv2d,
    norm: GroupNorm,
    /// 3×3, to one score.
    head: Conv2d,
}

/// What a critic finds at one level.
#[derive(Debug, Clone)]
pub struct Findings {
    /// How real each position looks, `[b, 1, h', w']`.
    pub scores: Tensor<4>,
    /// What it is judged by, `[b, c, h', w']`.
    pub features: Tensor<4>,
}

impl Critic {
    /// Pixels of a picture for each of a level's positions, along a side.
    pub const STRIDES: [usize; LEVELS] = [2 * PATCH, 4 * PATCH];

    /// A fresh critic with `width` channels at its first layer, a multiple of 8.
    pub fn init(width: usize, seed: u64, device: &Device) -> Self {
        let rng = &mut InitRng::seed_from_u64(seed);
        let same = |channels, rng: &mut InitRng| {
            let config = Conv2dConfig::same(channels, 3).with_bias();
            config.init(rng, device)
        };
        let stem = same([4 * PATCH * PATCH, width], rng);
        let levels = (0..LEVELS).map(|level| {
            let [from, to] = [width << level, width << (level + 1)];
            let halve = Conv2dConfig {
                kernel: 4,
                stride: 2,
                padding: 1,
                ..Conv2dConfig::same([from, to], 3)
            };
            Level {
                halve: halve.init(rng, device),
                norm: GroupNormConfig::new(GROUPS, to).init(device),
                head: same([to, 1], rng),
            }
        });
        let levels = levels.collect();
        Self { stem, levels }
    }

    /// Whether a width is one that [`init`](Self::init) takes.
    pub fn takes(width: usize) -> bool {
        (GROUPS..=super::MOST_WIDTH).contains(&width) && width.is_multiple_of(GROUPS)
    }

    /// Looks at pictures `[b, 3, h, w]` in [0, 1], whose mask is `[b, 1, h, w]` (1 = known), at each
    /// level. Sides are multiples of the last of [`STRIDES`](Self::STRIDES).
    pub fn forward(&self, picture: Tensor<4>, mask: Tensor<4>) -> Vec<Findings> {
        let input = ops::pixel_unshuffle(Tensor::cat(vec![picture, mask], 1), PATCH);
        let mut x = leaky_relu(self.stem.forward(input), SLOPE);
        let mut found = vec![];
        for level in &self.levels {
            x = leaky_relu(level.norm.forward(level.halve.forward(x)), SLOPE);
            found.push(Findings {
                scores: level.head.forward(x.clone()),
                features: x.clone(),
            });
        }
        found
    }
}
