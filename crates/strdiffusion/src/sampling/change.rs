//! What a caller may change of a model's own sampler, by the same rules for command, server and
//! Python.

use thiserror::Error;

use super::settings::{FastSampler, PaperSampler, Sampler, SamplerName, Switches};
use crate::error::Error;

/// Changes of a model's own sampler; what is `None` stays.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct SamplerChange {
    /// Another sampler. Where none is named, the paper's own parameters choose the paper's, and
    /// steps a few-step sampler.
    pub name: Option<SamplerName>,
    /// Steps of a few-step sampler.
    pub steps: Option<usize>,
    /// Adaptive resampling.
    pub resampling: Option<ResamplingChange>,
    /// The paper's sampler: where it departs from the reference implementation.
    pub switches: Option<Switches>,
}

/// A change of adaptive resampling.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ResamplingChange {
    /// None of it.
    Off,
    /// Few steps: at most so many rounds at each early step.
    Rounds(usize),
    /// The paper's, with some of its parameters (see [`super::Resampling`]).
    Paper {
        /// At most `u_max` − 1 rounds at one t.
        u_max: Option<usize>,
        /// A rejected round ends it from this round on.
        u_min: Option<usize>,
        /// Only where t is a multiple of this.
        jump: Option<usize>,
        /// Steps that the structure is noised back.
        re: Option<usize>,
    },
}

/// Changes that do not go together.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// A number of steps for the paper's sampler.
    #[error("the paper's sampler takes all T steps of the model; name a few-step sampler")]
    StepsOfPaper,
    /// A number of rounds for the paper's sampler.
    #[error("a number of rounds belongs to the few-step samplers; the paper's takes u_max")]
    RoundsOfPaper,
    /// Parameters of the paper's sampler for another.
    #[error("u_max, u_min, jump, re and the switches belong to the paper's sampler; name it")]
    PaperOfFewSteps,
    /// A value out of range.
    #[error(transparent)]
    Range(#[from] Error),
}

impl SamplerChange {
    /// A model's `own` sampler with these changes.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub fn of(&self, own: Sampler) -> Result<Sampler, ChangeError> {
        let sampler = match self.chosen(own) {
            Sampler::Paper(paper) => Sampler::Paper(self.of_paper(paper)?),
            Sampler::Fast(fast) => Sampler::Fast(self.of_few_steps(fast)?),
        };
        sampler.validate()?;
        Ok(sampler)
    }

    /// Whether something is asked for that only the paper's sampler has.
    fn is_the_papers(&self) -> bool {
        matches!(self.resampling, Some(ResamplingChange::Paper { .. })) || self.switches.is_some()
    }

    fn chosen(&self, own: Sampler) -> Sampler {
        match self.name {
            Some(name) => name.of(own),
            None if self.is_the_papers() => Sampler::Paper(own.paper()),
            None if self.steps.is_some() => Sampler::Fast(own.few_steps()),
            None => own,
        }
    }

    fn of_paper(&self, mut paper: PaperSampler) -> Result<PaperSampler, ChangeError> {
        if self.steps.is_some() {
            return Err(ChangeError::StepsOfPaper);
        }
        match self.resampling {
            None => {}
            Some(ResamplingChange::Off) => paper.resampling = None,
            Some(ResamplingChange::Rounds(_)) => return Err(ChangeError::RoundsOfPaper),
            Some(ResamplingChange::Paper {
                u_max,
                u_min,
                jump,
                re,
            }) => {
                let mut resampling = paper.resampling.unwrap_or_default();
                resampling.u_max = u_max.unwrap_or(resampling.u_max);
                resampling.u_min = u_min.unwrap_or(resampling.u_min);
                resampling.jump = jump.unwrap_or(resampling.jump);
                resampling.re = re.unwrap_or(resampling.re);
                paper.resampling = Some(resampling);
            }
        }
        paper.switches = self.switches.unwrap_or(paper.switches);
        Ok(paper)
    }

    fn of_few_steps(&self, mut fast: FastSampler) -> Result<FastSampler, ChangeError> {
        if self.is_the_papers() {
            return Err(ChangeError::PaperOfFewSteps);
        }
        fast.steps = self.steps.unwrap_or(fast.steps);
        match self.resampling {
            Some(ResamplingChange::Off) => fast.resampling_rounds = 0,
            Some(ResamplingChange::Rounds(rounds)) => fast.resampling_rounds = rounds,
            _ => {}
        }
        Ok(fast)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sampling::{Resampling, Solver};

    fn few(steps: usize) -> Sampler {
        Sampler::Fast(FastSampler {
            steps,
            ..FastSampler::default()
        })
    }

    const JUMP: ResamplingChange = ResamplingChange::Paper {
        u_max: None,
        u_min: None,
        jump: Some(7),
        re: None,
    };

    #[test]
    fn what_is_not_named_stays() {
        for own in [few(3), Sampler::default()] {
            assert_eq!(SamplerChange::default().of(own).unwrap(), own);
        }
        let named = SamplerChange {
            name: Some(SamplerName::Euler),
            ..SamplerChange::default()
        };
        let Sampler::Fast(fast) = named.of(few(3)).unwrap() else {
            panic!("euler is a few-step sampler");
        };
        assert_eq!((fast.steps, fast.solver), (3, Solver::Euler));
    }

    #[test]
    fn parameters_choose_their_sampler_where_none_is_named() {
        let steps = SamplerChange {
            steps: Some(4),
            ..SamplerChange::default()
        };
        assert_eq!(steps.of(Sampler::default()).unwrap(), few(4));
        let jump = SamplerChange {
            resampling: Some(JUMP),
            ..SamplerChange::default()
        };
        let Sampler::Paper(paper) = jump.of(few(3)).unwrap() else {
            panic!("jump is the paper's");
        };
        let expected = Resampling {
            jump: 7,
            ..Resampling::default()
        };
        assert_eq!(paper.resampling, Some(expected));
    }

    #[test]
    fn parameters_of_another_sampler_are_refused() {
        let change = |name, steps, resampling| SamplerChange {
            name: Some(name),
            steps,
            resampling,
            switches: None,
        };
        let refused = |change: SamplerChange| change.of(few(3)).unwrap_err();
        let error = refused(change(SamplerName::Paper, Some(4), None));
        assert!(matches!(error, ChangeError::StepsOfPaper));
        let rounds = Some(ResamplingChange::Rounds(2));
        let error = refused(change(SamplerName::Paper, None, rounds));
        assert!(matches!(error, ChangeError::RoundsOfPaper));
        let error = refused(change(SamplerName::Fast, None, Some(JUMP)));
        assert!(matches!(error, ChangeError::PaperOfFewSteps));
        let error = refused(change(SamplerName::Fast, Some(0), None));
        assert!(matches!(error, ChangeError::Range(_)));
    }
}
