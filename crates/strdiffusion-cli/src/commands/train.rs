//! `strdiffusion train`: from a folder of photographs to a model.

use std::ops::ControlFlow;
use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueEnum};
use strdiffusion::Device;
use strdiffusion::device::DeviceName;
use strdiffusion::files::list_pictures;
use strdiffusion::files::write_atomically;
use strdiffusion::model::read_config;
use strdiffusion::picture::HolePolarity;
use strdiffusion::training::config::{Preset, TrainConfig};
use strdiffusion::training::photographs;
use strdiffusion::training::run_log::RunLog;
use strdiffusion::training::stage::Stage;
use strdiffusion::training::trainer::{Ended, TrainEvent, Trainer, TrainingData};

use crate::arithmetic::note_if_wider;
use crate::failure::user_error;
use crate::interrupt::Interrupt;
use crate::terminal;
use crate::training_display::Display;

/// Train the three networks on a folder of photographs
///
/// Everything is saved in the run's folder; a run that was stopped, in whatever way, goes on with
/// --resume. RUN/model is a model folder for `inpaint` as soon as it is there.
#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Train {
    /// Folder of photographs, with all folders in it
    #[arg(long, value_name = "DIR")]
    images: PathBuf,
    /// Folder of masks [default: masks are generated]
    #[arg(long, value_name = "DIR")]
    masks: Option<PathBuf>,
    /// Which pixels of those masks are the hole
    #[arg(long, value_enum, default_value = "white", requires = "masks")]
    hole: Hole,
    /// Folder of the run
    #[arg(short, long, value_name = "RUN")]
    out: PathBuf,
    /// Settings to start from: tiny (two CPU cores), small (one GPU), paper (as published)
    #[arg(long, value_enum, conflicts_with = "config")]
    preset: Option<PresetName>,
    /// Settings from a TOML file; RUN/config.toml of any run shows every one of them
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Change one setting, such as run.batch=4 or structure.learning_rate=2e-4; may be given again
    #[arg(long, value_name = "KEY=VALUE", conflicts_with = "resume", value_parser = setting)]
    set: Vec<(String, String)>,
    /// Start from the networks of this model folder, with its sizes, instead of fresh ones
    #[arg(long, value_name = "MODEL", conflicts_with = "resume")]
    from: Option<PathBuf>,
    /// Which network to train
    #[arg(long, value_enum, default_value = "all")]
    stage: StageName,
    /// Stop each stage after this many steps (those done before count) [default: as configured]
    #[arg(long)]
    steps: Option<usize>,
    /// Seed of everything random [default: as configured]
    #[arg(long)]
    seed: Option<u64>,
    /// auto, cpu, cuda[:i], vulkan[:i] or metal; several, separated by commas, share each batch
    #[arg(long, default_value = "auto", value_delimiter = ',')]
    device: Vec<DeviceName>,
    /// Go on with the run that is in the folder
    #[arg(long, conflicts_with_all = ["preset", "config", "seed"])]
    resume: bool,
}

const EXAMPLES: &str = "Examples:
  strdiffusion train --images photos/ --out run/ --preset tiny
  strdiffusion train --images photos/ --out run/ --resume
  strdiffusion train --images photos/ --out run/ --set run.batch=4 --set run.loss.distance=squared
  strdiffusion inpaint photo.jpg --mask mask.png -o filled.png --model run/model";

#[derive(Clone, Copy, ValueEnum)]
enum Hole {
    White,
    Black,
}

#[derive(Clone, Copy, ValueEnum)]
enum PresetName {
    Tiny,
    Small,
    Paper,
}

#[derive(Clone, Copy, ValueEnum)]
enum StageName {
    Structure,
    Texture,
    Discriminator,
    All,
}

fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) => Ok((key.trim().into(), value.trim().into())),
        None => Err("give a key and its value, such as run.batch=4".into()),
    }
}

impl Train {
    pub fn run(self) -> Result<()> {
        let devices: Vec<Device> = (self.device.iter())
            .map(|name| name.open())
            .collect::<strdiffusion::Result<_>>()?;
        let config = self.settings(&devices)?;
        let photos = list_pictures(&self.images)?;
        if photos.is_empty() {
            return Err(user_error(format!(
                "{}: no pictures in this folder; name a folder of PNG, JPEG, WebP, TIFF or BMP \
                 photographs",
                self.images.display()
            )));
        }
        let masks = match &self.masks {
            None => None,
            Some(folder) => Some((list_pictures(folder)?, self.polarity())),
        };
        for device in &devices {
            note_if_wider(config.run.precision, device);
        }
        let interrupt = Interrupt::listen()?;
        let changed = photographs::remember(&self.out, &photos)?;
        let data = TrainingData { photos, masks };
        let (mut trainer, skipped) = Trainer::new(config, &self.out, data, &devices)?;
        let skipped = photographs::list_skipped(&self.out, &skipped)?;
        let changed = changed.map(|changed| changed.to_string());
        for note in [skipped, changed].into_iter().flatten() {
            terminal::note(note);
        }
        let text = trainer.config().to_toml();
        write_atomically(&self.out.join("config.toml"), text.as_bytes())?;

        let mut log = RunLog::open(&self.out)?;
        let mut display = Display::new(trainer.photos());
        let mut failed = None;
        let outcome = trainer.train(&self.stages(), self.steps, &mut |event: &TrainEvent| {
            if let Err(error) = log.record(event) {
                failed.get_or_insert(error);
            }
            display.show(event);
            if failed.is_some() || interrupt.is_asked() || display.wants_to_stop() {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        });
        display.close();
        if let Some(error) = failed {
            return Err(error.into());
        }
        let model = self.out.join("model");
        match outcome? {
            Ended::Finished => terminal::report(format!("done; the model is {}", model.display())),
            Ended::Interrupted => terminal::report("stopped, and saved; go on with --resume"),
        }
        Ok(())
    }

    /// The run's settings: of its folder with --resume, else of the file or preset.
    fn settings(&self, devices: &[Device]) -> Result<TrainConfig> {
        let stored = self.out.join("config.toml");
        if self.resume {
            if !stored.is_file() {
                return Err(user_error(format!(
                    "{}: there is no run to go on with; leave --resume away to start one",
                    self.out.display()
                )));
            }
            return Ok(TrainConfig::read(&stored)?);
        }
        if stored.exists() {
            return Err(user_error(format!(
                "{}: there is a run in this folder already; go on with --resume, or name another \
                 folder",
                self.out.display()
            )));
        }
        let preset = match self.preset {
            Some(PresetName::Small) => Preset::Small,
            Some(PresetName::Paper) => Preset::Paper,
            Some(PresetName::Tiny) | None => Preset::Tiny,
        };
        let mut config = match &self.config {
            Some(file) => TrainConfig::read(file)?,
            None => TrainConfig::preset_on(preset, devices),
        };
        if let Some(folder) = &self.from {
            config.start_from(folder, &read_config(folder)?);
        }
        if let Some(seed) = self.seed {
            config.run.seed = seed;
        }
        for (key, value) in &self.set {
            config.set(key, value)?;
        }
        config.validate()?;
        Ok(config)
    }

    fn polarity(&self) -> HolePolarity {
        match self.hole {
            Hole::White => HolePolarity::White,
            Hole::Black => HolePolarity::Black,
        }
    }

    fn stages(&self) -> Vec<Stage> {
        match self.stage {
            StageName::Structure => vec![Stage::Structure],
            StageName::Texture => vec![Stage::Texture],
            StageName::Discriminator => vec![Stage::Discriminator],
            StageName::All => Stage::ALL.to_vec(),
        }
    }
}
