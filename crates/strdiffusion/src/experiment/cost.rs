//! What quality costs: every sampler at every number of steps.

use crate::sampling::{FastSampler, PaperSampler, Resampling, Sampler, Solver};

/// A point of the sweep.
#[derive(Debug, Clone, Copy)]
pub struct Trial {
    /// Name of the curve that it belongs to.
    pub curve: &'static str,
    /// Steps.
    pub steps: usize,
    /// The sampler.
    pub sampler: Sampler,
}

/// Numbers of steps, those that a schedule of `total` has.
fn steps(total: usize) -> impl Iterator<Item = usize> + Clone {
    [1, 2, 3, 4, 6, 10, 20, 50, 100]
        .into_iter()
        .filter(move |&steps| steps <= total)
}

/// All trials for a schedule of `total` steps: first and second order, deterministic and
/// stochastic, with and without resampling, and the paper's sampler; else as a model's `own` sampler.
/// Quick ones come first.
pub fn trials(own: Sampler, total: usize) -> Vec<Trial> {
    let curves = [
        ("euler", Solver::Euler, 0),
        ("posterior", Solver::Posterior, 0),
        ("fast", Solver::Multistep, 0),
        ("fast-stochastic", Solver::MultistepStochastic, 0),
        ("fast, resampled", Solver::Multistep, 2),
        ("posterior, resampled", Solver::Posterior, 2),
    ];
    let mut trials: Vec<Trial> = curves
        .into_iter()
        .flat_map(|(curve, solver, resampling_rounds)| {
            steps(total).map(move |steps| Trial {
                curve,
                steps,
                sampler: Sampler::Fast(FastSampler {
                    steps,
                    solver,
                    resampling_rounds,
                    ..own.few_steps()
                }),
            })
        })
        .collect();
    // The authors' own choices for T = 100 where it is T = 100.
    let resampling = Resampling {
        u_max: 10,
        u_min: 2,
        jump: 1,
        re: 2,
    };
    for (curve, resampling) in [("paper", None), ("paper, resampled", Some(resampling))] {
        trials.push(Trial {
            curve,
            steps: total,
            sampler: Sampler::Paper(PaperSampler {
                resampling,
                ..own.paper()
            }),
        });
    }
    trials.sort_by_key(|trial| match trial.sampler {
        Sampler::Fast(_) => 2 * trial.steps,
        Sampler::Paper(_) => trial.steps / 2,
    });
    trials
}
