//! A hole put together from few large pieces: each pixel takes the photograph's at one of the
//! offsets at which the photograph repeats itself, and neighbours take the same one unless a seam
//! hardly shows (Pritch, Kav-Venaki and Peleg, "Shift-map image editing", ICCV 2009; He and Sun,
//! "Statistics of patch offsets for image completion", ECCV 2012).
//!
//! E(s) = Σ_p E_p(s_p) + Σ_pq ‖I(p + s_p) − I(p + s_q)‖² + ‖I(q + s_p) − I(q + s_q)‖²
//!
//! The second sum is over neighbours; known pixels have offset 0. E_p is infinite where p + s_p is
//! no source, else min(‖Γ_p − Γ_{p+s}‖², 2000): what the networks drew decides between pieces that
//! fit as well. All in squared steps of 1/255. The least sum is approached by α-expansion (Boykov,
//! Veksler and Zabih, "Fast approximate energy minimization via graph cuts", PAMI 2001).

use rayon::prelude::*;

use super::cut::{Costs, Grid, NOBODY};
use super::field::Offset;
use super::offsets::dominant;
use super::pyramid::{Cell, Level, Pixel, RADIUS, STEPS};

/// Offsets tried at most, and looked through for ones that have a source in the hole.
const OFFSETS: usize = 60;
const MOST_OFFSETS: usize = 240;
/// The most that the guide can cost.
const MOST_GUIDE: i64 = 2000;
/// No source.
const NEVER: i64 = 100_000_000;
/// What a seam costs at one pixel where one of its sides is no known pixel.
const UNSEEN: i64 = 3 * 40 * 40;
/// Times that all labels are tried.
const CYCLES: usize = 2;

/// For each pixel of a level's area that belongs to the hole, where its content comes from.
pub(super) type Montage = Vec<Option<Offset>>;

/// The montage of a level's hole; none where no offsets together have a source for every pixel.
pub(super) fn montage(level: &Level, seed: u64) -> Option<Montage> {
    let hole = Hole::of(level);
    let mut offsets = dominant(level, MOST_OFFSETS, seed);
    let serves = |&offset: &Offset| hole.pixels.iter().any(|&at| hole.has_source(at, offset));
    offsets.retain(serves);
    offsets.truncate(OFFSETS);
    let labels = Labels::of(&hole, &offsets);
    let chosen = labels.choose()?;
    let mut montage = vec![None; level.area.len()];
    for (&[x, y], label) in hole.pixels.iter().zip(chosen) {
        montage[(y - level.area.y) * level.area.width + x - level.area.x] = Some(offsets[label]);
    }
    Some(montage)
}

/// The pixels to be filled, and who is beside whom.
struct Hole<'a> {
    level: &'a Level,
    /// Column and row in the level.
    pixels: Vec<[usize; 2]>,
    grid: Grid,
}

/// Left, right, above, below: the sides of a [`Grid`].
const SIDES: [Offset; 4] = [[-1, 0], [1, 0], [0, -1], [0, 1]];

impl<'a> Hole<'a> {
    fn of(level: &'a Level) -> Self {
        let area = &level.area;
        let mut number = vec![NOBODY; area.len()];
        let mut pixels = vec![];
        for (i, number) in number.iter_mut().enumerate() {
            let place = area.outer(i, level.width);
            if level.cells[place] == Cell::Hole {
                *number = pixels.len() as u32;
                pixels.push([place % level.width, place / level.width]);
            }
        }
        let beside = |&at: &[usize; 2]| {
            SIDES.map(|side| match moved(level, at, side) {
                Some([x, y]) if area.contains(x, y) => {
                    number[(y - area.y) * area.width + x - area.x]
                }
                _ => NOBODY,
            })
        };
        let neighbours = pixels.iter().map(beside).collect();
        Self {
            level,
            pixels,
            grid: Grid { neighbours },
        }
    }

    /// Whether the patch around the place `offset` away is known; at the level's border, where
    /// there are no whole patches, the nearest one.
    fn has_source(&self, at: [usize; 2], offset: Offset) -> bool {
        let level = self.level;
        let within = |v: usize, length: usize| v.clamp(RADIUS, length - 1 - RADIUS);
        moved(level, at, offset).is_some_and(|[x, y]| {
            level.is_source[within(y, level.height) * level.width + within(x, level.width)]
        })
    }

    /// The pixel `offset` away that may be copied; one that is marked as [`UNSEEN`] where there is none.
    fn pixel(&self, at: [usize; 2], offset: Offset) -> Pixel {
        let known = moved(self.level, at, offset)
            .map(|[x, y]| y * self.level.width + x)
            .filter(|&place| self.level.cells[place] == Cell::Known);
        match known {
            Some(place) => self.level.pixels[place],
            None => [0, 0, 0, 1],
        }
    }

