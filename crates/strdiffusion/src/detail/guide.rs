//! What the fill should be like: the network's fill from afar, and how much contrast belongs to
//! it. And how far the fill can be trusted.
//!
//! A soft fill alone as a guide would find soft sources. So its contrast is not its own but that
//! of known pixels of its colour around the hole.

use rayon::prelude::*;

use super::pyramid::{Area, Cell, Level, Pixel, STEPS, double, low_pass};

/// σ of the guide's low-pass, in pixels of the network; and at least, in pixels of a level.
const REACH: f32 = 1.5;
const LEAST_REACH: f32 = 1.0;
/// Contrast is what differs from a low-pass of the first σ, averaged over the second; in pixels.
const DETAIL: f32 = 1.5;
const NEIGHBOURHOOD: f32 = 3.0;
/// Known pixels vote on the contrast of a place in the hole by their colour's distance from the
/// fill's, in steps of 1/255, and by their distance.
const LIKENESS: f32 = 10.0;
/// Trust begins where the fill has this share of the expected contrast, and is full at the other.
/// (Twenty photographs: the truth at the network's resolution 0.56 to 1.19, median 0.92; a soft
/// network 0.12 to 0.72, median 0.32.)
const TRUST: [f32; 2] = [0.65, 0.85];
/// Where less contrast than this is expected, in steps of 1/255 over three channels twice, the
/// share says nothing.
const SMOOTH: f32 = 3.0;
/// Nor in thin holes, where known neighbours lend their contrast; in pixels of the photograph.
const THICK: [f32; 2] = [8.0, 16.0];

/// The hole's contrast at one level.
#[derive(Clone, Copy, Default)]
struct Contrast {
    /// The fill's own, as a share of the expected.
    share: f32,
    /// Expected, on the mean.
    expected: f32,
}

/// Gives every level its guide. `scale` is the size of a network's pixel in pixels of the finest
/// level. Returns how far the fill can be trusted, 0 to 1: a network that knows what belongs into
/// the hole draws it with contrast, one that does not leaves it smooth.
pub(super) fn attach(levels: &mut [Level], scale: f32) -> f32 {
    let top = levels.len() - 1;
    let mut contrasts = vec![Contrast::default(); levels.len()];
    for l in (0..=top).rev() {
        let size = [levels[l].width, levels[l].height];
        let sigma = (REACH * scale / (1 << l) as f32).max(LEAST_REACH);
        levels[l].guide = if sigma >= 2.0 * LEAST_REACH && l < top {
            let small = &levels[l + 1];
            double(&small.guide, [small.width, small.height], size)
        } else {
            low_pass(&levels[l].pixels, size, sigma)
        };
        contrasts[l] = expect_contrast(&mut levels[l]);
    }
    // At the network's own resolution.
    let at = scale.log2().clamp(0.0, top as f32);
    let (fine, coarse) = (
        contrasts[at as usize],
        contrasts[(at as usize + 1).min(top)],
    );
    let share = fine.share + (coarse.share - fine.share) * at.fract();
    ramp(share, TRUST)
        * ramp(fine.expected, [SMOOTH, 2.0 * SMOOTH])
        * ramp(levels[0].thickness(), THICK)
}

/// 0 up to `from`, 1 from `to` on, straight between.
pub(super) fn ramp(value: f32, [from, to]: [f32; 2]) -> f32 {
    ((value - from) / (to - from)).clamp(0.0, 1.0)
}

/// Writes the local contrast E into the guide's fourth number: measured where patches are known,
/// expected elsewhere.
fn expect_contrast(level: &mut Level) -> Contrast {
    let size = [level.width, level.height];
    let detail = measure_detail(level);
    let measured = low_pass(&detail, size, NEIGHBOURHOOD);
    for (guide, [e]) in level.guide.iter_mut().zip(&measured) {
        guide[3] = *e;
    }
    let samples = Samples::around(level, &measured);
    if samples.0.is_empty() {
        return Contrast {
            share: 1.0,
            expected: 0.0,
        };
    }
    // On a grid of about 64 points a side; it changes slowly.
    let area = level.area;
    let step = (area.width.max(area.height) / 64).max(1);
    let (columns, rows) = (
        area.width.div_ceil(step) + 1,
        area.height.div_ceil(step) + 1,
    );
    let grid: Vec<f32> = (0..columns * rows)
        .into_par_iter()
        .map(|i| {
            let x = (area.x + i % columns * step).min(level.width - 1);
            let y = (area.y + i / columns * step).min(level.height - 1);
            samples.expect([x as f32, y as f32], &level.guide[y * level.width + x])
        })
        .collect();
    let expected = |i: usize| {
        let (x, y) = (i % area.width, i / area.width);
        let (column, row) = (x / step, y / step);
        let (tx, ty) = (
            (x % step) as f32 / step as f32,
            (y % step) as f32 / step as f32,
        );
        let at = |c: usize, r: usize| grid[r.min(rows - 1) * columns + c.min(columns - 1)];
        let top = at(column, row) * (1.0 - tx) + at(column + 1, row) * tx;
        let bottom = at(column, row + 1) * (1.0 - tx) + at(column + 1, row + 1) * tx;
        top * (1.0 - ty) + bottom * ty
    };
    let (mut own, mut wanted, mut count) = (0.0, 0.0, 0u32);
    for i in 0..area.len() {
        let place = area.outer(i, level.width);
        if level.is_source[place] {
            continue;
        }
        let e = expected(i);
        if level.cells[place] == Cell::Hole {
            // The pixel's own: known neighbours say nothing of the fill.
            own += f64::from(detail[place][0]);
            wanted += f64::from(e);
            count += 1;
        }
        level.guide[place][3] = e.round() as i16;
    }
    Contrast {
        share: (own / wanted.max(1e-3)) as f32,
        expected: (wanted / f64::from(count.max(1))) as f32 / STEPS,
    }
}

/// Twice the absolute difference from a low-pass, summed over the channels.
fn measure_detail(level: &Level) -> Vec<[i16; 1]> {
    let base = low_pass(&level.pixels, [level.width, level.height], DETAIL);
    let difference = |(a, b): (&Pixel, &Pixel)| {
        let sum: i32 = (0..3).map(|c| i32::from(a[c] - b[c]).abs()).sum();
        [(2 * sum).min(i32::from(strdiffusion_kernels::LARGEST)) as i16]
    };
    level.pixels.par_iter().zip(&base).map(difference).collect()
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
