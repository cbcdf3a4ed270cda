//! Structural similarity (Wang, Bovik, Sheikh, Simoncelli 2004) as scikit-image computes it.
//!
//! Gaussian window with σ = 1.5 cut at 3.5 σ (11 × 11 taps), C₁ = 0.01², C₂ = 0.03², values in
//! 0..=1, sample (co)variances: the weighted ones times 121/120. Beyond the border the picture is
//! mirrored with the border pixel repeated. The score of a picture is the mean of the map without
//! its 5-pixel border, averaged over the channels.

use super::planes::{MetricError, Planes, is_hole};
use rayon::prelude::*;

/// The smallest side for which SSIM is defined: the window's 11 pixels.
pub const SSIM_SMALLEST_SIDE: usize = 11;

pub(super) const C1: f64 = 0.01 * 0.01;
pub(super) const C2: f64 = 0.03 * 0.03;
const RADIUS: usize = 5;
const SIGMA: f64 = 1.5;
// The window's pixel count N turns weighted covariances into sample covariances by N/(N−1).
const SAMPLE_COVARIANCE: f64 = 121.0 / 120.0;

/// The SSIM of a pair of pictures, whole and in the hole.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ssim {
    /// Mean of the map over the picture without its 5-pixel border, as scikit-image reports it.
    pub whole: f64,
    /// Mean of the uncropped map over the hole's pixels; `None` without a mask or a hole.
    ///
    /// Windows that straddle the hole's edge see known pixels too. The map is not cropped here,
    /// because a hole at the border is part of the task.
    pub hole: Option<f64>,
}

/// SSIM over the whole picture, and over the hole where `keep` (1 = keep, 0 = hole) is given.
///
/// # Errors
/// [`MetricError::Shape`] or [`MetricError::Mask`] when sizes differ, [`MetricError::TooSmall`]
/// when a side has fewer than [`SSIM_SMALLEST_SIDE`] pixels.
pub fn ssim(
    truth: &Planes<'_>,
    result: &Planes<'_>,
    keep: Option<&[f32]>,
) -> Result<Ssim, MetricError> {
    truth.check_same_shape(result)?;
    truth.check_smallest_side("SSIM", SSIM_SMALLEST_SIDE)?;
    if let Some(keep) = keep {
        truth.check_mask(keep)?;
    }
    let (channels, height, width) = truth.shape();
    let hole_pixels = keep.map_or(0, |keep| keep.iter().filter(|&&k| is_hole(k)).count());

    let sums: Vec<(f64, f64)> = (0..channels)
        .into_par_iter()
        .map(|c| {
            let map = ssim_map(truth.plane(c), result.plane(c), height, width);
            let inner: f64 = (RADIUS..height - RADIUS)
                .map(|y| {
                    map[y * width + RADIUS..(y + 1) * width - RADIUS]
                        .iter()
                        .sum::<f64>()
                })
                .sum();
            let hole: f64 = keep.map_or(0.0, |keep| {
                let pairs = map.iter().zip(keep);
                pairs.filter(|&(_, &k)| is_hole(k)).map(|(s, _)| s).sum()
            });
            (inner, hole)
        })
        .collect();

    let inner_pixels = (height - 2 * RADIUS) * (width - 2 * RADIUS);
    let whole: f64 = sums.iter().map(|s| s.0).sum();
    let hole: f64 = sums.iter().map(|s| s.1).sum();
    Ok(Ssim {
        whole: whole / (inner_pixels * channels) as f64,
        hole: (hole_pixels > 0).then(|| hole / (hole_pixels * channels) as f64),
    })
}

/// The SSIM value of every pixel of one channel.
fn ssim_map(a: &[f32], b: &[f32], height: usize, width: usize) -> Vec<f64> {
    let a: Vec<f64> = a.iter().map(|&v| f64::from(v)).collect();
    let b: Vec<f64> = b.iter().map(|&v| f64::from(v)).collect();
    let product =
        |p: &[f64], q: &[f64]| -> Vec<f64> { p.iter().zip(q).map(|(x, y)| x * y).collect() };
    let smooth = |plane: &[f64]| smooth_mirrored(plane, height, width);

    let (mean_a, mean_b) = (smooth(&a), smooth(&b));
    let (mean_aa, mean_bb) = (smooth(&product(&a, &a)), smooth(&product(&b, &b)));
    let mean_ab = smooth(&product(&a, &b));

    (0..a.len())
        .map(|i| {
            let (ma, mb) = (mean_a[i], mean_b[i]);
            let var_a = SAMPLE_COVARIANCE * (mean_aa[i] - ma * ma);
            let var_b = SAMPLE_COVARIANCE * (mean_bb[i] - mb * mb);
            let cov = SAMPLE_COVARIANCE * (mean_ab[i] - ma * mb);
            let luminance = (2.0 * ma * mb + C1) / (ma * ma + mb * mb + C1);
            luminance * (2.0 * cov + C2) / (var_a + var_b + C2)
        })
        .collect()
}

/// The normalised Gaussian window: 11 taps, σ = 1.5.
pub(super) fn gaussian_taps() -> [f64; 2 * RADIUS + 1] {
    let mut taps = [0.0; 2 * RADIUS + 1];
    for (i, tap) in taps.iter_mut().enumerate() {
        let x = i as f64 - RADIUS as f64;
        *tap = (-x * x / (2.0 * SIGMA * SIGMA)).exp();
    }
    let sum: f64 = taps.iter().sum();
    taps.map(|tap| tap / sum)
}

/// Separable Gaussian smoothing; the picture is mirrored with its border pixel repeated.
fn smooth_mirrored(plane: &[f64], height: usize, width: usize) -> Vec<f64> {
    let taps = gaussian_taps();
    let mut rows = vec![0.0; plane.len()];
    let mut padded = vec![0.0; width + 2 * RADIUS];
    for (source, target) in plane.chunks_exact(width).zip(rows.chunks_exact_mut(width)) {
        for (i, value) in padded.iter_mut().enumerate() {
            *value = source[mirrored(i, width)];
        }
        for (window, out) in padded.windows(taps.len()).zip(target) {
            *out = window.iter().zip(&taps).map(|(v, t)| v * t).sum();
        }
    }
    let mut out = vec![0.0; plane.len()];
    for (y, target) in out.chunks_exact_mut(width).enumerate() {
        for (i, tap) in taps.iter().enumerate() {
            let source = mirrored(y + i, height) * width;
            for (o, v) in target.iter_mut().zip(&rows[source..source + width]) {
                *o += tap * v;
            }
        }
    }
    out
}

/// Index into `0..len` of position `padded − RADIUS`: d c b a | a b c d | d c b a.
fn mirrored(padded: usize, len: usize) -> usize {
    if padded < RADIUS {
        RADIUS - 1 - padded
    } else if padded - RADIUS < len {
        padded - RADIUS
    } else {
        2 * len - 1 - (padded - RADIUS)
    }
}
