//! The shapes of generated holes. Sizes are relative to the canvas, so that masks look alike at
//! every resolution.

use std::f64::consts::{PI, TAU};

use rand::{Rng, RngExt};

use super::canvas::Canvas;

/// Digs the pixels of a box around (`cx`, `cy`) in growing order of `distance`, up to 1.
///
/// Inside out: where the target cuts a shape short, what remains is the same shape, smaller.
fn dig_inside_out(
    canvas: &mut Canvas,
    (cx, cy): (f64, f64),
    reach: f64,
    distance: impl Fn(f64, f64) -> f64,
) {
    let span = |c: f64, side: usize| {
        let first = (c - reach).floor().max(0.0) as i64;
        let last = (c + reach).ceil().min(side as f64 - 1.0) as i64;
        first..=last
    };
    let mut pixels: Vec<(f64, i64, i64)> = Vec::new();
    for y in span(cy, canvas.height) {
        for x in span(cx, canvas.width) {
            let d = distance(x as f64 - cx, y as f64 - cy);
            if d <= 1.0 {
                pixels.push((d, x, y));
            }
        }
    }
    pixels.sort_by(|a, b| a.0.total_cmp(&b.0).then((a.2, a.1).cmp(&(b.2, b.1))));
    for (_, x, y) in pixels {
        canvas.dig(x, y);
    }
}

/// A point on the canvas.
fn anywhere(canvas: &Canvas, rng: &mut impl Rng) -> (f64, f64) {
    (
        rng.random_range(0.0..canvas.width as f64),
        rng.random_range(0.0..canvas.height as f64),
    )
}

/// A size for a shape: a share of the shorter side, no larger than what is missing asks for.
fn extent(canvas: &Canvas, rng: &mut impl Rng, shares: std::ops::Range<f64>) -> f64 {
    let side = canvas.width.min(canvas.height) as f64;
    let wanted = side * rng.random_range(shares);
    wanted.min((canvas.missing as f64).sqrt().max(1.0))
}

pub(super) fn ellipse(canvas: &mut Canvas, rng: &mut impl Rng) {
    let centre = anywhere(canvas, rng);
    let a = extent(canvas, rng, 0.05..0.35).max(1.0);
    let b = (a * rng.random_range(0.35..1.0)).max(1.0);
    let (sin, cos) = rng.random_range(0.0..PI).sin_cos();
    dig_inside_out(canvas, centre, a, |dx, dy| {
        let (u, v) = (dx * cos + dy * sin, dy * cos - dx * sin);
        (u / a).hypot(v / b)
    });
}

pub(super) fn rectangle(canvas: &mut Canvas, rng: &mut impl Rng) {
    let centre = anywhere(canvas, rng);
    let a = extent(canvas, rng, 0.05..0.3).max(1.0);
    let b = extent(canvas, rng, 0.05..0.3).max(1.0);
    dig_inside_out(canvas, centre, a.max(b), |dx, dy| {
        (dx.abs() / a).max(dy.abs() / b)
    });
}

/// A walk of a round brush: 4 to 12 straight legs with alternating turns about 72° ± 24°.
pub(super) fn stroke(canvas: &mut Canvas, rng: &mut impl Rng) {
    let side = canvas.width.min(canvas.height) as f64;
    let diagonal = (canvas.width as f64).hypot(canvas.height as f64);
    let (mut x, mut y) = anywhere(canvas, rng);
    let legs = rng.random_range(4..=12);
    // A brush no wider than a few legs of it could fill what is missing.
    let widest = (canvas.missing as f64).sqrt() / 3.0;
    let radius = (side * rng.random_range(0.015..0.06)).min(widest).max(0.5);
    let heading = rng.random_range(0.0..TAU);
    let mean_turn = TAU / 5.0;
    let spread = TAU / 15.0;
    for leg in 0..legs {
        if canvas.is_done() {
            return;
        }
        let turn = mean_turn + rng.random_range(-spread..spread);
        // Left and right of the heading in turn: a zigzag that gets somewhere.
        let angle = heading + if leg % 2 == 0 { turn } else { -turn };
        let length = diagonal * rng.random_range(0.0625..0.25);
        let (sin, cos) = angle.sin_cos();
        // Stamps half a radius apart leave no notches.
        let step = (radius / 2.0).max(0.5);
        let stamps = (length / step).ceil() as usize;
        for _ in 0..stamps {
            stamp(canvas, (x, y), radius);
            if canvas.is_done() {
                return;
            }
            // The pen slides along the border instead of leaving the canvas.
            x = (x + step * cos).clamp(0.0, canvas.width as f64 - 1.0);
            y = (y + step * sin).clamp(0.0, canvas.height as f64 - 1.0);
        }
    }
}

