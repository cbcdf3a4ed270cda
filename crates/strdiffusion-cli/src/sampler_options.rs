//! Sampler settings on the command line.

use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};
use strdiffusion::sampling::{FastSampler, PaperSampler, Sampler, SamplerName, Switches};

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
    /// Whether any of them is given.
    fn is_given(&self) -> bool {
        let numbers = [self.u_max, self.u_min, self.jump, self.re];
        numbers.iter().any(Option::is_some) || self.no_resampling || self.reference
    }

    /// The settings with these changes.
    pub fn apply(&self, mut sampler: PaperSampler) -> PaperSampler {
        let asked = [self.u_max, self.u_min, self.jump, self.re];
        if self.no_resampling {
            sampler.resampling = None;
        } else if asked.iter().any(Option::is_some) {
            let mut resampling = sampler.resampling.unwrap_or_default();
            let targets = [
                &mut resampling.u_max,
                &mut resampling.u_min,
                &mut resampling.jump,
                &mut resampling.re,
            ];
            for (target, asked) in targets.into_iter().zip(asked) {
                *target = asked.unwrap_or(*target);
            }
            sampler.resampling = Some(resampling);
        }
        if self.reference {
            sampler.switches = Switches::reference();
        }
        sampler
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
    /// If options of different samplers are mixed.
    pub fn apply(&self, own: Sampler) -> anyhow::Result<Sampler> {
        let paper_options = self.paper.is_given();
        let chosen = match self.sampler {
            Some(Named(name)) => name.of(own),
            None if paper_options => Sampler::Paper(own.paper()),
            None if self.steps.is_some() => Sampler::Fast(own.few_steps()),
            None => own,
        };
        let chosen = match chosen {
            Sampler::Paper(_) if self.steps.is_some() => {
                return Err(user_error(
                    "--steps does not go with the paper's sampler, which takes all T steps of the \
                     model; name a few-step sampler, such as --sampler fast",
                ));
            }
            Sampler::Fast(_) if paper_options => {
                return Err(user_error(
                    "--u-max, --u-min, --jump, --re, --no-resampling and --reference belong to the \
                     paper's sampler; add --sampler paper",
                ));
            }
            Sampler::Paper(paper) => Sampler::Paper(self.paper.apply(paper)),
            Sampler::Fast(fast) => Sampler::Fast(FastSampler {
                steps: self.steps.unwrap_or(fast.steps),
                ..fast
            }),
        };
        chosen.validate()?;
        Ok(chosen)
    }
}
