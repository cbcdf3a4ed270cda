//! What each stage learns: its objective, its validation, and which of its networks is the best.

use burn::module::Module;
use burn::tensor::Tensor;

use super::adversarial::{AdversarialTraining, Rivals};
use super::config::GuidanceTraining;
use super::data::stream;
use super::loader::DeviceBatch;
use super::patches::PatchTraining;
use super::validation::{Scores, ValidationSet};
use crate::error::Result;
use crate::model::Model;
use crate::networks::{ConditionalUNet, Discriminator};
use crate::objectives::{Batch, Objective, TextureSource};
use crate::picture::Photo;
use crate::sampling::choose;
use crate::structure::batch_luma;

/// What differs between the stages.
pub(super) trait Task<M>: Sync {
    /// Before each forward pass.
    fn prepare(&self, _network: &mut M) {}
    /// The objective at a step, counted from 0.
    fn loss(
        &self,
        objective: &Objective,
        network: &M,
        batch: &DeviceBatch,
        step: usize,
    ) -> Tensor<1>;
    /// Scores and a picture grid for the averaged network.
    fn validate(
        &self,
        set: &ValidationSet,
        model: &Model,
        network: &M,
        objective: &Objective,
    ) -> Result<(Scores, Option<Photo>)>;
    /// What the best network is chosen by: higher is better.
    fn merit(&self, scores: &Scores, _step: usize) -> f64 {
        scores.merit()
    }
}

pub(super) struct StructureTask;

impl Task<ConditionalUNet> for StructureTask {
    fn loss(
        &self,
        objective: &Objective,
        network: &ConditionalUNet,
        batch: &DeviceBatch,
        _step: usize,
    ) -> Tensor<1> {
        let noise = batch.structure_noise.clone();
        objective.structure_loss(network, &batch.batch, &batch.times, noise)
    }

    fn validate(
        &self,
        set: &ValidationSet,
        model: &Model,
        network: &ConditionalUNet,
        objective: &Objective,
    ) -> Result<(Scores, Option<Photo>)> {
        let model = Model {
            structure: network.clone(),
            ..model.clone()
        };
        let (scores, grid) = set.structure(&model, objective)?;
        Ok((scores, Some(grid)))
    }
}

pub(super) struct TextureTask<'a> {
    /// Guides its share of the pictures.
    pub structure: Option<ConditionalUNet>,
    pub guidance: &'a GuidanceTraining,
    pub patches: &'a PatchTraining,
    /// Of the directions along which patches are compared.
    pub seed: u64,
}

/// Apart from the streams of the data.
const DIRECTIONS: u64 = 0x646972656374;

impl TextureTask<'_> {
    /// The loss without a critic, and the fills that a critic would judge.
    fn loss_and_fills(
        &self,
        objective: &Objective,
        network: &ConditionalUNet,
        batch: &DeviceBatch,
        step: usize,
    ) -> (Tensor<1>, Tensor<4>) {
        let difference = self.difference(objective, network, batch, step);
        let (truth, mask) = (&batch.batch.image, &batch.batch.mask);
        let filled = truth.clone() + difference.clone() * (1.0 - mask.clone());
        let loss = objective.loss.of(difference, mask);
        let mut random = stream(self.seed, &[DIRECTIONS, step as u64]);
        let term = (self.patches).loss([&filled, truth], mask, &batch.times, &mut random);
        match term {
            Some(term) => (loss + term, filled),
            None => (loss, filled),
        }
    }

    /// What the loss is taken of.
    fn difference(
        &self,
        objective: &Objective,
        network: &ConditionalUNet,
        batch: &DeviceBatch,
        step: usize,
    ) -> Tensor<4> {
        let source = self.source(objective, network, batch, step);
        let DeviceBatch {
            batch,
            times,
            noise,
            structure_noise,
            ..
        } = batch;
        objective.texture_difference(
            network,
            batch,
            source,
            times,
            noise.clone(),
            structure_noise.clone(),
        )
    }

    /// What each picture's state is made of, and what guides it.
    fn source(
        &self,
        objective: &Objective,
        network: &ConditionalUNet,
        batch: &DeviceBatch,
        step: usize,
    ) -> TextureSource {
        let share = (self.guidance.own_state_share).min(self.guidance.share(step));
        let last = objective.sde.steps();
        let own: Vec<usize> = (0..batch.times.len())
            .filter(|&i| batch.guidance_draws[i] < share && batch.times[i] < last)
            .collect();
        let mut source = TextureSource {
            structure: self.structures(objective, batch, step, &own),
            picture: batch.batch.image.clone(),
        };
        let Some(structure_network) = self.structure.as_ref().filter(|_| !own.is_empty()) else {
            return source;
        };
        let first = batch.without_gradient(&own).at(last);
        let structure = estimated(objective, structure_network, &first);
        let from = TextureSource {
            structure: structure.clone(),
            picture: first.batch.image.clone(),
        };
        let difference = objective.texture_difference(
            &network.valid(),
            &first.batch,
            from,
            &first.times,
            first.noise,
            first.structure_noise,
        );
        let Batch { image, mask, .. } = first.batch;
        let picture = image + difference * (1.0 - mask);
        source.structure = replaced(&source.structure, &own, structure);
        source.picture = replaced(&source.picture, &own, picture);
        source
    }

    /// The truth's structure, or the grayscale of μ for the pictures that go unguided.
    fn truth_or_none(&self, batch: &DeviceBatch) -> Tensor<4> {
        let guided_until = 1.0 - self.guidance.unguided_share;
        let draws = &batch.guidance_draws;
        let unguided: Vec<bool> = draws.iter().map(|&draw| draw >= guided_until).collect();
        let truth = batch.batch.gray.clone();
        match unguided.contains(&true) {
            true => choose::select(&truth, &batch_luma(batch.batch.mu.clone()), &unguided),
            false => truth,
        }
    }

    /// The clean structure that guides each picture: the truth, the structure network's estimate, or
    /// nothing that the texture network does not know. Pictures in `others` have their own.
    fn structures(
        &self,
        objective: &Objective,
        batch: &DeviceBatch,
        step: usize,
        others: &[usize],
    ) -> Tensor<4> {
        let truth = self.truth_or_none(batch);
        let share = self.guidance.share(step);
        let drawn: Vec<usize> = (0..batch.guidance_draws.len())
            .filter(|picture| batch.guidance_draws[*picture] < share && !others.contains(picture))
            .collect();
        let Some(network) = self.structure.as_ref().filter(|_| !drawn.is_empty()) else {
            return truth;
        };
        let estimates = estimated(objective, network, &batch.without_gradient(&drawn));
        replaced(&truth, &drawn, estimates)
    }
}

