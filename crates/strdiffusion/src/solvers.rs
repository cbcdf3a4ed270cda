//! Few-step solvers of the mean-reverting SDE on any grid of timesteps.
//!
//! With u = x − μ the process is a variance-preserving diffusion scaled by λ:
//! u_t = α_t u_0 + σ̄_t z. So the exponential integrators of ordinary diffusion apply
//! (DPM-Solver++, Lu et al., 2022; for mean-reverting SDEs MaRS, Li et al., ICLR 2025). Each solver
//! is a pure function of the state at s, the clean estimate û_0 there, and for second order the
//! estimate of the step before.
//!
//! In all of them r = σ̄_t / σ̄_s and h = ln(α_t/σ̄_t) − ln(α_s/σ̄_s), the gain in log-SNR.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::sde::Sde;

/// One step of a grid, from timestep s to an earlier t.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gap {
    /// α_t.
    alpha: f64,
    /// σ̄_t.
    sigma: f64,
    /// r = σ̄_t / σ̄_s.
    ratio: f64,
    /// e^{−h}; 0 where t = 0.
    decay: f64,
}

impl Gap {
    /// Coefficients of the step from `from` to `to`.
    ///
    /// # Panics
    /// Unless `from` > `to`, both within 0..=T.
    pub fn new(sde: &Sde, from: usize, to: usize) -> Self {
        assert!(from > to, "a step goes to an earlier time");
        let ratio = sde.sigma_bar(to) / sde.sigma_bar(from);
        Self {
            alpha: sde.alpha(to),
            sigma: sde.sigma_bar(to),
            ratio,
            decay: ratio * sde.alpha(from) / sde.alpha(to),
        }
    }

    /// h: the gain in log-SNR; infinite where t = 0.
    pub fn log_snr_gain(&self) -> f64 {
        -self.decay.ln()
    }
}

/// First order, deterministic: u_t = r u_s + α_t (1 − e^{−h}) û_0.
pub fn first_order(u: Tensor<4>, clean: Tensor<4>, gap: Gap) -> Tensor<4> {
    u * gap.ratio + clean * (gap.alpha * (1.0 - gap.decay))
}

/// First order, stochastic: u_t = r e^{−h} u_s + α_t (1 − e^{−2h}) û_0 + σ̄_t √(1 − e^{−2h}) z.
///
/// For gaps of one step this is the posterior step.
pub fn first_order_stochastic(u: Tensor<4>, clean: Tensor<4>, gap: Gap, z: Tensor<4>) -> Tensor<4> {
    let rest = 1.0 - gap.decay.powi(2);
    u * (gap.ratio * gap.decay) + clean * (gap.alpha * rest) + z * (gap.sigma * rest.sqrt())
}

/// What second order adds to [`first_order`]: α_t ((e^{−h} − 1)/h + 1) D.
///
/// D = (û_0 at s − û_0 at the step before) · h / h_prev, see [`difference`]. The last step to t = 0
/// is first order: there this is zero.
pub fn second_order_term(difference: Tensor<4>, gap: Gap) -> Tensor<4> {
    let h = gap.log_snr_gain();
    let weight = if h.is_finite() {
        gap.alpha * ((gap.decay - 1.0) / h + 1.0)
    } else {
        0.0
    };
    difference * weight
}

/// What second order adds to [`first_order_stochastic`]: α_t (1 − (1 − e^{−2h})/(2h)) D.
pub fn second_order_stochastic_term(difference: Tensor<4>, gap: Gap) -> Tensor<4> {
    let h = gap.log_snr_gain();
    let weight = if h.is_finite() {
        gap.alpha * (1.0 - (1.0 - gap.decay.powi(2)) / (2.0 * h))
    } else {
        0.0
    };
    difference * weight
}

/// D of the second-order terms.
pub fn difference(clean: Tensor<4>, previous: Tensor<4>, gap: Gap, previous_gap: Gap) -> Tensor<4> {
    let (h, h_previous) = (gap.log_snr_gain(), previous_gap.log_snr_gain());
    let scale = if h.is_finite() { h / h_previous } else { 0.0 };
    (clean - previous) * scale
}

/// Noises a state from timestep `from` to a later `to`, in one draw:
/// u_to = (α_to/α_from) u + √(σ̄_to² − (α_to/α_from)² σ̄_from²) z.
pub fn renoise(sde: &Sde, u: Tensor<4>, from: usize, to: usize, z: Tensor<4>) -> Tensor<4> {
    let keep = sde.alpha(to) / sde.alpha(from);
    let variance = sde.sigma_bar(to).powi(2) - (keep * sde.sigma_bar(from)).powi(2);
    u * keep + z * variance.max(0.0).sqrt()
}

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
    use crate::weights::host_values;
    use burn::tensor::{Device, TensorData};

    fn sde() -> Sde {
        Sde::new(&SdeConfig::default()).unwrap()
    }

    fn tensor(values: &[f32]) -> Tensor<4> {
        Tensor::from_data(
            TensorData::new(values.to_vec(), [1, 1, 1, values.len()]),
            &Device::flex(),
        )
    }

    #[test]
    fn one_step_gaps_are_the_posterior_step() {
        let sde = sde();
        let (u, clean, z) = (
            tensor(&[0.3, -0.2]),
            tensor(&[0.5, 0.1]),
            tensor(&[1.0, -0.4]),
        );
        let zero = u.zeros_like();
        for t in [1, 2, 40, 100] {
            let ours = first_order_stochastic(
                u.clone(),
                clean.clone(),
                Gap::new(&sde, t, t - 1),
                z.clone(),
            );
            let posterior =
                sde.posterior_step(u.clone(), clean.clone(), zero.clone(), t, z.clone());
            for (a, b) in host_values(ours).iter().zip(host_values(posterior)) {
                assert!((a - b).abs() < 1e-6, "t = {t}: {a} against {b}");
            }
        }
    }

    /// With the true clean end every solver lands on the marginal of the same noise.
    #[test]
    fn a_perfect_estimate_leads_along_the_marginal() {
        let sde = sde();
        let (clean, z) = (tensor(&[0.5, -0.3]), tensor(&[0.7, 1.1]));
        let marginal = |t: usize| clean.clone() * sde.alpha(t) + z.clone() * sde.sigma_bar(t);
        for (from, to) in [(100, 50), (50, 1), (60, 0)] {
            let gap = Gap::new(&sde, from, to);
            let ours = host_values(first_order(marginal(from), clean.clone(), gap));
            for (a, b) in ours.iter().zip(host_values(marginal(to))) {
                assert!((a - b).abs() < 1e-6, "{from} to {to}: {a} against {b}");
            }
        }
    }

    #[test]
    fn grids_run_from_the_end_to_zero_without_repeating() {
        let sde = sde();
        for grid in [Grid::Time, Grid::LogSnr, Grid::Halving] {
            for steps in [1, 2, 3, 10, 37, 99, 100, 500] {
                let t = grid.timesteps(&sde, steps).unwrap();
                assert_eq!(t.len(), steps.min(100) + 1);
                assert_eq!((t[0], *t.last().unwrap()), (100, 0));
                assert!(t.windows(2).all(|w| w[0] > w[1]), "{grid:?} {steps}: {t:?}");
            }
            assert!(grid.timesteps(&sde, 0).is_err());
        }
        assert_eq!(Grid::Halving.timesteps(&sde, 3).unwrap(), [100, 50, 25, 0]);
    }
}
