//! Means per bucket and overall.

use super::{Buckets, Row};
use serde::Serialize;

/// Mean and spread of one score over a group of pictures.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Statistic {
    /// Pictures with a finite score: those that the mean is taken over.
    pub n: usize,
    /// Mean of the finite scores; absent when there are none.
    pub mean: Option<f64>,
    /// Sample standard deviation (n − 1) of the finite scores; absent below two.
    pub std: Option<f64>,
    /// Pictures with an infinite score (PSNR of exact results), left out of the mean.
    pub infinite: usize,
}

impl Statistic {
    /// The statistic of the scores that are present.
    pub fn over(scores: impl Iterator<Item = Option<f64>>) -> Self {
        let mut infinite = 0;
        let mut finite = Vec::new();
        for score in scores.flatten() {
            if score.is_finite() {
                finite.push(score);
            } else {
                infinite += 1;
            }
        }
        let n = finite.len();
        let mean = (n > 0).then(|| finite.iter().sum::<f64>() / n as f64);
        let std = mean.filter(|_| n > 1).map(|mean| {
            let squares: f64 = finite.iter().map(|v| (v - mean) * (v - mean)).sum();
            (squares / (n - 1) as f64).sqrt()
        });
        Self {
            n,
            mean,
            std,
            infinite,
        }
    }
}

/// The statistics of one bucket, or of all pictures.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GroupSummary {
    /// The bucket's name, or `all`.
    pub label: String,
    /// Pictures in the group.
    pub n: usize,
    /// The hole's share of the picture, 0..=1.
    pub hole_ratio: Statistic,
    /// PSNR over the whole picture, dB.
    pub psnr: Statistic,
    /// SSIM over the whole picture.
    pub ssim: Statistic,
    /// PSNR in the hole, dB.
    pub psnr_hole: Statistic,
    /// SSIM in the hole.
    pub ssim_hole: Statistic,
    /// MS-SSIM.
    pub ms_ssim: Statistic,
    /// Sliced Wasserstein distance in the hole × 1000, mean of its levels.
    pub swd: Statistic,
    /// Of the finest band of details.
    pub swd_0: Statistic,
    /// Of the band of half that resolution.
    pub swd_1: Statistic,
    /// Of the band of a quarter of the resolution.
    pub swd_2: Statistic,
    /// Of the band of an eighth of the resolution.
    pub swd_3: Statistic,
    /// Of the low-pass rest.
    pub swd_low: Statistic,
    /// Gradient energy in the hole ÷ the truth's.
    pub gradient_energy: Statistic,
    /// Spread of gradient magnitude in the hole ÷ the truth's.
    pub gradient_spread: Statistic,
    /// LPIPS.
    pub lpips: Statistic,
    /// Time for a picture, seconds.
    pub seconds: Statistic,
    /// Network evaluations for a picture.
    pub network_evaluations: Statistic,
}

impl GroupSummary {
    fn over(label: String, rows: &[&Row]) -> Self {
        let of =
            |score: fn(&Row) -> Option<f64>| Statistic::over(rows.iter().map(|row| score(row)));
        Self {
            label,
            n: rows.len(),
            hole_ratio: of(|r| Some(r.hole_ratio)),
            psnr: of(|r| r.psnr),
            ssim: of(|r| r.ssim),
            psnr_hole: of(|r| r.psnr_hole),
            ssim_hole: of(|r| r.ssim_hole),
            ms_ssim: of(|r| r.ms_ssim),
            swd: of(|r| r.swd),
            swd_0: of(|r| r.swd_0),
            swd_1: of(|r| r.swd_1),
            swd_2: of(|r| r.swd_2),
            swd_3: of(|r| r.swd_3),
            swd_low: of(|r| r.swd_low),
            gradient_energy: of(|r| r.gradient_energy),
            gradient_spread: of(|r| r.gradient_spread),
            lpips: of(|r| r.lpips),
            seconds: of(|r| r.seconds),
            network_evaluations: of(|r| r.network_evaluations.map(|n| n as f64)),
        }
    }
}

/// All statistics of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// One group per bucket, in the buckets' order; a group may be empty.
    pub buckets: Vec<GroupSummary>,
    /// Pictures whose hole ratio is in no bucket; they count in `overall` only.
    pub outside_buckets: usize,
    /// All pictures.
    pub overall: GroupSummary,
}

impl Summary {
    /// Groups the rows by bucket.
    pub fn new(rows: &[Row], buckets: &Buckets) -> Self {
        let groups = buckets.iter().map(|bucket| {
            let label = bucket.to_string();
            let inside = |row: &&Row| row.bucket.as_deref() == Some(&label);
            let members: Vec<&Row> = rows.iter().filter(inside).collect();
            GroupSummary::over(label.clone(), &members)
        });
        let all: Vec<&Row> = rows.iter().collect();
        Self {
            buckets: groups.collect(),
            outside_buckets: rows.iter().filter(|row| row.bucket.is_none()).count(),
            overall: GroupSummary::over("all".to_owned(), &all),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_results_are_counted_beside_the_mean() {
        let scores = [Some(20.0), None, Some(f64::INFINITY), Some(24.0)];
        let statistic = Statistic::over(scores.into_iter());
        assert_eq!((statistic.n, statistic.infinite), (2, 1));
        assert_eq!(statistic.mean, Some(22.0));
        // Sample standard deviation of 20 and 24: √8.
        assert!((statistic.std.unwrap() - 8f64.sqrt()).abs() < 1e-12);
    }
}
