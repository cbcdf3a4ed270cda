//! One window, coarse to fine.

use super::contrast;
use super::energy::Weights;
use super::field::{Effort, Field, mix};
use super::guide;
use super::montage::montage;
use super::pyramid::{Cell, Level, Pixel, build};
use super::trust::Trust;
use super::vote::{Ballot, Votes, put, vote};

/// Thickness of the hole at the coarsest level, in pixels: small against a patch of seven.
const THICKNESS: f32 = 12.0;
/// Shortest side of a level.
const SHORTEST: usize = 18;
/// w_Γ of the finest and of the coarsest level.
const GUIDE: [f32; 2] = [0.6, 2.0];
/// The same where a person has drawn.
const DRAWN_GUIDE: [f32; 2] = [1.0, 16.0];
/// Depth at which w_Γ is half, in pixels of the network.
const GUIDE_DEPTH: f32 = 4.0;
/// Cost of a source as far away as the hole is thick, and the least thickness that counts.
const DISTANCE: f32 = 25.0;
const LEAST_THICKNESS: f32 = 20.0;
/// Targets of the level at which a montage is made, at most, and the hole's thickness there, at
/// least.
const MOST_MONTAGE: usize = 6000;
const LEAST_MONTAGE: f32 = 8.0;
/// Sources of that level, at most: all are compared with one another.
const MOST_COMPARED: usize = 1_000_000;
/// A montage is preferred to what the level above has left if its patches fit at most this much
/// worse: fewer, larger pieces look better than as good a fit of many small ones.
const PREFERENCE: f32 = 1.05;
/// Rounds of search and vote at the finest and the coarsest level.
const ROUNDS: [usize; 2] = [4, 8];
/// The same for a level that is the only one: a thin hole.
const ONLY_ROUNDS: usize = 5;
/// The same for levels with more targets than these.
const FEW_ROUNDS: [usize; 2] = [2, 8];
const MANY_TARGETS: usize = 100_000;
/// A level with more targets than this is not searched anew: the field is carried over, looked
/// through once nearby, and voted.
const MOST_SEARCHED: usize = 1_500_000;
/// Largest step of the random search at levels other than the coarsest.
const REACH: f32 = 48.0;

/// A part of the photograph with its hole, filled softly.
pub(super) struct Window {
    pub width: usize,
    pub height: usize,
    pub pixels: Vec<Pixel>,
    pub cells: Vec<Cell>,
    /// Size of a network's pixel in pixels of the window, at least 1.
    pub scale: f32,
    /// A person has drawn where colours change: the guide holds everywhere.
    pub is_drawn: bool,
    /// How far the fill can be trusted; none: not at all.
    pub trust: Option<Trust>,
}

/// What was found for a window.
pub(super) struct Synthesis {
    /// The window at its own scale, with the new pixels.
    pub level: Level,
    /// Over the level's area.
    pub votes: Votes,
    /// Nine of ten patches found a source at most this far off, at the coarsest level; in squared
    /// steps of 1/255 for each value.
    pub misfit: f32,
}

/// Fills a window with the photograph's own patches; none where it holds no whole known patch, or
/// no hole.
pub(super) fn synthesize(window: Window, seed: u64) -> Option<Synthesis> {
    let Window {
        width,
        height,
        pixels,
        cells,
        scale,
        is_drawn,
        trust,
    } = window;
    let finest = Level::new(width, height, pixels, cells);
    if !finest.is_useful() {
        return None;
    }
    let mut levels = build(finest, THICKNESS, SHORTEST);
    guide::attach(&mut levels, scale);
    if let Some(trust) = &trust {
        for (l, level) in levels.iter_mut().enumerate() {
            level.trust = trust.over(&level.area, 1 << l);
        }
    }
    let top = levels.len() - 1;
    let montage_at = montage_level(&levels).filter(|_| !is_drawn);
    let mut field = Field::default();
    let mut votes = vec![];
    let mut misfit = 0.0;
    for l in (0..=top).rev() {
        let seed = mix(seed ^ (l as u64) << 40);
        levels[l].find_means();
        field = if l == top {
            Field::random(&levels[l], seed)
        } else {
            field.doubled(&levels[l + 1], &levels[l], seed)
        };
        let weights = Weights {
            guide: guide_weight(l, top, is_drawn),
            guide_fall: match is_drawn {
                true => 0.0,
                false => (1 << l) as f32 / scale / GUIDE_DEPTH,
            },
            distance: DISTANCE / levels[l].thickness().max(LEAST_THICKNESS),
            apart: 0.0,
            soft: false,
        };
        let plan = Plan::of(&levels[l], l, top);
        let montage = match montage_at {
            Some(at) if at == l => montage(&levels[l], seed),
            _ => None,
        };
        votes = match montage {
            None => plan.follow(&mut levels[l], &mut field, weights, seed),
            Some(montage) => {
                let other = Field::at(&montage, &levels[l], seed);
                plan.follow_better(&mut levels[l], &mut field, other, weights, seed)
            }
        };
        if l == top {
            misfit = field.quantile(&levels[l], 0.9);
        }
        levels.truncate(l + 1);
    }
    let level = levels.pop()?;
    contrast::restore(&level, &mut votes);
    Some(Synthesis {
        level,
        votes,
        misfit,
    })
}

