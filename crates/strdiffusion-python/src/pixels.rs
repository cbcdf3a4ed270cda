//! Pictures as bytes with a size.

use image::{DynamicImage, ImageBuffer, Pixel};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;
use strdiffusion::detail::avoided;
use strdiffusion::picture::{
    Extension, FloatImage, HolePolarity, Limits, Margins, Mask, MaskOptions, Photo,
    UnknownExtension,
};
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

    /// What detail is not copied from, as holes of a mask of the extended image's size: what is white
    /// here, in a mask of the image's own size.
    pub fn to_avoided(&self, margins: &Margins) -> PyResult<Mask> {
        let avoided = avoided(&self.to_photo()?).map_err(exception)?;
        Ok(avoided.extended(margins))
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

/// A hole to fill, and how the fill ends at its border.
#[pyclass(frozen, module = "strdiffusion._native")]
pub struct Hole {
    /// Of the extended image's size.
    pub mask: Mask,
    /// What is added to the image.
    pub margins: Margins,
}

#[pymethods]
impl Hole {
    /// Width and height of the extended image, and column and row at which the image lies in it.
    #[getter]
    fn canvas(&self) -> [usize; 4] {
        let Margins { left, top, .. } = self.margins;
        [self.mask.width(), self.mask.height(), left, top]
    }

    /// One byte for each pixel: 1 = known, 0 = hole.
    #[getter]
    fn known<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.mask.keep())
    }

    /// One byte for each pixel: 1 = what the image holds there shows in the result, at least in part.
    #[getter]
    fn shown<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let Some(weights) = self.mask.weights() else {
            return self.known(py);
        };
        let shown = weights.iter().map(|&weight| u8::from(weight != u16::MAX));
        PyBytes::new(py, &shown.collect::<Vec<u8>>())
    }
}

/// The hole of an image. White in the mask is the hole; without one, the image's pixels that are not
/// opaque are; `extend` adds what is new. The other arguments are those of [`MaskOptions`].
///
/// # Errors
/// `ValueError` if the sizes differ, the mask says something else than it seems to, there is neither a
/// mask nor an alpha channel, or the options do not fit.
#[pyfunction]
#[pyo3(signature = (image, mask, *, grow, shrink, feather, threshold, soft, extend))]
#[allow(clippy::too_many_arguments, reason = "Python's keyword arguments")]
pub fn find_hole(
    py: Python,
    image: Pixels,
    mask: Option<Pixels>,
    grow: i64,
    shrink: i64,
    feather: i64,
    threshold: Option<f64>,
    soft: bool,
    extend: Option<&str>,
) -> PyResult<Hole> {
    let extend = extend.map(str::parse).transpose();
    let extend: Option<Extension> =
        extend.map_err(|error: UnknownExtension| PyValueError::new_err(error.to_string()))?;
    let options = MaskOptions {
        threshold,
        shrink: pixels("shrink", shrink)?,
        grow: pixels("grow", grow)?,
        feather: pixels("feather", feather)?,
        soft,
    };
    py.detach(|| {
        let photo = image.to_photo()?;
        let margins = extend.map_or(Ok(Margins::default()), |extend| {
            photo.margins(&extend, &Limits::default())
        });
        let margins = margins.map_err(exception)?;
        let known = match mask {
            Some(mask) => {
                let mask = mask.to_photo()?;
                Mask::from_photo_with(&mask, HolePolarity::White, &options)
            }
            None => {
                Mask::from_alpha_with(&photo, &options).or_else(|error| match margins.is_empty() {
                    true => Err(error),
                    false => Ok(Mask::all_known(photo.width(), photo.height())),
                })
            }
        };
        let known = known.map_err(exception)?;
        (known.check_size(photo.width(), photo.height(), "the image")).map_err(exception)?;
        let mask = options.apply_extended(known, &margins);
        Ok(Hole {
            mask: mask.map_err(exception)?,
            margins,
        })
    })
}

fn pixels(name: &str, number: i64) -> PyResult<u32> {
    u32::try_from(number).map_err(|_| {
        let most = MaskOptions::MOST_PIXELS;
        PyValueError::new_err(format!("{name} is {number}; give 0 to {most} pixels"))
    })
}
