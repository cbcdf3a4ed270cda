//! The offsets at which a photograph repeats itself: rows of windows, courses of brick, waves
//! (He and Sun, "Statistics of patch offsets for image completion", ECCV 2012).
//!
//! For every known patch the most similar one at least τ away is looked for. Of the offsets
//! between the two some occur far more often than others; these tell where the hole's content is
//! likely to be found.

use super::energy::Weights;
use super::field::{Effort, Field, Offset};
use super::pyramid::Level;

/// τ, as a share of the longer side.
const APART: f32 = 1.0 / 15.0;
/// Peaks of the histogram are the largest number within so many places.
const PEAK: usize = 4;
/// Rounds of the search.
const ROUNDS: usize = 4;

/// The most frequent offsets between like patches of the level, at most `count`, the most frequent
/// first. With each offset its opposite is as frequent.
pub(super) fn dominant(level: &Level, count: usize, seed: u64) -> Vec<Offset> {
    let known = level.of_sources();
    let longer = level.width.max(level.height) as f32;
    let weights = Weights::alone(APART * longer);
    let mut field = Field::random(&known, seed);
    field.measure(&known, weights);
    let effort = Effort {
        rounds: ROUNDS,
        reach: longer,
        anywhere: 0,
    };
    field.search(&known, weights, effort, seed);
    let mut histogram = Histogram::new([level.width, level.height]);
    for (i, &source) in field.source.iter().enumerate() {
        if known.is_target[i] && field.distance[i].is_finite() {
            let at = |i: usize| [(i % level.width) as i32, (i / level.width) as i32];
            let ([x, y], [sx, sy]) = (at(i), at(source as usize));
            histogram.add([sx - x, sy - y]);
            histogram.add([x - sx, y - sy]);
        }
    }
    histogram.smooth();
    histogram.peaks(count)
}

/// How often each offset occurs.
struct Histogram {
    /// Of the level, in pixels: the largest offsets.
    size: [usize; 2],
    columns: usize,
    rows: usize,
    counts: Vec<f32>,
}

impl Histogram {
    fn new([width, height]: [usize; 2]) -> Self {
        let (columns, rows) = (2 * width + 1, 2 * height + 1);
        Self {
            size: [width, height],
            columns,
            rows,
            counts: vec![0.0; columns * rows],
        }
    }

    fn add(&mut self, [dx, dy]: Offset) {
        let column = self.size[0].wrapping_add_signed(dx as isize);
        let row = self.size[1].wrapping_add_signed(dy as isize);
        self.counts[row * self.columns + column] += 1.0;
    }

    /// A Gaussian of variance 2, as the paper's: twice a binomial of variance 1.
    fn smooth(&mut self) {
        const BINOMIAL: [f32; 5] = [1.0 / 16.0, 0.25, 0.375, 0.25, 1.0 / 16.0];
        for step in [1, self.columns, 1, self.columns] {
            let reach = 2 * step;
            let before = std::mem::take(&mut self.counts);
            self.counts = (0..before.len())
                .map(|i| {
                    let at = |k: usize| before.get((i + k * step).wrapping_sub(reach));
                    let share = |(k, weight): (usize, &f32)| at(k).map_or(0.0, |n| weight * n);
                    BINOMIAL.iter().enumerate().map(share).sum()
                })
                .collect();
        }
    }

    fn peaks(&self, count: usize) -> Vec<Offset> {
        let mut peaks = vec![];
        for row in PEAK..self.rows - PEAK {
            for column in PEAK..self.columns - PEAK {
                let i = row * self.columns + column;
                if self.counts[i] > 0.0 && self.is_peak(row, column) {
                    peaks.push(i);
                }
            }
        }
        // A stable sort: the same order everywhere.
        peaks.sort_by(|&a, &b| self.counts[b].total_cmp(&self.counts[a]));
        peaks.truncate(count);
        let offset = |i: usize| {
            let column = (i % self.columns) as i32 - self.size[0] as i32;
            [column, (i / self.columns) as i32 - self.size[1] as i32]
        };
        peaks.into_iter().map(offset).collect()
    }

    fn is_peak(&self, row: usize, column: usize) -> bool {
        let middle = row * self.columns + column;
        (row - PEAK..=row + PEAK).all(|row| {
            let first = row * self.columns + column - PEAK;
            (first..=first + 2 * PEAK).all(|i| {
                // Of equal ones, the first.
                self.counts[i] < self.counts[middle]
                    || i >= middle && self.counts[i] == self.counts[middle]
            })
        })
    }
}
