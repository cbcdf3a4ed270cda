//! What the discriminator is worth to a model that is there: whether it tells apart what it was trained
//! to, resampling without it, by it and against it, and how it ranks several fills of one hole.

use burn::tensor::{Tensor, TensorData};

use super::measure::{BATCH, Case, Protocol, Watch, prepared, scores, true_structures, truths};
use crate::conditions::{Conditions, paste};
use crate::error::Result;
use crate::model::Model;
use crate::objectives::next_picture;
use crate::sampling::{
    Better, Event, FastSampler, NoiseSource, PaperSampler, Resampling, Sampler, SeededNoise,
    Switches,
};
use crate::sde::At;

/// A row of the table.
#[derive(Debug, Clone)]
pub struct Arm {
    /// Name.
    pub name: String,
    /// Steps of the few-step grid; 0 is the paper's procedure.
    pub steps: usize,
    /// How the model is sampled.
    pub sampler: Sampler,
    /// Whether nothing is resampled.
    pub is_plain: bool,
}

/// The ways to resample: not at all, by fixed rounds (RePaint), as the discriminator's higher score
/// says, and as its lower does (the reference).
pub fn arms(own: FastSampler, steps: usize, rounds: usize, paper: Resampling) -> Vec<Arm> {
    let ways = [
        ("none", None),
        ("fixed", Some(Better::Newest)),
        ("adaptive, the higher score wins", Some(Better::Higher)),
        ("adaptive, the lower score wins", Some(Better::Lower)),
    ];
    let sampler = |way: Option<Better>| match steps {
        0 => Sampler::Paper(PaperSampler {
            resampling: way.map(|_| paper),
            early_until: own.early_until,
            switches: Switches {
                better: way.unwrap_or_default(),
                ..Switches::default()
            },
        }),
        _ => Sampler::Fast(FastSampler {
            steps,
            resampling_rounds: way.map_or(0, |_| rounds),
            better: way.unwrap_or_default(),
            ..own
        }),
    };
    let grid = match steps {
        0 => "the paper's procedure".to_owned(),
        _ => format!("{steps} steps"),
    };
    ways.into_iter()
        .map(|(name, way)| Arm {
            name: format!("{grid}, {name}"),
            steps,
            sampler: sampler(way),
            is_plain: way.is_none(),
        })
        .collect()
}

/// Shares of pictures in which the discriminator prefers the right pair; a coin would say 0.5.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Judgement {
    /// The texture as it should be at t − 1 (y*_{t−1}) against the one at t (y_t), both beside the
    /// structure as it should be: what it was trained to do.
    pub of_steps: f64,
    /// The texture as it should be beside its own structure, against beside another picture's: what
    /// resampling asks of it.
    pub of_structures: f64,
}

/// How well the discriminator judges pairs at timestep t.
///
/// # Errors
/// As [`measure`](super::measure::measure).
pub fn judgement(model: &Model, cases: &[Case], t: usize) -> Result<Judgement> {
    let sde = &model.sde;
    let (mut of_steps, mut of_structures) = (0, 0);
    for (number, batch) in cases.chunks(BATCH).enumerate() {
        let seeded = prepared(model, batch, number, Protocol::default())?;
        let Conditions { texture, edges, .. } = seeded.conditions();
        let seeds: Vec<u64> = (0..batch.len())
            .map(|i| (number * BATCH + i) as u64)
            .collect();
        let mut noise = SeededNoise::new(&seeds);
        let mut noised = |truth: Tensor<4>, mu: &Tensor<4>| -> Result<[Tensor<4>; 2]> {
            let [_, channels, height, width] = truth.dims();
            let draws = (0..batch.len()).map(|i| noise.normal(i, [channels, height, width]));
            let draws = draws.collect::<Result<Vec<_>>>()?.concat();
            let z = Tensor::from_data(TensorData::new(draws, truth.dims()), &truth.device());
            let state = sde.marginal(truth.clone(), mu.clone(), t, z);
            Ok([sde.optimum_step(&At::new(&state, mu, t), truth), state])
        };
        let [optimum, state] = noised(truths(batch, model), texture)?;
        let [structure, _] = noised(true_structures(batch, model)?, edges)?;
        let others = next_picture(&structure);
        let score = |texture, structure| {
            let network = &model.discriminator;
            network.score_each(t as f32, texture, structure)
        };
        let right = score(&optimum, &structure);
        let wins = |wrong: Vec<f32>| right.iter().zip(wrong).filter(|&(&a, b)| a > b).count();
        of_steps += wins(score(&state, &structure));
        of_structures += wins(score(&optimum, &others));
    }
    let share = |count: usize| count as f64 / cases.len() as f64;
    Ok(Judgement {
        of_steps: share(of_steps),
        of_structures: share(of_structures),
    })
}

