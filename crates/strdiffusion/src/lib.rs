//! StrDiffusion: structure-guided diffusion for image inpainting.
//!
//! Implements Liu, Wang, Qian, Wang, Rui, "Structure Matters: Tackling the Semantic Discrepancy in
//! Diffusion Models for Image Inpainting", CVPR 2024. While a hole is denoised, a sparser
//! *structure* process (grayscale that decays to edges) is denoised beside the *texture* process
//! and guides it at every step; a discriminator decides when the structure must be resampled.
//!
//! Images are f32 in [0, 1], RGB, NCHW. **Masks: 1 = known, 0 = hole.**

pub mod blend;
pub mod conditioning;
pub mod conditions;
pub mod detail;
pub mod device;
pub mod error;
pub mod evaluation;
pub mod experiment;
pub mod files;
pub mod import;
pub mod inpaint;
pub mod masks;
pub mod metrics;
pub mod model;
pub mod networks;
pub mod objectives;
pub mod ops;
pub mod picture;
mod pytorch_math;
pub mod region;
pub mod sampling;
pub mod sde;
pub mod structure;
pub mod text;
pub mod training;
pub mod weights;

pub use burn::tensor::Device;
pub use detail::Detail;
pub use error::{Error, Result};
pub use inpaint::{FillOptions, FillRequest, Filled, HoleDetail, Inpainter, Progress, Scale};
pub use strdiffusion_kernels::{Recycler, when_exhausted};
