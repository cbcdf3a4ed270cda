//! The linear filters under Canny: Gaussian and Sobel, as SciPy's `ndimage` computes them.
//!
//! Sums run in SciPy's order (centre first, then mirrored pairs from the far end inwards), so that
//! exact ties between neighbouring gradients fall the same way.

use rayon::prelude::*;

/// Half the Gaussian's width, in standard deviations.
const TRUNCATE: f64 = 4.0;

/// Centre and right half of a normalised Gaussian kernel; index = distance from the centre.
fn gaussian_half_kernel(sigma: f64) -> Vec<f64> {
    // No picture is wider than the bound; an absurd σ must not ask for absurd memory.
    let radius = ((TRUNCATE * sigma + 0.5) as usize).min(1 << 16);
    let value = |x: f64| (-0.5 / (sigma * sigma) * x * x).exp();
    let mut kernel: Vec<f64> = (0..=radius).map(|x| value(x as f64)).collect();
    let sum = kernel[0] + 2.0 * kernel[1..].iter().sum::<f64>();
    kernel.iter_mut().for_each(|k| *k /= sum);
    kernel
}

/// Gaussian blur of a plane of `width`-long rows; what lies outside the plane counts as zero.
/// A σ of zero leaves the plane as it is.
pub(super) fn gaussian_zero_padded(plane: &[f64], width: usize, sigma: f64) -> Vec<f64> {
    // SciPy skips axes with a smaller σ.
    if sigma.is_nan() || sigma <= 1e-15 || plane.is_empty() {
        return plane.to_vec();
    }
    let height = plane.len() / width;
    let kernel = gaussian_half_kernel(sigma);
    let mut out = vec![0.0; plane.len()];
    out.par_chunks_mut(width).enumerate().for_each_init(
        || vec![0.0; width],
        |column_sum, (y, out_row)| {
            let row = |y: usize| &plane[y * width..(y + 1) * width];
            for (sum, &v) in column_sum.iter_mut().zip(row(y)) {
                *sum = v * kernel[0];
            }
            for d in (1..kernel.len()).rev() {
                let above = y.checked_sub(d).map(row);
                let below = (y + d < height).then(|| row(y + d));
                match (above, below) {
                    (Some(a), Some(b)) => {
                        for ((sum, &a), &b) in column_sum.iter_mut().zip(a).zip(b) {
                            *sum += (a + b) * kernel[d];
                        }
                    }
                    (Some(a), None) | (None, Some(a)) => {
                        for (sum, &a) in column_sum.iter_mut().zip(a) {
                            *sum += a * kernel[d];
                        }
                    }
                    (None, None) => {}
                }
            }
            blur_row(column_sum, &kernel, out_row);
        },
    );
    out
}

/// One row's horizontal pass, zero outside the row.
fn blur_row(row: &[f64], kernel: &[f64], out: &mut [f64]) {
    for (o, &v) in out.iter_mut().zip(row) {
        *o = v * kernel[0];
    }
    let n = row.len();
    for d in (1..kernel.len()).rev() {
        if 2 * d < n {
            let middle = &mut out[d..n - d];
            for ((o, &a), &b) in middle.iter_mut().zip(row).zip(&row[2 * d..]) {
                *o += (a + b) * kernel[d];
            }
        }
        // Left and right ends, where one of the pair lies outside.
        for x in (0..d.min(n)).chain(n.saturating_sub(d).max(d.min(n))..n) {
            let left = x.checked_sub(d).map_or(0.0, |i| row[i]);
            let right = row.get(x + d).copied().unwrap_or(0.0);
            out[x] += (left + right) * kernel[d];
        }
    }
}

/// Sobel derivatives of a plane: down the columns (i) and along the rows (j). Borders mirror
/// about the pixel's edge.
pub(super) fn sobel(plane: &[f64], width: usize) -> (Vec<f64>, Vec<f64>) {
    let mut down = vec![0.0; plane.len()];
    let mut along = vec![0.0; plane.len()];
    if plane.is_empty() {
        return (down, along);
    }
    let height = plane.len() / width;
    let row = |y: usize| &plane[y * width..(y + 1) * width];
    down.par_chunks_mut(width)
        .zip(along.par_chunks_mut(width))
        .enumerate()
        .for_each_init(
            || (vec![0.0; width], vec![0.0; width]),
            |(derived, smoothed), (y, (down_row, along_row))| {
                let above = row(y.saturating_sub(1));
                let here = row(y);
                let below = row((y + 1).min(height - 1));
                for x in 0..width {
                    derived[x] = below[x] - above[x];
                }
                for x in 0..width {
                    let (l, r) = (x.saturating_sub(1), (x + 1).min(width - 1));
                    down_row[x] = derived[x] * 2.0 + (derived[l] + derived[r]);
                }
                // Derivative along the row first, then smoothing across rows.
                let derive = |r: &[f64], out: &mut Vec<f64>| {
                    for x in 0..width {
                        out[x] = r[(x + 1).min(width - 1)] - r[x.saturating_sub(1)];
                    }
                };
                derive(above, smoothed);
                derive(below, derived);
                for (s, &d) in smoothed.iter_mut().zip(derived.iter()) {
                    *s += d;
                }
                derive(here, derived);
                for x in 0..width {
                    along_row[x] = derived[x] * 2.0 + smoothed[x];
                }
            },
        );
    (down, along)
}
