//! How large a picture may be before it is refused.

use std::path::Path;

use super::PictureError;
use super::error::Limit;

/// Upper bounds on a picture's size, checked against the header before anything is allocated.
///
/// The defaults let photographs of 100 megapixels and long panoramas through and refuse headers
/// that would ask for more than about 2 GB of 16-bit RGBA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest side, in pixels.
    pub max_side: u32,
    /// Most pixels in all.
    pub max_pixels: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_side: 32_768,
            max_pixels: 256_000_000,
        }
    }
}

impl Limits {
    /// Most bytes that decoding may take: twice the largest picture, since decoders keep a working
    /// copy next to the result.
    pub(crate) fn bytes(&self) -> u64 {
        self.max_pixels.saturating_mul(16).max(64 << 20)
    }

    /// Refuses a size beyond the limits, naming `path`.
    ///
    /// # Errors
    /// [`PictureError::TooLarge`].
    pub fn check(&self, path: &Path, width: u32, height: u32) -> Result<(), PictureError> {
        let pixels = u64::from(width) * u64::from(height);
        let limit = if width.max(height) > self.max_side {
            Limit::Side(self.max_side)
        } else if pixels > self.max_pixels {
            Limit::Pixels(self.max_pixels)
        } else {
            return Ok(());
        };
        Err(PictureError::TooLarge {
            path: path.to_path_buf(),
            width,
            height,
            limit,
        })
    }
}