/// What a structure network says of a batch, on the batch's device.
fn estimated(objective: &Objective, network: &ConditionalUNet, batch: &DeviceBatch) -> Tensor<4> {
    objective.estimated_structure(
        &network.clone().to_device(&batch.batch.gray.device()),
        &batch.batch,
        &batch.times,
        batch.structure_noise.clone(),
    )
}

/// A batch in which the pictures at `places`, in rising order, are other ones, which have no gradient.
fn replaced(all: &Tensor<4>, places: &[usize], others: Tensor<4>) -> Tensor<4> {
    let others = match all.is_autodiff() {
        true => Tensor::from_inner(others),
        false => others,
    };
    let each = (0..all.dims()[0]).map(|picture| match places.binary_search(&picture) {
        Ok(place) => others.clone().narrow(0, place, 1),
        Err(_) => all.clone().narrow(0, picture, 1),
    });
    Tensor::cat(each.collect(), 0)
}

impl Task<ConditionalUNet> for TextureTask<'_> {
    fn prepare(&self, network: &mut ConditionalUNet) {
        network.iterate_power();
    }

    fn loss(
        &self,
        objective: &Objective,
        network: &ConditionalUNet,
        batch: &DeviceBatch,
        step: usize,
    ) -> Tensor<1> {
        self.loss_and_fills(objective, network, batch, step).0
    }

    fn validate(
        &self,
        set: &ValidationSet,
        model: &Model,
        network: &ConditionalUNet,
        objective: &Objective,
    ) -> Result<(Scores, Option<Photo>)> {
        let model = Model {
            texture: network.clone(),
            ..model.clone()
        };
        let (scores, grid) = set.texture(&model, objective)?;
        Ok((scores, Some(grid)))
    }

    /// Where looks count, the newest is the best: by distance from the truth it would be the softest.
    fn merit(&self, scores: &Scores, step: usize) -> f64 {
        match self.patches.is_on() {
            true => step as f64,
            false => scores.merit(),
        }
    }
}

/// A texture network and its critic.
pub(super) struct RivalsTask<'a> {
    pub task: TextureTask<'a>,
    pub settings: &'a AdversarialTraining,
}

impl Task<Rivals> for RivalsTask<'_> {
    fn prepare(&self, network: &mut Rivals) {
        self.task.prepare(&mut network.texture);
    }

    fn loss(
        &self,
        objective: &Objective,
        network: &Rivals,
        batch: &DeviceBatch,
        step: usize,
    ) -> Tensor<1> {
        let (loss, filled) = (self.task).loss_and_fills(objective, &network.texture, batch, step);
        let (truth, mask) = (&batch.batch.image, &batch.batch.mask);
        let _chosen = network.choose_convolutions();
        let pictures = [&filled, truth, &batch.noise];
        let term = (self.settings).loss(&network.critic, pictures, mask, &batch.times, step);
        match term {
            Some(term) => loss + term,
            None => loss,
        }
    }

    fn validate(
        &self,
        set: &ValidationSet,
        model: &Model,
        network: &Rivals,
        objective: &Objective,
    ) -> Result<(Scores, Option<Photo>)> {
        self.task.validate(set, model, &network.texture, objective)
    }

    /// The newest is the best: by distance from the truth it would be the softest.
    fn merit(&self, _scores: &Scores, step: usize) -> f64 {
        step as f64
    }
}

