//! The nearest orthogonal matrix, roughly: what Muon makes of a gradient.

use crate::isa::Isa;
use crate::tiles::orthogonal as tiles;

/// Writes U Vᵀ, roughly, where U S Vᵀ is a matrix `[rows, columns]`: five Newton-Schulz steps, in
/// bf16 as published (Jordan et al., "Muon", 2024), bring all but its smallest singular values to
/// between 0.68 and 1.14.
///
/// # Panics
/// If a slice's length does not fit, or this CPU has [no tiles](Isa::has_tiles).
pub fn orthogonal([rows, columns]: [usize; 2], values: &[f32], out: &mut [f32]) {
    assert!(Isa::has_tiles(), "orthogonal matrices need tiles");
    assert_eq!(values.len(), rows * columns, "the matrix's length");
    assert_eq!(out.len(), values.len(), "the result's length");
    if !values.is_empty() {
        tiles::orthogonal([rows, columns], values, out);
    }
}
