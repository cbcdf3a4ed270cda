//! What requests may know of a model.

use serde::Serialize;
use strdiffusion::sampling::{Sampler, SamplerName};

use crate::config::NamedModel;

/// One entry of `GET /v1/models`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ModelCard {
    pub name: String,
    /// Side of the square that the networks work on, in pixels.
    pub resolution: usize,
    /// T: the most steps that a sampler can take.
    pub timesteps: usize,
    pub sampling: Sampler,
    pub licence: String,
    pub device: String,
    pub defaults: Defaults,
}

/// Index of the model of that name; else what is wrong, and which there are.
pub(crate) fn find(models: &[ModelCard], name: &str) -> Result<usize, String> {
    let found = models.iter().position(|model| model.name == name);
    found.ok_or_else(|| {
        let names: Vec<&str> = models.iter().map(|m| m.name.as_str()).collect();
        format!(
            "no model is named {name:?}; use one of: {}",
            names.join(", ")
        )
    })
}

/// The model's own sampler in the words of a request's settings.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Defaults {
    pub steps: usize,
    pub sampler: SamplerName,
    pub resampling: usize,
}

impl ModelCard {
    pub fn of(model: &NamedModel) -> Self {
        let config = model.engine.config();
        Self {
            name: model.name.clone(),
            resolution: config.training_resolution,
            timesteps: config.sde.steps,
            sampling: config.sampling,
            licence: config.licence.clone(),
            device: model.device.clone(),
            defaults: Defaults::of(&config.sampling, config.sde.steps),
        }
    }
}

impl Defaults {
    pub fn of(sampler: &Sampler, timesteps: usize) -> Self {
        let (steps, resampling) = match sampler {
            Sampler::Paper(paper) => (timesteps, paper.resampling.map_or(0, |r| r.u_max - 1)),
            Sampler::Fast(fast) => (fast.steps, fast.resampling_rounds),
        };
        Self {
            steps,
            sampler: sampler.name(),
            resampling,
        }
    }
}
