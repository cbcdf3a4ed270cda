//! Local contrast: measured where pixels are known, expected in the hole, and given back to votes
//! that have lost it.
//!
//! A mean of many patches is softer than each of them. Search and vote in turns would end on soft
//! patches, for those resemble a soft estimate best. So sources are held to the expected contrast
//! ([`super::energy`]), and every mean is brought to it.

use rayon::prelude::*;

use strdiffusion_kernels::LARGEST;

use super::pyramid::{Area, Cell, Level, Pixel, STEPS, low_pass};
use super::vote::Votes;

/// Contrast is what differs from a low-pass of the first σ, averaged over the second; in pixels.
const DETAIL: f32 = 1.5;
const NEIGHBOURHOOD: f32 = 3.0;
/// Known pixels vote on the contrast of a place in the hole by their colour's distance from the
/// fill's, in steps of 1/255, and by their distance.
const LIKENESS: f32 = 10.0;
/// So much more than expected is asked for. It makes up for what the vote and the membrane that
/// joins a fill to its border still take away.
const MORE: f32 = 1.07;
/// The most by which a vote's contrast is raised.
const MOST_GAIN: f32 = 2.0;

/// The contrast of a fill.
pub(super) struct Sharpness {
    /// Its own, as a share of the expected; of the whole fill.
    pub share: f32,
    /// Expected, on the mean; in steps of 1/255, over three channels twice.
    pub expected: f32,
    /// Both around each pixel of the level.
    pub around: Vec<[f32; 2]>,
}

/// The fill's finest contrast beside that of known pixels of its colour. What lies deep in the hole
/// counts for more in the whole: near the border, known pixels lend it theirs.
pub(super) fn sharpness(level: &Level) -> Sharpness {
    const FINEST: f32 = 0.7;
    const AROUND: f32 = 4.0;
    // As deep as known pixels lend their contrast.
    const LENT: f32 = 2.0;
    // A pixel's share in the mean around it.
    const WHOLE: i16 = 4096;
    let size = [level.width, level.height];
    let detail = measure(&level.pixels, size, FINEST);
    let samples = Samples::around(level, &low_pass(&detail, size, NEIGHBOURHOOD));
    let expected = Expected::of(level, &samples);
    let (mut own, mut wanted, mut weights) = (0.0, 0.0, 0.0);
    let mut both = vec![[0; 3]; level.width * level.height];
    for (i, &depth) in level.depth.iter().enumerate() {
        let place = level.area.outer(i, level.width);
        if level.cells[place] != Cell::Hole || !depth.is_finite() {
            continue;
        }
        // The pixel's own: known neighbours say nothing of the fill.
        let (found, sought) = (detail[place][0], expected.at(i));
        if depth >= LENT {
            both[place] = [found, sought.round() as i16, WHOLE];
        }
        own += f64::from(depth) * f64::from(found);
        wanted += f64::from(depth) * f64::from(sought);
        weights += f64::from(depth);
    }
    let around = |[own, wanted, count]: [i16; 3]| {
        let (wanted, count) = (f32::from(wanted.max(1)), f32::from(count.max(1)));
        let expected = wanted * f32::from(WHOLE) / count / STEPS;
        [f32::from(own) / wanted, expected]
    };
    Sharpness {
        share: (own / wanted.max(1e-3)) as f32,
        expected: (wanted / weights.max(1.0)) as f32 / STEPS,
        around: (low_pass(&both, size, AROUND).into_iter().map(around)).collect(),
    }
}

/// Writes the local contrast E into the guide's fourth number: measured where patches are known,
/// expected elsewhere.
pub(super) fn expect(level: &mut Level) {
    let size = [level.width, level.height];
    let measured = low_pass(&measure(&level.pixels, size, DETAIL), size, NEIGHBOURHOOD);
    for (guide, [e]) in level.guide.iter_mut().zip(&measured) {
        guide[3] = *e;
    }
    let samples = Samples::around(level, &measured);
    if samples.0.is_empty() {
        return;
    }
    let expected = Expected::of(level, &samples);
    for i in 0..level.area.len() {
        let place = level.area.outer(i, level.width);
        if !level.is_source[place] {
            let e = MORE * expected.at(i);
            level.guide[place][3] = e.round().min(f32::from(LARGEST)) as i16;
        }
    }
}

/// The contrast that is expected where patches are not known, over a level's area; on a grid of
/// about 64 points a side, for it changes slowly.
struct Expected {
    /// Columns of the area.
    width: usize,
    step: usize,
    columns: usize,
    rows: usize,
    grid: Vec<f32>,
}

impl Expected {
    fn of(level: &Level, samples: &Samples) -> Self {
        const LEAST_STEP: usize = 3;
        let area = level.area;
        let step = (area.width.max(area.height) / 64).max(LEAST_STEP);
        let (columns, rows) = (
            area.width.div_ceil(step) + 1,
            area.height.div_ceil(step) + 1,
        );
        let mut is_asked = vec![false; columns * rows];
        for i in (0..area.len()).filter(|&i| !level.is_source[area.outer(i, level.width)]) {
            let at = i / area.width / step * columns + i % area.width / step;
            for corner in [at, at + 1, at + columns, at + columns + 1] {
                is_asked[corner] = true;
            }
        }
        let expect = |i: usize| {
            if !is_asked[i] {
                return 0.0;
            }
            let x = (area.x + i % columns * step).min(level.width - 1);
            let y = (area.y + i / columns * step).min(level.height - 1);
            samples.expect([x as f32, y as f32], &level.guide[y * level.width + x])
        };
        Self {
            width: area.width,
            step,
            columns,
            rows,
            grid: (0..columns * rows).into_par_iter().map(expect).collect(),
        }
    }

