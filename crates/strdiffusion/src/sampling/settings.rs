//! Settings of the samplers, and the names that users choose them by.

use serde::{Deserialize, Serialize};

use super::grid::Grid;
use crate::error::{Error, Result};
use crate::networks::GuideAlignment;

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

    /// These settings if they are the paper's, else the paper's defaults; how long a structure leads
    /// stays, for that is what the networks were trained for.
    pub fn paper(self) -> PaperSampler {
        match self {
            Self::Paper(paper) => paper,
            Self::Fast(FastSampler { early_until, .. }) => PaperSampler {
                early_until,
                ..PaperSampler::default()
            },
        }
    }

    /// These settings if they are a few-step sampler's, else its defaults; how long a structure leads
    /// stays.
    pub fn few_steps(self) -> FastSampler {
        match self {
            Self::Paper(PaperSampler { early_until, .. }) => FastSampler {
                early_until,
                ..FastSampler::default()
            },
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
}

/// The four parameters of adaptive resampling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resampling {
    /// At most `u_max` − 1 rounds at one t.
    pub u_max: usize,
    /// A rejected round ends the resampling from round `u_min` on.
    pub u_min: usize,
    /// Resampling happens where t is a multiple of this.
    pub jump: usize,
    /// Steps that the structure is noised back (never past T).
    pub re: usize,
}

impl Default for Resampling {
    /// The paper's values for T = 400.
    fn default() -> Self {
        Self {
            u_max: 6,
            u_min: 3,
            jump: 5,
            re: 5,
        }
    }
}

/// At which level the known structure is drawn that is pasted into the state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KnownStructure {
    /// At the level of the state, a fresh draw each time.
    #[default]
    AtLevel,
    /// One draw at t − 1 for all that happens at t: the reference.
    OneAhead,
}

/// Which θ noises x_{k−1} to x_k in resampling.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ForwardTheta {
    /// θ_k.
    #[default]
    OfTarget,
    /// θ_{k−1}: the reference.
    OfSource,
}

/// What a resampled pair is compared with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Incumbent {
    /// The score of the pair at hand.
    #[default]
    Current,
    /// The score of the first pair at this t, whatever was accepted since: the reference.
    First,
}

/// Which score wins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Better {
    /// The higher: training drives the score of matching pairs up.
    #[default]
    Higher,
    /// The lower: the reference.
    Lower,
    /// The newer pair, whatever the scores: as many rounds each time, as in RePaint. Nothing is
    /// scored.
    Newest,
}

impl Better {
    /// What files leave out.
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What becomes of a pair that lost before round `u_min`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rejected {
    /// It is dropped.
    #[default]
    Dropped,
    /// It is averaged into the current pair, which shrinks the variance of its noise: the
    /// reference.
    Averaged,
    /// It is averaged into the current pair, with the noise scaled back to its variance.
    AveragedRescaled,
}

/// What of the texture the discriminator sees.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiscriminatorView {
    /// All of it, as in training.
    #[default]
    Whole,
    /// The known region: the reference at test time.
    Known,
}

/// What guides the texture in the late stage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LateGuide {
    /// The structure process runs on without its network: its clean end is the luma of the
    /// texture's own estimate ŷ_0, and the guide its optimum reverse state at t − 1, as in
    /// training.
    #[default]
    Luma,
    /// The mean of the texture's channels at level t: the reference.
    ChannelMean,
}

/// The sampler's departures from the reference implementation, one switch each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Switches {
    /// Whether noise is added even in the last step (the reference does).
    pub last_step_noise: bool,
    /// At which level the known structure is drawn.
    pub known_structure: KnownStructure,
    /// Which θ noises the structure back.
    pub forward_theta: ForwardTheta,
    /// What a resampled pair is compared with.
    pub incumbent: Incumbent,
    /// Which score wins.
    pub better: Better,
    /// What becomes of a losing pair.
    pub rejected: Rejected,
    /// What of the texture the discriminator sees.
    pub discriminator_view: DiscriminatorView,
    /// What guides the texture in the late stage.
    pub late_guide: LateGuide,
    /// Whether the known texture is pasted into the state before each step (the reference does
    /// not, and neither does the paper).
    pub composite_texture: bool,
    /// How the guide meets padded features.
    pub guide_alignment: GuideAlignment,
}

