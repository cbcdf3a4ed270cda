//! What became of a fill's detail, in numbers that programs can read, and other shares of it.

use serde::Serialize;

use super::request::Filled;
use crate::detail::Layer;
use crate::error::{Error, Result};
use crate::picture::Photo;

impl Filled {
    /// The same fill with another share of its detail, 0 to 1, as [`Detail::Strength`](crate::Detail::Strength) gives it;
    /// the networks do not run again. Only what is in [`Self::layers`] changes.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) for a share that is none.
    pub fn with_strength(&self, strength: f32) -> Result<Photo> {
        let mut photo = self.photo.clone();
        set_detail(&mut photo, &self.layers, strength)?;
        Ok(photo)
    }
}

/// The detail of one region's holes, without its pixels: what is told of a [`Layer`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct HoleDetail {
    /// Column of the upper left pixel of the smallest rectangle around the hole.
    pub x: usize,
    /// Row of that pixel.
    pub y: usize,
    /// Width of the rectangle.
    pub width: usize,
    /// Height of the rectangle.
    pub height: usize,
    /// Pixels of the hole.
    pub pixels: usize,
    /// How much like the fill the photograph has, 0 to 1, to three decimals; see
    /// [`Confidence::fit`](crate::detail::Confidence::fit).
    pub confidence: f64,
    /// How far the networks' own fill was trusted, 0 to 1, to three decimals.
    pub trust: f64,
}

impl From<&Layer> for HoleDetail {
    fn from(layer: &Layer) -> Self {
        let rounded = |share: f32| (f64::from(share) * 1000.0).round() / 1000.0;
        Self {
            x: layer.x,
            y: layer.y,
            width: layer.hole.width(),
            height: layer.hole.height(),
            pixels: layer.hole.keep().iter().filter(|&&keep| keep == 0).count(),
            confidence: rounded(layer.confidence.fit),
            trust: rounded(layer.confidence.trust),
        }
    }
}

impl Filled {
    /// What became of the detail, hole by hole.
    pub fn holes(&self) -> Vec<HoleDetail> {
        self.layers.iter().map(HoleDetail::from).collect()
    }
}

/// Gives a filled photograph another share of its detail, 0 to 1. Only what is in `layers`, which
/// are those of its fill, changes.
///
/// # Errors
/// [`Error::Config`] for a share that is none; if a layer reaches beyond the photograph.
pub fn set_detail(photo: &mut Photo, layers: &[Layer], share: f32) -> Result<()> {
    if !(0.0..=1.0).contains(&share) {
        return Err(Error::Config(format!(
            "the strength of detail is a number from 0 to 1, not {share}"
        )));
    }
    for layer in layers {
        layer.paste(photo, share)?;
    }
    Ok(())
}
