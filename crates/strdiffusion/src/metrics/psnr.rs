//! Peak signal-to-noise ratio, in decibels.

use super::planes::{MetricError, Planes, is_hole};

/// PSNR = −10 log₁₀ MSE over all pixels and channels, for values in 0..=1, in dB.
///
/// Identical pictures give `f64::INFINITY`.
///
/// # Errors
/// [`MetricError::Shape`] when the pictures differ in shape.
pub fn psnr(truth: &Planes<'_>, result: &Planes<'_>) -> Result<f64, MetricError> {
    truth.check_same_shape(result)?;
    let sum: f64 = truth
        .data()
        .iter()
        .zip(result.data())
        .map(|(&a, &b)| squared_difference(a, b))
        .sum();
    Ok(decibels(sum / truth.data().len() as f64))
}

/// What counts where a hole was filled exactly, or there was none, in dB.
const PERFECT: f64 = 60.0;

/// A PSNR of [`psnr_hole`] as a number that means can take: at most 60 dB.
pub fn finite(psnr: Option<f64>) -> f64 {
    psnr.map_or(PERFECT, |psnr| psnr.min(PERFECT))
}

/// PSNR with the MSE taken over the hole's pixels × channels only, in dB.
///
/// `keep` is the mask plane of height × width: 1 = keep, 0 = hole. `None` when the mask has no
/// hole. A hole that was filled exactly gives `f64::INFINITY`.
///
/// # Errors
/// [`MetricError::Shape`] or [`MetricError::Mask`] when the sizes differ.
pub fn psnr_hole(
    truth: &Planes<'_>,
    result: &Planes<'_>,
    keep: &[f32],
) -> Result<Option<f64>, MetricError> {
    truth.check_same_shape(result)?;
    truth.check_mask(keep)?;
    let (channels, _, _) = truth.shape();
    let hole_pixels = keep.iter().filter(|&&k| is_hole(k)).count();
    if hole_pixels == 0 {
        return Ok(None);
    }
    let mut sum = 0.0;
    for c in 0..channels {
        let pairs = truth.plane(c).iter().zip(result.plane(c));
        for ((&a, &b), &k) in pairs.zip(keep) {
            if is_hole(k) {
                sum += squared_difference(a, b);
            }
        }
    }
    Ok(Some(decibels(sum / (hole_pixels * channels) as f64)))
}

fn squared_difference(a: f32, b: f32) -> f64 {
    let d = f64::from(a) - f64::from(b);
    d * d
}

fn decibels(mean_squared_error: f64) -> f64 {
    if mean_squared_error == 0.0 {
        return f64::INFINITY;
    }
    -10.0 * mean_squared_error.log10()
}
