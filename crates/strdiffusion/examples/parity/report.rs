//! One line for each case, and the count at the end.

use std::path::Path;

use serde_json::Value;
use strdiffusion_testing::{files, settings_of, title};

/// Counts what passed and failed.
#[derive(Default)]
pub struct Report {
    passed: usize,
    failed: usize,
}

impl Report {
    pub fn is_empty(&self) -> bool {
        self.cases() == 0
    }

    pub fn cases(&self) -> usize {
        self.passed + self.failed
    }

    /// A case that holds where `difference` is at most `tolerance` (NaN never is).
    pub fn case(&mut self, name: &str, difference: f64, tolerance: f64) {
        let passed = difference <= tolerance;
        self.count(passed);
        let verdict = if passed { "pass" } else { "FAIL" };
        println!("{name}: max |Δ| {difference:.3e}, tolerance {tolerance:.3e}, {verdict}");
    }

    /// A case that compares two arrays of equal length.
    pub fn compare(&mut self, name: &str, ours: &[f32], expected: &[f64], tolerance: f64) {
        self.case(name, max_difference(ours, expected), tolerance);
    }

    /// A case that could not be run.
    pub fn broken(&mut self, name: &str, reason: &str) {
        self.count(false);
        println!("{name}: {reason}, FAIL");
    }

    fn count(&mut self, passed: bool) {
        if passed {
            self.passed += 1;
        } else {
            self.failed += 1;
        }
    }

    /// Prints the last line; true if nothing failed.
    pub fn finish(self) -> bool {
        println!("{} passed, {} failed", self.passed, self.failed);
        self.failed == 0
    }
}

/// Largest absolute difference; infinite where lengths differ or a number is NaN.
pub fn max_difference(ours: &[f32], expected: &[f64]) -> f64 {
    if ours.len() != expected.len() {
        return f64::INFINITY;
    }
    ours.iter().zip(expected).fold(0.0, |max, (a, b)| {
        let difference = (f64::from(*a) - b).abs();
        if difference.is_nan() {
            f64::INFINITY
        } else {
            f64::max(max, difference)
        }
    })
}

/// Largest absolute value.
pub fn max_abs(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |max, v| f64::max(max, v.abs()))
}

/// Runs `case` on every recording in `folder/kind/`, each with what `kind.json` beside it says of
/// the recording; a recording that cannot be run counts as failed.
pub fn for_each_with_settings(
    folder: &Path,
    kind: &str,
    report: &mut Report,
    case: impl Fn(&Path, &str, &Value, &mut Report) -> Result<(), String>,
) {
    let recordings = files(&folder.join(kind), ".safetensors");
    if recordings.is_empty() {
        return;
    }
    let settings = settings_of(&folder.join(kind).join(format!("{kind}.json")));
    for path in recordings {
        let name = title(&path);
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let outcome = settings.clone().and_then(|all| {
            let settings = all
                .get(stem.as_ref())
                .ok_or_else(|| format!("{kind}.json says nothing about it"))?;
            case(&path, &name, settings, report)
        });
        if let Err(error) = outcome {
            report.broken(&name, &error);
        }
    }
}
