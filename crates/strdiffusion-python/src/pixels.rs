//! Pictures as bytes with a size.

use image::{DynamicImage, ImageBuffer, Pixel};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;
use strdiffusion::picture::{FloatImage, HolePolarity, Mask, Photo};
use strdiffusion::structure::drawn_edges;

use crate::failure::exception;

/// Interleaved pixels, row by row: `(data, width, height, channels, bits)`. 1 channel is gray, 2
/// gray and alpha, 3 RGB, 4 RGBA; 8 or 16 bits a sample, 16 in little-endian order.
#[derive(FromPyObject)]
pub struct Pixels(PyBackedBytes, u32, u32, usize, u32);

impl Pixels {
    /// The same pixels as a photograph.
    pub fn to_photo(&self) -> PyResult<Photo> {
        let Self(data, width, height, channels, bits) = self;
        let eight = || data.to_vec();
        let sixteen = || {
            let pairs = data.chunks_exact(2);
            pairs.map(|b| u16::from_le_bytes([b[0], b[1]])).collect()
        };
        use DynamicImage as D;
        let image = match (channels, bits) {
            (1, 8) => buffer(*width, *height, eight()).map(D::ImageLuma8),
            (2, 8) => buffer(*width, *height, eight()).map(D::ImageLumaA8),
            (3, 8) => buffer(*width, *height, eight()).map(D::ImageRgb8),
            (4, 8) => buffer(*width, *height, eight()).map(D::ImageRgba8),
            (1, 16) => buffer(*width, *height, sixteen()).map(D::ImageLuma16),
            (2, 16) => buffer(*width, *height, sixteen()).map(D::ImageLumaA16),
            (3, 16) => buffer(*width, *height, sixteen()).map(D::ImageRgb16),
            (4, 16) => buffer(*width, *height, sixteen()).map(D::ImageRgba16),
            _ => Err(PyValueError::new_err(format!(
                "{channels} channels of {bits} bits are not supported: give 1 to 4 channels of 8 \
                 or 16 bits"
            ))),
        };
        Photo::from_image(image?).map_err(exception)
    }

    /// The edges of a drawing, `[1, height, width]`: bright = 1. Most of a drawing must be dark,
    /// so that black lines on white are not taken for the opposite.
    pub fn to_edges(&self) -> PyResult<FloatImage> {
        drawn_edges(&self.to_photo()?).map_err(exception)
    }
}

fn buffer<P: Pixel>(
    width: u32,
    height: u32,
    samples: Vec<P::Subpixel>,
) -> PyResult<ImageBuffer<P, Vec<P::Subpixel>>> {
    let found = samples.len();
    // `from_raw` would take a longer buffer and read its beginning.
    let expected = u64::from(width) * u64::from(height) * u64::from(P::CHANNEL_COUNT);
    if found as u64 == expected
        && let Some(buffer) = ImageBuffer::from_raw(width, height, samples)
    {
        return Ok(buffer);
    }
    Err(PyValueError::new_err(format!(
        "the buffer holds {found} values where its size needs {expected}"
    )))
}

/// A photograph's samples as [`Pixels`] has them.
pub fn bytes_of(photo: &Photo) -> Vec<u8> {
    let mut bytes = photo.image().as_bytes().to_vec();
    if cfg!(target_endian = "big") && photo.bit_depth() == 16 {
        bytes.chunks_exact_mut(2).for_each(<[u8]>::reverse);
    }
    bytes
}

/// One byte for each pixel: 1 = known, 0 = hole. A mask is cut at half its range and white is the
/// hole; without one, the image's pixels that are not opaque are.
///
/// # Errors
/// `ValueError` if the sizes differ, the mask says something else than it seems to, or there is
/// neither a mask nor an alpha channel.
#[pyfunction]
#[pyo3(signature = (image, mask))]
pub fn find_known<'py>(
    py: Python<'py>,
    image: Pixels,
    mask: Option<Pixels>,
) -> PyResult<Bound<'py, PyBytes>> {
    let known = py.detach(|| {
        let Some(mask) = mask else {
            return Mask::from_alpha(&image.to_photo()?).map_err(exception);
        };
        let mask = Mask::from_photo(&mask.to_photo()?, HolePolarity::White).map_err(exception)?;
        let Pixels(_, width, height, ..) = image;
        mask.check_size(width as usize, height as usize, "the image")
            .map_err(exception)?;
        Ok(mask)
    })?;
    Ok(PyBytes::new(py, known.keep()))
}
