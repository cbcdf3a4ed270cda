//! Sampler settings on the command line.

use clap::Args;
use strdiffusion::sampler::{PaperSampler, Switches};

/// What may be changed of a sampler's settings.
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
    reference: bool,
}

impl SamplerOptions {
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
