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

use crate::conditioning::{Conditioning, Guide};
use crate::networks::{ConditionalUNet, Discriminator, GuideAlignment};
use crate::sde::{At, Prediction, Sde};

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

    /// The loss of a difference's own differences between neighbouring pixels, along rows and along
    /// columns; a pair counts as known where both pixels are. Zero for an estimate that is wrong by
    /// a constant: what counts is where edges are, and how steep.
    pub fn of_gradient(self, difference: &Tensor<4>, mask: &Tensor<4>) -> Tensor<1> {
        let along = |axis: usize| {
            let pairs = difference.dims()[axis] - 1;
            let ends = |x: &Tensor<4>| [0, 1].map(|from| x.clone().narrow(axis, from, pairs));
            let ([a, b], [known_a, known_b]) = (ends(difference), ends(mask));
            self.of(b - a, &(known_a * known_b))
        };
        along(2) + along(3)
    }
}

/// What a texture network is given in training, as clean ends of both processes.
#[derive(Debug, Clone)]
pub struct TextureSource {
    /// The structure that guides it, `[b, 1, h, w]`.
    pub structure: Tensor<4>,
    /// The picture of which its state is made, `[b, 3, h, w]`: the truth, or an estimate of it such as
    /// a sampler's next step begins with.
    pub picture: Tensor<4>,
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
    /// Which state of the structure guides the texture.
    pub guide: Guide,
    /// How far from the truth an estimate is.
    pub loss: MaskedLoss,
    /// Weight of [`MaskedLoss::of_gradient`] in the structure's loss.
    pub structure_gradient: f64,
    /// Weight of pairs with another picture's structure in the discriminator's loss; 0 is the paper's.
    pub mismatched_structures: f64,
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
        self.leading_to(x0, state, &mu, times)
    }

    /// A state with the optimum that leads from it to x_0.
    fn leading_to(
        &self,
        x0: Tensor<4>,
        state: Tensor<4>,
        mu: &Tensor<4>,
        times: &[usize],
    ) -> Noised {
        Noised {
            optimum: self.sde.optimum_step(&At::new(&state, mu, times), x0),
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
        let difference = self.difference(
            network,
            noised,
            batch.gray.clone(),
            batch.edges.clone(),
            self.conditioning.structure_context(&batch.mask, &batch.mu),
            times,
            None,
        );
        let loss = self.loss.of(difference.clone(), &batch.mask);
        match self.structure_gradient {
            0.0 => loss,
            weight => loss + self.loss.of_gradient(&difference, &batch.mask) * weight,
        }
    }

    /// The structure that a network makes of a freshly noised state: its estimate x̂_0 in the hole,
    /// the truth in the known region.
    pub fn estimated_structure(
        &self,
        network: &ConditionalUNet,
        batch: &Batch,
        times: &[usize],
        noise: Tensor<4>,
    ) -> Tensor<4> {
        let (gray, mu, mask) = (&batch.gray, &batch.edges, &batch.mask);
        let state = self.sde.marginal(gray.clone(), mu.clone(), times, noise);
        let network_times: Vec<f32> = times.iter().map(|&t| t as f32).collect();
        let output = network.forward(
            state.clone(),
            mu.clone(),
            self.conditioning.structure_context(mask, &batch.mu),
            &network_times,
            None,
            GuideAlignment::Padded,
        );
        let at = At::new(&state, mu, times);
        let estimate = self.sde.clean_from_output(&at, output, self.prediction);
        gray.clone() * mask.clone() + estimate * (1.0 - mask.clone())
    }

    /// Loss of a texture network that the truth's structure guides.
    pub fn texture_loss(
        &self,
        network: &ConditionalUNet,
        batch: &Batch,
        times: &[usize],
        noise: Tensor<4>,
        structure_noise: Tensor<4>,
    ) -> Tensor<1> {
        let truth = batch.gray.clone();
        self.texture_loss_guided(network, batch, truth, times, noise, structure_noise)
    }

    /// Loss of a texture network that a structure with the clean end `structure` guides: by that, or
    /// by the reverse state that leads to it from a freshly noised true structure.
    pub fn texture_loss_guided(
        &self,
        network: &ConditionalUNet,
        batch: &Batch,
        structure: Tensor<4>,
        times: &[usize],
        noise: Tensor<4>,
        structure_noise: Tensor<4>,
    ) -> Tensor<1> {
        let picture = batch.image.clone();
        let source = TextureSource { structure, picture };
        let difference =
            self.texture_difference(network, batch, source, times, noise, structure_noise);
        self.loss.of(difference, &batch.mask)
    }

    /// What [`texture_loss_guided`](Self::texture_loss_guided) is taken of, `[b, 3, h, w]`, for a state
    /// that is made of `source`: with [`Prediction::CleanDifference`] ŷ_0 − y_0.
    pub fn texture_difference(
        &self,
        network: &ConditionalUNet,
        batch: &Batch,
        source: TextureSource,
        times: &[usize],
        noise: Tensor<4>,
        structure_noise: Tensor<4>,
    ) -> Tensor<4> {
        let mu = batch.mu.clone();
        let structure = source.structure;
        let guide = network.is_guided().then(|| match self.guide {
            Guide::Clean => structure,
            Guide::StepAhead => {
                let (truth, edges) = (batch.gray.clone(), batch.edges.clone());
                let state = self
                    .sde
                    .marginal(truth, edges.clone(), times, structure_noise);
                self.sde
                    .optimum_step(&At::new(&state, &edges, times), structure)
            }
        });
        let state = self.sde.marginal(source.picture, mu.clone(), times, noise);
        let noised = self.leading_to(batch.image.clone(), state, &mu, times);
        self.difference(
            network,
            noised,
            batch.image.clone(),
            mu,
            self.conditioning.texture_context(&batch.mask, &batch.edges),
            times,
            guide,
        )
    }

    /// What the loss is taken of: estimate less truth.
    #[allow(clippy::too_many_arguments, reason = "the parts of one formula")]
    fn difference(
        &self,
        network: &ConditionalUNet,
        noised: Noised,
        x0: Tensor<4>,
        mu: Tensor<4>,
        context: Option<Tensor<4>>,
        times: &[usize],
        guide: Option<Tensor<4>>,
    ) -> Tensor<4> {
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
        match self.prediction {
            Prediction::Noise => {
                let score = self.sde.score_from_noise(output, times);
                let at = At::new(&state, &mu, times);
                self.sde.reverse_sde_mean(&at, score) - optimum
            }
            // The same process asked for its clean end. Weighing t as the noise form does would
            // all but ignore t near T, where the picture is decided.
            Prediction::CleanDifference => output - (x0 - mu),
        }
    }

    /// Loss of the discriminator: softplus on matching and on late pairs, and a triplet that
    /// ranks a half-matching anchor. All three hold the same structure, so nothing in them asks whether
    /// it belongs to the texture; a softplus on matching textures beside the next picture's structure
    /// does, where it has a weight and there are several pictures.
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
        let real = score(texture.optimum.clone());
        let fake = score(texture.state);
        let anchor = score(mixed);
        let loss = softplus(-real.clone(), 1.0).mean()
            + softplus(fake.clone(), 1.0).mean()
            + triplet(anchor, real, fake);
        match self.mismatched_structures {
            weight if weight > 0.0 && times.len() > 1 => {
                let mismatched = network.forward(&times, texture.optimum, next_picture(&structure));
                loss + softplus(mismatched, 1.0).mean() * weight
            }
            _ => loss,
        }
    }
}

