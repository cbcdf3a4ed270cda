//! Canny's edge detector, with the numbers of scikit-image's `feature.canny`.
//!
//! J. Canny, "A Computational Approach to Edge Detection", IEEE TPAMI 8(6), 1986. Details that the
//! paper leaves open (kernel width, border, interpolation, masks) follow scikit-image's behaviour.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::filters::{gaussian_zero_padded, sobel};
use super::gray::GrayPlane;
use crate::picture::{Mask, PictureError};

/// Parameters of Canny's detector, for gray values in [0, 1].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Canny {
    /// Standard deviation of the Gaussian, in pixels. Published: 2 at test time, 3 in training.
    pub sigma: f64,
    /// Gradient magnitude from which on a ridge may continue an edge.
    pub low: f64,
    /// Gradient magnitude that an edge must reach at one pixel at least.
    pub high: f64,
}

impl Default for Canny {
    fn default() -> Self {
        Self {
            sigma: 2.0,
            low: 0.1,
            high: 0.2,
        }
    }
}

impl Canny {
    /// Default thresholds, with this σ.
    pub fn with_sigma(sigma: f64) -> Self {
        Self {
            sigma,
            ..Self::default()
        }
    }

    /// Edges of a gray picture, one byte per pixel: 1 on an edge, 0 elsewhere.
    ///
    /// With `validity` (1 = valid) only valid pixels are read. Smoothing divides by the share of
    /// the Gaussian that falls on valid pixels, and no edge lies on or next to an invalid one.
    /// Without it every pixel is valid. No edge lies on the picture's border either way.
    ///
    /// # Errors
    /// [`PictureError::SizeMismatch`] where `validity` has another size than the picture.
    pub fn edges(
        &self,
        gray: &GrayPlane,
        validity: Option<&Mask>,
    ) -> Result<Vec<u8>, PictureError> {
        let (width, height) = (gray.width(), gray.height());
        if let Some(mask) = validity {
            mask.check_size(width, height, "the picture")?;
        }
        let smoothed = self.smooth(gray, validity);
        let (down, along) = sobel(&smoothed, width);
        drop(smoothed);
        let magnitude: Vec<f64> = down
            .par_iter()
            .zip(&along)
            .map(|(&i, &j)| (i * i + j * j).sqrt())
            .collect();
        let eligible = erode(validity.map(Mask::keep), width, height);
        let mut ridge = vec![0u8; magnitude.len()];
        ridge
            .par_chunks_mut(width.max(1))
            .enumerate()
            .for_each(|(y, row)| {
                for (x, out) in row.iter_mut().enumerate() {
                    let at = y * width + x;
                    // A zero magnitude is no ridge, even where the low threshold is zero.
                    if eligible[at]
                        && magnitude[at] >= self.low
                        && magnitude[at] > 0.0
                        && is_ridge(&magnitude, width, at, down[at], along[at])
                    {
                        *out = 1;
                    }
                }
            });
        Ok(keep_strong(&ridge, &magnitude, width, height, self.high))
    }

    /// Gaussian smoothing in which invalid pixels have no weight.
    pub(super) fn smooth(&self, gray: &GrayPlane, validity: Option<&Mask>) -> Vec<f64> {
        let width = gray.width();
        let mut weight;
        let mut smoothed;
        match validity {
            None => {
                weight = gaussian_zero_padded(&vec![1.0; gray.data().len()], width, self.sigma);
                smoothed = gaussian_zero_padded(gray.data(), width, self.sigma);
            }
            Some(mask) => {
                weight = mask.keep().iter().map(|&k| f64::from(k)).collect();
                // Selected, not multiplied: NaN or infinity under the hole must vanish too.
                smoothed = gray
                    .data()
                    .iter()
                    .zip(mask.keep())
                    .map(|(&v, &k)| if k == 1 { v } else { 0.0 })
                    .collect();
                weight = gaussian_zero_padded(&weight, width, self.sigma);
                smoothed = gaussian_zero_padded(&smoothed, width, self.sigma);
            }
        }
        weight.iter_mut().for_each(|w| *w += f64::EPSILON);
        smoothed
            .par_iter_mut()
            .zip(&weight)
            .for_each(|(s, &w)| *s /= w);
        smoothed
    }
}

/// Pixels whose whole 3×3 neighbourhood is valid and inside the picture.
fn erode(keep: Option<&[u8]>, width: usize, height: usize) -> Vec<bool> {
    let mut out = vec![false; width * height];
    for y in 1..height.saturating_sub(1) {
        for x in 1..width.saturating_sub(1) {
            out[y * width + x] = keep.is_none_or(|keep| {
                (y - 1..=y + 1).all(|y| keep[y * width + x - 1..=y * width + x + 1] == [1, 1, 1])
            });
        }
    }
    out
}

/// Whether the magnitude at `at` is no smaller than on either side along the gradient, with the
/// sides interpolated between the two nearest neighbours.
///
/// `down` and `along` are the gradient's components. `at` must not lie on the border.
fn is_ridge(magnitude: &[f64], width: usize, at: usize, down: f64, along: f64) -> bool {
    let here = magnitude[at];
    let (steep, flat) = (down.abs(), along.abs());
    // Both components of one sign: the gradient runs along the main diagonal's half planes.
    let same_sign = (down >= 0.0 && along >= 0.0) || (down <= 0.0 && along <= 0.0);
    let vertical = if same_sign {
        steep > flat
    } else {
        steep >= flat
    };
    let share = if vertical { flat / steep } else { steep / flat };
    let (below, above) = (at + width, at - width);
    // Direct and diagonal neighbour on one side, then on the opposite side.
    let (ahead, ahead_diagonal, behind, behind_diagonal) = match (same_sign, vertical) {
        (true, true) => (below, below + 1, above, above - 1),
        (true, false) => (at + 1, below + 1, at - 1, above - 1),
        (false, true) => (above, above + 1, below, below - 1),
        (false, false) => (at + 1, above + 1, at - 1, below - 1),
    };
    let side = |direct: usize, diagonal: usize| {
        magnitude[diagonal] * share + magnitude[direct] * (1.0 - share)
    };
    side(ahead, ahead_diagonal) <= here && side(behind, behind_diagonal) <= here
}

/// Ridges (8-connected) that hold at least one pixel of magnitude `high`.
fn keep_strong(ridge: &[u8], magnitude: &[f64], width: usize, height: usize, high: f64) -> Vec<u8> {
    let mut edges = vec![0u8; ridge.len()];
    let mut pending: Vec<usize> = Vec::new();
    for start in 0..ridge.len() {
        if ridge[start] == 0 || edges[start] == 1 || magnitude[start] < high {
            continue;
        }
        edges[start] = 1;
        pending.push(start);
        while let Some(at) = pending.pop() {
            let (y, x) = (at / width, at % width);
            for y in y.saturating_sub(1)..=(y + 1).min(height - 1) {
                for x in x.saturating_sub(1)..=(x + 1).min(width - 1) {
                    let next = y * width + x;
                    if ridge[next] == 1 && edges[next] == 0 {
                        edges[next] = 1;
                        pending.push(next);
                    }
                }
            }
        }
    }
    edges
}
