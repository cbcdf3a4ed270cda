//! The nearest-neighbour field: for each target patch the source that serves best, found by
//! PatchMatch (Barnes, Shechtman, Finkelstein and Goldman, SIGGRAPH 2009).

use rayon::prelude::*;

use strdiffusion_kernels::PatchDistance;

use super::energy::{Query, Weights, bias};
use super::pyramid::{Area, BAND, Level, RADIUS};

/// For each pixel of a level's area: the place of its source in the level, and their distance.
/// Places that are no target have neither.
#[derive(Clone, Default)]
pub(super) struct Field {
    pub source: Vec<u32>,
    pub distance: Vec<f32>,
    /// b of the sources at the scale that they came from; zero where there was none.
    pub bias: Vec<[f32; 3]>,
}

/// A source that is known beforehand, and its b.
type Known = (u32, [f32; 3]);

/// Columns and rows from a place to its source.
pub(super) type Offset = [i32; 2];

/// A place and those around it, the nearest first.
const BESIDE: [(isize, isize); 9] = [
    (0, 0),
    (1, 0),
    (0, 1),
    (-1, 0),
    (0, -1),
    (1, 1),
    (-1, -1),
    (1, -1),
    (-1, 1),
];

/// How thoroughly to look.
#[derive(Clone, Copy)]
pub(super) struct Effort {
    pub rounds: usize,
    /// Largest step of the random search around the best source, in pixels.
    pub reach: f32,
    /// Places tried anywhere, for each target and round.
    pub anywhere: usize,
}

