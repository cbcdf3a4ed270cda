//! The timesteps that a few-step sampler visits.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::sde::Sde;

/// How the timesteps of a coarse grid are spaced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grid {
    /// Uniform in t.
    #[default]
    Time,
    /// Uniform in log-SNR ln(α/σ̄), from T to 1, then the step to 0.
    LogSnr,
    /// T, T/2, T/4, …, then the step to 0: the few times that a network is easily trained on.
    Halving,
    /// T, T/10, T/100, …, then the step to 0: what the first step says of the hole is all but kept,
    /// and the later ones work it out.
    Tenths,
    /// T, T/20, T/400, …, then the step to 0.
    Twentieths,
}

impl Grid {
    /// Timesteps T = t_0 > t_1 > … > t_n = 0 of `steps` steps. Where the grid is so fine that two
    /// would fall together, the later ones move, and there are never more than T steps.
    ///
    /// # Errors
    /// If `steps` is 0.
    pub fn timesteps(self, sde: &Sde, steps: usize) -> Result<Vec<usize>> {
        if steps == 0 {
            return Err(Error::Config("a sampler needs at least 1 step".into()));
        }
        let last = sde.steps();
        let steps = steps.min(last);
        let ideal = |i: usize| -> f64 {
            match self {
                _ if i == steps => 0.0,
                Self::Time => last as f64 * (1.0 - i as f64 / steps as f64),
                Self::Halving => last as f64 * 0.5f64.powi(i as i32),
                Self::Tenths => last as f64 * 0.1f64.powi(i as i32),
                Self::Twentieths => last as f64 * 0.05f64.powi(i as i32),
                Self::LogSnr => {
                    let log_snr = |t: usize| (sde.alpha(t) / sde.sigma_bar(t)).ln();
                    let (first, end) = (log_snr(last), log_snr(1));
                    let share = if steps == 1 {
                        0.0
                    } else {
                        i as f64 / (steps - 1) as f64
                    };
                    let wanted = first + (end - first) * share;
                    let nearest = (1..=last).min_by(|&a, &b| {
                        let distance = |t| (log_snr(t) - wanted).abs();
                        distance(a).total_cmp(&distance(b))
                    });
                    nearest.unwrap_or(last) as f64
                }
            }
        };
        let mut grid = vec![last];
        for i in 1..=steps {
            let previous = grid[i - 1];
            // Strictly earlier than the one before, and leaving room for those that follow.
            let t = (ideal(i).round() as usize).clamp(steps - i, previous - 1);
            grid.push(t);
        }
        Ok(grid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sde::SdeConfig;

    #[test]
    fn grids_run_from_the_end_to_zero_without_repeating() {
        let sde = Sde::new(&SdeConfig::default()).unwrap();
        for grid in [
            Grid::Time,
            Grid::LogSnr,
            Grid::Halving,
            Grid::Tenths,
            Grid::Twentieths,
        ] {
            for steps in [1, 2, 3, 10, 37, 99, 100, 500] {
                let t = grid.timesteps(&sde, steps).unwrap();
                assert_eq!(t.len(), steps.min(100) + 1);
                assert_eq!((t[0], *t.last().unwrap()), (100, 0));
                assert!(t.windows(2).all(|w| w[0] > w[1]), "{grid:?} {steps}: {t:?}");
            }
            assert!(grid.timesteps(&sde, 0).is_err());
        }
        assert_eq!(Grid::Halving.timesteps(&sde, 3).unwrap(), [100, 50, 25, 0]);
        assert_eq!(Grid::Twentieths.timesteps(&sde, 2).unwrap(), [100, 5, 0]);
        assert_eq!(Grid::Tenths.timesteps(&sde, 3).unwrap(), [100, 10, 1, 0]);
    }
}
