//! How close a filled picture is to the truth, and how much like it.
//!
//! All functions take planar pictures (CHW, values in 0..=1) and compute in `f64`, so that the
//! numbers agree with the tools that papers report:
//!
//! - [`psnr`] and [`ssim`] agree with scikit-image's `peak_signal_noise_ratio(data_range=1)` and
//!   `structural_similarity(data_range=1, channel_axis=…, gaussian_weights=True)`;
//! - [`ms_ssim`] follows Wang, Simoncelli and Bovik (2003) with the five usual scales.
//!
//! PSNR and SSIM ask for the truth's own pixels, so they favour the safe mean of all that might be
//! there: a soft fill. Two measures ask for its looks, in the hole, and need no weights:
//! `sliced_wasserstein` compares the patches as sets, scale by scale, and [`gradient_ratios`] the
//! amount of variation. A sharper fill can cost PSNR.
//!
//! `frechet_distance` compares two sets of network features, which is FID. These two come with the
//! feature `eval`.
//!
//! The versions that end in `_hole` look at the hole alone, where a method has done its work.

#[cfg(feature = "eval")]
mod frechet;
mod gradient;
mod ms_ssim;
#[cfg(any(feature = "eval", feature = "train"))]
pub(crate) mod patch_scales;
mod planes;
mod psnr;
#[cfg(feature = "eval")]
mod pyramid;
#[cfg(feature = "eval")]
mod sliced_wasserstein;
mod ssim;

#[cfg(all(test, feature = "eval"))]
pub(crate) use frechet::tests::along_axes;
#[cfg(feature = "eval")]
pub use frechet::{FrechetError, frechet_distance};
pub use gradient::{GradientRatios, gradient_ratios};
pub use ms_ssim::{MS_SSIM_SMALLEST_SIDE, ms_ssim};
pub use planes::{MetricError, Planes};
pub use psnr::{finite as finite_psnr, psnr, psnr_hole};
#[cfg(feature = "eval")]
pub use sliced_wasserstein::{SWD_BANDS, SWD_SMALLEST_SIDE, SlicedWasserstein, sliced_wasserstein};
pub use ssim::{SSIM_SMALLEST_SIDE, Ssim, ssim};