/// The finest level whose hole is small enough for a montage, unless it is so thin there that
/// patches reach across, or has far more around it than in it.
fn montage_level(levels: &[Level]) -> Option<usize> {
    let l = levels
        .iter()
        .position(|level| level.targets <= MOST_MONTAGE)?;
    let serves = levels[l].thickness() >= LEAST_MONTAGE && levels[l].sources <= MOST_COMPARED;
    serves.then_some(l)
}

/// w_Γ of level `l` of 0 to `top`.
fn guide_weight(l: usize, top: usize, is_drawn: bool) -> f32 {
    let [finest, coarsest] = if is_drawn { DRAWN_GUIDE } else { GUIDE };
    let share = if top == 0 { 0.0 } else { l as f32 / top as f32 };
    finest + (coarsest - finest) * share
}

/// How a level is worked on.
struct Plan {
    is_top: bool,
    /// Too many targets to be searched anew.
    is_large: bool,
    rounds: usize,
    /// Largest step of the random search.
    reach: f32,
}

impl Plan {
    /// For level `l` of 0 to `top`.
    fn of(level: &Level, l: usize, top: usize) -> Self {
        let is_large = level.targets > MOST_SEARCHED;
        let [fewest, most] = match level.targets {
            MANY_TARGETS.. => FEW_ROUNDS,
            _ => ROUNDS,
        };
        let longer = level.width.max(level.height) as f32;
        Self {
            is_top: l == top,
            is_large,
            rounds: match top {
                _ if is_large => 1,
                0 => ONLY_ROUNDS,
                _ => fewest + (most - fewest) * l / top,
            },
            reach: match l {
                _ if is_large => 2.0,
                _ if l == top => longer,
                _ => REACH.min(longer),
            },
        }
    }

    /// Searches and votes in turns. Below the top, the field comes from the level above.
    fn follow(&self, level: &mut Level, field: &mut Field, weights: Weights, seed: u64) -> Votes {
        if !self.is_top && !self.is_large {
            let ballot = Ballot {
                inherited: true,
                robust: true,
                equal: true,
                soft: false,
            };
            estimate(level, field, ballot);
        }
        let mut votes = vec![];
        for round in 0..self.rounds {
            let is_first = self.is_top && round == 0;
            let weights = Weights {
                soft: is_first,
                ..weights
            };
            field.measure(level, weights);
            let effort = Effort {
                rounds: match is_first {
                    _ if self.is_large => 1,
                    true => 8,
                    false => 2,
                },
                reach: self.reach,
                anywhere: if self.is_top && round < 2 { 8 } else { 0 },
            };
            field.search(level, weights, effort, mix(seed ^ round as u64));
            let ballot = Ballot {
                soft: is_first,
                robust: round + 1 == self.rounds,
                ..Ballot::default()
            };
            votes = estimate(level, field, ballot);
        }
        votes
    }

    /// As [`Plan::follow`], from the field and from a montage's, `other`: the better one stays.
    fn follow_better(
        &self,
        level: &mut Level,
        field: &mut Field,
        mut other: Field,
        weights: Weights,
        seed: u64,
    ) -> Votes {
        let before = level.pixels.clone();
        let votes = self.follow(level, field, weights, seed);
        let pixels = std::mem::replace(&mut level.pixels, before);
        level.find_target_means();
        let plan = Self {
            is_top: false,
            ..*self
        };
        let other_votes = plan.follow(level, &mut other, weights, seed);
        if other.mean(level) <= PREFERENCE * field.mean(level) {
            *field = other;
            return other_votes;
        }
        level.pixels = pixels;
        level.find_target_means();
        votes
    }
}

/// Votes, and makes what was voted the level's estimate.
fn estimate(level: &mut Level, field: &Field, ballot: Ballot) -> Votes {
    let votes = vote(level, field, ballot);
    put(level, &votes);
    level.find_target_means();
    votes
}
