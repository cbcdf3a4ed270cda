//! Small matrices in scratch memory: f32 where they are computed, panels of bf16 where they are
//! multiplied.
//!
//! A product of tiles takes its left side in *rows* (16 rows of 32 neighbouring values) and its
//! right side in *pairs* (16 pairs of rows that are summed over, 16 columns). The same f32 matrix
//! becomes either, or, *turned*, the pairs of its transpose.

use std::arch::x86_64::*;

use super::amx::{self, Tiles};
use super::lanes;
use super::{TILE, TILE_FLOATS};

/// A matrix of f32 in scratch memory, aligned to 64 bytes; its sides are multiples of 32.
#[derive(Clone, Copy)]
pub(super) struct Matrix {
    pub at: *mut f32,
    pub rows: usize,
    pub columns: usize,
}

/// Panels of bf16 tiles, each of `steps` tiles.
#[derive(Clone, Copy)]
pub(super) struct Panels {
    pub at: *mut f32,
    pub steps: usize,
}

/// Hands out parts of scratch memory.
pub(super) struct Room {
    at: *mut f32,
    left: usize,
}

impl Room {
    /// The memory must be aligned to 64 bytes, as scratch memory is.
    pub(super) fn new(memory: &mut [f32]) -> Self {
        Self {
            at: memory.as_mut_ptr(),
            left: memory.len(),
        }
    }

    /// As many floats, whatever they are.
    pub(super) fn floats(&mut self, len: usize) -> *mut f32 {
        let len = len.next_multiple_of(16);
        assert!(len <= self.left, "scratch memory was planned too small");
        let at = self.at;
        self.at = at.wrapping_add(len);
        self.left -= len;
        at
    }

    pub(super) fn matrix(&mut self, rows: usize, columns: usize) -> Matrix {
        assert!(rows.is_multiple_of(32) && columns.is_multiple_of(32));
        Matrix {
            at: self.floats(rows * columns),
            rows,
            columns,
        }
    }

    /// Panels for a left side of so many rows and terms, or a right side of so many columns and
    /// terms.
    pub(super) fn panels(&mut self, sides: usize, terms: usize) -> Panels {
        assert!(sides.is_multiple_of(32) && terms.is_multiple_of(32));
        Panels {
            at: self.floats(sides * terms / 2),
            steps: terms / 32,
        }
    }
}

impl Panels {
    /// The tile of a panel's step.
    ///
    /// # Safety
    /// There is such a tile.
    pub(super) unsafe fn tile(self, panel: usize, step: usize) -> *mut f32 {
        // SAFETY: the contract.
        unsafe { self.at.add((panel * self.steps + step) * TILE_FLOATS) }
    }
}

impl Matrix {
    /// The rows from `first` on.
    pub(super) fn part(self, first: usize, rows: usize) -> Matrix {
        assert!(first + rows <= self.rows);
        Matrix {
            at: self.at.wrapping_add(first * self.columns),
            rows,
            ..self
        }
    }

    /// Where a row starts.
    pub(super) fn row(self, row: usize) -> *mut f32 {
        debug_assert!(row < self.rows);
        self.at.wrapping_add(row * self.columns)
    }

    /// All its values.
    ///
    /// # Safety
    /// The matrix is filled, and nothing writes it meanwhile.
    pub(super) unsafe fn values<'a>(self) -> &'a [f32] {
        // SAFETY: the contract.
        unsafe { std::slice::from_raw_parts(self.at, self.rows * self.columns) }
    }

    /// All its values, to change.
    ///
    /// # Safety
    /// The matrix is filled, and nothing else reads or writes it meanwhile.
    pub(super) unsafe fn values_mut<'a>(self) -> &'a mut [f32] {
        // SAFETY: the contract.
        unsafe { std::slice::from_raw_parts_mut(self.at, self.rows * self.columns) }
    }

    /// Sets everything to zero.
    ///
    /// # Safety
    /// The matrix is writable.
    pub(super) unsafe fn clear(self) {
        // SAFETY: the contract.
        unsafe { self.at.write_bytes(0, self.rows * self.columns) };
    }

    /// Takes the values of a matrix `[rows, columns]` somewhere else, zeros around them;
    /// `transposed`: of one `[columns, rows]`.
    ///
    /// # Safety
    /// The matrix is writable.
    pub(super) unsafe fn take(self, values: &[f32], [rows, columns]: [usize; 2], transposed: bool) {
        assert!(rows <= self.rows && columns <= self.columns);
        assert_eq!(values.len(), rows * columns);
        // SAFETY: within both.
        unsafe {
            self.clear();
            for r in 0..rows {
                for c in 0..columns {
                    let from = if transposed {
                        c * rows + r
                    } else {
                        r * columns + c
                    };
                    *self.row(r).add(c) = values[from];
                }
            }
        }
    }

