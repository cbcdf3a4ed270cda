//! What the three networks are trained for (StrDiffusion, section 3.3; SDE matching of Luo et al.).
//!
//! The simplified objective asks the reverse step's mean to be the optimum reverse state:
//!
//! L = mean|m (ŷ − y*)| + 10 · mean|(1 − m)(ŷ − y*)|, both means over all pixels;
//! [`MaskedLoss`] has the weights and the distance.
//!
//! Timesteps and noise are arguments: the same batch, times and noise give the same loss.

use burn::tensor::Tensor;
use burn::tensor::activation::softplus;
use serde::{Deserialize, Serialize};

use crate::conditions::Conditioning;
use crate::networks::{ConditionalUNet, Discriminator, GuideAlignment};
use crate::sde::{Prediction, Sde};

/// What a training step reads, for a batch of one size.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The photograph, `[b, 3, h, w]` in [0, 1].
    pub image: Tensor<4>,
    /// What its texture reverts to (μ), `[b, 3, h, w]`; image · m in the paper.
    pub mu: Tensor<4>,
    /// Its grayscale, `[b, 1, h, w]`, or what else the structure process begins with.
    pub gray: Tensor<4>,
    /// The structure's condition, `[b, 1, h, w]`: edges · m, and edge hints in the hole if any.
    pub edges: Tensor<4>,
    /// 1 = known, 0 = hole, `[b, 1, h, w]`.
    pub mask: Tensor<4>,
}

/// How far an estimate is from the truth: known · mean d(m Δ) + hole · mean d((1 − m) Δ), Δ their
/// difference and d a distance.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MaskedLoss {
    /// d.
    pub distance: Distance,
    /// Weight of the known region.
    pub known: f64,
    /// Weight of the hole.
    pub hole: f64,
}

/// What a difference counts for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Distance {
    /// |Δ|, the paper's: the best estimate is the median of the possible fills.
    #[default]
    Absolute,
    /// Δ²: the best estimate is their mean, which is what PSNR rewards.
    Squared,
}

impl Default for MaskedLoss {
    /// The paper's.
    fn default() -> Self {
        Self {
            distance: Distance::Absolute,
            known: 1.0,
            hole: 10.0,
        }
    }
}

impl MaskedLoss {
    /// The loss of a difference `[b, c, h, w]` under a mask `[b, 1, h, w]`.
    pub fn of(self, difference: Tensor<4>, mask: &Tensor<4>) -> Tensor<1> {
        let each = match self.distance {
            Distance::Absolute => difference.abs(),
            Distance::Squared => difference.square(),
        };
        let in_hole: Tensor<4> = 1.0 - mask.clone();
        let known = (each.clone() * mask.clone()).mean();
        let hole = (each * in_hole).mean();
        known * self.known + hole * self.hole
    }
}

/// Settings that the objectives of both processes share.
#[derive(Debug, Clone, Copy)]
pub struct Objective<'a> {
    /// The process.
    pub sde: &'a Sde,
    /// What the networks predict.
    pub prediction: Prediction,
    /// What the networks read.
    pub conditioning: Conditioning,
    /// How far from the truth an estimate is.
    pub loss: MaskedLoss,
}

/// A process at random timesteps: its state and the optimum that leads back from it.
#[derive(Debug, Clone)]
pub struct Noised {
    /// x_t.
    pub state: Tensor<4>,
    /// x*_{t−1}.
    pub optimum: Tensor<4>,
}

