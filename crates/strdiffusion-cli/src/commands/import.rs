//! `strdiffusion import`: a model folder of the reference implementation's checkpoints.

use std::path::PathBuf;

use clap::Args;
use clap::builder::PossibleValuesParser;
use strdiffusion::Device;
use strdiffusion::model::{CONFIG, Checkpoints, EdgeConfig, ImportSettings, Model};
use strdiffusion::sampling::PaperSampler;
use strdiffusion::sde::{Arithmetic, Schedule, SdeConfig, max_sigma_from_levels};
use strdiffusion::structure::Canny;
use strdiffusion::weights::Storage;

use super::info;
use crate::failure::user_error;
use crate::model_source::ModelSource;
use crate::sampler_options::SamplerOptions;
use crate::terminal::say;

/// Make a model folder of PyTorch checkpoints of the reference implementation
///
/// Sizes (nf, depth, ngf) are inferred from the files; no code in them is run. What the files do
/// not say comes from the options below: give what the networks were trained with.
#[derive(Args)]
pub struct Import {
    /// Checkpoint of the texture network
    #[arg(long, value_name = "T.pth")]
    texture: PathBuf,
    /// Checkpoint of the structure network
    #[arg(long, value_name = "S.pth")]
    structure: PathBuf,
    /// Checkpoint of the discriminator
    #[arg(long, value_name = "D.pth")]
    discriminator: PathBuf,
    /// Model folder to make
    #[arg(short, long, value_name = "MODEL")]
    output: PathBuf,
    /// Replace a model that is there already
    #[arg(long)]
    force: bool,
    /// Store 16-bit floats: half the size
    #[arg(long)]
    half: bool,
    /// Licence of the weights
    #[arg(long, default_value = "unknown")]
    licence: String,
    /// Where the weights come from
    #[arg(long, default_value = "imported from PyTorch checkpoints")]
    source: String,

    /// Number of timesteps T
    #[arg(
        long,
        value_name = "T",
        default_value_t = 100,
        help_heading = "Training"
    )]
    steps: usize,
    /// Shape of θ over time
    #[arg(
        long,
        default_value = "cosine",
        value_parser = PossibleValuesParser::new(["cosine", "linear", "constant"]),
        help_heading = "Training"
    )]
    schedule: String,
    /// Stationary standard deviation λ; values of 1 and more are levels of 255
    #[arg(
        long,
        value_name = "λ",
        default_value_t = 30.0,
        help_heading = "Training"
    )]
    max_sigma: f64,
    /// What is left of the clean picture at t = T
    #[arg(
        long,
        value_name = "ε",
        default_value_t = 0.005,
        help_heading = "Training"
    )]
    eps: f64,
    /// Side of the training crops, in pixels
    #[arg(
        long,
        value_name = "PIXELS",
        default_value_t = 256,
        help_heading = "Training"
    )]
    resolution: usize,
    /// Standard deviation of Canny's Gaussian when filling, in pixels
    #[arg(long, value_name = "σ", default_value_t = 2.0)]
    canny_sigma: f64,
    #[command(flatten)]
    sampler: SamplerOptions,
}

impl Import {
    pub fn run(self) -> anyhow::Result<()> {
        if !self.force && self.output.join(CONFIG).exists() {
            return Err(user_error(format!(
                "{}: a model is there already; choose another name, or replace it with --force",
                self.output.display()
            )));
        }
        let defaults = ImportSettings::default();
        let settings = ImportSettings {
            sde: SdeConfig {
                schedule: match self.schedule.as_str() {
                    "linear" => Schedule::Linear,
                    "constant" => Schedule::Constant,
                    _ => Schedule::Cosine,
                },
                steps: self.steps,
                max_sigma: max_sigma_from_levels(self.max_sigma),
                eps: self.eps,
                arithmetic: if self.sampler.reference {
                    Arithmetic::Single
                } else {
                    Arithmetic::Double
                },
            },
            sampling: self.sampler.apply(PaperSampler::default())?.into(),
            edges: EdgeConfig {
                canny: Canny::with_sigma(self.canny_sigma),
                ..defaults.edges
            },
            training_resolution: self.resolution,
            licence: self.licence,
            source: self.source,
        };
        let checkpoints = Checkpoints {
            texture: self.texture,
            structure: self.structure,
            discriminator: self.discriminator,
        };
        let model = Model::import(&checkpoints, &settings, &Device::flex())?;
        model.save(
            &self.output,
            if self.half {
                Storage::F16
            } else {
                Storage::F32
            },
        )?;
        say(info::describe(&model, &ModelSource::Folder(self.output)));
        Ok(())
    }
}
