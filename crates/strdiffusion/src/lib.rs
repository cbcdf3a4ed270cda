//! StrDiffusion: structure-guided diffusion for image inpainting.
//!
//! Implements Liu, Wang, Qian, Wang, Rui, "Structure Matters: Tackling the Semantic Discrepancy in
//! Diffusion Models for Image Inpainting", CVPR 2024. While a hole is denoised, a sparser
//! *structure* process (grayscale that decays to edges) is denoised beside the *texture* process
//! and guides it at every step; a discriminator decides when the structure must be resampled.
//!
//! Images are f32 in [0, 1], RGB, NCHW. **Masks: 1 = known, 0 = hole.**
//!
//! | to … | look at |
//! | --- | --- |
//! | fill holes | [`Inpainter`]; [`inpaint`] has an example |
//! | read and write photographs and masks | [`picture`], [`masks`] |
//! | load, save, import a model; choose a device | [`model`], [`import`], [`device`] |
//! | train | `training` (feature `train`) |
//! | score fills, or repeat the method's experiments | [`metrics`]; `evaluation`, `experiment` (feature `eval`) |
//! | follow the method | [`sde`], [`networks`], [`objectives`], [`conditions`], [`sampling`], [`structure`] |
//! | follow a fill into a large photograph | [`region`], [`blend`], [`detail`] |
//!
//! `ARCHITECTURE.md` in the repository says where each formula of the paper is.

#![forbid(unsafe_code)]

// Filling.
pub mod blend;
pub mod detail;
pub mod inpaint;
pub mod region;

// Pictures and files.
pub mod files;
pub mod masks;
pub mod picture;
pub mod text;

// The method.
pub mod conditioning;
pub mod conditions;
pub mod networks;
pub mod objectives;
mod pytorch_math;
pub mod sampling;
pub mod sde;
pub mod structure;

// Models, and what they compute on.
pub mod device;
pub mod error;
pub mod import;
pub mod model;
pub mod ops;
mod threads;
pub mod weights;

// Making and measuring them.
#[cfg(feature = "eval")]
pub mod evaluation;
#[cfg(all(feature = "eval", feature = "train"))]
pub mod experiment;
pub mod metrics;
#[cfg(feature = "train")]
pub mod training;

pub use burn;
pub use burn::tensor::Device;
pub use detail::Detail;
pub use error::{Error, Result};
pub use inpaint::{FillOptions, FillRequest, Filled, HoleDetail, Inpainter, Progress, Scale};
pub use strdiffusion_kernels::{Recycler, when_exhausted};
pub use threads::limit_threads;
