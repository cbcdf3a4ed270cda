//! The Fréchet distance between two sets of features (FID: Heusel et al. 2017).
//!
//! d² = |μ₁ − μ₂|² + tr(Σ₁ + Σ₂ − 2 (Σ₁ Σ₂)^½), with sample covariances (n − 1).
//!
//! With centred features A, B (rows / √(n − 1)), Σ₁ = AᵀA and Σ₂ = BᵀB, and the non-zero eigenvalues
//! of Σ₁ Σ₂ are the squared singular values of A Bᵀ. So tr (Σ₁ Σ₂)^½ is the sum of the singular
//! values of A Bᵀ: no matrix square root, and covariances of fewer images than features, which are
//! singular, need no regularisation.

use nalgebra::DMatrix;
use thiserror::Error;

/// Why two sets of features have no Fréchet distance.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum FrechetError {
    /// A set has fewer than two rows, so it has no covariance.
    #[error("the Fréchet distance needs two images and more on each side, got {0}")]
    TooFew(usize),
    /// The rows differ in length or do not fill the buffer.
    #[error("{values} values are not rows of {features} features")]
    Length {
        /// Values in the buffer.
        values: usize,
        /// Features in a row.
        features: usize,
    },
    /// A feature is not finite, or the decomposition found no end.
    #[error("the features hold values that are not finite")]
    NotFinite,
}

/// The squared Fréchet distance of two sets of rows with `features` values each: FID where the
/// features are Inception's.
///
/// # Errors
/// See [`FrechetError`].
pub fn frechet_distance(
    first: &[f32],
    second: &[f32],
    features: usize,
) -> Result<f64, FrechetError> {
    let (mean_a, a) = centred(first, features)?;
    let (mean_b, b) = centred(second, features)?;
    let means = (mean_a - mean_b).norm_squared();
    let traces = a.norm_squared() + b.norm_squared();
    let cross = reduced(a) * reduced(b).transpose();
    let singular = cross.try_svd(false, false, f64::EPSILON, 0);
    let overlap: f64 = singular
        .ok_or(FrechetError::NotFinite)?
        .singular_values
        .sum();
    Ok(means + traces - 2.0 * overlap)
}

/// (mean row, centred rows / √(n − 1)).
fn centred(
    values: &[f32],
    features: usize,
) -> Result<(nalgebra::RowDVector<f64>, DMatrix<f64>), FrechetError> {
    if features == 0 || !values.len().is_multiple_of(features) {
        return Err(FrechetError::Length {
            values: values.len(),
            features,
        });
    }
    let n = values.len() / features;
    if n < 2 {
        return Err(FrechetError::TooFew(n));
    }
    if values.iter().any(|v| !v.is_finite()) {
        return Err(FrechetError::NotFinite);
    }
    let mut rows = DMatrix::from_row_iterator(n, features, values.iter().map(|&v| f64::from(v)));
    let mean = rows.row_mean();
    let scale = ((n - 1) as f64).sqrt().recip();
    for mut row in rows.row_iter_mut() {
        row -= &mean;
        row *= scale;
    }
    Ok((mean, rows))
}

/// A matrix with the same AᵀA and at most as many rows as columns: R of A = Q R.
fn reduced(a: DMatrix<f64>) -> DMatrix<f64> {
    if a.nrows() > a.ncols() {
        a.qr().unpack_r()
    } else {
        a
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Rows `mean ± spread[i]` along axis i: their covariance is diagonal with
    /// 2 spread[i]² / (2 d − 1), exactly.
    pub(crate) fn along_axes(mean: &[f32], spread: &[f32]) -> Vec<f32> {
        let mut rows = Vec::new();
        for (axis, size) in spread.iter().enumerate() {
            for sign in [1.0, -1.0] {
                let mut row = mean.to_vec();
                row[axis] += sign * size;
                rows.extend(row);
            }
        }
        rows
    }

    #[test]
    fn known_diagonal_gaussians_have_the_distance_of_the_formula() {
        // Diagonal covariances: d² = Σ (μ₁ − μ₂)² + Σ (√σ₁ − √σ₂)².
        let (mean_a, spread_a) = ([0.0, 1.0, 2.0, -1.0], [1.0, 2.0, 3.0, 0.5]);
        let (mean_b, spread_b) = ([0.5, 1.0, 1.0, 1.0], [2.0, 2.0, 1.0, 4.0]);
        let got = frechet_distance(
            &along_axes(&mean_a, &spread_a),
            &along_axes(&mean_b, &spread_b),
            4,
        );
        let deviation = |s: f32| f64::from(s) * (2.0 / 7.0f64).sqrt();
        let mut expected = 0.0;
        for i in 0..4 {
            expected += f64::from(mean_a[i] - mean_b[i]).powi(2);
            expected += (deviation(spread_a[i]) - deviation(spread_b[i])).powi(2);
        }
        assert!((got.unwrap() - expected).abs() < 1e-9);
    }

    #[test]
    fn covariances_that_do_not_commute_have_the_closed_form_of_two_dimensions() {
        // For 2 × 2: tr M^½ = √(tr M + 2 √det M) with M = Σ₁ Σ₂.
        let a = [1.0, 0.0, -1.0, 0.0, 0.0, 3.0, 0.0, -3.0f32];
        let b = [2.0, 1.0, -2.0, -1.0, 1.0, -1.0, -1.0, 1.0f32];
        let s1 = [[2.0 / 3.0, 0.0], [0.0, 6.0]];
        let s2 = [[10.0 / 3.0, 2.0 / 3.0], [2.0 / 3.0, 4.0 / 3.0]];
        let trace_m: f64 = s1[0][0] * s2[0][0] + s1[1][1] * s2[1][1];
        let det = |s: [[f64; 2]; 2]| s[0][0] * s[1][1] - s[0][1] * s[1][0];
        let overlap = (trace_m + 2.0 * (det(s1) * det(s2)).sqrt()).sqrt();
        let expected = s1[0][0] + s1[1][1] + s2[0][0] + s2[1][1] - 2.0 * overlap;
        let got = frechet_distance(&a, &b, 2).unwrap();
        assert!((got - expected).abs() < 1e-9, "{got} {expected}");
    }

    #[test]
    fn fewer_images_than_features_still_have_a_distance() {
        // Four rows of 64 features; all spread lies in the first two, again diagonal.
        let rows = |spread: [f32; 2]| -> Vec<f32> {
            let short = along_axes(&[0.0, 0.0], &spread);
            let wide = short.chunks(2).map(|r| [r, &[0.0; 62][..]].concat());
            wide.flatten().collect()
        };
        let got = frechet_distance(&rows([1.0, 2.0]), &rows([3.0, 2.5]), 64).unwrap();
        let expected = (2.0 / 3.0) * (2.0f64.powi(2) + 0.5f64.powi(2));
        assert!((got - expected).abs() < 1e-9, "{got} {expected}");
        let same = frechet_distance(&rows([1.0, 2.0]), &rows([1.0, 2.0]), 64).unwrap();
        assert!(same.abs() < 1e-9);
    }

    #[test]
    fn features_without_distance_are_refused() {
        let few = frechet_distance(&[1.0, 2.0], &[1.0, 2.0], 2);
        assert_eq!(few, Err(FrechetError::TooFew(1)));
        assert!(matches!(
            frechet_distance(&[1.0; 5], &[1.0; 4], 2),
            Err(FrechetError::Length { .. })
        ));
        let broken = frechet_distance(&[f32::NAN; 4], &[1.0; 4], 2);
        assert_eq!(broken, Err(FrechetError::NotFinite));
    }
}
