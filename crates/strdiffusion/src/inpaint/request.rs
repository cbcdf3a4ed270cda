//! What is asked of an inpainter, and what it gives.

use crate::detail::{Detail, Layer};
use crate::model::EdgeConfig;
use crate::picture::{FloatImage, Mask, Photo};
use crate::region::Scale;
use crate::sampling::{Evaluations, Sampler};

/// What a caller may choose.
#[derive(Debug, Clone, Default)]
pub struct FillOptions {
    /// The same seed gives the same picture.
    pub seed: u64,
    /// At which scale the networks look.
    pub scale: Scale,
    /// Settings of the sampler; none: the model's own.
    pub sampler: Option<Sampler>,
    /// How edges are found; none: as the model says. Only with [`Scale::Native`] is there
    /// anything in the hole for [`FullImage`](crate::structure::EdgeSource::FullImage) to read.
    pub edges: Option<EdgeConfig>,
    /// Edges that a person wants inside the hole, `[1, height, width]` of the photograph's size;
    /// 1 = edge. Outside the hole it is not read.
    pub drawn_edges: Option<FloatImage>,
    /// Pixels that detail is never copied from, as holes of a mask of the photograph's size. They
    /// are still part of the photograph: the networks see them, and the fill joins them.
    pub avoid: Option<Mask>,
    /// How much detail the fill gets from the photograph around it.
    pub detail: Detail,
}

/// One photograph of [`Inpainter::fill_batch`](super::Inpainter::fill_batch).
#[derive(Debug, Clone)]
pub struct FillRequest {
    /// The photograph.
    pub photo: Photo,
    /// Its hole, of the photograph's size.
    pub mask: Mask,
    /// What a caller may choose, seed included.
    pub options: FillOptions,
}

/// A filled photograph.
#[derive(Debug, Clone)]
pub struct Filled {
    /// The photograph in its own bit depth and colour type. Known pixels are as they were, bit
    /// for bit.
    pub photo: Photo,
    /// Share of pixels that were filled, 0 to 1.
    pub hole_fraction: f64,
    /// Regions that the networks filled one after the other; 0 where there was no hole, or only
    /// specks, which need no network.
    pub regions: usize,
    /// Network evaluations that the photograph took part in, all regions together. In a batch it
    /// sits through rounds of resampling that only others need.
    pub evaluations: Evaluations,
    /// The detail that was found, one layer for each region that had some; none with
    /// [`Detail::Off`].
    pub layers: Vec<Layer>,
}
