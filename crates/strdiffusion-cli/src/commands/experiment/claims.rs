//! `strdiffusion experiment claims`: the arms of the paper's comparison, trained and sampled.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use sha2::{Digest, Sha256};
use strdiffusion::experiment::claims::{Arm, Training, arms, budget};
use strdiffusion::experiment::discrepancy::{Agreement, Discrepancy};
use strdiffusion::experiment::measure::{Case, Protocol, measure};
use strdiffusion::experiment::plot::{Curve, Figure};
use strdiffusion::files::{list_pictures, write_atomically};
use strdiffusion::model::Model;
use strdiffusion::text::hex;
use strdiffusion::training::config::TrainConfig;
use strdiffusion::training::run_log::RunLog;
use strdiffusion::training::trainer::{Ended, TrainEvent, Trainer, TrainingData};
use strdiffusion::{Device, Error};

use super::settings::Settings;
use super::table::{Row, Table};
use super::watch::watching;
use super::{Rounds, TestSet, create, damaged};
use crate::interrupt::Interrupt;
use crate::terminal::say;

/// Guidance, resampling and switches, each arm trained under one budget
///
/// Trains four sets of networks (texture alone; guided by gray → gray, edges → edges and the
/// paper's gray → edges) with the same seed, pictures and steps, and samples them in ten ways.
#[derive(Args)]
pub(super) struct Claims {
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
    #[command(flatten)]
    rounds: Rounds,
}

/// What a curve shows of an agreement, and what its name ends in.
type Reading = (&'static str, fn(&Agreement) -> f64);

impl Claims {
    pub(super) fn run(self) -> Result<()> {
        let interrupt = Interrupt::listen()?;
        let device = self.set.device.open()?;
        let base = match &self.config {
            Some(file) => TrainConfig::read(file)?,
            None => budget(),
        };
        let cases = self.set.cases(base.data.resolution)?;
        self.rounds
            .tell(Settings::of(&cases))
            .with("experiment", "claims")
            .with("training", hex(&Sha256::digest(base.to_toml())))
            .settle(&self.out)?;
        for training in Training::ALL {
            self.train_arm(training, &base, &device, &interrupt)?;
        }
        let mut table = Table::open(self.out.join("claims.csv"))?;
        let arms = arms(self.rounds.settings());
        for arm in &arms {
            self.sample_arm(arm, &device, &cases, &mut table, &interrupt)?;
        }
        let names: Vec<&str> = arms.iter().map(|arm| arm.name).collect();
        table.write_means(&names, &self.out.join("claims.md"))?;
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
            interrupt.flow()
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
            let protocol = Protocol::repetition(seed);
            let what = format!("{}, seed {seed}", arm.name);
            let mut watch = watching(interrupt, what, cases.len());
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
                    watch(cases, event)
                },
            );
            drop(watch);
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
                return Err(damaged(file, "a line has not three values"));
            };
            let number = |text: &str| text.parse().map_err(|error| damaged(file, error));
            Ok(Agreement {
                t: t.parse().map_err(|error| damaged(file, error))?,
                known: number(known)?,
                hole: number(hole)?,
            })
        })
        .collect()
}
