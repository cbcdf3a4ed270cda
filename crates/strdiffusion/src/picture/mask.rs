//! The mask: which pixels are known and which are the hole.

use std::ops::Range;

use super::mask_options::FULL;
use super::{FloatImage, PictureError};

/// A mask of `height` rows of `width` pixels: 1 = keep (known), 0 = hole.
///
/// In a soft mask the hole's pixels also say how much of the fill is shown; the rest is what the
/// photograph holds there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask {
    width: usize,
    height: usize,
    keep: Vec<u8>,
    holes: usize,
    is_transparency: bool,
    /// Share of the fill of each pixel, 0 where it is known; none where the fill hides the photograph.
    weights: Option<Vec<u16>>,
}

impl Mask {
    /// Takes one byte per pixel, row by row: 0 = hole, anything else = keep.
    ///
    /// # Errors
    /// [`PictureError::BufferLength`] where `keep` is not `width · height` long.
    pub fn from_keep(width: usize, height: usize, mut keep: Vec<u8>) -> Result<Self, PictureError> {
        PictureError::check_buffer(keep.len(), &[width, height])?;
        keep.iter_mut().for_each(|k| *k = u8::from(*k != 0));
        let holes = keep.iter().filter(|&&k| k == 0).count();
        Ok(Self {
            width,
            height,
            keep,
            holes,
            is_transparency: false,
            weights: None,
        })
    }

    /// Takes each pixel's share of the fill, row by row: 0 = keep, 65535 = the fill alone, and between
    /// them a blend of fill and photograph. All but 0 is the hole.
    ///
    /// # Errors
    /// [`PictureError::BufferLength`] where `weights` is not `width · height` long.
    pub fn from_weights(
        width: usize,
        height: usize,
        weights: Vec<u16>,
    ) -> Result<Self, PictureError> {
        let keep = weights.iter().map(|&weight| u8::from(weight == 0));
        let mask = Self::from_keep(width, height, keep.collect())?;
        let is_soft = weights.iter().any(|&weight| weight != 0 && weight != FULL);
        Ok(Self {
            weights: is_soft.then_some(weights),
            ..mask
        })
    }

    /// A mask without a hole.
    pub fn all_known(width: usize, height: usize) -> Self {
        Self {
            width,
            height,
            keep: vec![1; width * height],
            holes: 0,
            is_transparency: false,
            weights: None,
        }
    }

    /// The same mask as one of a photograph's transparency: the fill makes its hole opaque.
    #[must_use]
    pub fn of_transparency(self) -> Self {
        Self {
            is_transparency: true,
            ..self
        }
    }

    /// Whether the hole is a photograph's transparency, so that the fill makes it opaque.
    pub fn is_transparency(&self) -> bool {
        self.is_transparency
    }

    /// Each pixel's share of the fill, as [`Self::from_weights`] takes it; none where no pixel blends
    /// fill and photograph.
    pub fn weights(&self) -> Option<&[u16]> {
        self.weights.as_deref()
    }

    /// Pixels in a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Number of rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// One byte per pixel, row by row: 1 = keep, 0 = hole.
    pub fn keep(&self) -> &[u8] {
        &self.keep
    }

    /// Whether the pixel at column `x`, row `y` belongs to the hole.
    ///
    /// # Panics
    /// If there is no such pixel.
    pub fn is_hole(&self, x: usize, y: usize) -> bool {
        assert!(x < self.width);
        self.keep[y * self.width + x] == 0
    }

    /// Number of pixels in the hole.
    pub fn hole_pixels(&self) -> usize {
        self.holes
    }

    /// Share of pixels in the hole, 0 to 1.
    pub fn hole_fraction(&self) -> f64 {
        self.holes as f64 / self.keep.len().max(1) as f64
    }

    /// Whether there is no hole.
    pub fn is_empty(&self) -> bool {
        self.holes == 0
    }

    /// Whether there is no known pixel.
    pub fn is_full(&self) -> bool {
        self.holes == self.keep.len()
    }

    /// The smallest rectangle around the hole: its first column and row, and those that follow its last
    /// ones. None where there is no hole.
    pub(crate) fn hole_rectangle(&self) -> Option<[usize; 4]> {
        let (mut left, mut right, mut top, mut bottom) = (usize::MAX, 0, None, 0);
        for (y, row) in self.keep.chunks_exact(self.width.max(1)).enumerate() {
            let Some(first) = row.iter().position(|&keep| keep == 0) else {
                continue;
            };
            let last = row.iter().rposition(|&keep| keep == 0).unwrap_or(first);
            left = left.min(first);
            right = right.max(last + 1);
            top = top.or(Some(y));
            bottom = y + 1;
        }
        Some([left, top?, right, bottom])
    }