pub(super) struct DiscriminatorTask;

impl Task<Discriminator> for DiscriminatorTask {
    fn loss(
        &self,
        objective: &Objective,
        network: &Discriminator,
        batch: &DeviceBatch,
        _step: usize,
    ) -> Tensor<1> {
        let DeviceBatch {
            batch,
            times,
            noise,
            structure_noise,
            ..
        } = batch;
        objective.discriminator_loss(
            network,
            batch,
            times,
            noise.clone(),
            structure_noise.clone(),
        )
    }

    fn validate(
        &self,
        set: &ValidationSet,
        model: &Model,
        network: &Discriminator,
        objective: &Objective,
    ) -> Result<(Scores, Option<Photo>)> {
        let loss = set.loss(&model.device, |b| self.loss(objective, network, b, 0));
        Ok((
            Scores {
                loss,
                psnr: None,
                ssim: None,
            },
            None,
        ))
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;
    use crate::conditioning::{Conditioning, Guide};
    use crate::sde::Prediction;
    use crate::training::config::{Preset, TrainConfig};
    use crate::weights::host_values;

    const SIDE: usize = 16;

    /// Two pictures, at t = 50 and T, whose left halves are known; `hole` is the gray of the right ones.
    fn batch(hole: f32, device: &Device) -> DeviceBatch {
        let tensor = |channels: usize, value: &dyn Fn(usize) -> f32| {
            let values: Vec<f32> = (0..2 * channels * SIDE * SIDE).map(value).collect();
            Tensor::from_data(TensorData::new(values, [2, channels, SIDE, SIDE]), device)
        };
        let is_known = |i: usize| i % SIDE < SIDE / 2;
        let gray = |i: usize| if is_known(i) { 0.3 } else { hole };
        let noise = |i: usize| (i * 37 % 101) as f32 / 50.0 - 1.0;
        DeviceBatch {
            batch: Batch {
                image: tensor(3, &gray),
                mu: tensor(3, &|_| 0.3),
                gray: tensor(1, &gray),
                edges: tensor(1, &|_| 0.0),
                mask: tensor(1, &|i| f32::from(is_known(i))),
            },
            times: vec![50, 100],
            noise: tensor(3, &noise),
            structure_noise: tensor(1, &noise),
            guidance_draws: vec![0.5, 0.5],
        }
    }

    /// As in a sampler's second step: what a state before T is made of, and what guides it, say of the
    /// hole no more than the state at T does, which is e^(−θ̄_T) = ε of it.
    #[test]
    fn own_states_do_not_know_the_truth() {
        let mut config = TrainConfig::preset(Preset::Tiny);
        config.networks.width = 8;
        config.networks.depth = 1;
        config.networks.prediction = Prediction::CleanDifference;
        config.networks.conditioning = Conditioning::MembraneEdges;
        config.networks.guide = Guide::Clean;
        config.guidance.sampled_share = 0.9;
        config.guidance.growth_steps = 0;
        config.guidance.own_state_share = 0.9;
        let device = Device::flex().autodiff();
        let model = Model::init(config.model_config(), 4, &Device::flex()).unwrap();
        let objective = Objective {
            sde: &model.sde,
            prediction: config.networks.prediction,
            conditioning: config.networks.conditioning,
            guide: config.networks.guide,
            loss: config.run.loss,
            structure_gradient: 0.0,
            mismatched_structures: 0.0,
        };
        let task = TextureTask {
            structure: Some(model.structure.clone()),
            guidance: &config.guidance,
            patches: &config.patches,
            seed: 0,
        };
        let network = model.config.texture.init(5, &device).unwrap();
        let [dark, bright] = [0.1, 0.9].map(|hole| {
            let source = task.source(&objective, &network, &batch(hole, &device), 0);
            [source.picture, source.structure].map(|source| {
                let [pictures, ..] = source.dims();
                let each = (0..pictures).map(|i| host_values(source.clone().narrow(0, i, 1)));
                each.collect::<Vec<_>>()
            })
        });
        let apart = |a: &[f32], b: &[f32]| {
            let pairs = a.iter().zip(b);
            pairs.fold(0f32, |most, (a, b)| most.max((a - b).abs()))
        };
        for (dark, bright) in dark.iter().zip(&bright) {
            let own = apart(&dark[0], &bright[0]);
            assert!(own < 0.05, "{own}");
        }
        // At T a state is made of the truth.
        assert!(apart(&dark[0][1], &bright[0][1]) > 0.79);
    }
}
