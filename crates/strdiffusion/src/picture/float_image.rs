//! A picture as networks see it: planar f32.

use super::PictureError;

/// A planar picture `[channels, height, width]` of f32 values, nominally in [0, 1].
#[derive(Clone, Debug, PartialEq)]
pub struct FloatImage {
    channels: usize,
    width: usize,
    height: usize,
    data: Vec<f32>,
}

impl FloatImage {
    /// Takes `channels` planes of `height` rows of `width` values.
    ///
    /// # Errors
    /// [`PictureError::BufferLength`] where `data` has another length.
    pub fn from_vec(
        channels: usize,
        width: usize,
        height: usize,
        data: Vec<f32>,
    ) -> Result<Self, PictureError> {
        PictureError::check_buffer(data.len(), &[channels, width, height])?;
        Ok(Self {
            channels,
            width,
            height,
            data,
        })
    }

    /// A picture in which every value is `value`.
    pub fn filled(channels: usize, width: usize, height: usize, value: f32) -> Self {
        Self {
            channels,
            width,
            height,
            data: vec![value; channels * width * height],
        }
    }

    /// Number of planes.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Pixels in a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Number of rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// All values: plane by plane, row by row.
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// All values, to change.
    pub fn data_mut(&mut self) -> &mut [f32] {
        &mut self.data
    }

    /// The values alone.
    pub fn into_vec(self) -> Vec<f32> {
        self.data
    }

    /// One plane's values, row by row.
    ///
    /// # Panics
    /// If there is no such channel.
    pub fn plane(&self, channel: usize) -> &[f32] {
        let size = self.width * self.height;
        &self.data[channel * size..(channel + 1) * size]
    }

    /// The part of `width`×`height` pixels whose upper left corner is at column `x`, row `y`.
    ///
    /// # Panics
    /// If the part reaches beyond the picture.
    pub fn crop(&self, x: usize, y: usize, width: usize, height: usize) -> Self {
        assert!(x + width <= self.width && y + height <= self.height);
        let mut data = Vec::with_capacity(self.channels * width * height);
        for c in 0..self.channels {
            let plane = self.plane(c);
            for row in y..y + height {
                data.extend_from_slice(&plane[row * self.width + x..][..width]);
            }
        }
        Self {
            channels: self.channels,
            width,
            height,
            data,
        }
    }

    /// This one-channel picture with its plane repeated `channels` times.
    ///
    /// # Panics
    /// If there is more than one channel.
    pub fn repeat_channels(&self, channels: usize) -> Self {
        assert_eq!(self.channels, 1);
        Self {
            channels,
            data: self.data.repeat(channels),
            ..*self
        }
    }
}
