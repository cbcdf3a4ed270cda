//! `strdiffusion experiment`: the paper's claims, on networks trained for them and on a model that is
//! there, what quality costs, and what a structure or a drawing gains.

mod claims;
mod findings;
mod resampling;
mod settings;
mod table;
mod watch;

use std::fmt::Display;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use strdiffusion::device::DeviceName;
use strdiffusion::experiment::cost::trials;
use strdiffusion::experiment::measure::{
    Case, Leader, Measured, Protocol, cases, measure, measure_structure,
};
use strdiffusion::experiment::plot::{Curve, Figure};
use strdiffusion::files::write_atomically;
use strdiffusion::model::Model;
use strdiffusion::sampling::{FastSampler, Resampling, Sampler};

use self::claims::Claims;
use self::resampling::Resample;
use self::settings::Settings;
use self::table::{Row, Table};
use self::watch::watching;
use crate::failure::user_error;
use crate::interrupt::Interrupt;
use crate::model_source::ModelSource;
use crate::terminal::say;

/// Put the paper's claims to the test, or measure what quality costs
///
/// Everything is written to OUT: tables as CSV and Markdown, curves as CSV and SVG. What is there
/// already is not computed again; an OUT with other settings is refused.
#[derive(Args)]
pub struct Experiment {
    #[command(subcommand)]
    kind: Kind,
}

#[derive(Subcommand)]
enum Kind {
    Claims(Claims),
    Cost(Cost),
    Drawn(Drawn),
    Guide(Guide),
    Resampling(Resample),
}

impl Experiment {
    pub fn run(self) -> Result<()> {
        match self.kind {
            Kind::Claims(claims) => claims.run(),
            Kind::Cost(cost) => cost.run(),
            Kind::Drawn(drawn) => drawn.run(),
            Kind::Guide(guide) => guide.run(),
            Kind::Resampling(resample) => resample.run(),
        }
    }
}

/// Pictures whose truth is known.
#[derive(Args)]
struct TestSet {
    /// Folder of photographs to fill: the truth
    #[arg(long, value_name = "DIR")]
    images: PathBuf,
    /// Folder of irregular masks, white = hole
    #[arg(long, value_name = "DIR")]
    masks: PathBuf,
    /// How many pictures
    #[arg(short, default_value_t = 50)]
    n: usize,
    /// Side of the pictures [default: the model's training resolution]
    #[arg(long)]
    size: Option<usize>,
    /// auto, cpu, cuda[:i], vulkan[:i] or metal
    #[arg(long, default_value = "auto")]
    device: DeviceName,
}

impl TestSet {
    fn cases(&self, resolution: usize) -> Result<Vec<Case>> {
        let side = self.size.unwrap_or(resolution);
        // The buckets of published evaluations: more than 10 % and at most 50 %.
        Ok(cases(&self.images, &self.masks, side, self.n, 0.1..=0.5)?)
    }
}

/// Quality against network evaluations, for every sampler and number of steps
#[derive(Args)]
struct Cost {
    /// Model folder, or ORG/NAME[@REVISION] on the hub [default: $STRDIFFUSION_MODEL, else the
    /// one inside]
    #[arg(long)]
    model: Option<PathBuf>,
    #[command(flatten)]
    set: TestSet,
    /// Folder of tables and figures
    #[arg(short, long)]
    out: PathBuf,
}

/// What edges drawn into the hole gain: the truth's own edges, drawn or not
#[derive(Args)]
struct Drawn {
    /// Model folder, or ORG/NAME[@REVISION] on the hub [default: $STRDIFFUSION_MODEL, else the
    /// one inside]
    #[arg(long)]
    model: Option<PathBuf>,
    #[command(flatten)]
    set: TestSet,
}

/// What a structure gains: the model's own, the truth's, or none leads the texture
#[derive(Args)]
struct Guide {
    /// Model folder, or ORG/NAME[@REVISION] on the hub [default: $STRDIFFUSION_MODEL, else the
    /// one inside]
    #[arg(long)]
    model: Option<PathBuf>,
    #[command(flatten)]
    set: TestSet,
    /// Steps of the model's few-step sampler; several, separated by commas
    #[arg(long, value_delimiter = ',', default_value = "1")]
    steps: Vec<usize>,
    /// Picture i draws its noise from SEED + i
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// When and how often the paper's procedure resamples.
#[derive(Args)]
struct Rounds {
    /// Resampling: at most U_MAX - 1 rounds at one step; with the defaults a step then takes up to 29
    /// evaluations of structure and texture instead of 2
    #[arg(long, default_value_t = 10)]
    u_max: usize,
    /// Resampling: a rejected round ends it from round U_MIN on
    #[arg(long, default_value_t = 2)]
    u_min: usize,
    /// Resampling: only at steps that are multiples of this
    #[arg(long, default_value_t = 1)]
    jump: usize,
    /// Resampling: steps that the structure is noised back
    #[arg(long, default_value_t = 2)]
    re: usize,
}

impl Rounds {
    /// Adds them to an experiment's settings.
    fn tell(&self, settings: Settings) -> Settings {
        settings
            .with("u_max", self.u_max)
            .with("u_min", self.u_min)
            .with("jump", self.jump)
            .with("re", self.re)
    }

