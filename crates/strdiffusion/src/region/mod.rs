//! Large photographs: where the model looks, and how its fills come back.
//!
//! A model works at its own resolution. Instead of shrinking a whole photograph, [`plan`] finds
//! the holes, gathers near ones, and lays a square crop with context around each group. Small
//! holes are filled at the photograph's own resolution; a crop around a hole larger than the model
//! sees is scaled down, and its fill scaled up again. Fills are set in without a seam
//! ([`crate::blend`]), and known pixels stay bit for bit.

mod fill;
mod holes;
mod plan;
mod specks;

pub use fill::{FillError, fill_regions};
pub(crate) use holes::{Bounds, mask_of};
pub use holes::{Hole, Run, find_holes};
pub use plan::{Crop, InvalidOptions, RegionOptions, Regions, Scale, at_own_scale, plan};
pub use specks::split_specks;
