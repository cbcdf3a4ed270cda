//! `strdiffusion experiment`: the paper's claims, what quality costs, and what a drawing gains.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};
use strdiffusion::device::DeviceName;
use strdiffusion::experiment::claims::{Arm, Training, arms, budget};
use strdiffusion::experiment::cost::trials;
use strdiffusion::experiment::discrepancy::{Agreement, Discrepancy};
use strdiffusion::experiment::measure::{
    Case, Leader, Measured, Protocol, cases, measure, measure_structure,
};
use strdiffusion::experiment::plot::{Curve, Figure};
use strdiffusion::files::list_pictures;
use strdiffusion::files::write_atomically;
use strdiffusion::model::Model;
use strdiffusion::sampling::{FastSampler, Resampling, Sampler};
use strdiffusion::training::config::TrainConfig;
use strdiffusion::training::run_log::RunLog;
use strdiffusion::training::trainer::{Ended, TrainEvent, Trainer, TrainingData};
use strdiffusion::{Device, Error};

use crate::interrupt::Interrupt;
use crate::model_source::ModelSource;
use crate::terminal::say;

/// Put the paper's claims to the test, or measure what quality costs
///
/// Everything is written to OUT: tables as CSV and Markdown, curves as CSV and SVG. What is there
/// already is not computed again.
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
}