impl Objective<'_> {
    /// Noises x_0 to timesteps `times`, one for each picture.
    pub fn noised(
        &self,
        x0: Tensor<4>,
        mu: Tensor<4>,
        times: &[usize],
        noise: Tensor<4>,
    ) -> Noised {
        let state = self.sde.marginal(x0.clone(), mu.clone(), times, noise);
        Noised {
            optimum: self.sde.optimum_step(state.clone(), x0, mu, times),
            state,
        }
    }

    /// Loss of a structure network.
    pub fn structure_loss(
        &self,
        network: &ConditionalUNet,
        batch: &Batch,
        times: &[usize],
        noise: Tensor<4>,
    ) -> Tensor<1> {
        let noised = self.noised(batch.gray.clone(), batch.edges.clone(), times, noise);
        self.loss(
            network,
            noised,
            batch.gray.clone(),
            batch.edges.clone(),
            self.conditioning.structure_context(&batch.mask, &batch.mu),
            batch,
            times,
            None,
        )
    }

    /// Loss of a texture network. Its guide is the optimum reverse state of a freshly noised
    /// structure.
    pub fn texture_loss(
        &self,
        network: &ConditionalUNet,
        batch: &Batch,
        times: &[usize],
        noise: Tensor<4>,
        structure_noise: Tensor<4>,
    ) -> Tensor<1> {
        let mu = batch.mu.clone();
        let structure = self.noised(
            batch.gray.clone(),
            batch.edges.clone(),
            times,
            structure_noise,
        );
        let guide = network.is_guided().then_some(structure.optimum);
        let noised = self.noised(batch.image.clone(), mu.clone(), times, noise);
        self.loss(
            network,
            noised,
            batch.image.clone(),
            mu,
            self.conditioning.texture_context(&batch.mask, &batch.edges),
            batch,
            times,
            guide,
        )
    }

    #[allow(clippy::too_many_arguments, reason = "the parts of one formula")]
    fn loss(
        &self,
        network: &ConditionalUNet,
        noised: Noised,
        x0: Tensor<4>,
        mu: Tensor<4>,
        context: Option<Tensor<4>>,
        batch: &Batch,
        times: &[usize],
        guide: Option<Tensor<4>>,
    ) -> Tensor<1> {
        let Noised { state, optimum } = noised;
        let network_times: Vec<f32> = times.iter().map(|&t| t as f32).collect();
        let output = network.forward(
            state.clone(),
            mu.clone(),
            context,
            &network_times,
            guide,
            GuideAlignment::Padded,
        );
        let difference = match self.prediction {
            Prediction::Noise => {
                let score = self.sde.score_from_noise(output, times);
                self.sde.reverse_sde_mean(state, mu, score, times) - optimum
            }
            // The same process asked for its clean end. Weighing t as the noise form does would
            // all but ignore t near T, where the picture is decided.
            Prediction::CleanDifference => output - (x0 - mu),
        };
        self.loss.of(difference, &batch.mask)
    }

    /// Loss of the discriminator: softplus on matching and on late pairs, and a triplet that
    /// ranks a half-matching anchor.
    pub fn discriminator_loss(
        &self,
        network: &Discriminator,
        batch: &Batch,
        times: &[usize],
        noise: Tensor<4>,
        structure_noise: Tensor<4>,
    ) -> Tensor<1> {
        let texture = self.noised(batch.image.clone(), batch.mu.clone(), times, noise);
        let structure = self
            .noised(
                batch.gray.clone(),
                batch.edges.clone(),
                times,
                structure_noise,
            )
            .optimum;
        let mixed = texture.optimum.clone() * batch.mask.clone()
            + texture.state.clone() * (1.0 - batch.mask.clone());
        let times: Vec<f32> = times.iter().map(|&t| t as f32).collect();
        let score = |texture: Tensor<4>| network.forward(&times, texture, structure.clone());
        let real = score(texture.optimum);
        let fake = score(texture.state);
        let anchor = score(mixed);
        softplus(-real.clone(), 1.0).mean()
            + softplus(fake.clone(), 1.0).mean()
            + triplet(anchor, real, fake)
    }
}

/// mean max(|a − p| − |a − n| + 1, 0), with a small constant in each distance.
fn triplet(anchor: Tensor<1>, positive: Tensor<1>, negative: Tensor<1>) -> Tensor<1> {
    const EPS: f64 = 1e-6;
    let near = (anchor.clone() - positive + EPS).abs();
    let far = (anchor - negative + EPS).abs();
    (near - far + 1.0).clamp_min(0.0).mean()
}
