//! The mask: which pixels are known and which are the hole.

use std::ops::Range;

use super::{FloatImage, PictureError};

/// A mask of `height` rows of `width` pixels: 1 = keep (known), 0 = hole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask {
    width: usize,
    height: usize,
    keep: Vec<u8>,
    holes: usize,
    is_transparency: bool,
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
        let mut keep = Vec::with_capacity(width * height);
        for y in 0..height {
            let row = (2 * y + 1) * self.height / (2 * height) * self.width;
            keep.extend(
                (0..width).map(|x| self.keep[row + (2 * x + 1) * self.width / (2 * width)]),
            );
        }
        Self::from_keep(width, height, keep)
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
        let mut keep = Vec::with_capacity(width * height);
        for y in 0..height {
            for x in 0..width {
                let columns = span(x, self.width, width);
                let hole = span(y, self.height, height)
                    .any(|y| self.keep[y * self.width..][columns.clone()].contains(&0));
                keep.push(u8::from(!hole));
            }
        }
        Self::from_keep(width, height, keep)
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
        let mut keep = Vec::with_capacity(width * height);
        for row in y..y + height {
            keep.extend_from_slice(&self.keep[row * self.width + x..][..width]);
        }
        Self::from_keep(width, height, keep).expect("the part lies inside the mask")
    }

    /// Marks the pixels of one row as known.
    pub(crate) fn set_known(&mut self, y: usize, columns: Range<usize>) {
        for keep in &mut self.keep[y * self.width..(y + 1) * self.width][columns] {
            self.holes -= usize::from(1 - *keep);
            *keep = 1;
        }
    }

    /// The mask as one plane of f32: 1 = keep, 0 = hole.
    pub fn to_float_image(&self) -> FloatImage {
        let data = self.keep.iter().map(|&k| f32::from(k)).collect();
        FloatImage::from_vec(1, self.width, self.height, data).expect("one value per pixel")
    }
}