    /// At the area's pixel `i`, whose patch is not known.
    fn at(&self, i: usize) -> f32 {
        let (x, y) = (i % self.width, i / self.width);
        let (column, row) = (x / self.step, y / self.step);
        let share = |v: usize| (v % self.step) as f32 / self.step as f32;
        let (tx, ty) = (share(x), share(y));
        let at = |c: usize, r: usize| {
            self.grid[r.min(self.rows - 1) * self.columns + c.min(self.columns - 1)]
        };
        let top = at(column, row) * (1.0 - tx) + at(column + 1, row) * tx;
        let bottom = at(column, row + 1) * (1.0 - tx) + at(column + 1, row + 1) * tx;
        top * (1.0 - ty) + bottom * ty
    }
}

/// Twice the absolute difference from a low-pass of `sigma`, summed over the channels.
fn measure(pixels: &[Pixel], size: [usize; 2], sigma: f32) -> Vec<[i16; 1]> {
    let difference = |(a, b): (&Pixel, &Pixel)| {
        let sum: i32 = (0..3).map(|c| i32::from(a[c] - b[c]).abs()).sum();
        [(2 * sum).min(i32::from(LARGEST)) as i16]
    };
    let base = low_pass(pixels, size, sigma);
    pixels.par_iter().zip(&base).map(difference).collect()
}

/// Raises the contrast of the votes, which the level's pixels show already, to the expected one
/// where it is less. What the votes agree on stays where it is.
pub(super) fn restore(level: &Level, votes: &mut Votes) {
    // As far as the low-passes reach.
    let margin = (2.5 * (DETAIL + NEIGHBOURHOOD)).ceil() as usize;
    let part = level.area.grown(margin, [level.width, level.height]);
    let size = [part.width, part.height];
    let pixels: Vec<Pixel> = (0..part.len())
        .map(|i| level.pixels[part.outer(i, level.width)])
        .collect();
    let base = low_pass(&pixels, size, DETAIL);
    let found = low_pass(&measure(&pixels, size, DETAIL), size, NEIGHBOURHOOD);
    for (i, vote) in votes.iter_mut().enumerate() {
        let place = level.area.outer(i, level.width);
        if level.cells[place] != Cell::Hole {
            continue;
        }
        let at = (place / level.width - part.y) * part.width + place % level.width - part.x;
        let found = f32::from(found[at][0]).max(1.0);
        let gain = (f32::from(level.guide[place][3]) / found).clamp(1.0, MOST_GAIN);
        for (colour, &base) in vote[..3].iter_mut().zip(&base[at]) {
            let base = f32::from(base) / STEPS;
            *colour = base + gain * (*colour - base);
        }
    }
}

/// Known places around the hole: position, colour of the guide, contrast.
struct Samples(Vec<([f32; 2], [f32; 3], f32)>);

impl Samples {
    fn around(level: &Level, measured: &[[i16; 1]]) -> Self {
        const COUNT: usize = 900;
        const LEAST_MARGIN: usize = 8;
        let Area {
            x,
            y,
            width,
            height,
        } = level.area;
        let margin = (width.max(height) / 2).max(LEAST_MARGIN);
        let columns = x.saturating_sub(margin)..(x + width + margin).min(level.width);
        let rows = y.saturating_sub(margin)..(y + height + margin).min(level.height);
        let step = ((columns.len() * rows.len() / COUNT) as f32)
            .sqrt()
            .max(1.0) as usize;
        let mut samples = vec![];
        for y in rows.step_by(step) {
            for x in columns.clone().step_by(step) {
                let place = y * level.width + x;
                if level.is_source[place] {
                    let colour = colour(&level.guide[place]);
                    samples.push(([x as f32, y as f32], colour, f32::from(measured[place][0])));
                }
            }
        }
        Self(samples)
    }

    /// The samples' mean contrast, each weighted by exp(−ΔΓ² / 2·10²) / (distance² + 4).
    fn expect(&self, [x, y]: [f32; 2], guide: &Pixel) -> f32 {
        const LEAST_LIKENESS: f32 = 1e-4;
        let wanted = colour(guide);
        let (mut sum, mut weights) = (0.0, 0.0);
        for &([sx, sy], colour, contrast) in &self.0 {
            let unlike: f32 = (0..3).map(|c| (colour[c] - wanted[c]).powi(2)).sum();
            let likeness = (-unlike / (2.0 * LIKENESS * LIKENESS))
                .exp()
                .max(LEAST_LIKENESS);
            let weight = likeness / ((sx - x).powi(2) + (sy - y).powi(2) + 4.0);
            sum += weight * contrast;
            weights += weight;
        }
        sum / weights
    }
}

/// In steps of 1/255.
fn colour(pixel: &Pixel) -> [f32; 3] {
    [0, 1, 2].map(|c| f32::from(pixel[c]) / STEPS)
}
