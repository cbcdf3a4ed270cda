//! The adversarial term of texture training: a critic learns to tell fills from photographs, and the
//! texture network to be taken for one (Goodfellow et al., 2014; hinge losses of Lim and Ye, 2017).
//! Beyond the paper, and off unless it has a weight.
//!
//! Both are one module, with one loss: the critic's part sees the fill without its history, the
//! texture's part sees a critic that does not learn from it. So both take their steps at once, and
//! checkpoints, averages, groups and precision are those of any network.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::networks::{ConditionalUNet, Critic, Findings, Network};
use crate::objectives::{judged, pictures_at};
use crate::ops::{self, Convolutions};
use crate::weights::TensorMap;

/// Settings of the term.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdversarialTraining {
    /// Weight of being taken for a photograph in the texture's loss; 0 = no critic.
    pub weight: f64,
    /// The critic learns from this step of the texture stage on.
    pub start: usize,
    /// The weight grows evenly from 0 over so many steps after that.
    pub growth_steps: usize,
    /// Channels of the critic's first layer, a multiple of 8.
    pub width: usize,
    /// Weight of matching the critic's features of the truth, beside 1 for being taken for it
    /// (Salimans et al., 2016).
    pub feature_matching: f64,
    /// Weight, in the critic's loss, of how much its scores of photographs change under noise: R1
    /// (Mescheder et al., ICML 2018) without a second derivative.
    pub smoothness: f64,
    /// Standard deviation of that noise.
    pub smoothness_noise: f64,
    /// It is taken at every so-manieth step.
    pub smoothness_every: usize,
    /// A position of the critic counts where at least this share of its pixels is hole.
    pub hole_share: f64,
    /// Only pictures at this timestep or an earlier one are judged; none: all. Estimates at T, of
    /// which a sampler's first step consists, then stay as near to the truth as they were, and it is
    /// later steps that make them look like photographs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latest_time: Option<usize>,
}

impl Default for AdversarialTraining {
    fn default() -> Self {
        Self {
            weight: 0.0,
            start: 0,
            growth_steps: 0,
            width: 64,
            feature_matching: 0.0,
            smoothness: 1.0,
            smoothness_noise: 0.05,
            smoothness_every: 4,
            hole_share: 0.3,
            latest_time: None,
        }
    }
}

impl AdversarialTraining {
    /// Whether there is a critic.
    pub fn is_on(&self) -> bool {
        self.weight > 0.0
    }

    /// Checks the settings for pictures of a side.
    ///
    /// # Errors
    /// Names the first that is out of range.
    pub fn validate(&self, side: usize) -> Result<()> {
        let numbers = [
            ("weight", self.weight),
            ("feature_matching", self.feature_matching),
            ("smoothness", self.smoothness),
            ("smoothness_noise", self.smoothness_noise),
        ];
        for (name, value) in numbers {
            if !(value >= 0.0 && value.is_finite()) {
                return Err(Error::Config(format!(
                    "adversarial.{name} is {value}: it must be at least 0"
                )));
            }
        }
        if !(0.0..=1.0).contains(&self.hole_share) {
            return Err(Error::Config(format!(
                "adversarial.hole_share is {}: it must be 0 to 1",
                self.hole_share
            )));
        }
        if !Critic::takes(self.width) {
            return Err(Error::Config(format!(
                "adversarial.width is {}: it must be a multiple of 8 that is at least 8",
                self.width
            )));
        }
        if self.smoothness_every == 0 {
            return Err(Error::Config(
                "adversarial.smoothness_every must be at least 1".into(),
            ));
        }
        if self.latest_time == Some(0) {
            return Err(Error::Config(
                "adversarial.latest_time must be at least 1: the critic would judge no picture"
                    .into(),
            ));
        }
        let coarsest = Critic::STRIDES[Critic::STRIDES.len() - 1];
        if self.is_on() && !side.is_multiple_of(coarsest) {
            return Err(Error::Config(format!(
                "data.resolution is {side}: with an adversarial term it must be a multiple of \
                 {coarsest}"
            )));
        }
        Ok(())
    }

