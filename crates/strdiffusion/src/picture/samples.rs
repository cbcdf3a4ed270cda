//! Channel values of integer pictures, to floats and back.

use image::DynamicImage;

use super::mask_options::FULL;
use super::{FloatImage, Mask, PictureError};
use crate::structure::luma;

/// A channel value of an integer picture.
pub(super) trait Sample: Copy + Into<f64> {
    const RANGE: f64;
    /// The nearest value to `unit` in [0, 1]; beyond that range clamped.
    fn from_unit(unit: f64) -> Self;
}

impl Sample for u8 {
    const RANGE: f64 = 255.0;
    fn from_unit(unit: f64) -> Self {
        (unit.clamp(0.0, 1.0) * Self::RANGE).round() as Self
    }
}

impl Sample for u16 {
    const RANGE: f64 = 65535.0;
    fn from_unit(unit: f64) -> Self {
        (unit.clamp(0.0, 1.0) * Self::RANGE).round() as Self
    }
}

/// One channel of interleaved samples, in [0, 1].
pub(super) fn strided<S: Sample>(raw: &[S], channels: usize, channel: usize) -> Vec<f32> {
    raw.chunks_exact(channels)
        .map(|p| (p[channel].into() / S::RANGE) as f32)
        .collect()
}

/// Refuses NaN and infinity in the hole of a result.
pub(super) fn check_finite(result: &FloatImage, mask: &Mask) -> Result<(), PictureError> {
    let size = mask.keep().len();
    let broken = (result.data().iter().enumerate())
        .find(|&(i, v)| !v.is_finite() && mask.keep()[i % size] == 0);
    match broken {
        None => Ok(()),
        Some((i, _)) => Err(PictureError::NotFinite {
            x: i % size % mask.width(),
            y: i % size / mask.width(),
        }),
    }
}

/// Where a part lies in a larger picture: index of its first pixel, and pixels per row.
#[derive(Clone, Copy)]
pub(super) struct Placement {
    pub offset: usize,
    pub stride: usize,
}

/// Writes the hole's pixels of `result` into interleaved samples; an even number of channels has
/// alpha as its last, which stays as it is.
pub(super) fn fill<S: Sample>(
    raw: &mut [S],
    channels: usize,
    at: Placement,
    result: &FloatImage,
    mask: &Mask,
) {
    let planes = [0, 1, 2].map(|c| result.plane(if result.channels() == 1 { 0 } else { c }));
    for (i, _) in mask.keep().iter().enumerate().filter(|&(_, &k)| k == 0) {
        let target = at.offset + i / mask.width() * at.stride + i % mask.width();
        let pixel = &mut raw[target * channels..(target + 1) * channels];
        let rgb = planes.map(|p| f64::from(p[i]));
        if channels <= 2 {
            let [r, g, b] = rgb.map(|v| v.clamp(0.0, 1.0));
            // A gray result must come through unchanged, whatever the weights' last bit.
            let gray = if r == g && g == b { r } else { luma(r, g, b) };
            pixel[0] = S::from_unit(gray);
        } else {
            for (out, v) in pixel.iter_mut().zip(rgb) {
                *out = S::from_unit(v);
            }
        }
    }
}

/// Blends interleaved samples with those of the original by each pixel's weight; alpha stays.
pub(super) fn blend<S: Sample>(raw: &mut [S], original: &[S], channels: usize, weights: &[u16]) {
    let colours = channels - usize::from(channels.is_multiple_of(2));
    let pixels = (raw.chunks_exact_mut(channels)).zip(original.chunks_exact(channels));
    for ((pixel, before), &weight) in pixels.zip(weights) {
        if weight == 0 || weight == FULL {
            continue;
        }
        let share = f64::from(weight) / f64::from(FULL);
        for (filled, &before) in pixel.iter_mut().zip(before).take(colours) {
            let [filled_value, before]: [f64; 2] = [(*filled).into(), before.into()];
            *filled = S::from_unit((before + share * (filled_value - before)) / S::RANGE);
        }
    }
}

/// Sets alpha, the last channel, to its most in the hole.
pub(super) fn make_opaque<S: Sample>(raw: &mut [S], channels: usize, hole: &Mask) {
    for (pixel, _) in (raw.chunks_exact_mut(channels).zip(hole.keep())).filter(|(_, k)| **k == 0) {
        pixel[channels - 1] = S::from_unit(1.0);
    }
}

/// Refuses kinds of pixels other than 8- and 16-bit integers, saying which.
pub(super) fn check_kind(image: &DynamicImage) -> Result<(), String> {
    use DynamicImage as D;
    match image {
        D::ImageLuma8(_) | D::ImageLumaA8(_) | D::ImageRgb8(_) | D::ImageRgba8(_) => Ok(()),
        D::ImageLuma16(_) | D::ImageLumaA16(_) | D::ImageRgb16(_) | D::ImageRgba16(_) => Ok(()),
        other => Err(format!("the pixel type {:?}", other.color())),
    }
}
