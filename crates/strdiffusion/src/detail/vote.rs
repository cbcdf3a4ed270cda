//! From the field to pixels: every patch that covers a pixel votes for its colour (Wexler,
//! Shechtman and Irani, "Space-time completion of video", PAMI 2007).

use rayon::prelude::*;

use super::energy::bias;
use super::field::Field;
use super::pyramid::{BAND, Cell, Level, RADIUS, STEPS, WHITE};

/// Share of the distances below σ², which scales a vote's weight exp(−D / 2σ²); and in a level's
/// last vote, where less blur matters more than agreement.
const SPREAD: f32 = 0.75;
const LAST_SPREAD: f32 = 0.3;
/// σ² is never less, in squared steps of 1/255: among very good patches all count.
const LEAST_SPREAD: f32 = 4.0;
/// A patch counts so many times less for each pixel that it lies deeper in the hole.
const DEPTH: f32 = 1.5;
const DEEPEST: f32 = 40.0;
/// Width of the robust mean, in steps of 1/255.
const ROBUST: f32 = 10.0;

/// Colours in steps of 1/255 and the votes' weight, for each pixel of a level's area; where no
/// target's patch reaches, the weight is zero.
pub(super) type Votes = Vec<[f32; 4]>;

/// How votes are taken.
#[derive(Clone, Copy, Default)]
pub(super) struct Ballot {
    /// Sources were compared by their guides.
    pub soft: bool,
    /// Sources are as bright as at the scale that they came from: there is no estimate yet.
    pub inherited: bool,
    /// Two rounds of reweighting by the distance from the mean, which lets the majority win
    /// instead of a blur of all.
    pub robust: bool,
    /// All distances are alike: the field was not measured yet.
    pub equal: bool,
}

/// All patches' votes.
pub(super) fn vote(level: &Level, field: &Field, ballot: Ballot) -> Votes {
    let area = &level.area;
    let share = if ballot.robust { LAST_SPREAD } else { SPREAD };
    let spread = match ballot.equal {
        true => 1.0,
        false => field.quantile(level, share).max(LEAST_SPREAD),
    };
    let weights: Vec<([f32; 3], f32)> = (0..area.len())
        .into_par_iter()
        .with_min_len(256)
        .map(|i| {
            if !level.is_target[i] {
                return ([0.0; 3], 0.0);
            }
            let distance = if ballot.equal { 0.0 } else { field.distance[i] };
            let weight = (-distance / (2.0 * spread)).exp().max(1e-9)
                * DEPTH.powf(-level.depth[i].min(DEEPEST));
            let bias = match ballot.inherited {
                true => field.bias[i],
                false => {
                    let place = area.outer(i, level.width);
                    bias(level, place, field.source[i] as usize, ballot.soft)
                }
            };
            (bias, weight)
        })
        .collect();
    let mut votes = vec![[0.0; 4]; area.len()];
    votes
        .par_chunks_mut(area.width * BAND)
        .enumerate()
        .for_each(|(band, votes)| {
            let mut all = Vec::with_capacity((2 * RADIUS + 1).pow(2));
            for (j, vote) in votes.iter_mut().enumerate() {
                let i = band * BAND * area.width + j;
                gather(level, field, &weights, i, &mut all);
                *vote = count(&all, ballot.robust);
            }
        });
    votes
}

/// What the patches that cover pixel `i` of the area say: colours and weights.
fn gather(
    level: &Level,
    field: &Field,
    weights: &[([f32; 3], f32)],
    i: usize,
    all: &mut Vec<[f32; 4]>,
) {
    all.clear();
    let area = &level.area;
    let (x, y) = (i % area.width, i / area.width);
    let reach = RADIUS as isize;
    for dy in -reach..=reach {
        let py = y.wrapping_add_signed(-dy);
        if py >= area.height {
            continue;
        }
        for dx in -reach..=reach {
            let px = x.wrapping_add_signed(-dx);
            if px >= area.width {
                continue;
            }
            let p = py * area.width + px;
            if !level.is_target[p] {
                continue;
            }
            let offset = dy * level.width as isize + dx;
            let source = level.pixels[(field.source[p] as usize).wrapping_add_signed(offset)];
            let (bias, weight) = weights[p];
            let colour = |c: usize| f32::from(source[c]) / STEPS + bias[c];
            all.push([colour(0), colour(1), colour(2), weight]);
        }
    }
}

/// The weighted mean of votes, and their weight.
fn count(votes: &[[f32; 4]], robust: bool) -> [f32; 4] {
    let sum = weighted_sum(votes, |vote| vote[3]);
    if sum[3] <= 0.0 {
        return [0.0; 4];
    }
    let mean = |s: [f32; 4]| [s[0] / s[3], s[1] / s[3], s[2] / s[3]];
    let mut middle = mean(sum);
    if robust {
        for _ in 0..2 {
            middle = mean(weighted_sum(votes, |vote| {
                let far: f32 = (0..3).map(|c| (vote[c] - middle[c]).powi(2)).sum();
                let nearness = 1.0 / (1.0 + far / (3.0 * ROBUST * ROBUST));
                vote[3] * nearness * nearness
            }));
        }
    }
    [middle[0], middle[1], middle[2], sum[3]]
}

/// Σ w·colour, and Σ w.
#[inline(always)]
fn weighted_sum(votes: &[[f32; 4]], weight: impl Fn(&[f32; 4]) -> f32) -> [f32; 4] {
    let mut sum = [0.0; 4];
    for vote in votes {
        let w = weight(vote);
        (0..3).for_each(|c| sum[c] += w * vote[c]);
        sum[3] += w;
    }
    sum
}

/// Writes the votes into the level's hole.
pub(super) fn put(level: &mut Level, votes: &Votes) {
    let width = level.width;
    for (i, vote) in votes.iter().enumerate() {
        let place = level.area.outer(i, width);
        if level.cells[place] == Cell::Hole && vote[3] > 0.0 {
            for (pixel, colour) in level.pixels[place].iter_mut().zip(&vote[..3]) {
                *pixel = (colour * STEPS).round().clamp(0.0, WHITE) as i16;
            }
        }
    }
}