/// The mark of a round brush.
fn stamp(canvas: &mut Canvas, centre: (f64, f64), radius: f64) {
    dig_inside_out(canvas, centre, radius, |dx, dy| dx.hypot(dy) / radius);
}

/// A silhouette: an ellipse's radius, made uneven by a few low harmonics of the angle.
pub(super) fn object(canvas: &mut Canvas, rng: &mut impl Rng) {
    let centre = anywhere(canvas, rng);
    let a = extent(canvas, rng, 0.08..0.35).max(1.0);
    let b = (a * rng.random_range(0.4..1.0)).max(1.0);
    let (sin, cos) = rng.random_range(0.0..PI).sin_cos();
    let waves: [(f64, f64); 4] = std::array::from_fn(|i| {
        let height = rng.random_range(0.0..0.3) / (i + 1) as f64;
        (height, rng.random_range(0.0..TAU))
    });
    let unevenness = |angle: f64| {
        let wave = |(i, &(height, phase)): (usize, &(f64, f64))| {
            height * ((i + 2) as f64 * angle + phase).sin()
        };
        1.0 + waves.iter().enumerate().map(wave).sum::<f64>()
    };
    // The harmonics' heights add up to at most 0.625.
    dig_inside_out(canvas, centre, 1.625 * a, |dx, dy| {
        let (u, v) = ((dx * cos + dy * sin) / a, (dy * cos - dx * sin) / b);
        u.hypot(v) / unevenness(v.atan2(u))
    });
}

/// A thin line that bends slightly and ends where it leaves the canvas.
pub(super) fn scratch(canvas: &mut Canvas, rng: &mut impl Rng) {
    let side = canvas.width.min(canvas.height) as f64;
    let (mut x, mut y) = anywhere(canvas, rng);
    let radius = (side * rng.random_range(0.003..0.014)).max(0.5);
    let length = side * rng.random_range(0.3..1.5);
    let step = (radius / 2.0).max(0.5);
    let mut heading = rng.random_range(0.0..TAU);
    let bend = rng.random_range(-0.5..0.5) / side;
    for _ in 0..(length / step).ceil() as usize {
        let inside = x >= 0.0 && y >= 0.0 && x < canvas.width as f64 && y < canvas.height as f64;
        if canvas.is_done() || !inside {
            return;
        }
        stamp(canvas, (x, y), radius);
        x += step * heading.cos();
        y += step * heading.sin();
        heading += step * (bend + rng.random_range(-1.0..1.0) / side);
    }
}

/// A line of writing: in each letter's box a few short legs of a thin pen, with gaps for words.
pub(super) fn text(canvas: &mut Canvas, rng: &mut impl Rng) {
    let side = canvas.width.min(canvas.height) as f64;
    let (left, top) = anywhere(canvas, rng);
    let letter_height = (side * rng.random_range(0.05..0.16)).max(3.0);
    let letter_width = letter_height * rng.random_range(0.4..0.8);
    let radius = (letter_height * rng.random_range(0.05..0.1)).max(0.5);
    for letter in 0..rng.random_range(4..=20) {
        let x = left + f64::from(letter) * 1.3 * letter_width;
        if x >= canvas.width as f64 {
            return;
        }
        if rng.random_bool(0.15) {
            continue;
        }
        let corners: [(f64, f64); 5] = std::array::from_fn(|_| {
            let mut place = |size: f64| size * f64::from(rng.random_range(0..=2)) / 2.0;
            (x + place(letter_width), top + place(letter_height))
        });
        let legs = rng.random_range(2..=4);
        for ends in corners[..=legs].windows(2) {
            let (pen, to) = (ends[0], ends[1]);
            let length = (to.0 - pen.0).hypot(to.1 - pen.1);
            let stamps = (2.0 * length / radius).ceil().max(1.0);
            for i in 0..=stamps as usize {
                if canvas.is_done() {
                    return;
                }
                let share = i as f64 / stamps;
                let along = |from: f64, to: f64| from + share * (to - from);
                stamp(canvas, (along(pen.0, to.0), along(pen.1, to.1)), radius);
            }
        }
    }
}