    fn settings(&self) -> Resampling {
        Resampling {
            u_max: self.u_max,
            u_min: self.u_min,
            jump: self.jump,
            re: self.re,
        }
    }
}

/// The model, and SHA-256 over its settings and weights.
fn load(model: &Option<PathBuf>, device: &DeviceName) -> Result<(Model, String)> {
    let source = ModelSource::choose(model.clone())?;
    Ok((source.load(&device.open()?)?, source.sha256()?))
}

/// A file of an experiment that goes on is not as it was written.
fn damaged(file: &Path, error: impl Display) -> anyhow::Error {
    user_error(format!(
        "{}: damaged; remove it to begin anew ({error})",
        file.display()
    ))
}

fn create(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)
        .with_context(|| format!("{}: cannot be created", folder.display()))
}

impl Cost {
    fn run(self) -> Result<()> {
        let interrupt = Interrupt::listen()?;
        let (model, sha256) = load(&self.model, &self.set.device)?;
        let cases = self.set.cases(model.config().training_resolution)?;
        Settings::of(&cases)
            .with("experiment", "cost")
            .with("model", sha256)
            .settle(&self.out)?;
        let mut table = Table::open(self.out.join("cost.csv"))?;
        for trial in trials(model.config().sampling, model.sde().steps()) {
            if table.has(trial.curve, trial.steps, 0) {
                continue;
            }
            let what = format!("{}, {} steps", trial.curve, trial.steps);
            let measured = measure(
                &model,
                &trial.sampler,
                &cases,
                Protocol::default(),
                &mut watching(&interrupt, what, cases.len()),
            )?;
            table.add(Row::new(trial.curve, trial.steps, 0, measured))?;
            self.draw(&table.rows)?;
        }
        say(format!(
            "{}: cost.csv, psnr.svg, ssim.svg",
            self.out.display()
        ));
        Ok(())
    }

    fn draw(&self, rows: &[Row]) -> Result<()> {
        let mut names: Vec<&str> = vec![];
        for row in rows {
            if !names.contains(&row.name.as_str()) {
                names.push(&row.name);
            }
        }
        let figure = |y: &str, value: fn(&Row) -> f64| Figure {
            title: format!(
                "{y} in the hole against network evaluations ({} pictures)",
                self.set.n
            ),
            x: "evaluations of all networks".into(),
            y: y.into(),
            log_x: true,
            reverse_x: false,
            curves: names
                .iter()
                .map(|&name| Curve {
                    name: name.to_owned(),
                    points: rows
                        .iter()
                        .filter(|row| row.name == name)
                        .map(|row| (row.evaluations() as f64, value(row)))
                        .collect(),
                })
                .collect(),
        };
        let psnr = figure("PSNR (dB)", |row| row.psnr).to_svg();
        let ssim = figure("SSIM", |row| row.ssim).to_svg();
        write_atomically(&self.out.join("psnr.svg"), psnr.as_bytes())?;
        write_atomically(&self.out.join("ssim.svg"), ssim.as_bytes())?;
        Ok(())
    }
}

impl Drawn {
    fn run(self) -> Result<()> {
        let interrupt = Interrupt::listen()?;
        let (model, _) = load(&self.model, &self.set.device)?;
        let cases = self.set.cases(model.config().training_resolution)?;
        for (name, draw_true_edges) in [("nothing drawn", false), ("true edges drawn", true)] {
            let protocol = Protocol {
                draw_true_edges,
                ..Protocol::default()
            };
            let sampler = model.config().sampling;
            let measured = measure(
                &model,
                &sampler,
                &cases,
                protocol,
                &mut watching(&interrupt, name, cases.len()),
            )?;
            say(format!(
                "{name}: {:.2} dB, SSIM {:.4} in the hole ({} pictures)",
                measured.psnr, measured.ssim, measured.pictures
            ));
        }
        Ok(())
    }
}

impl Guide {
    fn run(self) -> Result<()> {
        let interrupt = Interrupt::listen()?;
        let (model, _) = load(&self.model, &self.set.device)?;
        let cases = self.set.cases(model.config().training_resolution)?;
        for &steps in &self.steps {
            let sampler = FastSampler {
                steps,
                ..model.config().sampling.few_steps()
            };
            sampler.validate()?;
            let report = |what: &str, measured: Measured| {
                say(format!(
                    "{steps} steps, {what}: {:.2} dB, SSIM {:.4} in the hole ({} pictures)",
                    measured.psnr, measured.ssim, measured.pictures
                ));
            };
            let leaders = [
                ("no structure", Leader::None),
                ("own structure", Leader::Own),
                ("true structure", Leader::Truth),
            ];
            for (name, leader) in leaders {
                let protocol = Protocol {
                    seed: self.seed,
                    leader,
                    ..Protocol::default()
                };
                let sampler = Sampler::Fast(sampler);
                let what = format!("{steps} steps, {name}");
                let measured = measure(
                    &model,
                    &sampler,
                    &cases,
                    protocol,
                    &mut watching(&interrupt, what, cases.len()),
                )?;
                report(name, measured);
            }
            let protocol = Protocol {
                seed: self.seed,
                ..Protocol::default()
            };
            let alone = measure_structure(&model, &sampler, &cases, protocol)?;
            report("the own structure itself, in gray", alone);
        }
        Ok(())
    }
}