/// Each picture of a batch at the place of the one before it.
pub(crate) fn next_picture(all: &Tensor<4>) -> Tensor<4> {
    let [batch, ..] = all.dims();
    let places: Vec<usize> = (1..=batch).map(|i| i % batch).collect();
    pictures_at(all, &places)
}

/// A batch of another's pictures, by their places in it.
pub(crate) fn pictures_at(all: &Tensor<4>, places: &[usize]) -> Tensor<4> {
    let each = places.iter().map(|&i| all.clone().narrow(0, i, 1));
    Tensor::cat(each.collect(), 0)
}

/// The places of a step's pictures at a timestep of at most `latest` (none: all), and what share of the
/// pictures they are: by it the mean over them counts in one over all, however pictures are shared
/// out. None where there are no such pictures.
#[cfg(feature = "train")]
pub(crate) fn judged(latest: Option<usize>, times: &[usize]) -> Option<(Vec<usize>, f64)> {
    let latest = latest.unwrap_or(usize::MAX);
    let places = (0..times.len()).filter(|&picture| times[picture] <= latest);
    let places: Vec<usize> = places.collect();
    let share = places.len() as f64 / times.len() as f64;
    (!places.is_empty()).then_some((places, share))
}

/// mean max(|a − p| − |a − n| + 1, 0), with a small constant in each distance.
fn triplet(anchor: Tensor<1>, positive: Tensor<1>, negative: Tensor<1>) -> Tensor<1> {
    const EPS: f64 = 1e-6;
    let near = (anchor.clone() - positive + EPS).abs();
    let far = (anchor - negative + EPS).abs();
    (near - far + 1.0).clamp_min(0.0).mean()
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;
    use crate::weights::host_values;

    fn tensor(values: &[f32], device: &Device) -> Tensor<4> {
        Tensor::from_data(TensorData::new(values.to_vec(), [1, 1, 2, 3]), device)
    }

    const DIFFERENCE: [f32; 6] = [0.1, 0.4, 0.2, -0.3, 0.5, 0.9];
    /// The hole is the last column.
    const MASK: [f32; 6] = [1.0, 1.0, 0.0, 1.0, 1.0, 0.0];

    /// Expected, by hand: along rows |0.3| + |0.8| known and |−0.2| + |0.4| in the hole, of 4 pairs;
    /// along columns |−0.4| + |0.1| known and |0.7| in the hole, of 3.
    #[test]
    fn the_gradient_term_counts_steps_between_neighbours() {
        let device = Device::flex();
        let loss = MaskedLoss::default();
        let mask = tensor(&MASK, &device);
        let value = loss.of_gradient(&tensor(&DIFFERENCE, &device), &mask);
        let expected = (1.1 + 10.0 * 0.6) / 4.0 + (0.5 + 10.0 * 0.7) / 3.0;
        assert!((host_values(value)[0] - expected).abs() < 1e-6);
        let shifted = DIFFERENCE.map(|v| v + 0.25);
        let value = loss.of_gradient(&tensor(&shifted, &device), &mask);
        assert!((host_values(value)[0] - expected).abs() < 1e-5);
    }

    /// Expected: central differences of the loss itself.
    #[test]
    fn the_gradient_terms_gradient_is_its_slope() {
        let device = Device::flex();
        let training = device.clone().autodiff();
        for distance in [Distance::Absolute, Distance::Squared] {
            let loss = MaskedLoss {
                distance,
                ..MaskedLoss::default()
            };
            let x = tensor(&DIFFERENCE, &training).require_grad();
            let gradients = loss.of_gradient(&x, &tensor(&MASK, &training)).backward();
            let ours = host_values(x.grad(&gradients).unwrap());
            let at = |i: usize, step: f32| {
                let mut moved = DIFFERENCE;
                moved[i] += step;
                let mask = tensor(&MASK, &device);
                host_values(loss.of_gradient(&tensor(&moved, &device), &mask))[0]
            };
            for (i, ours) in ours.iter().enumerate() {
                let slope = (at(i, 1e-2) - at(i, -1e-2)) / 2e-2;
                assert!(
                    (ours - slope).abs() < 1e-3,
                    "{distance:?} {i}: {ours} against {slope}"
                );
            }
        }
    }
}
