//! CPU kernels for convolutional networks: f32, NCHW, forward and backward.
//!
//! - [`conv2d`], [`PackedConv`]: 2-D convolution. 3×3 with stride 1 goes through Winograd's minimal
//!   filtering, everything else through an implicit matrix product; an [`Epilogue`] (bias, scale
//!   and shift, SiLU, residual) costs no extra pass.
//! - [`conv2d_input_grad`], [`conv2d_weight_grad`], [`conv2d_bias_grad`]: its gradients.
//!
//! Each kernel is written once over a small vector abstraction and built for AVX-512, AVX2 with
//! FMA, NEON and ordinary code; the CPU decides at run time ([`Isa`]). Threads come from a pool of
//! this crate ([`set_num_threads`]). Results do not depend on the number of threads. Scratch
//! memory is kept from call to call ([`release_workspace`]).

#![warn(missing_docs)]
// Loops over lanes, points and register tiles read best with their indices.
#![allow(clippy::needless_range_loop)]

mod conv;
mod grad;
mod isa;
mod kernels;
mod pool;
mod raw;
mod shape;
mod simd;
mod taps;
mod winograd;
mod workspace;

pub use conv::{PackedConv, conv2d};
pub use grad::{conv2d_bias_grad, conv2d_input_grad, conv2d_weight_grad};
pub use isa::{Isa, force_isa};
pub use pool::{num_threads, set_num_threads};
pub use shape::{Conv2dShape, Epilogue, Precision};
pub use workspace::release_workspace;
