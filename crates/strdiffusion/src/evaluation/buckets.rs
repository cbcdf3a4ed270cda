//! Hole-ratio buckets, as the tables of inpainting papers have them.

use super::EvaluationError;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// One range of hole ratios: more than `from` and at most `to` percent of the picture.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bucket {
    /// Lower end in percent, excluded.
    pub from: f64,
    /// Upper end in percent, included.
    pub to: f64,
}

impl Bucket {
    /// Whether a hole that covers `ratio` (0..=1) of the picture belongs here.
    ///
    /// The lower end is excluded, so that a ratio belongs to one bucket; 0 itself belongs to a
    /// bucket that starts at 0.
    pub fn contains(&self, ratio: f64) -> bool {
        let percent = ratio * 100.0;
        percent <= self.to && (percent > self.from || (self.from == 0.0 && percent == 0.0))
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.from, self.to)
    }
}

/// Buckets in rising order, without overlap.
///
/// Read from text like `10-20,20-30,30-40,40-50` (percent).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Buckets(Vec<Bucket>);

impl Buckets {
    /// The bucket that holds `ratio` (0..=1), if any does.
    pub fn find(&self, ratio: f64) -> Option<Bucket> {
        self.0.iter().copied().find(|b| b.contains(ratio))
    }

    /// All buckets, in rising order.
    pub fn iter(&self) -> impl Iterator<Item = Bucket> + '_ {
        self.0.iter().copied()
    }
}

impl Default for Buckets {
    /// 10–20, 20–30, 30–40 and 40–50 %.
    fn default() -> Self {
        let bucket = |from: f64| Bucket {
            from,
            to: from + 10.0,
        };
        Self([10.0, 20.0, 30.0, 40.0].map(bucket).to_vec())
    }
}

impl fmt::Display for Buckets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, bucket) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            write!(f, "{bucket}")?;
        }
        Ok(())
    }
}

impl FromStr for Buckets {
    type Err = EvaluationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = |expected: &str| EvaluationError::Option {
            option: "buckets",
            value: text.to_owned(),
            expected: expected.to_owned(),
        };
        let mut buckets: Vec<Bucket> = Vec::new();
        for part in text.split(',') {
            let ends = part.trim().split_once('-');
            let percent = |end: &str| end.trim().parse::<f64>().ok().filter(|p| p.is_finite());
            let bucket = ends.and_then(|(a, b)| Some((percent(a)?, percent(b)?)));
            let Some((from, to)) = bucket else {
                return Err(wrong("write percentages like 10-20,20-30"));
            };
            if !(0.0 <= from && from < to && to <= 100.0) {
                return Err(wrong(
                    "each bucket rises from a smaller to a larger percentage within 0-100",
                ));
            }
            if buckets.last().is_some_and(|last| from < last.to) {
                return Err(wrong("buckets stand in rising order and do not overlap"));
            }
            buckets.push(Bucket { from, to });
        }
        Ok(Self(buckets))
    }
}

impl TryFrom<String> for Buckets {
    type Error = EvaluationError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Buckets> for String {
    fn from(buckets: Buckets) -> Self {
        buckets.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_belongs_to_one_bucket() {
        let buckets: Buckets = "10-20, 20-30".parse().unwrap();
        let name = |ratio| buckets.find(ratio).map(|b| b.to_string());
        assert_eq!(name(0.10), None);
        assert_eq!(name(0.2).as_deref(), Some("10-20"));
        assert_eq!(name(0.2001).as_deref(), Some("20-30"));
        assert_eq!(name(0.31), None);
    }

    #[test]
    fn buckets_without_meaning_are_refused_with_the_reason() {
        for (text, reason) in [
            ("10", "write percentages"),
            ("", "write percentages"),
            ("10-x", "write percentages"),
            ("10-nan", "write percentages"),
            ("20-10", "rises"),
            ("90-110", "rises"),
            ("20-30,10-20", "rising order"),
            ("10-30,20-40", "do not overlap"),
        ] {
            let error = text.parse::<Buckets>().unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn buckets_survive_being_written() {
        let text = "2.5-10,10-20";
        assert_eq!(text.parse::<Buckets>().unwrap().to_string(), text);
    }
}
