//! The mask: which pixels are known and which are the hole.

use std::ops::Range;
use std::path::Path;

use image::{DynamicImage, GrayImage};

use super::output::{OutputFormat, check_output, write_atomically};
use super::photo::Photo;
use super::{FloatImage, Limits, PictureError};
use crate::structure::luma;

/// What a hole looks like in a mask file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HolePolarity {
    /// White (bright) pixels are the hole: the default.
    #[default]
    White,
    /// Black (dark) pixels are the hole.
    Black,
}

/// A mask of `height` rows of `width` pixels: 1 = keep (known), 0 = hole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask {
    width: usize,
    height: usize,
    keep: Vec<u8>,
    holes: usize,
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
        })
    }

    /// A mask without a hole.
    pub fn all_known(width: usize, height: usize) -> Self {
        Self {
            width,
            height,
            keep: vec![1; width * height],
            holes: 0,
        }
    }

    /// Reads a mask file within the default [`Limits`].
    ///
    /// # Errors
    /// As [`Photo::open`].
    pub fn open(path: impl AsRef<Path>, polarity: HolePolarity) -> Result<Self, PictureError> {
        let photo = Photo::open_within(path, &Limits::default())?;
        Ok(Self::from_photo(&photo, polarity))
    }

    /// Takes a picture's brightness as a mask: a value of at least one half of the range is white,
    /// a smaller one black; never dithered. Colours count by their luma. Transparent pixels
    /// (alpha below one half) are kept, whatever their colour.
    pub fn from_photo(photo: &Photo, polarity: HolePolarity) -> Self {
        let image = photo.image();
        let (width, height) = (photo.width(), photo.height());
        let keep_of = |value: f64, alpha: f64| {
            let white = value >= 0.5;
            u8::from(alpha < 0.5 || white != (polarity == HolePolarity::White))
        };
        fn all<T: Copy + Into<f64>>(
            raw: &[T],
            channels: usize,
            max: f64,
            keep_of: impl Fn(f64, f64) -> u8,
        ) -> Vec<u8> {
            raw.chunks_exact(channels)
                .map(|p| {
                    let v = |i: usize| -> f64 { p[i].into() / max };
                    match channels {
                        1 => keep_of(v(0), 1.0),
                        2 => keep_of(v(0), v(1)),
                        3 => keep_of(luma(v(0), v(1), v(2)), 1.0),
                        _ => keep_of(luma(v(0), v(1), v(2)), v(3)),
                    }
                })
                .collect()
        }
        let channels = usize::from(image.color().channel_count());
        let keep = match image.as_bytes().len() / (width * height * channels) {
            1 => all(image.as_bytes(), channels, 255.0, keep_of),
            _ => all(&photo.samples16(), channels, 65535.0, keep_of),
        };
        Self::from_keep(width, height, keep).expect("one value per pixel")
    }

    /// Takes a photograph's transparent pixels (alpha below one half) as the hole.
    ///
    /// # Errors
    /// [`PictureError::NoAlpha`] where the photograph has no alpha channel.
    pub fn from_alpha(photo: &Photo) -> Result<Self, PictureError> {
        let alpha = photo
            .alpha()
            .ok_or_else(|| PictureError::NoAlpha { name: photo.name() })?;
        let keep = alpha.iter().map(|&a| u8::from(a >= 0.5)).collect();
        Self::from_keep(photo.width(), photo.height(), keep)
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

    /// Writes the mask as an 8-bit grayscale picture, white = hole, in one step: the file is whole
    /// or not there.
    ///
    /// # Errors
    /// As [`Photo::save`]; [`PictureError::CannotHold`] for JPEG, which would blur the mask.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), PictureError> {
        let path = path.as_ref();
        let format = check_output(path)?;
        if format == OutputFormat::Jpeg {
            return Err(PictureError::CannotHold {
                path: path.to_path_buf(),
                format: format.name(),
                what: "a mask without loss".into(),
            });
        }
        let gray = self.keep.iter().map(|&k| (1 - k) * 255).collect();
        let image = u32::try_from(self.width)
            .ok()
            .zip(u32::try_from(self.height).ok())
            .and_then(|(width, height)| GrayImage::from_raw(width, height, gray))
            .ok_or_else(|| PictureError::from_write(path, "too large for a file"))?;
        let photo = Photo::from_image(DynamicImage::ImageLuma8(image))?;
        write_atomically(path, |file| photo.encode_to(file, path, format))
    }
}
