//! Newton-Schulz iterations on tiles: a matrix to a nearly orthogonal one.
//!
//! A step is X ← aX + (bG + cG²)X with G = XXᵀ. X stays f32 between steps and is rounded for each product; 32
//! rows of it, a band, are an item of work.

use std::ops::Range;

use super::amx::Tiles;
use super::matrix::{Matrix, Panels, Room, multiply};
use crate::pool::parallel_for;
use crate::raw::Shared;
use crate::workspace::{self, Slot};

/// a, b and c, as published (Jordan et al., "Muon", 2024).
const COEFFICIENTS: [f32; 3] = [3.4445, -4.7750, 2.0315];
const STEPS: usize = 5;
/// What a matrix is divided by at least, before the first step; else by its norm.
const EPSILON: f32 = 1e-7;
/// Rows of an item of work.
const BAND: usize = 32;

/// X with its short side as rows, up to multiples of 32, and what a step makes of it.
struct Iteration {
    x: Matrix,
    /// X as a left side, as a right side, and its transpose as a right side.
    left: Panels,
    right: Panels,
    turned: Panels,
    /// G, which is its own transpose, as either side.
    gram: Matrix,
    gram_left: Panels,
    gram_right: Panels,
    /// bG + cG².
    factor: Matrix,
    factor_left: Panels,
}

// SAFETY: each item of a sweep writes its own band of what no other item of that sweep reads.
unsafe impl Sync for Iteration {}

impl Iteration {
    fn floats(rows: usize, columns: usize) -> usize {
        rows * columns * 5 / 2 + rows * rows * 7 / 2
    }

    fn new(room: &mut Room, rows: usize, columns: usize) -> Self {
        Self {
            x: room.matrix(rows, columns),
            left: room.panels(rows, columns),
            right: room.panels(columns, rows),
            turned: room.panels(rows, columns),
            gram: room.matrix(rows, rows),
            gram_left: room.panels(rows, rows),
            gram_right: room.panels(rows, rows),
            factor: room.matrix(rows, rows),
            factor_left: room.panels(rows, rows),
        }
    }

    fn each_band(&self, f: impl Fn(usize) + Sync) {
        parallel_for(self.x.rows / BAND, f);
    }

    /// # Safety
    /// X is filled; the CPU has tiles.
    unsafe fn step(&self) {
        let [a, b, c] = COEFFICIENTS;
        // SAFETY: bands lie within the matrices, and panels are as planned.
        self.each_band(|band| unsafe {
            let x = self.x.part(band * BAND, BAND);
            x.to_rows(rows_of(self.left, band));
            x.to_turned(rows_of(self.turned, band));
            x.to_pairs(terms_of(self.right, band));
        });
        // SAFETY: as above.
        self.each_band(|band| unsafe {
            let (tiles, gram) = (Tiles::new(), self.gram.part(band * BAND, BAND));
            let (left, right) = (rows_of(self.left, band), self.turned);
            multiply(&tiles, left.into(), right.into(), left.steps, gram, false);
            gram.to_rows(rows_of(self.gram_left, band));
            gram.to_pairs(terms_of(self.gram_right, band));
        });
        // SAFETY: as above.
        self.each_band(|band| unsafe {
            let (tiles, factor) = (Tiles::new(), self.factor.part(band * BAND, BAND));
            let (left, right) = (rows_of(self.gram_left, band), self.gram_right);
            multiply(&tiles, left.into(), right.into(), left.steps, factor, false);
            let gram = self.gram.part(band * BAND, BAND).values();
            for (factor, gram) in factor.values_mut().iter_mut().zip(gram) {
                *factor = b * gram + c * *factor;
            }
            let left = rows_of(self.factor_left, band);
            factor.to_rows(left);
            let x = self.x.part(band * BAND, BAND);
            x.values_mut().iter_mut().for_each(|x| *x *= a);
            multiply(&tiles, left.into(), self.right.into(), left.steps, x, true);
        });
    }
}

/// The panels of a band's rows, of a left side or of a transpose as a right side.
fn rows_of(panels: Panels, band: usize) -> Panels {
    // SAFETY: the band lies within the matrix.
    let at = unsafe { panels.tile(band * BAND / 16, 0) };
    Panels { at, ..panels }
}

/// A right side from the step on whose terms are a band's rows.
fn terms_of(panels: Panels, band: usize) -> Panels {
    // SAFETY: as in `rows_of`.
    let at = unsafe { panels.tile(0, band) };
    Panels { at, ..panels }
}

/// A matrix `[rows, columns]` as X sees it, its short side as rows.
struct Places {
    short: usize,
    long: usize,
    /// From one row of X to the next, and from one column.
    down: usize,
    along: usize,
}

impl Places {
    fn new([rows, columns]: [usize; 2]) -> Self {
        let [down, along] = if rows > columns {
            [1, columns]
        } else {
            [columns, 1]
        };
        Self {
            short: rows.min(columns),
            long: rows.max(columns),
            down,
            along,
        }
    }

    /// The rows of X in a band that the matrix has.
    fn rows(&self, band: usize) -> Range<usize> {
        band * BAND..self.short.min((band + 1) * BAND)
    }

    /// Where a row of X lies in the matrix.
    fn row(&self, row: usize) -> impl Iterator<Item = usize> {
        (0..self.long).map(move |c| row * self.down + c * self.along)
    }
}

impl Iteration {
    /// X = values / norm, zeros around them.
    ///
    /// # Safety
    /// X is as large as the places up to multiples of 32.
    unsafe fn take(&self, places: &Places, values: &[f32]) {
        // Summed band by band, so that the sum does not depend on the threads.
        let mut squares = vec![0.0f64; self.x.rows / BAND];
        let sums = Shared::of_mut(&mut squares);
        // SAFETY: each item has its own band and its own sum.
        self.each_band(|band| unsafe {
            self.x.part(band * BAND, BAND).clear();
            for r in places.rows(band) {
                for (c, at) in places.row(r).enumerate() {
                    *self.x.row(r).add(c) = values[at];
                    *sums.get().add(band) += f64::from(values[at]) * f64::from(values[at]);
                }
            }
        });
        let norm = (squares.iter().sum::<f64>().sqrt() as f32).max(EPSILON);
        // SAFETY: as above.
        self.each_band(|band| unsafe {
            let band = self.x.part(band * BAND, BAND).values_mut();
            band.iter_mut().for_each(|v| *v /= norm);
        });
    }

    /// # Safety
    /// As [`take`](Self::take).
    unsafe fn give(&self, places: &Places, out: &mut [f32]) {
        let out = Shared::of_mut(out);
        self.each_band(|band| {
            for r in places.rows(band) {
                for (c, at) in places.row(r).enumerate() {
                    // SAFETY: each row of X has its own places in `out`.
                    unsafe { *out.get().add(at) = *self.x.row(r).add(c) };
                }
            }
        });
    }
}

/// See [`orthogonal`](crate::orthogonal()); `values` and `out` have the shape's length, and the CPU has
/// tiles.
pub(crate) fn orthogonal(shape: [usize; 2], values: &[f32], out: &mut [f32]) {
    let places = Places::new(shape);
    let [rows, columns] = [places.short, places.long].map(|side| side.next_multiple_of(32));
    let floats = Iteration::floats(rows, columns);
    workspace::with(Slot::Shared, floats, |memory| {
        let iteration = Iteration::new(&mut Room::new(memory), rows, columns);
        // SAFETY: sizes as planned; whoever comes here has checked the CPU.
        unsafe {
            iteration.take(&places, values);
            for _ in 0..STEPS {
                iteration.step();
            }
            iteration.give(&places, out);
        }
    });
}
