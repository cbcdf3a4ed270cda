//! Even surroundings go on evenly: paper, sky or a wall around a hole is what belongs into it,
//! whatever a network makes of it.

use crate::picture::{FloatImage, Mask};
use crate::region::Hole;

/// How far around a hole is looked: a quarter of its longer side, and at least this.
const LEAST_MARGIN: usize = 8;
/// Surroundings are even when, averaged over squares of this side every few pixels, they depart from a plane by no
/// more than `MOST`, 99 of 100 by no more than `NEARLY_ALL`. Grain averages out, a line does not.
const SQUARE: usize = 5;
const STEP: usize = 2;
const NEARLY_ALL: f32 = 2.0 / 255.0;
const MOST: f32 = 5.0 / 255.0;
/// Fewer known squares than this say nothing.
const FEWEST: usize = 24;

/// Replaces the fill of every hole with even surroundings by the plane through those, in the hole
/// and in a ring of one pixel around it. Returns the holes that it replaced.
///
/// `known` holds true pixels where `valid` keeps; `result` is of the same size. The holes' runs
/// are in coordinates whose column `x`, row `y` is these pictures' first pixel.
pub(crate) fn spread<'a>(
    known: &FloatImage,
    valid: &Mask,
    holes: &'a [Hole],
    [x, y]: [usize; 2],
    result: &mut FloatImage,
) -> Vec<&'a Hole> {
    let (width, height) = (known.width(), known.height());
    let mut even = vec![];
    for hole in holes {
        let bounds = hole.bounds();
        let longer = (bounds.right - bounds.left).max(bounds.bottom - bounds.top);
        let margin = (longer / 4).max(LEAST_MARGIN);
        let columns =
            (bounds.left - x).saturating_sub(margin)..(bounds.right - x + margin).min(width);
        let rows =
            (bounds.top - y).saturating_sub(margin)..(bounds.bottom - y + margin).min(height);
        let squares = squares(known, valid, columns, rows);
        let planes = [0, 1, 2].map(|c| Plane::through(&squares, c));
        let [Some(red), Some(green), Some(blue)] = planes else {
            continue;
        };
        let planes = [red, green, blue];
        if !planes
            .iter()
            .enumerate()
            .all(|(c, plane)| plane.is_near(&squares, c))
        {
            continue;
        }
        for run in hole.runs() {
            let (row, start, end) = (run.y - y, run.start - x, run.end - x);
            for y in row.saturating_sub(1)..(row + 2).min(height) {
                for x in start.saturating_sub(1)..(end + 1).min(width) {
                    for (c, plane) in planes.iter().enumerate() {
                        let value = plane.at(x as f64, y as f64).clamp(0.0, 1.0);
                        result.data_mut()[(c * height + y) * width + x] = value as f32;
                    }
                }
            }
        }
        even.push(hole);
    }
    even
}

/// A square of known pixels: its centre and mean colour.
struct Square {
    x: f64,
    y: f64,
    mean: [f64; 3],
}

fn squares(
    known: &FloatImage,
    valid: &Mask,
    columns: std::ops::Range<usize>,
    rows: std::ops::Range<usize>,
) -> Vec<Square> {
    let mut squares = vec![];
    for top in rows.clone().step_by(STEP) {
        for left in columns.clone().step_by(STEP) {
            let (right, bottom) = (left + SQUARE, top + SQUARE);
            if right > columns.end || bottom > rows.end {
                continue;
            }
            let pixels = || (top..bottom).flat_map(|y| (left..right).map(move |x| (x, y)));
            if pixels().any(|(x, y)| valid.is_hole(x, y)) {
                continue;
            }
            let mean = [0, 1, 2].map(|c| {
                let plane = known.plane(c);
                let sum: f64 = pixels()
                    .map(|(x, y)| f64::from(plane[y * known.width() + x]))
                    .sum();
                sum / (SQUARE * SQUARE) as f64
            });
            let middle = (SQUARE - 1) as f64 / 2.0;
            squares.push(Square {
                x: left as f64 + middle,
                y: top as f64 + middle,
                mean,
            });
        }
    }
    squares
}

/// value = level + across · (x − x̄) + down · (y − ȳ)
struct Plane {
    centre: [f64; 2],
    level: f64,
    across: f64,
    down: f64,
}

impl Plane {
    /// The least-squares plane of one channel; none where there is too little to go by.
    fn through(squares: &[Square], channel: usize) -> Option<Self> {
        if squares.len() < FEWEST {
            return None;
        }
        let count = squares.len() as f64;
        let mean = |f: &dyn Fn(&Square) -> f64| squares.iter().map(f).sum::<f64>() / count;
        let centre = [mean(&|s| s.x), mean(&|s| s.y)];
        let level = mean(&|s| s.mean[channel]);
        let moment = |f: &dyn Fn(f64, f64, f64) -> f64| {
            mean(&|s| f(s.x - centre[0], s.y - centre[1], s.mean[channel] - level))
        };
        let (xx, xy, yy) = (
            moment(&|x, _, _| x * x),
            moment(&|x, y, _| x * y),
            moment(&|_, y, _| y * y),
        );
        let (xv, yv) = (moment(&|x, _, v| x * v), moment(&|_, y, v| y * v));
        let determinant = xx * yy - xy * xy;
        // All in one line: the slope across it is not known.
        if determinant <= 1e-6 * (xx + yy).powi(2) {
            return None;
        }
        Some(Self {
            centre,
            level,
            across: (xv * yy - yv * xy) / determinant,
            down: (yv * xx - xv * xy) / determinant,
        })
    }

    fn at(&self, x: f64, y: f64) -> f64 {
        self.level + self.across * (x - self.centre[0]) + self.down * (y - self.centre[1])
    }

    fn is_near(&self, squares: &[Square], channel: usize) -> bool {
        let mut departures: Vec<f32> = squares
            .iter()
            .map(|s| (s.mean[channel] - self.at(s.x, s.y)).abs() as f32)
            .collect();
        departures.sort_by(f32::total_cmp);
        let nearly_all = departures[(departures.len() - 1) * 99 / 100];
        nearly_all <= NEARLY_ALL && departures.last().is_some_and(|&d| d <= MOST)
    }
}
