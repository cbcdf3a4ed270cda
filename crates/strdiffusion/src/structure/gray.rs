//! Grayscale as scikit-image's `rgb2gray`: linear weights of ITU-R BT.709, no gamma.

use burn::tensor::Tensor;

use crate::picture::{FloatImage, PictureError};

/// Weights of red, green and blue, as scikit-image's `rgb2gray` has them.
pub const LUMA: [f64; 3] = [0.2125, 0.7154, 0.0721];

/// One plane of f64 gray values, row by row, in [0, 1].
///
/// Double precision, because Canny decides by comparing nearly equal numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct GrayPlane {
    width: usize,
    height: usize,
    data: Vec<f64>,
}

impl GrayPlane {
    /// Takes `height` rows of `width` values.
    ///
    /// # Errors
    /// [`PictureError::BufferLength`] where `data` is not `width · height` long.
    pub fn from_vec(width: usize, height: usize, data: Vec<f64>) -> Result<Self, PictureError> {
        PictureError::check_buffer(data.len(), &[width, height])?;
        Ok(Self {
            width,
            height,
            data,
        })
    }

    /// Pixels in a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Number of rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// The values, row by row.
    pub fn data(&self) -> &[f64] {
        &self.data
    }

    /// The same values as a picture of one f32 channel.
    pub fn to_float_image(&self) -> FloatImage {
        let data = self.data.iter().map(|&v| v as f32).collect();
        FloatImage::from_vec(1, self.width, self.height, data)
            .expect("a plane holds width x height values")
    }
}

/// Luma of one RGB triple. Fused and in this order it has the bits of NumPy's matrix product,
/// which `rgb2gray` is.
pub(crate) fn luma(r: f64, g: f64, b: f64) -> f64 {
    b.mul_add(LUMA[2], r.mul_add(LUMA[0], g * LUMA[1]))
}

/// Luma of an RGB batch `[b, 3, h, w]`, `[b, 1, h, w]`.
pub fn batch_luma(rgb: Tensor<4>) -> Tensor<4> {
    let channel = |i: usize| rgb.clone().narrow(1, i, 1);
    channel(0) * LUMA[0] + channel(1) * LUMA[1] + channel(2) * LUMA[2]
}

/// Gray values of a planar picture `[3, height, width]` in [0, 1]. A picture of one channel is
/// gray already and keeps its values.
///
/// # Errors
/// [`PictureError::Channels`] where the picture has neither one nor three channels.
pub fn rgb_to_gray(picture: &FloatImage) -> Result<GrayPlane, PictureError> {
    let (width, height) = (picture.width(), picture.height());
    let data = match picture.channels() {
        1 => picture.data().iter().map(|&v| f64::from(v)).collect(),
        3 => {
            let (r, rest) = picture.data().split_at(width * height);
            let (g, b) = rest.split_at(width * height);
            r.iter()
                .zip(g)
                .zip(b)
                .map(|((&r, &g), &b)| luma(f64::from(r), f64::from(g), f64::from(b)))
                .collect()
        }
        found => return Err(PictureError::Channels { found }),
    };
    GrayPlane::from_vec(width, height, data)
}

/// Gray values of interleaved 8-bit RGB, `height` rows of `width` triples: the route by which the
/// published method reaches its gray values.
///
/// # Errors
/// [`PictureError::BufferLength`] where `rgb` is not `3 · width · height` long.
pub fn rgb8_to_gray(rgb: &[u8], width: usize, height: usize) -> Result<GrayPlane, PictureError> {
    PictureError::check_buffer(rgb.len(), &[width, height, 3])?;
    let unit = 1.0 / 255.0;
    let data = rgb
        .chunks_exact(3)
        .map(|p| {
            luma(
                f64::from(p[0]) * unit,
                f64::from(p[1]) * unit,
                f64::from(p[2]) * unit,
            )
        })
        .collect();
    GrayPlane::from_vec(width, height, data)
}
