//! Experiments: the paper's claims under one budget, and what quality costs.
//!
//! - [`measure`]: a model and a sampler on a set of pictures with known truth.
//! - [`claims`]: the arms of the paper's comparison, how each is trained and sampled.
//! - [`discrepancy`]: the gap between known region and hole along the way.
//! - [`cost`]: quality against network evaluations, for every sampler.
//! - [`resampling`]: what the discriminator is worth to a model that is there.
//! - [`plot`]: curves as SVG.

pub mod claims;
pub mod cost;
pub mod discrepancy;
pub mod measure;
pub mod plot;
pub mod resampling;