    /// Weight of the texture's part at a step, counted from 0; none before the critic begins.
    fn weight_at(&self, step: usize) -> Option<f64> {
        let since = step.checked_sub(self.start)?;
        let grown = since as f64 / self.growth_steps.max(1) as f64;
        Some(match self.growth_steps {
            0 => self.weight,
            _ => self.weight * grown.min(1.0),
        })
    }

    /// What the term adds to a step's loss for the fills `filled` of the photographs `truth`, both
    /// `[b, 3, h, w]`, made at timesteps `times`; `noise` is N(0, 1) of that shape. None before the
    /// critic begins, and where none of the pictures is judged.
    pub fn loss(
        &self,
        critic: &Critic,
        [filled, truth, noise]: [&Tensor<4>; 3],
        mask: &Tensor<4>,
        times: &[usize],
        step: usize,
    ) -> Option<Tensor<1>> {
        let (judged, share) = judged(self.latest_time, times)?;
        let pick = |x: &Tensor<4>| pictures_at(x, &judged);
        let (filled, truth, noise) = (pick(filled), pick(truth), pick(noise));
        let loss = self.loss_of_judged(critic, &filled, &truth, &pick(mask), &noise, step)?;
        Some(loss * share)
    }

    fn loss_of_judged(
        &self,
        critic: &Critic,
        filled: &Tensor<4>,
        truth: &Tensor<4>,
        mask: &Tensor<4>,
        noise: &Tensor<4>,
        step: usize,
    ) -> Option<Tensor<1>> {
        let weight = self.weight_at(step)?;
        let hole = HoleWeights::new(mask, self.hole_share);
        let look = |critic: &Critic, picture| critic.forward(picture, mask.clone());

        let real = look(critic, truth.clone());
        let fake = look(critic, filled.clone().detach());
        let mut loss = hole.mean(&real, |found| relu(1.0 - found.scores.clone()))
            + hole.mean(&fake, |found| relu(1.0 + found.scores.clone()));
        if self.smoothness > 0.0 && step.is_multiple_of(self.smoothness_every) {
            let shaken = look(
                critic,
                truth.clone() + noise.clone() * self.smoothness_noise,
            );
            let moved: Vec<Findings> = real
                .iter()
                .zip(shaken)
                .map(|(still, shaken)| Findings {
                    scores: (still.scores.clone() - shaken.scores).square(),
                    ..shaken
                })
                .collect();
            loss = loss + hole.mean(&moved, |found| found.scores.clone()) * self.smoothness;
        }
        if weight > 0.0 {
            let still = without_gradient(critic);
            let taken = look(&still, filled.clone());
            let mut texture = hole.mean(&taken, |found| -found.scores.clone());
            if self.feature_matching > 0.0 {
                let real = look(&still, truth.clone());
                let apart: Vec<Findings> = real
                    .iter()
                    .zip(taken)
                    .map(|(real, fake)| Findings {
                        features: (real.features.clone() - fake.features).abs().mean_dim(1),
                        scores: fake.scores,
                    })
                    .collect();
                let apart = hole.mean(&apart, |found| found.features.clone());
                texture = texture + apart * self.feature_matching;
            }
            loss = loss + texture * weight;
        }
        Some(loss)
    }
}

/// Which positions of each level count: 1 or 0.
struct HoleWeights(Vec<Tensor<4>>);

impl HoleWeights {
    fn new(mask: &Tensor<4>, share: f64) -> Self {
        let [b, _, h, w] = mask.dims();
        let at = |stride: usize| {
            let (rows, columns) = (h / stride, w / stride);
            let blocks = mask.clone().reshape([b, rows, stride, columns, stride]);
            let known = blocks
                .mean_dim(4)
                .mean_dim(2)
                .reshape([b, 1, rows, columns]);
            let in_hole: Tensor<4> = 1.0 - known;
            in_hole.greater_equal_elem(share).float().cast(mask.dtype())
        };
        Self(Critic::STRIDES.map(at).into())
    }

    /// Sum over the levels of a value's mean over the positions that count; each picture by itself,
    /// so that a step does not depend on how its pictures are shared out.
    fn mean(&self, found: &[Findings], value: impl Fn(&Findings) -> Tensor<4>) -> Tensor<1> {
        let flat = |x: Tensor<4>| {
            let [b, c, h, w] = x.dims();
            x.reshape([b, c * h * w]).sum_dim(1)
        };
        let means = self.0.iter().zip(found).map(|(weights, found)| {
            let sum = flat(value(found) * weights.clone());
            (sum / flat(weights.clone()).clamp_min(1.0)).mean()
        });
        means
            .reduce(|a, b| a + b)
            .expect("a critic has at least one level")
    }
}

