//! bf16 convolutions on AMX tiles: [`Precision::Bf16`](crate::Precision::Bf16) on CPUs that have
//! them.
//!
//! A tile is 16 rows of 64 bytes. One instruction multiplies a tile of 16 × 32 bf16 numbers with
//! one of 32 × 16 and adds the products, in f32, to a tile of 16 × 16. In training pictures stay
//! f32 NCHW between operations: values are rounded to bf16 on their way into a tile, sums leave as
//! f32. In inference, and within a block, maps are bf16 with the channels of a place
//! together.
//!
//! - `amx`: whether there are tiles, and the products of panels of tiles;
//! - `lanes`: rounding, pairing and transposing with AVX-512;
//! - `conv`: convolutions and input gradients, any kernel, stride 1 or 2;
//! - `weight_grad`: gradients of their weights;
//! - `residual`, `guide`, `doubled`: a residual block, a guide block and a convolution of a doubled map,
//!   each in one piece, for training; `guide_norm`: the guide's norm there; `planes`: how their results
//!   leave as f32;
//! - `matrix`, `attention`, `orthogonal`: products of small matrices; the attention block and
//!   Newton-Schulz steps made of them;
//! - `channels_last`, `channels_last_grad`, `attention_maps`, `maps`: convolutions, gradients of their
//!   weights, the attention block and all else of maps in bf16 whose channels lie together.

mod amx;
pub(crate) mod attention;
pub(crate) mod attention_maps;
pub(crate) mod channels_last;
mod channels_last_grad;
mod conv;
pub(crate) mod doubled;
pub(crate) mod guide;
mod guide_norm;
mod lanes;
pub(crate) mod maps;
mod matrix;
pub(crate) mod orthogonal;
mod planes;
pub(crate) mod residual;
mod weight_grad;

pub(crate) use amx::available;
pub(crate) use conv::{conv, pack, packed_len, supports};
pub(crate) use lanes::Bf16;
pub(crate) use weight_grad::weight_grad;

/// Bytes of a tile.
const TILE: usize = 1024;
/// Floats that take the room of a tile: also the numbers in a tile of sums.
const TILE_FLOATS: usize = TILE / 4;
/// What a block of rounded values may take: it should stay in a core's second-level cache.
const BLOCK_BYTES: usize = 1500 << 10;