/// A well mixed number for each number (SplitMix64; Steele, Lea and Flood, 2014).
pub(super) fn mix(state: u64) -> u64 {
    let z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Two random numbers below `width` and `height`.
fn anywhere(random: u64, [width, height]: [usize; 2]) -> [usize; 2] {
    let scaled = |bits: u64, length: usize| ((bits & 0xffff_ffff) as usize * length) >> 32;
    [scaled(random, width), scaled(random >> 32, height)]
}

impl Field {
    /// Random sources. The level must have one.
    pub fn random(level: &Level, seed: u64) -> Self {
        Self::from(level, seed, |_| None)
    }

    /// Sources at the offsets that the hole's pixels have, given over the level's area, and where
    /// there is none beside them, random ones.
    pub fn at(offsets: &[Option<Offset>], level: &Level, seed: u64) -> Self {
        let area = &level.area;
        Self::from(level, seed, |[x, y]| {
            let [dx, dy] = offset_near(offsets, area, [x - area.x, y - area.y])?;
            let source = source_beside(level, x as isize + dx as isize, y as isize + dy as isize)?;
            Some((source, [0.0; 3]))
        })
    }

    /// This field of `small` carried over to `large`, which is twice the size.
    pub fn doubled(&self, small: &Level, large: &Level, seed: u64) -> Self {
        Self::from(large, seed, |place| self.carried(small, large, place))
    }

    /// The source that is known for each target's column and row in the level, a random one where
    /// none is.
    fn from(level: &Level, seed: u64, known: impl Fn([usize; 2]) -> Option<Known> + Sync) -> Self {
        let start = |i: usize| match level_target(level, i) {
            Some(place) => known(place)
                .unwrap_or_else(|| (random_source(level, mix(seed ^ (i as u64) << 8)), [0.0; 3])),
            None => (0, [0.0; 3]),
        };
        let (source, bias) = (0..level.area.len()).into_par_iter().map(start).unzip();
        Self {
            source,
            distance: vec![f32::INFINITY; level.area.len()],
            bias,
        }
    }

    /// The source of the nearest small target, moved along; if it is none at the larger scale, one
    /// beside it.
    fn carried(&self, small: &Level, large: &Level, [x, y]: [usize; 2]) -> Option<Known> {
        let area = &small.area;
        let (small_x, small_y) = ((x / 2).wrapping_sub(area.x), (y / 2).wrapping_sub(area.y));
        for reach in 0..3isize {
            for dy in -reach..=reach {
                for dx in -reach..=reach {
                    let nx = small_x.wrapping_add_signed(dx);
                    let ny = small_y.wrapping_add_signed(dy);
                    if nx >= area.width || ny >= area.height {
                        continue;
                    }
                    let i = ny * area.width + nx;
                    if !small.is_target[i] {
                        continue;
                    }
                    let source = self.source[i] as usize;
                    let sx =
                        (2 * (source % small.width) + x) as isize - 2 * ((x / 2) as isize + dx);
                    let sy =
                        (2 * (source / small.width) + y) as isize - 2 * ((y / 2) as isize + dy);
                    if let Some(place) = source_beside(large, sx, sy) {
                        return Some((
                            place,
                            bias(small, area.outer(i, small.width), source, false),
                        ));
                    }
                }
            }
        }
        None
    }

    /// Works out the distances anew, after the estimate or the weights have changed.
    pub fn measure(&mut self, level: &Level, weights: Weights) {
        let kernel = PatchDistance::current();
        let width = level.width;
        self.distance
            .par_iter_mut()
            .zip(&self.source)
            .enumerate()
            .with_min_len(256)
            .for_each(|(i, (distance, &source))| {
                if let Some(place) = level_target(level, i) {
                    let source = source as usize;
                    *distance = Query::new(level, kernel, weights, place).distance(
                        source % width,
                        source / width,
                        f32::INFINITY,
                    );
                }
            });
    }

    /// Looks for better sources. Bands of rows are searched at the same time; across them a round
    /// sees the field as the round before has left it, so the result does not depend on the number
    /// of threads.
    pub fn search(&mut self, level: &Level, weights: Weights, effort: Effort, seed: u64) {
        let kernel = PatchDistance::current();
        let area = &level.area;
        for round in 0..effort.rounds {
            let before = self.source.clone();
            let backwards = round % 2 == 1;
            self.source
                .par_chunks_mut(area.width * BAND)
                .zip(self.distance.par_chunks_mut(area.width * BAND))
                .enumerate()
                .for_each(|(band, (sources, distances))| {
                    let first = band * BAND * area.width;
                    for step in 0..sources.len() {
                        let j = if backwards {
                            sources.len() - 1 - step
                        } else {
                            step
                        };
                        let i = first + j;
                        let Some(place) = level_target(level, i) else {
                            continue;
                        };
                        let mut best = Best {
                            level,
                            query: Query::new(level, kernel, weights, place),
                            source: sources[j],
                            distance: distances[j],
                        };
                        best.propagate(i, backwards, |n| match n.checked_sub(first) {
                            // What this round has left, within the band.
                            Some(k) if k < sources.len() => sources[k],
                            _ => before[n],
                        });
                        let state = mix(seed ^ (i as u64) << 20 ^ (round as u64) << 56);
                        best.wander(effort, state);
                        (sources[j], distances[j]) = (best.source, best.distance);
                    }
                });
        }
    }

    /// The mean distance of all targets; 0 without targets.
    pub fn mean(&self, level: &Level) -> f32 {
        let all = self.distance.iter().zip(&level.is_target);
        let sum: f64 = all
            .filter_map(|(&distance, &is_target)| is_target.then_some(f64::from(distance)))
            .sum();
        (sum / level.targets.max(1) as f64) as f32
    }

    /// The distance that this share of all targets does not exceed; 0 without targets.
    pub fn quantile(&self, level: &Level, share: f32) -> f32 {
        let mut all: Vec<f32> = (self.distance.iter().zip(&level.is_target))
            .filter_map(|(&distance, &is_target)| is_target.then_some(distance))
            .collect();
        if all.is_empty() {
            return 0.0;
        }
        let rank = ((all.len() - 1) as f32 * share) as usize;
        *all.select_nth_unstable_by(rank, f32::total_cmp).1
    }
}

/// Column and row in the level of the area's pixel `i`, if it is a target.
fn level_target(level: &Level, i: usize) -> Option<[usize; 2]> {
    let area = &level.area;
    level.is_target[i].then(|| [area.x + i % area.width, area.y + i / area.width])
}

/// The place of a source at column `x`, row `y`, if there is one.
#[inline]
fn source_at(level: &Level, x: isize, y: isize) -> Option<usize> {
    let inside = x >= 0 && y >= 0 && (x as usize) < level.width && (y as usize) < level.height;
    let place = inside.then(|| y as usize * level.width + x as usize)?;
    level.is_source[place].then_some(place)
}

/// The source nearest to column `x`, row `y`, if there is one there or beside it.
fn source_beside(level: &Level, x: isize, y: isize) -> Option<u32> {
    let at = |&(dx, dy): &(isize, isize)| source_at(level, x + dx, y + dy);
    BESIDE.iter().find_map(at).map(|place| place as u32)
}

/// The offset of the nearest pixel of the hole within a patch's radius: every target has one.
fn offset_near(offsets: &[Option<Offset>], area: &Area, [x, y]: [usize; 2]) -> Option<Offset> {
    let reach = RADIUS as isize;
    let mut nearest: Option<(isize, Offset)> = None;
    for dy in -reach..=reach {
        for dx in -reach..=reach {
            let (nx, ny) = (x.wrapping_add_signed(dx), y.wrapping_add_signed(dy));
            if nx >= area.width || ny >= area.height {
                continue;
            }
            let far = dx * dx + dy * dy;
            if let Some(offset) = offsets[ny * area.width + nx]
                && nearest.is_none_or(|(nearer, _)| far < nearer)
            {
                nearest = Some((far, offset));
            }
        }
    }
    nearest.map(|(_, offset)| offset)
}

/// Any source of a level that has one.
fn random_source(level: &Level, seed: u64) -> u32 {
    const TRIES: usize = 24;
    let mut state = seed;
    for _ in 0..TRIES {
        state = mix(state);
        let [x, y] = anywhere(state, [level.width, level.height]);
        if level.is_source[y * level.width + x] {
            return (y * level.width + x) as u32;
        }
    }
    // Sources are rare: the first from a random place on.
    let count = level.width * level.height;
    let start = (mix(state) % count as u64) as usize;
    let found = (0..count)
        .map(|i| (start + i) % count)
        .find(|&place| level.is_source[place]);
    found.unwrap_or(0) as u32
}

/// The best source so far of one target.
struct Best<'a> {
    level: &'a Level,
    query: Query<'a>,
    source: u32,
    distance: f32,
}

