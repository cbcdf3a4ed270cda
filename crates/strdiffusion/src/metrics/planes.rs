//! The picture view that every metric takes.

use thiserror::Error;

/// Why a metric has no value for the pictures it was given.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum MetricError {
    /// The buffer does not hold channels × height × width values.
    #[error("a picture of {channels}×{height}×{width} needs {expected} values, got {got}")]
    Length {
        /// Channels that the caller stated.
        channels: usize,
        /// Height in pixels that the caller stated.
        height: usize,
        /// Width in pixels that the caller stated.
        width: usize,
        /// `channels · height · width`.
        expected: usize,
        /// Values in the buffer.
        got: usize,
    },
    /// The two pictures differ in shape.
    #[error("the pictures differ in shape: {left:?} and {right:?} (channels, height, width)")]
    Shape {
        /// Shape of the first picture.
        left: (usize, usize, usize),
        /// Shape of the second picture.
        right: (usize, usize, usize),
    },
    /// The mask does not hold height × width values.
    #[error("the mask needs {expected} values (height × width), got {got}")]
    Mask {
        /// `height · width`.
        expected: usize,
        /// Values in the mask.
        got: usize,
    },
    /// The picture is smaller than the metric's window.
    #[error(
        "{metric} needs at least {smallest} pixels on each side, the picture has {width}×{height}"
    )]
    TooSmall {
        /// Name of the metric.
        metric: &'static str,
        /// The smallest side that it can be computed for, in pixels.
        smallest: usize,
        /// Width of the picture in pixels.
        width: usize,
        /// Height of the picture in pixels.
        height: usize,
    },
}

/// A borrowed planar picture: `data[c · height · width + y · width + x]`, values in 0..=1.
#[derive(Debug, Clone, Copy)]
pub struct Planes<'a> {
    data: &'a [f32],
    channels: usize,
    height: usize,
    width: usize,
}

impl<'a> Planes<'a> {
    /// Views `data` as `channels` planes of `height` × `width`.
    ///
    /// # Errors
    /// [`MetricError::Length`] when the buffer has another length or is empty.
    pub fn new(
        data: &'a [f32],
        channels: usize,
        height: usize,
        width: usize,
    ) -> Result<Self, MetricError> {
        let expected = channels * height * width;
        if data.len() != expected || expected == 0 {
            return Err(MetricError::Length {
                channels,
                height,
                width,
                expected,
                got: data.len(),
            });
        }
        Ok(Self {
            data,
            channels,
            height,
            width,
        })
    }

    /// (channels, height, width).
    pub fn shape(&self) -> (usize, usize, usize) {
        (self.channels, self.height, self.width)
    }

    /// All values, planes one after the other.
    pub fn data(&self) -> &'a [f32] {
        self.data
    }

    /// The values of channel `c`, row by row.
    pub(super) fn plane(&self, c: usize) -> &'a [f32] {
        let area = self.height * self.width;
        &self.data[c * area..(c + 1) * area]
    }

    pub(super) fn check_same_shape(&self, other: &Planes<'_>) -> Result<(), MetricError> {
        if self.shape() == other.shape() {
            return Ok(());
        }
        Err(MetricError::Shape {
            left: self.shape(),
            right: other.shape(),
        })
    }

    pub(super) fn check_mask(&self, keep: &[f32]) -> Result<(), MetricError> {
        let expected = self.height * self.width;
        if keep.len() == expected {
            return Ok(());
        }
        Err(MetricError::Mask {
            expected,
            got: keep.len(),
        })
    }

    pub(super) fn check_smallest_side(
        &self,
        metric: &'static str,
        smallest: usize,
    ) -> Result<(), MetricError> {
        if self.height >= smallest && self.width >= smallest {
            return Ok(());
        }
        Err(MetricError::TooSmall {
            metric,
            smallest,
            width: self.width,
            height: self.height,
        })
    }
}

/// Whether a mask value (1 = keep, 0 = hole) marks the hole.
pub(super) fn is_hole(keep: f32) -> bool {
    keep < 0.5
}
