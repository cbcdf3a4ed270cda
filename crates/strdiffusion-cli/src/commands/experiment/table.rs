//! A table of measurements that grows row by row.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::{Deserialize, Serialize};
use strdiffusion::experiment::measure::Measured;
use strdiffusion::files::write_atomically;

use super::damaged;
use crate::terminal::say;

/// A measured row, as the CSV holds it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) steps: usize,
    pub(super) seed: u64,
    pub(super) psnr: f64,
    pub(super) ssim: f64,
    pub(super) seconds: f64,
    pub(super) texture: usize,
    pub(super) structure: usize,
    pub(super) discriminator: usize,
}

impl Row {
    pub(super) fn new(name: &str, steps: usize, seed: u64, measured: Measured) -> Self {
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

    pub(super) fn evaluations(&self) -> usize {
        self.texture + self.structure + self.discriminator
    }
}

/// Names of arms hold commas.
const DELIMITER: u8 = b';';

/// A CSV file that grows row by row, so that an interrupted experiment goes on.
pub(super) struct Table {
    file: PathBuf,
    pub(super) rows: Vec<Row>,
}

impl Table {
    pub(super) fn open(file: PathBuf) -> Result<Self> {
        let mut rows = vec![];
        if file.is_file() {
            rows = csv::ReaderBuilder::new()
                .delimiter(DELIMITER)
                .from_path(&file)
                .and_then(|mut reader| reader.deserialize().collect())
                .map_err(|error| damaged(&file, error))?;
        }
        Ok(Self { file, rows })
    }

    pub(super) fn has(&self, name: &str, steps: usize, seed: u64) -> bool {
        let same = |row: &&Row| (row.name.as_str(), row.steps, row.seed) == (name, steps, seed);
        self.rows.iter().find(same).is_some()
    }

    pub(super) fn add(&mut self, row: Row) -> Result<()> {
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

    /// One line a name: mean over seeds, and how far the seeds lie apart.
    pub(super) fn write_means(&self, names: &[&str], file: &Path) -> Result<()> {
        let mut text = String::from(
            "| arm | PSNR in the hole (dB) | SSIM in the hole | s a picture | evaluations |\n\
             | --- | --- | --- | --- | --- |\n",
        );
        for &name in names {
            let named: Vec<&Row> = self.rows.iter().filter(|row| row.name == name).collect();
            let count = named.len() as f64;
            let spread = |value: fn(&Row) -> f64| {
                let mean = named.iter().map(|row| value(row)).sum::<f64>() / count;
                let squares = named.iter().map(|row| (value(row) - mean).powi(2));
                (mean, (squares.sum::<f64>() / (count - 1.0).max(1.0)).sqrt())
            };
            let (psnr, psnr_apart) = spread(|row| row.psnr);
            let (ssim, ssim_apart) = spread(|row| row.ssim);
            let (seconds, _) = spread(|row| row.seconds);
            let (evaluations, _) = spread(|row| row.evaluations() as f64);
            text += &format!(
                "| {name} | {psnr:.2} ± {psnr_apart:.2} | {ssim:.4} ± {ssim_apart:.4} | \
                 {seconds:.2} | {evaluations:.0} |\n",
            );
        }
        Ok(write_atomically(file, text.as_bytes())?)
    }
}
