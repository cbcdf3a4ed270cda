//! bf16 convolutions on AMX tiles: [`Precision::Bf16`](crate::Precision::Bf16) on CPUs that have
//! them.
//!
//! A tile is 16 rows of 64 bytes. One instruction multiplies a tile of 16 × 32 bf16 numbers with
//! one of 32 × 16 and adds the products, in f32, to a tile of 16 × 16. Pictures stay f32 NCHW:
//! values are rounded to bf16 on their way into a tile, sums leave as f32.
//!
//! - `amx`: whether there are tiles, and the products of panels of tiles;
//! - `lanes`: rounding, pairing and transposing with AVX-512;
//! - `conv`: convolutions and input gradients, any kernel, stride 1 or 2;
//! - `weight_grad`: gradients of their weights;
//! - `residual`: a residual block in one piece, for training;
//! - `matrix`, `attention`: products of small matrices, and the attention block made of them.

mod amx;
pub(crate) mod attention;
mod conv;
mod lanes;
mod matrix;
pub(crate) mod residual;
mod weight_grad;

pub(crate) use amx::available;
pub(crate) use conv::{conv, pack, packed_len, supports};
pub(crate) use weight_grad::weight_grad;

/// Bytes of a tile.
const TILE: usize = 1024;
/// Floats that take the room of a tile: also the numbers in a tile of sums.
const TILE_FLOATS: usize = TILE / 4;
/// What a block of rounded values may take: it should stay in a core's second-level cache.
const BLOCK_BYTES: usize = 1500 << 10;
