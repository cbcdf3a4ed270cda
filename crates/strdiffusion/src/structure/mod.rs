//! Structure: the grayscale picture and the edge map that condition the structure process.
//!
//! The structure process starts from x₀ = gray(image) and reverts to μ = edge(image) · m, where
//! m is the mask (1 = keep, 0 = hole). Grayscale and Canny edges give the numbers of
//! scikit-image's `rgb2gray` and `canny`, which the published method uses.
//!
//! What lies under the hole is unknown to a user, so the default edge map reads the known region
//! alone ([`EdgeSource::KnownRegion`]). The published way is there by name for comparisons.

mod canny;
mod drawing;
mod filters;
mod gray;

pub use canny::Canny;
pub use drawing::drawn_edges;
pub(crate) use gray::luma;
pub use gray::{GrayPlane, LUMA, batch_luma, rgb_to_gray, rgb8_to_gray};

use serde::{Deserialize, Serialize};

use crate::picture::{FloatImage, Mask, PictureError};

/// Which pixels the edge map may read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EdgeSource {
    /// Known pixels only (the default): Canny runs with the mask as its validity mask, as
    /// scikit-image's `mask=` does, so no pixel of the hole can change one bit of the result.
    #[default]
    KnownRegion,
    /// The published way: edges of the complete image, multiplied by the mask afterwards. What
    /// the hole hides moves edges around it, so this is for comparing with published numbers.
    FullImage,
}

/// The masked edge map μ = edge · m of a picture, from its grayscale form: one channel,
/// `gray`'s size, values 0 or 1, always 0 in the hole.
///
/// # Errors
/// [`PictureError::SizeMismatch`] where the mask has another size than the picture.
pub fn edge_map(
    gray: &GrayPlane,
    mask: &Mask,
    source: EdgeSource,
    canny: &Canny,
) -> Result<FloatImage, PictureError> {
    mask.check_size(gray.width(), gray.height(), "the picture")?;
    let edges = match source {
        EdgeSource::KnownRegion => canny.edges(gray, Some(mask))?,
        EdgeSource::FullImage => canny.edges(gray, None)?,
    };
    let data = edges
        .iter()
        .zip(mask.keep())
        .map(|(&edge, &keep)| f32::from(edge * keep))
        .collect();
    FloatImage::from_vec(1, gray.width(), gray.height(), data)
}
