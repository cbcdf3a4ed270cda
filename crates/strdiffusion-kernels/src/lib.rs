//! CPU kernels for convolutional networks: f32, NCHW, forward and backward; convolutions also in
//! bf16, where the CPU has AMX tiles ([`Precision::Bf16`]).
//!
//! - [`conv2d`], [`PackedConv`]: 2-D convolution. 3×3 with stride 1 goes through Winograd's minimal
//!   filtering, everything else through an implicit matrix product; an [`Epilogue`] (bias, scale
//!   and shift, SiLU, residual) costs no extra pass.
//! - [`conv2d_input_grad`], [`conv2d_weight_grad`], [`conv2d_bias_grad`]: its gradients.
//! - [`DoubledConv`]: a 3×3 convolution of a doubled map, with its gradients.
//! - [`linear_attention`], [`layer_norm`], [`spade`], [`modulate_silu`], [`gelu`],
//!   [`upsample_nearest2`]: each with its `_backward`.
//! - [`adam_step`], [`blend`]: an optimizer's step, a moving average's; [`orthogonal`]: what Muon
//!   makes of a gradient, where the CPU has tiles.
//! - [`ResidualBlock`], [`GuideBlock`]: in training, where the CPU has tiles, a block in one piece.
//! - [`attention_block`]: norm, linear attention, norm and residual in two sweeps, for inference.
//! - [`channels_last`]: all that a network needs for inference in bf16, where the CPU has tiles.
//!
//! Each kernel is written once over a small vector abstraction and built for AVX-512, AVX2 with
//! FMA, NEON and ordinary code; the CPU decides at run time ([`Isa`]). Threads come from a pool of
//! this crate ([`set_num_threads`]). Results do not depend on the number of threads. Scratch
//! memory is kept from call to call ([`release_workspace`]); a program that also wants its tensors'
//! memory kept makes [`Recycler`] its global allocator.

#![warn(missing_docs, unreachable_pub)]
// Loops over lanes, points and register tiles read best with their indices.
#![allow(clippy::needless_range_loop)]

mod ahead;
mod attention;
mod attention_block;
pub mod channels_last;
mod conv;
mod doubled;
mod grad;
mod guide_block;
mod isa;
mod kernels;
mod norm;
mod optimizer;
mod orthogonal;
mod patch;
mod pointwise;
mod pool;
mod raw;
mod recycler;
mod residual_block;
mod shape;
mod simd;
mod taps;
#[cfg(target_arch = "x86_64")]
mod tiles;
#[cfg(not(target_arch = "x86_64"))]
#[path = "no_tiles.rs"]
mod tiles;
mod winograd;
mod workspace;

pub use attention::{AttentionShape, linear_attention, linear_attention_backward};
pub use attention_block::{AttentionGrads, AttentionKept, AttentionWeights, attention_block};
pub use conv::{PackedConv, conv2d, prefers_plain_weights};
pub use doubled::DoubledConv;
pub use grad::{conv2d_bias_grad, conv2d_input_grad, conv2d_weight_grad};
pub use guide_block::{GuideBlock, GuideGrads, GuideHalf, GuideKept};
pub use isa::{Isa, force_isa};
pub use norm::{MapShape, SpadeGrads, layer_norm, layer_norm_backward, spade, spade_backward};
pub use optimizer::{AdamStep, AdamTensors, adam_step, blend};
pub use orthogonal::orthogonal;
pub use patch::{LARGEST, PATCH_SIDE, PatchDistance, PatchRows, ROW};
pub use pointwise::{
    ModulateGrads, gelu, gelu_backward, join, join_backward, modulate_silu, modulate_silu_backward,
    upsample_nearest2, upsample_nearest2_backward,
};
pub use pool::{num_threads, set_num_threads};
pub use recycler::{Recycler, release_recycled, unfilled, when_exhausted};
pub use residual_block::{ResidualBlock, ResidualGrads, ResidualKept};
pub use shape::{Conv2dShape, Epilogue, Precision};
pub use workspace::release_workspace;
