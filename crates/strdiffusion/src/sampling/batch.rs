//! A batch of pictures on its way to either sampler.

use burn::tensor::Tensor;

use super::events::{OnEvent, Sampled};
use super::noise::{NoiseSource, SeededNoise};
use super::settings::{FastSampler, Sampler};
use super::{few_steps, paper};
use crate::conditions::{Conditions, Task};
use crate::error::{Error, NoiseError, Result};
use crate::model::{EdgeConfig, Model};

/// Fills the holes of a batch.
///
/// # Errors
/// If the settings or sizes are out of range, the noise source runs out, or the callback breaks
/// ([`Error::Cancelled`]).
pub fn sample(
    model: &Model,
    conditions: &Conditions,
    sampler: &Sampler,
    noise: &mut dyn NoiseSource,
    on_event: &mut OnEvent,
) -> Result<Sampled> {
    match sampler {
        Sampler::Paper(settings) => paper::sample(model, conditions, settings, noise, on_event),
        Sampler::Fast(settings) => few_steps::sample(model, conditions, settings, noise, on_event),
    }
}

/// What a model's networks are told of a batch of pictures, and the noise of each one's own seed.
pub struct SeededBatch<'a> {
    model: &'a Model,
    conditions: Conditions,
    noise: SeededNoise,
}

impl<'a> SeededBatch<'a> {
    /// A seed for each of the pictures, whose edges are found as `edges` says.
    ///
    /// # Errors
    /// As [`Conditions::new`]; and if there is not one seed for each picture.
    pub fn new(
        model: &'a Model,
        tasks: &[Task],
        edges: &EdgeConfig,
        seeds: &[u64],
    ) -> Result<Self> {
        let conditions = Conditions::new(tasks, &model.config, edges, &model.device)?;
        Self::of(model, conditions, seeds)
    }

    /// The same of conditions that are there already.
    ///
    /// # Errors
    /// If there is not one seed for each picture.
    pub fn of(model: &'a Model, conditions: Conditions, seeds: &[u64]) -> Result<Self> {
        let [pictures, ..] = conditions.mask.dims();
        if pictures != seeds.len() {
            return Err(NoiseError::NoSeed {
                picture: pictures.min(seeds.len()),
                seeds: seeds.len(),
            }
            .into());
        }
        Ok(Self {
            model,
            conditions,
            noise: SeededNoise::new(seeds),
        })
    }

    /// What the networks are told.
    pub fn conditions(&self) -> &Conditions {
        &self.conditions
    }

    /// Fills the holes.
    ///
    /// # Errors
    /// As [`sample`].
    pub fn sample(&mut self, sampler: &Sampler, on_event: &mut OnEvent) -> Result<Sampled> {
        let Self {
            model,
            conditions,
            noise,
        } = self;
        sample(model, conditions, sampler, noise, on_event)
    }

    /// Fills the holes, led by a `structure` `[b, 1, h, w]` that is known already, as
    /// [`few_steps::sample_led_by`] is.
    ///
    /// # Errors
    /// As [`sample`]; and if the sampler is the paper's, whose structure is always its own.
    pub fn sample_led_by(
        &mut self,
        structure: &Tensor<4>,
        sampler: &Sampler,
        on_event: &mut OnEvent,
    ) -> Result<Sampled> {
        let Self {
            model,
            conditions,
            noise,
        } = self;
        match sampler {
            Sampler::Fast(fast) => {
                few_steps::sample_led_by(Some(structure), model, conditions, fast, noise, on_event)
            }
            Sampler::Paper(_) => Err(Error::Config(
                "only few-step samplers are led by a given structure".into(),
            )),
        }
    }

    /// The structure alone, `[b, 1, h, w]`.
    ///
    /// # Errors
    /// As [`few_steps::sample_structure`].
    pub fn sample_structure(&mut self, sampler: &FastSampler) -> Result<Tensor<4>> {
        few_steps::sample_structure(self.model, &self.conditions, sampler, &mut self.noise)
    }
}
