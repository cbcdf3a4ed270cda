//! A complete fill, and what it takes to show it with another share of its detail.

use bytes::Bytes;
use strdiffusion::detail::Layer;
use strdiffusion::inpaint::{Provenance, set_detail};
use strdiffusion::picture::{Limits, Photo};
use strdiffusion::{Detail, Filled, HoleDetail, Result};

use crate::error::{ApiError, Code};

/// A complete fill. The picture is kept as PNG alone, since that holds it bit for bit; pixels are
/// kept of the holes only.
pub(crate) struct Candidate {
    pub png: Bytes,
    pub holes: Vec<HoleDetail>,
    layers: Vec<Layer>,
    provenance: Provenance,
}

impl Candidate {
    /// Writes a fill as PNG.
    pub fn new(filled: Filled, provenance: Provenance) -> Result<Self> {
        let png = filled.photo.encode_png_with_text(&provenance.texts())?;
        Ok(Self {
            png: png.into(),
            holes: filled.holes(),
            layers: filled.layers,
            provenance,
        })
    }

    /// Memory that it takes, in bytes.
    pub fn bytes(&self) -> usize {
        let layer =
            |l: &Layer| 4 * (l.soft.data().len() + l.sharp.data().len()) + l.hole.keep().len();
        self.png.len() + self.layers.iter().map(layer).sum::<usize>()
    }

    /// The PNG of the same fill with another share of its detail: what a fill with this setting
    /// would have given. Takes long for large pictures: not for the async runtime.
    pub fn with_detail(&self, detail: Detail, limits: &Limits) -> Result<Bytes, ApiError> {
        let share = match detail {
            Detail::Off => 0.0,
            Detail::Auto => 1.0,
            Detail::Strength(share) => share,
        };
        if self.provenance.detail == Detail::Off && share > 0.0 {
            return Err(ApiError::new(
                Code::BadSettings,
                "detail: the job was submitted with detail off, so none was looked for; submit it \
                 with detail auto",
            ));
        }
        let mut provenance = self.provenance.clone();
        provenance.detail = detail;
        self.draw(share, &provenance, limits).map_err(|error| {
            tracing::error!(%error, "a candidate could not be drawn with another detail");
            ApiError::internal()
        })
    }

    fn draw(&self, share: f32, provenance: &Provenance, limits: &Limits) -> Result<Bytes> {
        let mut photo = Photo::from_bytes(&self.png, "candidate.png", limits)?;
        set_detail(&mut photo, &self.layers, share)?;
        Ok(photo.encode_png_with_text(&provenance.texts())?.into())
    }
}
