//! How much a fill varies from pixel to pixel, as a share of what the truth does there.
//!
//! The gradient of a pixel and channel is (right neighbour − pixel, lower neighbour − pixel), 0
//! towards the picture's right and lower border. It is taken for the hole's pixels; their
//! neighbours may be known, so a seam on the hole's right or lower side counts too.

use super::planes::{MetricError, Planes, is_hole};

/// The least deviation of the truth's gradient magnitude: one of 255 grey levels. Below it the
/// truth is as good as flat, and a ratio would compare rounding and compression.
const FLAT: f64 = 1.0 / 255.0;

/// Variation in the hole: result ÷ truth. 1 = as much as the truth, below 1 = softer, above 1 =
/// busier. Both say how much, not whether it stands in the right place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GradientRatios {
    /// Gradient energy: mean of |∇|² over the hole's pixels × channels, result ÷ truth.
    pub energy: f64,
    /// Gradient spread: standard deviation of |∇| over the hole's pixels × channels, result ÷
    /// truth. Low where strong edges and quiet places beside them are missing.
    pub spread: f64,
}

/// How much `result` varies in the hole, as a share of what `truth` does.
///
/// `keep` is the mask plane of height × width: 1 = keep, 0 = hole. `None` when the mask has no
/// hole, or where the truth is flat in it: its gradient magnitude deviates by less than one of 255
/// grey levels.
///
/// # Errors
/// [`MetricError::Shape`] or [`MetricError::Mask`] when the sizes differ.
pub fn gradient_ratios(
    truth: &Planes<'_>,
    result: &Planes<'_>,
    keep: &[f32],
) -> Result<Option<GradientRatios>, MetricError> {
    truth.check_same_shape(result)?;
    truth.check_mask(keep)?;
    if !keep.iter().any(|&k| is_hole(k)) {
        return Ok(None);
    }
    let (truth, result) = (Gradients::of(truth, keep), Gradients::of(result, keep));
    Ok((truth.spread >= FLAT).then(|| GradientRatios {
        energy: result.energy / truth.energy,
        spread: result.spread / truth.spread,
    }))
}

struct Gradients {
    energy: f64,
    spread: f64,
}

impl Gradients {
    fn of(picture: &Planes<'_>, keep: &[f32]) -> Self {
        let (channels, height, width) = picture.shape();
        let (mut squares, mut magnitudes, mut count) = (0.0, 0.0, 0usize);
        for c in 0..channels {
            let plane = picture.plane(c);
            for i in (0..plane.len()).filter(|&i| is_hole(keep[i])) {
                let to = |neighbour: usize| f64::from(plane[neighbour]) - f64::from(plane[i]);
                let dx = if i % width + 1 < width {
                    to(i + 1)
                } else {
                    0.0
                };
                let dy = if i / width + 1 < height {
                    to(i + width)
                } else {
                    0.0
                };
                let square = dx * dx + dy * dy;
                squares += square;
                magnitudes += square.sqrt();
                count += 1;
            }
        }
        let (energy, mean) = (squares / count as f64, magnitudes / count as f64);
        Self {
            energy,
            // Rounding must not make the root of a spread of zero.
            spread: (energy - mean * mean).max(0.0).sqrt(),
        }
    }
}
