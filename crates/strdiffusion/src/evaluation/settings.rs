//! What decides an evaluation's numbers.

use super::{Buckets, EvaluationError};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

/// A metric that can be asked for by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// Peak signal-to-noise ratio, whole and in the hole.
    Psnr,
    /// Structural similarity, whole and in the hole.
    Ssim,
    /// Multi-scale structural similarity.
    MsSsim,
    /// Sliced Wasserstein distance of the hole's patches (Karras et al. 2018).
    Swd,
    /// Gradient energy and spread in the hole, as shares of the truth's.
    Gradient,
    /// Learned perceptual image patch similarity (Zhang et al. 2018).
    Lpips,
    /// Fréchet Inception distance (Heusel et al. 2017).
    Fid,
}

impl Metric {
    const ALL: [Metric; 7] = [
        Metric::Psnr,
        Metric::Ssim,
        Metric::MsSsim,
        Metric::Swd,
        Metric::Gradient,
        Metric::Lpips,
        Metric::Fid,
    ];
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Metric::Psnr => "psnr",
            Metric::Ssim => "ssim",
            Metric::MsSsim => "ms-ssim",
            Metric::Swd => "swd",
            Metric::Gradient => "gradient",
            Metric::Lpips => "lpips",
            Metric::Fid => "fid",
        })
    }
}

impl FromStr for Metric {
    type Err = EvaluationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let name = text.trim().to_ascii_lowercase();
        let known = Metric::ALL.into_iter().find(|m| m.to_string() == name);
        known.ok_or_else(|| EvaluationError::Option {
            option: "metrics",
            value: text.to_owned(),
            expected:
                "choose from psnr, ssim, ms-ssim, swd, gradient, lpips, fid, separated by commas"
                    .to_owned(),
        })
    }
}

/// Reads names like `psnr,ssim`; repeated names count once, and the order does not matter.
///
/// # Errors
/// [`EvaluationError::Option`] for a name that is no metric.
pub fn parse_metrics(text: &str) -> Result<Vec<Metric>, EvaluationError> {
    let mut metrics = text
        .split(',')
        .map(str::parse)
        .collect::<Result<Vec<Metric>, _>>()?;
    metrics.sort();
    metrics.dedup();
    Ok(metrics)
}

/// Everything that decides the numbers; a run continues only under equal settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// The method: a model's name and hash, or the folder of finished pictures.
    pub method: String,
    /// The method's own settings, by name: sampler, steps, ….
    pub method_settings: BTreeMap<String, String>,
    /// Where the method runs.
    pub device: String,
    /// The image folder.
    pub images: String,
    /// The mask folder, or how masks are generated.
    pub masks: String,
    /// The seed of the pairing and of every picture's noise.
    pub seed: u64,
    /// How many images were asked for; the first ones in name order are taken.
    pub limit: Option<usize>,
    /// Side of the evaluated square in pixels; without it pictures keep their size.
    pub size: Option<u32>,
    /// Hole-ratio buckets of the tables.
    pub buckets: Buckets,
    /// The metrics asked for.
    pub metrics: Vec<Metric>,
}

type Fields = serde_json::Map<String, serde_json::Value>;

impl Settings {
    /// All fields by name, the method's own settings among them.
    fn fields(&self) -> Fields {
        let Ok(serde_json::Value::Object(mut map)) = serde_json::to_value(self) else {
            return Fields::new();
        };
        if let Some(serde_json::Value::Object(own)) = map.remove("method_settings") {
            map.extend(own);
        }
        map
    }

    /// Names the fields in which two settings differ, with both values; `None` when equal.
    pub(super) fn differences(&self, before: &Settings) -> Option<String> {
        let (now, before) = (self.fields(), before.fields());
        let names: BTreeSet<&String> = now.keys().chain(before.keys()).collect();
        let absent = &serde_json::Value::Null;
        let differing: Vec<String> = names
            .into_iter()
            .map(|name| {
                let value = |fields: &'_ Fields| fields.get(name).unwrap_or(absent).clone();
                (name, value(&before), value(&now))
            })
            .filter(|(_, old, new)| old != new)
            .map(|(name, old, new)| format!("{name}: was {old}, is {new}"))
            .collect();
        (!differing.is_empty()).then(|| differing.join("; "))
    }
}