    /// This matrix as a left side: `[16 rows][32 columns]`.
    ///
    /// # Safety
    /// The panels have room; the CPU has tiles.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    pub(super) unsafe fn to_rows(self, to: Panels) {
        // SAFETY: the contract.
        unsafe {
            for r in 0..self.rows {
                for step in 0..self.columns / 32 {
                    let from = self.row(r).add(step * 32);
                    let v = lanes::round(_mm512_load_ps(from), _mm512_load_ps(from.add(16)));
                    _mm512_store_si512(to.tile(r / 16, step).add(r % 16 * 16).cast(), v);
                }
            }
        }
    }

    /// This matrix as a right side whose terms are its rows: `[16 columns][32 rows]`.
    ///
    /// # Safety
    /// As [`to_rows`](Self::to_rows).
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    pub(super) unsafe fn to_pairs(self, to: Panels) {
        // SAFETY: the contract.
        unsafe {
            for r in (0..self.rows).step_by(2) {
                for panel in 0..self.columns / 16 {
                    let low = _mm512_load_ps(self.row(r).add(panel * 16));
                    let high = _mm512_load_ps(self.row(r + 1).add(panel * 16));
                    let at = to.tile(panel, r / 32).add(r % 32 / 2 * 16);
                    _mm512_store_si512(at.cast(), lanes::pairs(low, high));
                }
            }
        }
    }

    /// The transpose as a left side, whose terms are the rows here: `[16 columns][32 rows]`.
    ///
    /// # Safety
    /// As [`to_rows`](Self::to_rows).
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    pub(super) unsafe fn to_rows_of_transpose(self, to: Panels) {
        // SAFETY: the contract.
        unsafe {
            for panel in 0..self.columns / 16 {
                for step in 0..self.rows / 32 {
                    let mut tile: [__m512i; 16] = std::array::from_fn(|i| {
                        let row = |j: usize| self.row(step * 32 + 2 * i + j).add(panel * 16);
                        lanes::pairs(_mm512_load_ps(row(0)), _mm512_load_ps(row(1)))
                    });
                    lanes::transpose(&mut tile);
                    for (i, row) in tile.iter().enumerate() {
                        _mm512_store_si512(to.tile(panel, step).add(i * 16).cast(), *row);
                    }
                }
            }
        }
    }

    /// The transpose as a right side, whose terms are the columns here: `[16 rows][32 columns]`.
    ///
    /// # Safety
    /// As [`to_rows`](Self::to_rows).
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    pub(super) unsafe fn to_turned(self, to: Panels) {
        // SAFETY: the contract.
        unsafe {
            for panel in 0..self.rows / 16 {
                for step in 0..self.columns / 32 {
                    let mut tile: [__m512i; 16] = std::array::from_fn(|i| {
                        let from = self.row(panel * 16 + i).add(step * 32);
                        lanes::round(_mm512_load_ps(from), _mm512_load_ps(from.add(16)))
                    });
                    lanes::transpose(&mut tile);
                    for (i, row) in tile.iter().enumerate() {
                        _mm512_store_si512(to.tile(panel, step).add(i * 16).cast(), *row);
                    }
                }
            }
        }
    }
}

/// Which steps of which panels: of a left or a right side.
#[derive(Clone, Copy)]
pub(super) struct Side {
    pub panels: Panels,
    /// The first panel and step.
    pub panel: usize,
    pub step: usize,
}

impl From<Panels> for Side {
    fn from(panels: Panels) -> Self {
        Self {
            panels,
            panel: 0,
            step: 0,
        }
    }
}

/// to (+)= left · right, summed over so many steps of both.
///
/// # Safety
/// Both sides have such steps, and panels for the rows and columns of `to`.
pub(super) unsafe fn multiply(
    tiles: &Tiles,
    left: Side,
    right: Side,
    steps: usize,
    to: Matrix,
    add: bool,
) {
    const { assert!(TILE == 4 * TILE_FLOATS) };
    // SAFETY: the contract.
    unsafe {
        for r in (0..to.rows / 16).step_by(2) {
            let a = [0, 1].map(|i| left.panels.tile(left.panel + r + i, left.step));
            for c in (0..to.columns / 16).step_by(2) {
                let b = [0, 1].map(|i| right.panels.tile(right.panel + c + i, right.step));
                let at = to.row(r * 16).add(c * 16);
                let (a, b) = (
                    a.map(|p| p.cast_const().cast()),
                    b.map(|p| p.cast_const().cast()),
                );
                amx::two_by_two_into(tiles, a, b, steps, at, to.columns, add);
            }
        }
    }
}