/// The same critic, which does not learn.
fn without_gradient(critic: &Critic) -> Critic {
    struct Detach;
    impl ModuleMapper for Detach {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            Param::initialized(param.id, param.val().detach())
        }
    }
    critic.clone().map(&mut Detach)
}

/// A texture network and its critic, trained as one.
#[derive(Module, Debug)]
pub struct Rivals {
    /// The network that is kept.
    pub texture: ConditionalUNet,
    /// The one that is not.
    pub critic: Critic,
}

impl Network for Rivals {
    fn convolutions(&mut self) -> &mut Convolutions {
        self.texture.convolutions()
    }
}

impl Rivals {
    /// A fresh critic for a texture network.
    pub fn new(
        texture: ConditionalUNet,
        settings: &AdversarialTraining,
        seed: u64,
        device: &Device,
    ) -> Self {
        Self {
            texture,
            critic: Critic::init(settings.width, seed, device),
        }
    }

    /// From now until the result is dropped, convolutions outside of the texture network are
    /// computed as its own are.
    pub fn choose_convolutions(&self) -> ops::ChosenConvolutions {
        ops::choose_convolutions(*self.texture.clone().convolutions())
    }
}

/// The texture network's weights of a checkpoint that may hold its critic's too.
pub(super) fn without_critic(tensors: TensorMap) -> TensorMap {
    if !tensors.keys().any(|name| name.starts_with("critic.")) {
        return tensors;
    }
    let named = tensors.into_iter().filter_map(|(name, tensor)| {
        let name = name.strip_prefix("texture.")?.to_owned();
        Some((name, tensor))
    });
    named.collect()
}

#[cfg(test)]
mod tests {
    use burn::module::ModuleVisitor;
    use burn::tensor::TensorData;

    use super::*;
    use crate::training::optimizer;
    use crate::weights::host_values;

    const SIDE: usize = 16;

    fn tensor(channels: usize, device: &Device, value: impl Fn(usize) -> f32) -> Tensor<4> {
        let values: Vec<f32> = (0..channels * SIDE * SIDE).map(value).collect();
        Tensor::from_data(TensorData::new(values, [1, channels, SIDE, SIDE]), device)
    }

    fn wave(i: usize) -> f32 {
        ((i * 37 % 101) as f32 / 101.0).clamp(0.0, 1.0)
    }

    fn settings() -> AdversarialTraining {
        AdversarialTraining {
            weight: 0.5,
            width: 8,
            feature_matching: 1.0,
            ..AdversarialTraining::default()
        }
    }