/// PSNR in the hole of one fill of each hole, means over pictures, dB.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Ranking {
    /// Of all the fills.
    pub mean: f64,
    /// Of those that the discriminator scores highest.
    pub highest_score: f64,
    /// Of those that it scores lowest.
    pub lowest_score: f64,
    /// Of those that are closest to the truth.
    pub best: f64,
}

impl Ranking {
    /// Adds a hole whose fills have these scores and qualities.
    fn add(&mut self, scores: &[f32], psnr: &[f64]) {
        let by_score = |sign: f32| {
            let order = |&a: &usize, &b: &usize| (sign * scores[a]).total_cmp(&(sign * scores[b]));
            (0..scores.len()).max_by(order).map_or(0.0, |i| psnr[i])
        };
        self.mean += psnr.iter().sum::<f64>() / psnr.len() as f64;
        self.highest_score += by_score(1.0);
        self.lowest_score += by_score(-1.0);
        self.best += psnr.iter().copied().fold(f64::MIN, f64::max);
    }
}

/// The discriminator scores pairs at t − 1 of states at t; a finished pair is what the last step of
/// the schedule that it was trained at leads to.
const FINISHED: f32 = 2.0;

/// Fills every hole `candidates` times, picture i with the seeds i, i + 2³², … , and asks the
/// discriminator for the best.
///
/// # Errors
/// As [`measure`](super::measure::measure).
pub fn rank(
    model: &Model,
    sampler: &Sampler,
    cases: &[Case],
    candidates: usize,
    watch: &mut Watch,
) -> Result<Ranking> {
    let mut ranking = Ranking::default();
    for (number, batch) in cases.chunks(BATCH).enumerate() {
        let mut fills: Vec<(Vec<f32>, Vec<f64>)> = vec![Default::default(); batch.len()];
        for candidate in 0..candidates as u64 {
            let mut seeded = prepared(model, batch, number, Protocol::repetition(candidate))?;
            let sampled = seeded.sample(sampler, &mut |event: &Event| watch(batch, event))?;
            let conditions = seeded.conditions();
            let texture = sampled.composite(conditions);
            let structure = paste(sampled.structure, conditions.gray.clone(), &conditions.mask);
            let qualities = scores(batch, &texture)?;
            let judged = (model.discriminator).score_each(FINISHED, &texture, &structure);
            for ((fill, score), (psnr, _)) in fills.iter_mut().zip(judged).zip(qualities) {
                fill.0.push(score);
                fill.1.push(psnr);
            }
        }
        for (scores, psnr) in &fills {
            ranking.add(scores, psnr);
        }
    }
    let count = cases.len() as f64;
    Ok(Ranking {
        mean: ranking.mean / count,
        highest_score: ranking.highest_score / count,
        lowest_score: ranking.lowest_score / count,
        best: ranking.best / count,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ways differ in what they do, on both grids, and are settings that samplers take.
    #[test]
    fn every_way_resamples_as_its_name_says() {
        let paper = Resampling {
            u_max: 3,
            u_min: 1,
            jump: 1,
            re: 1,
        };
        for steps in [0, 3] {
            let arms = arms(FastSampler::default(), steps, 2, paper);
            let deciding: Vec<_> = arms
                .iter()
                .map(|arm| {
                    arm.sampler.validate().unwrap();
                    match arm.sampler {
                        Sampler::Paper(s) => (s.resampling.is_some(), s.switches.better),
                        Sampler::Fast(s) => (s.resampling_rounds > 0, s.better),
                    }
                })
                .collect();
            assert_eq!(
                deciding,
                [
                    (false, Better::Higher),
                    (true, Better::Newest),
                    (true, Better::Higher),
                    (true, Better::Lower)
                ]
            );
        }
    }

    /// Two holes, three fills each; by hand.
    #[test]
    fn a_ranking_takes_the_fills_that_the_scores_name() {
        let mut ranking = Ranking::default();
        ranking.add(&[0.5, -1.0, 2.0], &[20.0, 18.0, 19.0]);
        ranking.add(&[0.0, 1.0, -1.0], &[21.0, 24.0, 30.0]);
        assert_eq!(
            ranking,
            Ranking {
                mean: 19.0 + 25.0,
                highest_score: 19.0 + 24.0,
                lowest_score: 18.0 + 30.0,
                best: 20.0 + 30.0,
            }
        );
    }
}