impl Experiment {
    pub fn run(self) -> Result<()> {
        match self.kind {
            Kind::Claims(claims) => claims.run(),
            Kind::Cost(cost) => cost.run(),
            Kind::Drawn(drawn) => drawn.run(),
            Kind::Guide(guide) => guide.run(),
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

/// Guidance, resampling and switches, each arm trained under one budget
///
/// Trains four sets of networks (texture alone; guided by gray → gray, edges → edges and the
/// paper's gray → edges) with the same seed, pictures and steps, and samples them in ten ways.
#[derive(Args)]
struct Claims {
    /// Folder of photographs to train on
    #[arg(long, value_name = "DIR")]
    train: PathBuf,
    #[command(flatten)]
    set: TestSet,
    /// Folder of runs, tables and figures
    #[arg(short, long)]
    out: PathBuf,
    /// Settings of the training [default: the paper's networks, small, at 64×64]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Sampling seeds
    #[arg(long, default_value_t = 3)]
    seeds: u64,
    /// Resampling: at most U_MAX - 1 rounds at one step
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

/// What a curve shows of an agreement, and what its name ends in.
type Reading = (&'static str, fn(&Agreement) -> f64);

/// A measured row, as the CSV holds it.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Row {
    name: String,
    steps: usize,
    seed: u64,
    psnr: f64,
    ssim: f64,
    seconds: f64,
    texture: usize,
    structure: usize,
    discriminator: usize,
}

impl Row {
    fn new(name: &str, steps: usize, seed: u64, measured: Measured) -> Self {
        Self {
            name: name.to_owned(),
            steps,
            seed,
            psnr: measured.psnr,
            ssim: measured.ssim,
            seconds: measured.seconds,
            texture: measured.evaluations.texture,
            structure: measured.evaluations.structure,
            discriminator: measured.evaluations.discriminator,
        }
    }

    fn evaluations(&self) -> usize {
        self.texture + self.structure + self.discriminator
    }
}

/// Names of arms hold commas.
const DELIMITER: u8 = b';';

/// A CSV file that grows row by row, so that an interrupted experiment goes on.
struct Table {
    file: PathBuf,
    rows: Vec<Row>,
}

impl Table {
    fn open(file: PathBuf) -> Result<Self> {
        let mut rows = vec![];
        if file.is_file() {
            rows = csv::ReaderBuilder::new()
                .delimiter(DELIMITER)
                .from_path(&file)
                .and_then(|mut reader| reader.deserialize().collect())
                .with_context(|| format!("{}: damaged; remove it to begin anew", file.display()))?;
        }
        Ok(Self { file, rows })
    }

    fn has(&self, name: &str, steps: usize, seed: u64) -> bool {
        let same = |row: &&Row| (row.name.as_str(), row.steps, row.seed) == (name, steps, seed);
        self.rows.iter().find(same).is_some()
    }

    fn add(&mut self, row: Row) -> Result<()> {
        say(format!(
            "{}, {} steps, seed {}: {:.2} dB, SSIM {:.4}, {:.2} s a picture, evaluations {} + {} + {}",
            row.name,
            row.steps,
            row.seed,
            row.psnr,
            row.ssim,
            row.seconds,
            row.texture,
            row.structure,
            row.discriminator
        ));
        self.rows.push(row);
        let mut writer = csv::WriterBuilder::new()
            .delimiter(DELIMITER)
            .from_writer(vec![]);
        for row in &self.rows {
            writer.serialize(row)?;
        }
        Ok(write_atomically(&self.file, &writer.into_inner()?)?)
    }
}

/// Breaks as soon as Ctrl-C was pressed.
fn unless_asked(interrupt: &Interrupt) -> ControlFlow<()> {
    match interrupt.is_asked() {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    }
}

fn load(model: &Option<PathBuf>, device: &DeviceName) -> Result<Model> {
    let source = ModelSource::choose(model.clone())?;
    Ok(source.load(&device.open()?)?)
}

fn create(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)
        .with_context(|| format!("{}: cannot be created", folder.display()))
}

impl Cost {
    fn run(self) -> Result<()> {
        let interrupt = Interrupt::listen()?;
        create(&self.out)?;
        let model = load(&self.model, &self.set.device)?;
        let cases = self.set.cases(model.config().training_resolution)?;
        let mut table = Table::open(self.out.join("cost.csv"))?;
        for trial in trials(model.sde().steps()) {
            if table.has(trial.curve, trial.steps, 0) {
                continue;
            }
            let measured = measure(
                &model,
                &trial.sampler,
                &cases,
                Protocol::default(),
                &mut |_, _| unless_asked(&interrupt),
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
        let model = load(&self.model, &self.set.device)?;
        let cases = self.set.cases(model.config().training_resolution)?;
        for (name, draw_true_edges) in [("nothing drawn", false), ("true edges drawn", true)] {
            let protocol = Protocol {
                draw_true_edges,
                ..Protocol::default()
            };
            let sampler = model.config().sampling;
            let measured = measure(&model, &sampler, &cases, protocol, &mut |_, _| {
                unless_asked(&interrupt)
            })?;
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
        let model = load(&self.model, &self.set.device)?;
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
                let measured = measure(&model, &sampler, &cases, protocol, &mut |_, _| {
                    unless_asked(&interrupt)
                })?;
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

impl Claims {
    fn run(self) -> Result<()> {
        let interrupt = Interrupt::listen()?;
        create(&self.out)?;
        let device = self.set.device.open()?;
        let base = match &self.config {
            Some(file) => TrainConfig::read(file)?,
            None => budget(),
        };
        for training in Training::ALL {
            self.train_arm(training, &base, &device, &interrupt)?;
        }
        let cases = self.set.cases(base.data.resolution)?;
        let mut table = Table::open(self.out.join("claims.csv"))?;
        let resampling = Resampling {
            u_max: self.u_max,
            u_min: self.u_min,
            jump: self.jump,
            re: self.re,
        };
        let arms = arms(resampling);
        for arm in &arms {
            self.sample_arm(arm, &device, &cases, &mut table, &interrupt)?;
        }
        self.write_table(&arms, &table.rows)?;
        self.write_discrepancy()?;
        say(format!(
            "{}: claims.csv, claims.md, discrepancy.csv, discrepancy.svg, gap.svg",
            self.out.display()
        ));
        Ok(())
    }

    fn run_folder(&self, training: Training) -> PathBuf {
        self.out.join("runs").join(training.name())
    }

    fn train_arm(
        &self,
        training: Training,
        base: &TrainConfig,
        device: &Device,
        interrupt: &Interrupt,
    ) -> Result<()> {
        let run = self.run_folder(training);
        let mut config = base.clone();
        config.networks = training.networks(config.networks);
        create(&run)?;
        write_atomically(&run.join("config.toml"), config.to_toml().as_bytes())?;
        let data = TrainingData {
            photos: list_pictures(&self.train)?,
            masks: None,
        };
        let (mut trainer, _) = Trainer::new(config, &run, data, std::slice::from_ref(device))?;
        let mut log = RunLog::open(&run)?;
        let mut failed = None;
        let ended = trainer.train(training.stages(), None, &mut |event: &TrainEvent| {
            if let Err(error) = log.record(event) {
                failed.get_or_insert(error);
                return ControlFlow::Break(());
            }
            if let TrainEvent::Validated {
                stage,
                step,
                scores,
                ..
            } = event
            {
                say(format!(
                    "{} {} {step}: loss {:.4}, in the hole {:.2} dB",
                    training.name(),
                    stage.name(),
                    scores.loss,
                    scores.psnr.unwrap_or(f64::NAN)
                ));
            }
            unless_asked(interrupt)
        });
        if let Some(error) = failed {
            return Err(error.into());
        }
        match ended? {
            Ended::Finished => Ok(()),
            Ended::Interrupted => {
                Err(Error::Cancelled).context("stopped, and saved; the same command goes on")
            }
        }
    }

    fn sample_arm(
        &self,
        arm: &Arm,
        device: &Device,
        cases: &[Case],
        table: &mut Table,
        interrupt: &Interrupt,
    ) -> Result<()> {
        let total = |model: &Model| model.sde().steps();
        let model = Model::load(&self.run_folder(arm.training).join("model"), device)?;
        for seed in 0..self.seeds {
            if table.has(arm.name, total(&model), seed) {
                continue;
            }
            let mut discrepancy = Discrepancy::default();
            let mut failed = None;
            // Seeds far apart: picture i of a seed draws from seed + i.
            let protocol = Protocol {
                seed: seed << 32,
                ..Protocol::default()
            };
            let measured = measure(
                &model,
                &arm.sampler.into(),
                cases,
                protocol,
                &mut |cases, event| {
                    if let Err(error) = discrepancy.record(cases, event) {
                        failed.get_or_insert(error);
                        return ControlFlow::Break(());
                    }
                    unless_asked(interrupt)
                },
            );
            if let Some(error) = failed {
                return Err(error.into());
            }
            let measured = measured?;
            if arm.sampler.resampling.is_none() && seed == 0 {
                let lines: String = discrepancy
                    .curve()
                    .iter()
                    .map(|at| format!("{};{:.4};{:.4}\n", at.t, at.known, at.hole))
                    .collect();
                let text = "t;known;hole\n".to_owned() + &lines;
                write_atomically(&self.curve_file(arm.training), text.as_bytes())?;
            }
            table.add(Row::new(arm.name, total(&model), seed, measured))?;
        }
        Ok(())
    }

    fn curve_file(&self, training: Training) -> PathBuf {
        self.out
            .join(format!("discrepancy-{}.csv", training.name()))
    }

    /// One row an arm: mean over seeds, and how far the seeds lie apart.
    fn write_table(&self, arms: &[Arm], rows: &[Row]) -> Result<()> {
        let mut text = String::from(
            "| arm | PSNR in the hole (dB) | SSIM in the hole | s a picture | evaluations |\n\
             | --- | --- | --- | --- | --- |\n",
        );
        for arm in arms {
            let of_arm: Vec<&Row> = rows.iter().filter(|row| row.name == arm.name).collect();
            let count = of_arm.len() as f64;
            let spread = |value: fn(&Row) -> f64| {
                let mean = of_arm.iter().map(|row| value(row)).sum::<f64>() / count;
                let squares = of_arm
                    .iter()
                    .map(|row| (value(row) - mean).powi(2))
                    .sum::<f64>();
                (mean, (squares / (count - 1.0).max(1.0)).sqrt())
            };
            let (psnr, psnr_apart) = spread(|row| row.psnr);
            let (ssim, ssim_apart) = spread(|row| row.ssim);
            let (seconds, _) = spread(|row| row.seconds);
            let (evaluations, _) = spread(|row| row.evaluations() as f64);
            text += &format!(
                "| {} | {psnr:.2} ± {psnr_apart:.2} | {ssim:.4} ± {ssim_apart:.4} | {seconds:.2} | \
                 {evaluations:.0} |\n",
                arm.name
            );
        }
        Ok(write_atomically(
            &self.out.join("claims.md"),
            text.as_bytes(),
        )?)
    }

    fn write_discrepancy(&self) -> Result<()> {
        let mut curves = vec![];
        for training in Training::ALL {
            curves.push((training.name(), read_curve(&self.curve_file(training))?));
        }
        let figure = |title: &str, y: &str, values: &[Reading]| Figure {
            title: title.into(),
            x: "timestep t (sampling runs to the right)".into(),
            y: y.into(),
            log_x: false,
            reverse_x: true,
            curves: curves
                .iter()
                .flat_map(|(name, curve)| {
                    values.iter().map(move |(part, value)| Curve {
                        name: format!("{name}{part}"),
                        points: curve.iter().map(|at| (at.t as f64, value(at))).collect(),
                    })
                })
                .collect(),
        };
        let agreement = figure(
            "Agreement of the estimate with the truth",
            "PSNR (dB)",
            &[(", known", |at| at.known), (", hole", |at| at.hole)],
        );
        let gap = figure(
            "Gap between known region and hole",
            "PSNR gap (dB)",
            &[("", Agreement::gap)],
        );
        let (agreement, gap) = (agreement.to_svg(), gap.to_svg());
        write_atomically(&self.out.join("discrepancy.svg"), agreement.as_bytes())?;
        write_atomically(&self.out.join("gap.svg"), gap.as_bytes())?;
        Ok(())
    }
}

fn read_curve(file: &Path) -> Result<Vec<Agreement>> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("{}: cannot be read", file.display()))?;
    text.lines()
        .skip(1)
        .map(|line| {
            let values: Vec<&str> = line.split(';').collect();
            let [t, known, hole] = values[..] else {
                anyhow::bail!("{}: damaged", file.display());
            };
            Ok(Agreement {
                t: t.parse()?,
                known: known.parse()?,
                hole: hole.parse()?,
            })
        })
        .collect()
}
