//! One line for each case, and the count at the end.

/// Counts what passed and failed.
#[derive(Default)]
pub struct Report {
    passed: usize,
    failed: usize,
}

impl Report {
    pub fn is_empty(&self) -> bool {
        self.passed + self.failed == 0
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