    /// Whether any gradient of a module is other than zero.
    fn learns<M: Module>(module: &M, gradients: &burn::optim::GradientsParams) -> bool {
        struct Any<'a>(&'a burn::optim::GradientsParams, bool);
        impl ModuleVisitor for Any<'_> {
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                if let Some(gradient) = self.0.get::<D>(param.id) {
                    self.1 |= host_values(gradient).iter().any(|&value| value != 0.0);
                }
            }
        }
        let mut any = Any(gradients, false);
        module.visit(&mut any);
        any.1
    }

    /// The texture's part moves the fill and leaves the critic alone; the critic's part moves the
    /// critic and leaves the fill alone.
    #[test]
    fn each_rival_learns_from_its_own_part_alone() {
        let device = Device::flex().autodiff();
        let critic = optimizer::with_stable_ids(Critic::init(8, 3, &device));
        let mask = tensor(1, &device, |i| f32::from(i % SIDE < 6));
        let truth = tensor(3, &device, wave);
        let noise = tensor(3, &device, |i| wave(i + 5) - 0.5);
        let filled = tensor(3, &device, |i| wave(i * 7)).require_grad();
        let loss = |settings: &AdversarialTraining| {
            let pictures = [&filled, &truth, &noise];
            let loss = settings.loss(&critic, pictures, &mask, &[50], 0);
            let mut all = loss.unwrap().backward();
            let moved = filled.grad_remove(&mut all);
            let parameters = burn::optim::GradientsParams::from_grads(all, &critic);
            let moves = moved.map(host_values).unwrap_or_default();
            (moves, learns(&critic, &parameters), parameters)
        };
        let growing = AdversarialTraining {
            growth_steps: 10,
            ..settings()
        };
        // Step 0 of a growing weight: the critic alone.
        let (moves, critic_learns, alone) = loss(&growing);
        assert!(critic_learns && moves.iter().all(|&value| value == 0.0));
        // With the texture's part the fill moves too, and the critic exactly as before.
        let (moves, _, both) = loss(&settings());
        assert!(moves.iter().any(|&value| value != 0.0));
        let (alone, both) = (
            optimizer::to_host(&critic, &alone),
            optimizer::to_host(&critic, &both),
        );
        assert!(!alone.is_empty());
        for (name, tensor) in &alone {
            assert_eq!(tensor.values, both[name].values, "{name}");
        }
    }

    /// Expected: the loss of the second picture alone, as its share of two.
    #[test]
    fn pictures_at_later_timesteps_are_not_judged() {
        let device = Device::flex().autodiff();
        let critic = optimizer::with_stable_ids(Critic::init(8, 3, &device));
        let mask = tensor(1, &device, |i| f32::from(i % SIDE < 6));
        let truth = [3, 8].map(|by| tensor(3, &device, |i| wave(i * by)));
        let noise = [5, 9].map(|by| tensor(3, &device, |i| wave(i + by) - 0.5));
        let filled = [7, 2].map(|by| tensor(3, &device, |i| wave(i * by)).require_grad());
        let both = |of: &[Tensor<4>; 2]| Tensor::cat(of.to_vec(), 0);
        let settings = AdversarialTraining {
            latest_time: Some(50),
            ..settings()
        };
        let all = [&both(&filled), &both(&truth), &both(&noise)];
        let masks = both(&[mask.clone(), mask.clone()]);
        let loss = settings.loss(&critic, all, &masks, &[51, 50], 0).unwrap();
        let second = [&filled[1], &truth[1], &noise[1]];
        let alone = settings.loss(&critic, second, &mask, &[50], 0).unwrap();
        let values = [loss.clone(), alone].map(|loss| host_values(loss)[0]);
        assert!((values[0] - values[1] / 2.0).abs() < 1e-5, "{values:?}");
        let gradients = loss.backward();
        let moves = |filled: &Tensor<4>| {
            let gradient = filled.grad(&gradients).map(host_values).unwrap_or_default();
            gradient.iter().any(|&value| value != 0.0)
        };
        assert!(!moves(&filled[0]) && moves(&filled[1]));
        let first = [&filled[0], &truth[0], &noise[0]];
        assert!(settings.loss(&critic, first, &mask, &[51], 0).is_none());
    }

    /// What is known cannot be improved: a fill is judged where the hole is.
    #[test]
    fn positions_without_a_hole_do_not_count() {
        let device = Device::flex();
        let mask = tensor(1, &device, |i| f32::from(i % SIDE < 8));
        let weights = HoleWeights::new(&mask, 0.3);
        assert_eq!(host_values(weights.0[1].clone()), [0.0, 1.0, 0.0, 1.0]);
        // Half of the finer positions' scores are 4, in the known half; the hole's are 2.
        let level = |side: usize| Findings {
            scores: Tensor::from_data(
                TensorData::new(
                    (0..side * side)
                        .map(|i| if i % side < side / 2 { 4f32 } else { 2.0 })
                        .collect::<Vec<_>>(),
                    [1, 1, side, side],
                ),
                &device,
            ),
            features: Tensor::zeros([1, 1, side, side], &device),
        };
        let mean = weights.mean(&[level(4), level(2)], |found| found.scores.clone());
        assert_eq!(host_values(mean), [4.0]);
    }

    #[test]
    fn the_weight_grows_from_the_start_on() {
        let settings = AdversarialTraining {
            weight: 2.0,
            start: 10,
            growth_steps: 4,
            ..AdversarialTraining::default()
        };
        let at = [9, 10, 11, 14, 99].map(|step| settings.weight_at(step));
        assert_eq!(at, [None, Some(0.0), Some(0.5), Some(2.0), Some(2.0)]);
    }
}
