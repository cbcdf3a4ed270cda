//! `report.html`, `results.json` and `results.csv`: the run's folder for people and for programs.

mod gallery;
mod page;
mod plots;
mod tables;

use super::error::write_file;
use super::{EvaluationError, Failure, Metric, Pairing, Row, RunFolder, Settings, Summary};
use serde::Serialize;
use std::collections::BTreeMap;

/// The run's FID, or why there is none.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum FidReport {
    /// FID was not asked for.
    NotRequested,
    /// FID could not be computed.
    NotComputed {
        /// Why: `weights missing`, ….
        reason: String,
    },
    /// FID between the truths and the results.
    Computed {
        /// The distance.
        value: f64,
        /// Images on each side.
        n: usize,
        /// How pictures were resized for the network.
        resize_filter: String,
        /// SHA-256 of the network's weight file, in hexadecimal.
        weights_sha256: String,
    },
}

impl FidReport {
    /// Below this many images the covariance of Inception's 2,048 features is singular and FID is
    /// strongly biased.
    pub const FEWEST_IMAGES: usize = 2048;

    /// The warning that goes with a FID of few images.
    pub fn warning(&self) -> Option<String> {
        match self {
            Self::Computed { n, .. } if *n < Self::FEWEST_IMAGES => Some(format!(
                "FID of {n} images is biased upwards and not comparable with published values: it needs at least {} images",
                Self::FEWEST_IMAGES
            )),
            _ => None,
        }
    }
}

/// What a report tells beside the rows.
#[derive(Debug, Clone)]
pub struct ReportInput<'a> {
    /// The run's settings.
    pub settings: &'a Settings,
    /// The run's pairs.
    pub pairing: &'a Pairing,
    /// The finished rows.
    pub rows: &'a [Row],
    /// Pictures without scores.
    pub failures: &'a [Failure],
    /// The run's FID.
    pub fid: FidReport,
    /// Metrics that were asked for and could not be computed, with the reason.
    pub not_computed: BTreeMap<Metric, String>,
    /// The process's largest memory so far in bytes, where known.
    pub peak_memory_bytes: Option<u64>,
    /// Largest total size of the gallery's embedded pictures in bytes.
    pub gallery_bytes: usize,
}

impl ReportInput<'_> {
    /// A size for [`ReportInput::gallery_bytes`] that browsers and mail take well: 12 MiB.
    pub const GALLERY_BYTES: usize = 12 << 20;
}

#[derive(Serialize)]
struct ResultsFile<'a> {
    format: &'static str,
    version: u32,
    settings: &'a Settings,
    pairing: String,
    planned: usize,
    peak_memory_bytes: Option<u64>,
    summary: &'a Summary,
    fid: &'a FidReport,
    fid_warning: Option<String>,
    not_computed: &'a BTreeMap<Metric, String>,
    failures: &'a [Failure],
    rows: &'a [Row],
}

/// Writes `results.csv`, `results.json` and `report.html` into the run's folder.
///
/// The report is one file without links to others; it can be moved and mailed.
///
/// # Errors
/// [`EvaluationError::Picture`] when a truth or result of the gallery cannot be read any more,
/// [`EvaluationError::File`] when a file cannot be written.
pub fn write_report(folder: &RunFolder, input: &ReportInput<'_>) -> Result<(), EvaluationError> {
    let summary = Summary::new(input.rows, &input.settings.buckets);
    let results = ResultsFile {
        format: "strdiffusion-evaluation",
        version: 1,
        settings: input.settings,
        pairing: input.pairing.rule.to_string(),
        planned: input.pairing.pairs.len(),
        peak_memory_bytes: input.peak_memory_bytes,
        summary: &summary,
        fid: &input.fid,
        fid_warning: input.fid.warning(),
        not_computed: &input.not_computed,
        failures: input.failures,
        rows: input.rows,
    };
    let json = serde_json::to_vec_pretty(&results).expect("results are plain data");
    write_file(&folder.path().join("results.json"), &json)?;
    write_file(&folder.path().join("results.csv"), &csv_of(input.rows))?;
    let gallery = gallery::Gallery::new(folder, input)?;
    let html = page::page(input, &summary, &gallery);
    write_file(&folder.path().join("report.html"), html.as_bytes())
}

fn csv_of(rows: &[Row]) -> Vec<u8> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer.serialize(row).expect("a row is flat data");
    }
    writer
        .into_inner()
        .expect("writing to memory does not fail")
}

/// The process's largest resident memory so far in bytes; `None` where the system does not tell.
pub fn peak_resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// A score with the given decimals: `–` when absent, `∞` when infinite.
fn number(value: Option<f64>, decimals: usize) -> String {
    match value {
        None => "–".to_owned(),
        Some(v) if v.is_infinite() => "∞".to_owned(),
        Some(v) => format!("{v:.decimals$}"),
    }
}
