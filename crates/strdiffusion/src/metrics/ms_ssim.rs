//! Multi-scale structural similarity (Wang, Simoncelli, Bovik 2003).
//!
//! Five scales with the paper's exponents. At each scale the 11-tap Gaussian window (σ = 1.5) runs
//! over positions where it fits entirely; between scales the picture is averaged over 2 × 2 blocks
//! (an odd side gets one row or column of zeros before it, as the widely used PyTorch version
//! does). Contrast–structure terms of the first four scales and the full SSIM of the last are
//! averaged over positions, clamped at zero, raised to their exponents and multiplied for each
//! channel; the score is the mean over the channels. (Co)variances are the weighted ones.

use super::planes::{MetricError, Planes};
use super::ssim::{C1, C2, gaussian_taps};
use rayon::prelude::*;

/// The exponents of the five scales, finest first.
const EXPONENTS: [f64; 5] = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333];

/// The smallest side for which the window still fits at the fifth scale: 10 · 2⁴ + 1.
pub const MS_SSIM_SMALLEST_SIDE: usize = 161;

/// MS-SSIM of two pictures, in 0..=1.
///
/// # Errors
/// [`MetricError::Shape`] when the shapes differ, [`MetricError::TooSmall`] when a side has fewer
/// than [`MS_SSIM_SMALLEST_SIDE`] pixels.
pub fn ms_ssim(truth: &Planes<'_>, result: &Planes<'_>) -> Result<f64, MetricError> {
    truth.check_same_shape(result)?;
    truth.check_smallest_side("MS-SSIM", MS_SSIM_SMALLEST_SIDE)?;
    let (channels, height, width) = truth.shape();
    let sum: f64 = (0..channels)
        .into_par_iter()
        .map(|c| {
            let a = Plane::from_f32(truth.plane(c), height, width);
            let b = Plane::from_f32(result.plane(c), height, width);
            channel_score(a, b)
        })
        .collect::<Vec<f64>>()
        .iter()
        .sum();
    Ok(sum / channels as f64)
}

fn channel_score(mut a: Plane, mut b: Plane) -> f64 {
    let mut score = 1.0;
    for (scale, exponent) in EXPONENTS.iter().enumerate() {
        let last = scale + 1 == EXPONENTS.len();
        let (structure, full) = mean_terms(&a, &b);
        let term = if last { full } else { structure };
        score *= term.max(0.0).powf(*exponent);
        if !last {
            a = a.halved();
            b = b.halved();
        }
    }
    score
}

/// (mean contrast–structure term, mean full SSIM) over the positions where the window fits.
fn mean_terms(a: &Plane, b: &Plane) -> (f64, f64) {
    let (mean_a, mean_b) = (a.smoothed(), b.smoothed());
    let (mean_aa, mean_bb) = (a.times(a).smoothed(), b.times(b).smoothed());
    let mean_ab = a.times(b).smoothed();
    let (mut structure_sum, mut full_sum) = (0.0, 0.0);
    for i in 0..mean_a.data.len() {
        let (ma, mb) = (mean_a.data[i], mean_b.data[i]);
        let var_a = mean_aa.data[i] - ma * ma;
        let var_b = mean_bb.data[i] - mb * mb;
        let cov = mean_ab.data[i] - ma * mb;
        let structure = (2.0 * cov + C2) / (var_a + var_b + C2);
        structure_sum += structure;
        full_sum += structure * (2.0 * ma * mb + C1) / (ma * ma + mb * mb + C1);
    }
    let n = mean_a.data.len() as f64;
    (structure_sum / n, full_sum / n)
}

struct Plane {
    data: Vec<f64>,
    height: usize,
    width: usize,
}

impl Plane {
    fn from_f32(data: &[f32], height: usize, width: usize) -> Self {
        Self {
            data: data.iter().map(|&v| f64::from(v)).collect(),
            height,
            width,
        }
    }

    fn times(&self, other: &Plane) -> Plane {
        let pairs = self.data.iter().zip(&other.data);
        Plane {
            data: pairs.map(|(x, y)| x * y).collect(),
            ..*self
        }
    }

    /// Gaussian smoothing without padding: both sides shrink by 10.
    fn smoothed(&self) -> Plane {
        let taps = gaussian_taps();
        let width = self.width + 1 - taps.len();
        let height = self.height + 1 - taps.len();
        let mut rows = Vec::with_capacity(self.height * width);
        for row in self.data.chunks_exact(self.width) {
            let windows = row.windows(taps.len());
            rows.extend(windows.map(|w| w.iter().zip(&taps).map(|(v, t)| v * t).sum::<f64>()));
        }
        let mut data = vec![0.0; height * width];
        for (y, target) in data.chunks_exact_mut(width).enumerate() {
            for (i, tap) in taps.iter().enumerate() {
                let source = (y + i) * width;
                for (o, v) in target.iter_mut().zip(&rows[source..source + width]) {
                    *o += tap * v;
                }
            }
        }
        Plane {
            data,
            height,
            width,
        }
    }

    /// 2 × 2 average with stride 2. An odd side is padded with zeros, which count in the average.
    fn halved(&self) -> Plane {
        let (pad_y, pad_x) = (self.height % 2, self.width % 2);
        let (height, width) = ((self.height + 2 * pad_y) / 2, (self.width + 2 * pad_x) / 2);
        let at = |y: usize, x: usize| -> f64 {
            match (y.checked_sub(pad_y), x.checked_sub(pad_x)) {
                (Some(y), Some(x)) if y < self.height && x < self.width => {
                    self.data[y * self.width + x]
                }
                _ => 0.0,
            }
        };
        let mut data = Vec::with_capacity(height * width);
        for y in 0..height {
            for x in 0..width {
                let (y, x) = (2 * y, 2 * x);
                data.push(0.25 * (at(y, x) + at(y, x + 1) + at(y + 1, x) + at(y + 1, x + 1)));
            }
        }
        Plane {
            data,
            height,
            width,
        }
    }
}
