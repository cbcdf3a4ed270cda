//! The choice of a sampler: the paper's procedure, or a few steps.

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::fast::{self, FastSampler, Solver};
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

/// The samplers by the names that users choose them by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SamplerName {
    /// The paper's procedure.
    Paper,
    /// Few steps, first order, deterministic.
    Euler,
    /// Few steps, first order, stochastic.
    Posterior,
    /// Few steps, second order, deterministic.
    Fast,
    /// Few steps, second order, stochastic.
    FastStochastic,
}

impl SamplerName {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Paper,
        Self::Euler,
        Self::Posterior,
        Self::Fast,
        Self::FastStochastic,
    ];

    /// As users write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Paper => "paper",
            Self::Euler => "euler",
            Self::Posterior => "posterior",
            Self::Fast => "fast",
            Self::FastStochastic => "fast-stochastic",
        }
    }

    /// What it is, in a few words.
    pub fn description(self) -> &'static str {
        match self {
            Self::Paper => "The paper's procedure",
            Self::Euler => "First order, deterministic",
            Self::Posterior => "First order, stochastic",
            Self::Fast => "Second order, deterministic",
            Self::FastStochastic => "Second order, stochastic",
        }
    }

    /// The few-step solver of that name; none for the paper's procedure.
    pub fn solver(self) -> Option<Solver> {
        match self {
            Self::Paper => None,
            Self::Euler => Some(Solver::Euler),
            Self::Posterior => Some(Solver::Posterior),
            Self::Fast => Some(Solver::Multistep),
            Self::FastStochastic => Some(Solver::MultistepStochastic),
        }
    }

    /// The sampler of that name, which keeps what it can of a model's `own` settings.
    pub fn of(self, own: Sampler) -> Sampler {
        match self.solver() {
            None => Sampler::Paper(own.paper()),
            Some(solver) => Sampler::Fast(FastSampler {
                solver,
                ..own.few_steps()
            }),
        }
    }
}

impl Sampler {
    /// The name to choose it by.
    pub fn name(self) -> SamplerName {
        match self {
            Self::Paper(_) => SamplerName::Paper,
            Self::Fast(fast) => match fast.solver {
                Solver::Euler => SamplerName::Euler,
                Solver::Posterior => SamplerName::Posterior,
                Solver::Multistep => SamplerName::Fast,
                Solver::MultistepStochastic => SamplerName::FastStochastic,
            },
        }
    }

    /// These settings if they are the paper's, else the paper's defaults.
    pub fn paper(self) -> PaperSampler {
        match self {
            Self::Paper(paper) => paper,
            Self::Fast(_) => PaperSampler::default(),
        }
    }

    /// These settings if they are a few-step sampler's, else its defaults.
    pub fn few_steps(self) -> FastSampler {
        match self {
            Self::Paper(_) => FastSampler::default(),
            Self::Fast(fast) => fast,
        }
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_chooses_the_sampler_that_bears_it_and_keeps_the_rest() {
        let own = Sampler::Fast(FastSampler {
            steps: 3,
            ..FastSampler::default()
        });
        for name in SamplerName::ALL {
            let chosen = name.of(own);
            assert_eq!(chosen.name(), name);
            if let Sampler::Fast(fast) = chosen {
                assert_eq!(fast.steps, 3);
            }
            let written = serde_json::to_string(&name).unwrap();
            assert_eq!(written, format!("{:?}", name.name()));
        }
    }
}
