//! The choice of a sampler: the paper's procedure, or a few steps.

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::fast::{self, FastSampler};
use crate::model::Model;
use crate::noise::NoiseSource;
use crate::sampler::{self, Conditions, OnEvent, PaperSampler, Sampled};

/// How a model's holes are filled. In a model's config, `"method"` names it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "kebab-case")]
pub enum Sampler {
    /// The paper's procedure: every step from T to 1, with adaptive resampling.
    Paper(PaperSampler),
    /// A few steps of a coarse grid.
    Fast(FastSampler),
}

impl Default for Sampler {
    fn default() -> Self {
        Self::Paper(PaperSampler::default())
    }
}

impl From<PaperSampler> for Sampler {
    fn from(sampler: PaperSampler) -> Self {
        Self::Paper(sampler)
    }
}

impl From<FastSampler> for Sampler {
    fn from(sampler: FastSampler) -> Self {
        Self::Fast(sampler)
    }
}

impl Sampler {
    /// Checks the settings.
    ///
    /// # Errors
    /// Names the first that is out of range.
    pub fn validate(&self) -> Result<()> {
        match self {
            Self::Paper(paper) => paper.validate(),
            Self::Fast(fast) => fast.validate(),
        }
    }

    /// Fills the holes of a batch.
    ///
    /// # Errors
    /// If the settings or sizes are out of range, the noise source runs out, or the callback
    /// breaks ([`crate::Error::Cancelled`]).
    pub fn sample(
        &self,
        model: &Model,
        conditions: &Conditions,
        noise: &mut dyn NoiseSource,
        on_event: &mut OnEvent,
    ) -> Result<Sampled> {
        match self {
            Self::Paper(paper) => sampler::sample(model, conditions, paper, noise, on_event),
            Self::Fast(fast) => fast::sample(model, conditions, fast, noise, on_event),
        }
    }
}
