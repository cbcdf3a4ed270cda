//! Resizing of planar pictures with antialiasing.
//!
//! Separable; when shrinking, the filter widens with the scale, so every source pixel counts. Sums
//! are in f64 and in a fixed order: the same picture gives the same bytes on any number of threads.

use rayon::prelude::*;

use super::{FloatImage, Mask, PictureError};

/// Interpolation filter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Filter {
    /// Linear interpolation (area-weighted when shrinking). Never leaves the input's range.
    Triangle,
    /// Three-lobed windowed sinc, sharper (the default). Results are clamped to [0, 1].
    #[default]
    Lanczos3,
}

impl Filter {
    fn radius(self) -> f64 {
        match self {
            Self::Triangle => 1.0,
            Self::Lanczos3 => 3.0,
        }
    }

    fn weight(self, x: f64) -> f64 {
        let x = x.abs();
        match self {
            Self::Triangle => (1.0 - x).max(0.0),
            Self::Lanczos3 if x >= 3.0 => 0.0,
            Self::Lanczos3 => sinc(x) * sinc(x / 3.0),
        }
    }
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 {
        return 1.0;
    }
    let a = x * std::f64::consts::PI;
    a.sin() / a
}

/// The source pixels of one target pixel: index of the first, and normalised weights.
struct Window {
    first: usize,
    weights: Vec<f64>,
}

fn windows(source: usize, target: usize, filter: Filter) -> Vec<Window> {
    let scale = source as f64 / target as f64;
    let stretch = scale.max(1.0);
    let reach = filter.radius() * stretch;
    (0..target)
        .map(|i| {
            let centre = (i as f64 + 0.5) * scale;
            let first = (centre - reach).floor().max(0.0) as usize;
            let last = ((centre + reach).ceil() as usize).min(source);
            let mut weights: Vec<f64> = (first..last)
                .map(|j| filter.weight((j as f64 + 0.5 - centre) / stretch))
                .collect();
            let sum: f64 = weights.iter().sum();
            weights.iter_mut().for_each(|w| *w /= sum);
            Window { first, weights }
        })
        .collect()
}

impl FloatImage {
    /// This picture at `width`×`height` pixels, antialiased. The same size gives a plain copy.
    ///
    /// # Panics
    /// If a side is zero on either end.
    pub fn resize(&self, width: usize, height: usize, filter: Filter) -> Self {
        assert!(width > 0 && height > 0 && self.width() > 0 && self.height() > 0);
        if (width, height) == (self.width(), self.height()) {
            return self.clone();
        }
        let (columns, rows) = (
            windows(self.width(), width, filter),
            windows(self.height(), height, filter),
        );
        let mut out = Vec::with_capacity(self.channels() * width * height);
        for c in 0..self.channels() {
            out.extend(resize_plane(self.plane(c), self.width(), &columns, &rows));
        }
        if filter == Filter::Lanczos3 {
            out.iter_mut().for_each(|v| *v = v.clamp(0.0, 1.0));
        }
        Self::from_vec(self.channels(), width, height, out).expect("every row was filled")
    }

    /// This picture at `width`×`height` pixels as [`Filter::Triangle`] gives it, from known pixels
    /// alone: unknown ones have no weight, so that no value of theirs, NaN included, changes one
    /// bit. Where no known pixel is in reach the result is zero.
    ///
    /// # Errors
    /// [`PictureError::SizeMismatch`] where the mask has another size than the picture.
    ///
    /// # Panics
    /// If a side is zero on either end.
    pub fn resize_known(
        &self,
        mask: &Mask,
        width: usize,
        height: usize,
    ) -> Result<Self, PictureError> {
        mask.check_size(self.width(), self.height(), "the picture")?;
        let mut known = self.clone();
        for plane in known.data_mut().chunks_mut(mask.keep().len().max(1)) {
            for (v, &keep) in plane.iter_mut().zip(mask.keep()) {
                if keep == 0 {
                    *v = 0.0;
                }
            }
        }
        if (width, height) == (self.width(), self.height()) {
            return Ok(known);
        }
        let weight = mask.to_float_image();
        let weight = weight.resize(width, height, Filter::Triangle);
        let mut out = known.resize(width, height, Filter::Triangle);
        for plane in out.data_mut().chunks_mut(width * height) {
            for (v, &w) in plane.iter_mut().zip(weight.data()) {
                *v = if w > 0.0 { *v / w } else { 0.0 };
            }
        }
        Ok(out)
    }
}

fn resize_plane(plane: &[f32], width: usize, columns: &[Window], rows: &[Window]) -> Vec<f32> {
    // Along the rows first: [height, width] -> [height, target width].
    let narrow: Vec<f64> = plane
        .par_chunks(width)
        .flat_map_iter(|row| {
            columns.iter().map(move |w| {
                row[w.first..]
                    .iter()
                    .zip(&w.weights)
                    .map(|(&v, &k)| f64::from(v) * k)
                    .sum()
            })
        })
        .collect();
    let target = columns.len();
    rows.par_iter()
        .flat_map_iter(|w| {
            let mut sum = vec![0.0f64; target];
            for (i, &k) in w.weights.iter().enumerate() {
                let row = &narrow[(w.first + i) * target..][..target];
                sum.iter_mut().zip(row).for_each(|(s, &v)| *s += v * k);
            }
            sum.into_iter().map(|v| v as f32)
        })
        .collect()
}
