//! What a run leaves to read: a CSV of every logged value, and TensorBoard's event files.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::stage::Stage;
use super::tensorboard::EventFile;
use super::trainer::TrainEvent;
use crate::error::{Error, Result};
use crate::files::write_atomically;

const HEADER: &str = "stage,step,kind,loss,gradient_norm,learning_rate,steps_per_second,psnr,ssim";

/// Writes `RUN/log.csv` and `RUN/tensorboard/STAGE/`.
pub struct RunLog {
    run: PathBuf,
    csv: PathBuf,
    file: File,
    events: Option<(Stage, EventFile)>,
}

impl RunLog {
    /// Opens the log of a run's folder. Rows that a stopped run wrote after its last checkpoint
    /// are dropped when the stage goes on.
    ///
    /// # Errors
    /// If the folder cannot be written to.
    pub fn open(run: &Path) -> Result<Self> {
        let csv = run.join("log.csv");
        if !csv.is_file() {
            write_atomically(&csv, format!("{HEADER}\n").as_bytes())?;
        }
        Ok(Self {
            run: run.to_path_buf(),
            file: append_to(&csv)?,
            csv,
            events: None,
        })
    }

    /// Logs what is worth logging of an event.
    ///
    /// # Errors
    /// If the disk is full.
    pub fn record(&mut self, event: &TrainEvent) -> Result<()> {
        match *event {
            TrainEvent::Started { stage, step, .. } => self.start(stage, step),
            TrainEvent::Stepped {
                stage,
                step,
                loss,
                gradient_norm,
                learning_rate,
                steps_per_second,
                log: true,
                ..
            } => {
                self.row(&format!(
                    "{},{step},train,{loss},{gradient_norm},{learning_rate},{steps_per_second},,",
                    stage.name()
                ))?;
                self.scalars(
                    step,
                    &[
                        ("train/loss", loss),
                        ("train/gradient_norm", gradient_norm),
                        ("train/learning_rate", learning_rate),
                        ("train/steps_per_second", steps_per_second),
                    ],
                )
            }
            TrainEvent::Validated {
                stage,
                step,
                scores,
                ..
            } => {
                let text = |value: Option<f64>| value.map_or(String::new(), |v| v.to_string());
                let (psnr, ssim) = (text(scores.psnr), text(scores.ssim));
                self.row(&format!(
                    "{},{step},validation,{},,,,{psnr},{ssim}",
                    stage.name(),
                    scores.loss
                ))?;
                let mut values = vec![("validation/loss", scores.loss)];
                values.extend(scores.psnr.map(|psnr| ("validation/psnr", psnr)));
                values.extend(scores.ssim.map(|ssim| ("validation/ssim", ssim)));
                self.scalars(step, &values)
            }
            _ => Ok(()),
        }
    }

    fn start(&mut self, stage: Stage, step: usize) -> Result<()> {
        let text =
            std::fs::read_to_string(&self.csv).map_err(|error| Error::io(&self.csv, error))?;
        let outdated = |row: &str| {
            let mut fields = row.split(',');
            fields.next() == Some(stage.name())
                && fields
                    .next()
                    .and_then(|f| f.parse().ok())
                    .is_none_or(|row: usize| row > step)
        };
        let mut kept: String = text
            .lines()
            .filter(|row| !outdated(row))
            .collect::<Vec<_>>()
            .join("\n");
        kept.push('\n');
        if kept != text {
            write_atomically(&self.csv, kept.as_bytes())?;
            self.file = append_to(&self.csv)?;
        }
        let folder = self.run.join("tensorboard").join(stage.name());
        self.events = Some((stage, EventFile::create(&folder, step)?));
        Ok(())
    }

    fn row(&mut self, row: &str) -> Result<()> {
        writeln!(self.file, "{row}").map_err(|error| Error::io(&self.csv, error))
    }

    fn scalars(&mut self, step: usize, values: &[(&str, f64)]) -> Result<()> {
        match &mut self.events {
            Some((_, events)) => events.scalars(step, values),
            None => Ok(()),
        }
    }
}

fn append_to(path: &Path) -> Result<File> {
    OpenOptions::new()
        .append(true)
        .open(path)
        .map_err(|error| Error::io(path, error))
}