    /// Refuses a picture of another size; `what` names the picture.
    ///
    /// # Errors
    /// [`PictureError::SizeMismatch`], stating both sizes.
    pub fn check_size(&self, width: usize, height: usize, what: &str) -> Result<(), PictureError> {
        if (width, height) == (self.width, self.height) {
            return Ok(());
        }
        Err(PictureError::SizeMismatch {
            what: "the mask".into(),
            width: self.width,
            height: self.height,
            other: what.into(),
            other_width: width,
            other_height: height,
        })
    }

    /// This mask at another size, each pixel taken from the nearest one.
    ///
    /// # Errors
    /// [`PictureError::EmptySize`] where a side is zero on either end.
    pub fn fit_to(&self, width: usize, height: usize) -> Result<Self, PictureError> {
        self.check_sides(width, height)?;
        let nearest = |i: usize| {
            let (x, y) = (i % width, i / width);
            let row = (2 * y + 1) * self.height / (2 * height) * self.width;
            row + (2 * x + 1) * self.width / (2 * width)
        };
        let pixels = (0..width * height).map(nearest);
        match &self.weights {
            None => Self::from_keep(width, height, pixels.map(|i| self.keep[i]).collect()),
            Some(weights) => {
                Self::from_weights(width, height, pixels.map(|i| weights[i]).collect())
            }
        }
    }

    /// This mask at another size, in which every pixel that touches a hole is a hole: nothing of
    /// the hole is lost when shrinking.
    ///
    /// # Errors
    /// [`PictureError::EmptySize`] where a side is zero on either end.
    pub fn fit_covering(&self, width: usize, height: usize) -> Result<Self, PictureError> {
        self.check_sides(width, height)?;
        let span = |i: usize, source: usize, target: usize| {
            let first = i * source / target;
            first..((i + 1) * source).div_ceil(target).max(first + 1)
        };
        let pixels = (0..width * height).map(|i| {
            let columns = span(i % width, self.width, width);
            span(i / width, self.height, height).map(move |y| {
                let row = y * self.width;
                row + columns.start..row + columns.end
            })
        });
        match &self.weights {
            None => {
                let keep = pixels
                    .map(|mut rows| u8::from(!rows.any(|row| self.keep[row].contains(&0))))
                    .collect();
                Self::from_keep(width, height, keep)
            }
            Some(weights) => {
                let most = pixels
                    .map(|rows| {
                        rows.flat_map(|row| &weights[row])
                            .copied()
                            .max()
                            .unwrap_or(0)
                    })
                    .collect();
                Self::from_weights(width, height, most)
            }
        }
    }

    fn check_sides(&self, width: usize, height: usize) -> Result<(), PictureError> {
        for (width, height) in [(width, height), (self.width, self.height)] {
            if width == 0 || height == 0 {
                return Err(PictureError::EmptySize { width, height });
            }
        }
        Ok(())
    }

    /// The part of `width`×`height` pixels whose upper left corner is at column `x`, row `y`.
    ///
    /// # Panics
    /// If the part reaches beyond the mask.
    pub fn crop(&self, x: usize, y: usize, width: usize, height: usize) -> Self {
        assert!(x + width <= self.width && y + height <= self.height);
        let part = match &self.weights {
            None => Self::from_keep(width, height, self.part(&self.keep, x, y, [width, height])),
            Some(weights) => {
                let weights = self.part(weights, x, y, [width, height]);
                Self::from_weights(width, height, weights)
            }
        };
        part.expect("the part lies inside the mask")
    }

    fn part<T: Copy>(&self, all: &[T], x: usize, y: usize, [width, height]: [usize; 2]) -> Vec<T> {
        let rows = all.chunks_exact(self.width.max(1)).skip(y).take(height);
        rows.flat_map(|row| &row[x..x + width]).copied().collect()
    }

    /// Marks the pixels of one row as known.
    pub(crate) fn set_known(&mut self, y: usize, columns: Range<usize>) {
        for keep in &mut self.keep[y * self.width..(y + 1) * self.width][columns.clone()] {
            self.holes -= usize::from(1 - *keep);
            *keep = 1;
        }
        if let Some(weights) = &mut self.weights {
            weights[y * self.width..(y + 1) * self.width][columns].fill(0);
        }
    }

    /// The mask as one plane of f32: 1 = keep, 0 = hole.
    pub fn to_float_image(&self) -> FloatImage {
        let data = self.keep.iter().map(|&k| f32::from(k)).collect();
        FloatImage::from_vec(1, self.width, self.height, data).expect("one value per pixel")
    }
}
