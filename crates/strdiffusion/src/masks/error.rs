//! Masks that cannot be generated.

use thiserror::Error;

use crate::picture::PictureError;

/// Shortest side for which masks are generated.
pub const MIN_SIDE: usize = 16;

/// An error of generating masks.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MaskError {
    /// A ratio range that is reversed, not finite, or reaches beyond 0 to 1.
    #[error("hole ratio {low}-{high} is no range within 0-1; give for example 0.1-0.5")]
    Ratio {
        /// Lower end.
        low: f64,
        /// Upper end.
        high: f64,
    },
    /// No whole number of pixels has a share within the range.
    #[error(
        "no mask of {width}x{height} pixels has a hole ratio within {low}-{high}; widen the range"
    )]
    Narrow {
        /// Width asked for.
        width: usize,
        /// Height asked for.
        height: usize,
        /// Lower end.
        low: f64,
        /// Upper end.
        high: f64,
    },
    /// A side that is too short for shapes, or too long to hold.
    #[error(
        "masks of {width}x{height} pixels cannot be drawn; each side must be {MIN_SIDE} to 32768"
    )]
    Size {
        /// Width asked for.
        width: usize,
        /// Height asked for.
        height: usize,
    },
    /// No kind of shape was chosen.
    #[error("no kind of shape was chosen; take for example strokes, ellipses and rectangles")]
    NoKind,
    /// A mask could not be written.
    #[error(transparent)]
    Picture(#[from] PictureError),
}
