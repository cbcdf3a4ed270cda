//! The inner loops, written once over [`crate::simd::Simd`].
//!
//! Everything here is `inline(always)` and takes raw pointers: a kernel becomes code only inside
//! the functions of [`crate::isa`] that enable an instruction set. The drivers one level up work
//! out the geometry, own the buffers, and are the only callers.

pub(crate) mod gather;
pub(crate) mod gemm;
pub(crate) mod norm;
pub(crate) mod optimizer;
pub(crate) mod patch;
pub(crate) mod pointwise;
pub(crate) mod rows;
pub(crate) mod softmax;
pub(crate) mod winograd;
