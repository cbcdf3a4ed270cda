//! Sampler settings on the command line.

use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};
use strdiffusion::sampling::{
    ChangeError, PaperSampler, ResamplingChange, Sampler, SamplerChange, SamplerName, Switches,
};

use crate::failure::user_error;

/// What may be changed of the paper's sampler.
#[derive(Args, Debug, Clone, Default)]
#[command(next_help_heading = "Sampler")]
pub struct SamplerOptions {
    /// Resampling: at most U_MAX - 1 rounds at one step
    #[arg(long, value_name = "N")]
    u_max: Option<usize>,
    /// Resampling: a rejected round ends it from round U_MIN on
    #[arg(long, value_name = "N")]
    u_min: Option<usize>,
    /// Resampling: only at steps that are multiples of this
    #[arg(long, value_name = "N")]
    jump: Option<usize>,
    /// Resampling: steps that the structure is noised back
    #[arg(long, value_name = "N")]
    re: Option<usize>,
    /// No adaptive resampling: faster
    #[arg(long, conflicts_with_all = ["u_max", "u_min", "jump", "re"])]
    no_resampling: bool,
    /// Sample as the reference implementation does, with all of its departures from the paper
    #[arg(long)]
    pub reference: bool,
}

impl SamplerOptions {
    fn change(&self) -> SamplerChange {
        let numbers = [self.u_max, self.u_min, self.jump, self.re];
        let [u_max, u_min, jump, re] = numbers;
        let resampling = match numbers.iter().any(Option::is_some) {
            true => Some(ResamplingChange::Paper {
                u_max,
                u_min,
                jump,
                re,
            }),
            false => self.no_resampling.then_some(ResamplingChange::Off),
        };
        SamplerChange {
            resampling,
            switches: self.reference.then(Switches::reference),
            ..SamplerChange::default()
        }
    }

    /// The paper's settings with these changes.
    ///
    /// # Errors
    /// If one is out of range.
    pub fn apply(&self, sampler: PaperSampler) -> anyhow::Result<PaperSampler> {
        let changed = self.change().of(sampler.into()).map_err(told)?;
        Ok(changed.paper())
    }
}

/// Which sampler, and its settings.
#[derive(Args, Debug, Clone, Default)]
#[command(next_help_heading = "Sampler")]
pub struct SamplerChoice {
    /// paper: every step, with resampling; the others take a few steps [default: the model's own]
    #[arg(long, value_enum)]
    sampler: Option<Named>,
    /// Steps of a few-step sampler
    #[arg(long, value_name = "N")]
    steps: Option<usize>,
    #[command(flatten)]
    paper: SamplerOptions,
}

/// A sampler's name as a value of an option.
#[derive(Clone, Copy, Debug)]
struct Named(SamplerName);

impl ValueEnum for Named {
    fn value_variants<'a>() -> &'a [Self] {
        const ALL: [Named; SamplerName::ALL.len()] = {
            let mut all = [Named(SamplerName::Paper); SamplerName::ALL.len()];
            let mut i = 0;
            while i < all.len() {
                all[i] = Named(SamplerName::ALL[i]);
                i += 1;
            }
            all
        };
        &ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.0.name()).help(self.0.description()))
    }
}

impl SamplerChoice {
    /// A model's sampler with these changes.
    ///
    /// # Errors
    /// If options of different samplers are mixed, or one is out of range.
    pub fn apply(&self, own: Sampler) -> anyhow::Result<Sampler> {
        // Few-step samplers resample only if they are asked to, and not by an option.
        let name = match (self.sampler, self.paper.no_resampling) {
            (Some(Named(SamplerName::Paper)) | None, true) => Some(SamplerName::Paper),
            (Some(_), true) => return Err(told(ChangeError::PaperOfFewSteps)),
            (named, false) => named.map(|Named(name)| name),
        };
        let change = SamplerChange {
            name,
            steps: self.steps,
            ..self.paper.change()
        };
        change.of(own).map_err(told)
    }
}

/// The error in terms of the options.
fn told(error: ChangeError) -> anyhow::Error {
    match error {
        ChangeError::StepsOfPaper => user_error(
            "--steps does not go with the paper's sampler, which takes all T steps of the \
             model; name a few-step sampler, such as --sampler fast",
        ),
        ChangeError::PaperOfFewSteps | ChangeError::RoundsOfPaper => user_error(
            "--u-max, --u-min, --jump, --re, --no-resampling and --reference belong to the \
             paper's sampler; add --sampler paper",
        ),
        ChangeError::Range(error) => error.into(),
        other => user_error(other),
    }
}
