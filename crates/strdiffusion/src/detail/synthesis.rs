//! One window, coarse to fine.

use super::energy::Weights;
use super::field::{Effort, Field, mix};
use super::guide;
use super::pyramid::{Cell, Level, Pixel, build};
use super::vote::{Ballot, Votes, put, vote};

/// Thickness of the hole at the coarsest level, in pixels: small against a patch of seven.
const THICKNESS: f32 = 12.0;
/// Shortest side of a level.
const SHORTEST: usize = 18;
/// w_Γ of the finest and of the coarsest level.
const GUIDE: [f32; 2] = [0.3, 1.0];
/// The same where a person has drawn.
const DRAWN_GUIDE: [f32; 2] = [1.0, 16.0];
/// Depth at which w_Γ is half, in pixels of the network.
const GUIDE_DEPTH: f32 = 4.0;
/// Cost of a source as far away as the hole is thick, and the least thickness that counts.
const DISTANCE: f32 = 25.0;
const LEAST_THICKNESS: f32 = 20.0;
/// Rounds of search and vote at the finest and the coarsest level.
const ROUNDS: [usize; 2] = [4, 8];
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
}

/// What was found for a window.
pub(super) struct Synthesis {
    /// The window at its own scale, with the new pixels.
    pub level: Level,
    /// Over the level's area.
    pub votes: Votes,
    /// How far the fill was trusted, 0 to 1.
    pub trust: f32,
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
    } = window;
    let finest = Level::new(width, height, pixels, cells);
    if !finest.is_useful() {
        return None;
    }
    let mut levels = build(finest, THICKNESS, SHORTEST);
    let trust = guide::attach(&mut levels, scale);
    let top = levels.len() - 1;
    let [finest, coarsest] = if is_drawn { DRAWN_GUIDE } else { GUIDE };
    let mut field = Field::default();
    let mut votes = vec![];
    let mut misfit = 0.0;
    for l in (0..=top).rev() {
        let share = if top == 0 { 0.0 } else { l as f32 / top as f32 };
        let seed = mix(seed ^ (l as u64) << 40);
        let is_large = levels[l].targets > MOST_SEARCHED;
        let weights = Weights {
            guide: finest + (coarsest - finest) * share,
            guide_fall: match is_drawn {
                true => 0.0,
                false => (1 << l) as f32 / scale / GUIDE_DEPTH * (1.0 - trust),
            },
            distance: DISTANCE / levels[l].thickness().max(LEAST_THICKNESS),
            soft: false,
        };
        levels[l].find_means();
        field = if l == top {
            Field::random(&levels[l], seed)
        } else {
            let field = field.doubled(&levels[l + 1], &levels[l], seed);
            if !is_large {
                let ballot = Ballot {
                    plain: true,
                    robust: true,
                    equal: true,
                    soft: false,
                };
                let first = vote(&levels[l], &field, ballot);
                put(&mut levels[l], &first);
                levels[l].find_target_means();
            }
            field
        };
        let [fewest, most] = match levels[l].targets {
            MANY_TARGETS.. => FEW_ROUNDS,
            _ => ROUNDS,
        };
        let rounds = match top {
            _ if is_large => 1,
            0 => most,
            _ => fewest + (most - fewest) * l / top,
        };
        for round in 0..rounds {
            let first = l == top && round == 0;
            let weights = Weights {
                soft: first,
                ..weights
            };
            field.measure(&levels[l], weights);
            let effort = Effort {
                rounds: if is_large {
                    1
                } else if first {
                    8
                } else {
                    2
                },
                reach: match l {
                    _ if is_large => 2.0,
                    _ if l == top => levels[l].width.max(levels[l].height) as f32,
                    _ => REACH.min(levels[l].width.max(levels[l].height) as f32),
                },
                anywhere: if l == top && round < 2 { 8 } else { 0 },
            };
            field.search(&levels[l], weights, effort, mix(seed ^ round as u64));
            let ballot = Ballot {
                soft: first,
                robust: round + 1 == rounds,
                ..Ballot::default()
            };
            votes = vote(&levels[l], &field, ballot);
            put(&mut levels[l], &votes);
            levels[l].find_target_means();
        }
        if l == top {
            misfit = field.quantile(&levels[l], 0.9);
        }
        levels.truncate(l + 1);
    }
    let level = levels.pop()?;
    Some(Synthesis {
        level,
        votes,
        trust,
        misfit,
    })
}
