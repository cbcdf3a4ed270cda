//! The nearest orthogonal matrix, roughly: what Muon makes of a gradient.

use crate::isa::Isa;
use crate::tiles::orthogonal as tiles;

/// a, b and c of a step, X ← aX + (bG + cG²)X with G = XXᵀ (Jordan et al., "Muon", 2024).
pub(crate) const COEFFICIENTS: [f32; 3] = [3.4445, -4.7750, 2.0315];
/// Steps.
pub(crate) const STEPS: usize = 5;
/// The least that a matrix is divided by before the first step: its norm, if that is larger.
pub(crate) const EPSILON: f32 = 1e-7;

/// Whether [`orthogonal`] can be used: this CPU has tiles.
pub fn has_orthogonal() -> bool {
    Isa::current() == Isa::Amx
}

/// Writes U Vᵀ, roughly, where U S Vᵀ is a matrix `[rows, columns]`: five Newton-Schulz steps, in
/// bf16 as published, bring all but its smallest singular values to between 0.68 and 1.14.
///
/// # Panics
/// If a slice's length does not fit, or [`has_orthogonal`] says no.
pub fn orthogonal([rows, columns]: [usize; 2], values: &[f32], out: &mut [f32]) {
    assert!(has_orthogonal(), "orthogonal matrices need tiles");
    assert_eq!(values.len(), rows * columns, "the matrix's length");
    assert_eq!(out.len(), values.len(), "the result's length");
    if !values.is_empty() {
        tiles::orthogonal([rows, columns], values, out);
    }
}