    /// E_p of every pixel for an offset, and its seams to known neighbours.
    fn alone(&self, offset: Offset) -> Vec<i64> {
        let level = self.level;
        let one = |&at: &[usize; 2]| {
            let Some([x, y]) = moved(level, at, offset).filter(|_| self.has_source(at, offset))
            else {
                return NEVER;
            };
            let [place, source] = [at, [x, y]].map(|[x, y]| y * level.width + x);
            let guide = squared(&level.guide[place], &level.guide[source]).min(MOST_GUIDE);
            let border = (SIDES.iter())
                .filter_map(|&side| moved(level, at, side))
                .map(|at @ [x, y]| (at, y * level.width + x))
                .filter(|&(_, place)| level.cells[place].is_known())
                .map(|(at, place)| 2 * seam(&level.pixels[place], &self.pixel(at, offset)));
            guide + border.sum::<i64>()
        };
        self.pixels.iter().map(one).collect()
    }
}

/// What each offset brings and costs; a label is its number.
struct Labels<'a> {
    grid: &'a Grid,
    /// For each label and pixel of the hole, the source's colour.
    colours: Vec<Vec<Pixel>>,
    /// For each label and pixel, what does not depend on the neighbours in the hole.
    alone: Vec<Vec<i64>>,
}

impl<'a> Labels<'a> {
    fn of(hole: &'a Hole, offsets: &[Offset]) -> Self {
        let colours = |&offset: &Offset| {
            (hole.pixels.iter())
                .map(|&at| hole.pixel(at, offset))
                .collect()
        };
        Self {
            grid: &hole.grid,
            colours: offsets.par_iter().map(colours).collect(),
            alone: offsets.par_iter().map(|&o| hole.alone(o)).collect(),
        }
    }

    /// The label of every pixel; none if some pixel has no source.
    fn choose(&self) -> Option<Vec<usize>> {
        let cheapest = |p: usize| (0..self.alone.len()).min_by_key(|&label| self.alone[label][p]);
        let mut chosen: Vec<usize> = (0..self.grid.neighbours.len())
            .map(cheapest)
            .collect::<Option<_>>()?;
        let mut energy = self.energy(&chosen);
        for _ in 0..CYCLES {
            let before = energy;
            for label in 0..self.alone.len() {
                let takes = self.grid.cut(self.costs(&chosen, label));
                let new: Vec<usize> = (chosen.iter().zip(takes))
                    .map(|(&old, takes)| if takes { label } else { old })
                    .collect();
                let new_energy = self.energy(&new);
                if new_energy < energy {
                    (chosen, energy) = (new, new_energy);
                }
            }
            if energy == before {
                break;
            }
        }
        (energy < NEVER).then_some(chosen)
    }

    fn energy(&self, chosen: &[usize]) -> i64 {
        let alone = (chosen.iter().enumerate()).map(|(p, &label)| self.alone[label][p]);
        let pair = |(p, q, _): (usize, usize, usize)| self.pair([p, q], [chosen[p], chosen[q]]);
        alone.sum::<i64>() + self.grid.pairs().map(pair).sum::<i64>()
    }

    /// The choice, for every pixel, between the label that it has and `new`.
    fn costs(&self, chosen: &[usize], new: usize) -> Costs {
        let mut second: Vec<i64> = (chosen.iter().enumerate())
            .map(|(p, &label)| self.alone[new][p] - self.alone[label][p])
            .collect();
        let mut apart = vec![[0; 4]; chosen.len()];
        for (p, q, side) in self.grid.pairs() {
            let neither = self.pair([p, q], [chosen[p], chosen[q]]);
            let only_p = self.pair([p, q], [new, chosen[q]]);
            let only_q = self.pair([p, q], [chosen[p], new]);
            second[p] += only_p - neither;
            second[q] -= only_p;
            // Squares do not obey the triangle inequality: where that would be less than nothing,
            // the cut is not the best one, and only taken if the sum is less.
            apart[p][side] = (only_p + only_q - neither).max(0);
        }
        Costs { second, apart }
    }

    /// What it costs that two neighbours have these labels.
    #[inline]
    fn pair(&self, pixels: [usize; 2], [a, b]: [usize; 2]) -> i64 {
        match a == b {
            true => 0,
            false => (pixels.iter())
                .map(|&p| seam(&self.colours[a][p], &self.colours[b][p]))
                .sum(),
        }
    }
}

fn moved(level: &Level, [x, y]: [usize; 2], [dx, dy]: Offset) -> Option<[usize; 2]> {
    let x = x.checked_add_signed(dx as isize)?;
    let y = y.checked_add_signed(dy as isize)?;
    (x < level.width && y < level.height).then_some([x, y])
}

/// What it costs where one pixel's content meets the other's.
#[inline]
fn seam(a: &Pixel, b: &Pixel) -> i64 {
    match a[3] | b[3] {
        0 => squared(a, b),
        _ => UNSEEN,
    }
}

/// Of colours, in squared steps of 1/255.
#[inline]
fn squared(a: &Pixel, b: &Pixel) -> i64 {
    let square = |c: usize| (i32::from(a[c]) - i32::from(b[c])).pow(2);
    i64::from(square(0) + square(1) + square(2)) / (STEPS * STEPS) as i64
}