impl Switches {
    /// All as in the reference implementation.
    pub fn reference() -> Self {
        Self {
            last_step_noise: true,
            known_structure: KnownStructure::OneAhead,
            forward_theta: ForwardTheta::OfSource,
            incumbent: Incumbent::First,
            better: Better::Lower,
            rejected: Rejected::Averaged,
            discriminator_view: DiscriminatorView::Known,
            late_guide: LateGuide::ChannelMean,
            composite_texture: false,
            guide_alignment: GuideAlignment::Stretched,
        }
    }
}

/// Settings of the paper's sampler.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PaperSampler {
    /// Adaptive resampling, or none.
    pub resampling: Option<Resampling>,
    /// The early stage lasts until t = ⌊this · T⌋.
    pub early_until: f64,
    /// The switches.
    pub switches: Switches,
}

impl Default for PaperSampler {
    fn default() -> Self {
        Self {
            resampling: Some(Resampling::default()),
            early_until: 0.4,
            switches: Switches::default(),
        }
    }
}

impl PaperSampler {
    /// Checks the settings.
    ///
    /// # Errors
    /// Names the first that is out of range.
    pub fn validate(&self) -> Result<()> {
        if !(0.0..=1.0).contains(&self.early_until) {
            return Err(Error::Config(format!(
                "early_until is {}: it must be 0 to 1",
                self.early_until
            )));
        }
        if let Some(Resampling {
            u_max,
            u_min,
            jump,
            re,
        }) = self.resampling
            && [u_max, u_min, jump, re].contains(&0)
        {
            return Err(Error::Config(format!(
                "resampling parameters u_max {u_max}, u_min {u_min}, jump {jump}, re {re}: each \
                 must be at least 1"
            )));
        }
        Ok(())
    }
}

/// Order and kind of a solver.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Solver {
    /// First order, deterministic.
    Euler,
    /// First order, stochastic: posterior steps of any size.
    Posterior,
    /// Second order, deterministic.
    #[default]
    Multistep,
    /// Second order, stochastic.
    MultistepStochastic,
}

impl Solver {
    /// Whether its steps draw noise.
    pub fn is_stochastic(self) -> bool {
        matches!(self, Self::Posterior | Self::MultistepStochastic)
    }

    /// Whether it uses the estimate of the step before.
    pub fn is_second_order(self) -> bool {
        matches!(self, Self::Multistep | Self::MultistepStochastic)
    }
}

/// Settings of the few-step sampler.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FastSampler {
    /// Steps; one evaluation of each network a step, and more where resampling happens.
    pub steps: usize,
    /// Solver.
    pub solver: Solver,
    /// Spacing of the steps.
    pub grid: Grid,
    /// At each early step, at most this many rounds of adaptive resampling.
    pub resampling_rounds: usize,
    /// Which score wins a round.
    #[serde(default, skip_serializing_if = "Better::is_default")]
    pub better: Better,
    /// The early stage lasts until t = ⌊this · T⌋.
    pub early_until: f64,
}

impl Default for FastSampler {
    fn default() -> Self {
        Self {
            steps: 10,
            solver: Solver::default(),
            grid: Grid::default(),
            resampling_rounds: 0,
            better: Better::default(),
            early_until: 0.4,
        }
    }
}

impl FastSampler {
    /// Checks the settings.
    ///
    /// # Errors
    /// Names the first that is out of range.
    pub fn validate(&self) -> Result<()> {
        if self.steps == 0 {
            return Err(Error::Config("a sampler needs at least 1 step".into()));
        }
        if !(0.0..=1.0).contains(&self.early_until) {
            return Err(Error::Config(format!(
                "early_until is {}: it must be 0 to 1",
                self.early_until
            )));
        }
        Ok(())
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

    /// A model that was trained to be led to the end falls apart when it is not.
    #[test]
    fn another_sampler_lets_the_structure_lead_as_long_as_the_own_one() {
        let few_steps = Sampler::Fast(FastSampler {
            early_until: 0.1,
            ..FastSampler::default()
        });
        let paper = SamplerName::Paper.of(few_steps);
        assert_eq!(paper.paper().early_until, 0.1);
        assert_eq!(SamplerName::Fast.of(paper).few_steps().early_until, 0.1);
    }
}