impl Best<'_> {
    #[inline]
    fn try_at(&mut self, x: isize, y: isize) {
        let Some(place) = source_at(self.level, x, y) else {
            return;
        };
        if place as u32 == self.source {
            return;
        }
        let distance = self.query.distance(x as usize, y as usize, self.distance);
        if distance < self.distance {
            (self.source, self.distance) = (place as u32, distance);
        }
    }

    /// Tries the sources of the four neighbours, moved along.
    fn propagate(&mut self, i: usize, backwards: bool, source_of: impl Fn(usize) -> u32) {
        let (area, width) = (&self.level.area, self.level.width);
        let (x, y) = (i % area.width, i / area.width);
        let order: [(isize, isize); 4] = match backwards {
            false => [(-1, 0), (0, -1), (1, 0), (0, 1)],
            true => [(1, 0), (0, 1), (-1, 0), (0, -1)],
        };
        for (dx, dy) in order {
            let (nx, ny) = (x.wrapping_add_signed(dx), y.wrapping_add_signed(dy));
            if nx >= area.width || ny >= area.height {
                continue;
            }
            let n = ny * area.width + nx;
            if self.level.is_target[n] {
                let source = source_of(n) as usize;
                self.try_at(
                    (source % width) as isize - dx,
                    (source / width) as isize - dy,
                );
            }
        }
    }

    /// Tries random places, ever nearer to the best one.
    fn wander(&mut self, effort: Effort, mut state: u64) {
        let (width, height) = (self.level.width, self.level.height);
        let mut reach = effort.reach;
        while reach >= 1.0 {
            state = mix(state);
            let step = |bits: u64| {
                let unit = (bits & 0xffff_ffff) as f64 / f64::from(u32::MAX);
                ((2.0 * unit - 1.0) * f64::from(reach)).round() as isize
            };
            let (x, y) = (self.source as usize % width, self.source as usize / width);
            self.try_at(x as isize + step(state), y as isize + step(state >> 32));
            reach *= 0.5;
        }
        for _ in 0..effort.anywhere {
            state = mix(state);
            let [x, y] = anywhere(state, [width, height]);
            self.try_at(x as isize, y as isize);
        }
    }
}
