//! 8-bit pictures as they are scored, and how files become them.

use super::EvaluationError;
use crate::picture::{FloatImage, HolePolarity, Mask, OutputFormat, Photo, PictureError};
use image::imageops::FilterType;
use image::{DynamicImage, RgbImage};
use std::path::Path;

/// An RGB picture with 8 bits per channel, rows of interleaved pixels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    image: RgbImage,
}

impl Picture {
    /// Makes a picture of planar values (3 × height × width, 0..=1), rounded to 8 bits.
    ///
    /// Values outside 0..=1 are clamped; `None` when the length does not fit or a value is not a
    /// number.
    pub fn from_planar(values: &[f32], width: u32, height: u32) -> Option<Self> {
        let area = width as usize * height as usize;
        if values.len() != 3 * area || values.iter().any(|v| v.is_nan()) {
            return None;
        }
        let level =
            |c: usize, i: usize| (values[c * area + i].clamp(0.0, 1.0) * 255.0).round() as u8;
        let rgb = (0..area)
            .flat_map(|i| (0..3).map(move |c| level(c, i)))
            .collect();
        RgbImage::from_raw(width, height, rgb).map(|image| Self { image })
    }

    /// Makes a picture of interleaved 8-bit pixels; `None` when the length does not fit.
    pub fn from_rgb8(rgb: Vec<u8>, width: u32, height: u32) -> Option<Self> {
        RgbImage::from_raw(width, height, rgb).map(|image| Self { image })
    }

    /// Reads a picture file as RGB; its orientation tag is applied.
    ///
    /// # Errors
    /// [`EvaluationError::Picture`] when the file cannot be read or decoded.
    pub fn open(path: &Path) -> Result<Self, EvaluationError> {
        Ok(Self {
            image: Photo::open(path)?.image().to_rgb8(),
        })
    }

    /// The picture as the evaluation uses it: with `size`, the largest centred square, resized to
    /// `size` × `size` by Lanczos-3; otherwise as it is.
    pub fn prepared(self, size: Option<u32>) -> Self {
        let Some(size) = size else {
            return self;
        };
        let (width, height) = self.image.dimensions();
        let side = width.min(height);
        let (x, y) = ((width - side) / 2, (height - side) / 2);
        let square = image::imageops::crop_imm(&self.image, x, y, side, side).to_image();
        if side == size {
            return Self { image: square };
        }
        Self {
            image: image::imageops::resize(&square, size, size, FilterType::Lanczos3),
        }
    }

    /// Width in pixels.
    pub fn width(&self) -> u32 {
        self.image.width()
    }

    /// Height in pixels.
    pub fn height(&self) -> u32 {
        self.image.height()
    }

    /// Interleaved pixels, row by row.
    pub fn rgb8(&self) -> &[u8] {
        self.image.as_raw()
    }

    /// Planar values in 0..=1: 3 × height × width.
    pub fn planar(&self) -> Vec<f32> {
        (0..3)
            .flat_map(|c| self.rgb8().iter().skip(c).step_by(3))
            .map(|&level| f32::from(level) / 255.0)
            .collect()
    }

    /// The picture with the hole's pixels set to black: what a method may see.
    pub fn masked(&self, mask: &Mask) -> Self {
        let mut image = self.image.clone();
        for (pixel, &keep) in image.pixels_mut().zip(mask.keep()) {
            if keep == 0 {
                pixel.0 = [0; 3];
            }
        }
        Self { image }
    }

    pub(super) fn as_image(&self) -> &RgbImage {
        &self.image
    }

    /// Planar values for the networks.
    pub(super) fn to_float_image(&self) -> Result<FloatImage, PictureError> {
        let (width, height) = (self.width() as usize, self.height() as usize);
        FloatImage::from_vec(3, width, height, self.planar())
    }

    pub(super) fn png(&self) -> Result<Vec<u8>, PictureError> {
        Photo::from_image(DynamicImage::ImageRgb8(self.image.clone()))?.encode(OutputFormat::Png)
    }
}

/// Reads a mask file: white = hole.
pub(super) fn open_mask(path: &Path) -> Result<Mask, EvaluationError> {
    Ok(Mask::open(path, HolePolarity::White)?)
}
