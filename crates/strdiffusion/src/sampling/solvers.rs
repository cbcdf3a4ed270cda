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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sde::{At, SdeConfig};
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
            let posterior = sde.posterior_step(&At::new(&u, &zero, t), clean.clone(), z.clone());
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

    /// The coefficients of a function of one to three states, found by probing it with units.
    fn coefficients<const N: usize>(f: impl Fn([Tensor<4>; N]) -> Tensor<4>) -> [f64; N] {
        std::array::from_fn(|i| {
            let units = std::array::from_fn(|j| tensor(&[if i == j { 1.0 } else { 0.0 }]));
            f64::from(host_values(f(units))[0])
        })
    }

    fn assert_near(name: &str, found: &[f64], wanted: &[f64]) {
        for (found, wanted) in found.iter().zip(wanted) {
            let error = (found - wanted).abs() / wanted.abs().max(1.0);
            assert!(error < 2e-6, "{name}: {found} against {wanted}");
        }
    }

    const GAPS: [(usize, usize); 6] = [(100, 99), (100, 40), (70, 1), (3, 2), (2, 1), (50, 0)];

    /// DDIM (Song et al., 2021): the noise (u_s − α_s û_0)/σ̄_s stays, so
    /// u_t = α_t û_0 + σ̄_t (u_s − α_s û_0)/σ̄_s.
    #[test]
    fn the_deterministic_step_keeps_the_noise() {
        let sde = sde();
        for (s, t) in GAPS {
            let gap = Gap::new(&sde, s, t);
            let r = sde.sigma_bar(t) / sde.sigma_bar(s);
            let found = coefficients(|[u, clean]| first_order(u, clean, gap));
            assert_near("first order", &found, &[r, sde.alpha(t) - r * sde.alpha(s)]);
        }
    }

    /// Bayes: u_t given û_0 is N(α_t û_0, σ̄_t²), u_s given u_t is N(a u_t, v) with a = α_s/α_t and
    /// v = σ̄_s² − a² σ̄_t²; so u_t given both is N((v α_t û_0 + a σ̄_t² u_s)/σ̄_s², σ̄_t² v/σ̄_s²).
    #[test]
    fn the_stochastic_step_draws_from_the_posterior() {
        let sde = sde();
        for (s, t) in GAPS {
            let gap = Gap::new(&sde, s, t);
            let [from, to] = [s, t].map(|t| sde.sigma_bar(t).powi(2));
            let a = sde.alpha(s) / sde.alpha(t);
            let v = from - a * a * to;
            let wanted = [
                a * to / from,
                v * sde.alpha(t) / from,
                (to * v / from).sqrt(),
            ];
            let found = coefficients(|[u, clean, z]| first_order_stochastic(u, clean, gap, z));
            assert_near("stochastic", &found, &wanted);
        }
    }

    /// The forward transition: mean a u_t, variance v as above.
    #[test]
    fn noising_up_again_is_the_forward_transition() {
        let sde = sde();
        for (s, t) in GAPS {
            let a = sde.alpha(s) / sde.alpha(t);
            let v = sde.sigma_bar(s).powi(2) - (a * sde.sigma_bar(t)).powi(2);
            let found = coefficients(|[u, z]| renoise(&sde, u, t, s, z));
            assert_near("renoise", &found, &[a, v.sqrt()]);
        }
    }

    /// If û_0 is linear in the log-SNR l, û_0(l) = c + d (l − l_s), the exact solution of the
    /// process is u_t = r u_s + α_t ∫ e^(l − l_t) û_0 dl (deterministic) or
    /// r e^{−h} u_s + 2 α_t ∫ e^{2(l − l_t)} û_0 dl (mean of the stochastic one). The terms with d,
    /// integrated here by Simpson's rule, are what second order adds.
    #[test]
    fn second_order_is_exact_where_the_estimate_is_linear_in_the_log_snr() {
        let sde = sde();
        for (s, t) in GAPS.into_iter().filter(|&(_, t)| t > 0) {
            let gap = Gap::new(&sde, s, t);
            let h = gap.log_snr_gain();
            let integral = |power: f64| -> f64 {
                let f = |x: f64| power * (power * (x - h)).exp() * x; // x = l − l_s
                let n: i32 = 2000;
                let weight = |i: i32| {
                    if i == 0 || i == n {
                        1.0
                    } else {
                        2.0 + 2.0 * f64::from(i % 2)
                    }
                };
                let sum: f64 = (0..=n)
                    .map(|i| weight(i) * f(h * f64::from(i) / f64::from(n)))
                    .sum();
                sum * h / f64::from(n) / 3.0
            };
            // D of the terms is d · h.
            let [plain] = coefficients(|[d]| second_order_term(d * h, gap));
            let [stochastic] = coefficients(|[d]| second_order_stochastic_term(d * h, gap));
            let wanted = [1.0, 2.0].map(|power| sde.alpha(t) * integral(power));
            assert_near("second order", &[plain, stochastic], &wanted);
        }
    }

    #[test]
    fn the_difference_is_scaled_from_the_gap_before_to_this_one() {
        let sde = sde();
        let (before, gap) = (Gap::new(&sde, 90, 70), Gap::new(&sde, 70, 30));
        let ratio = gap.log_snr_gain() / before.log_snr_gain();
        let found = coefficients(|[clean, previous]| difference(clean, previous, gap, before));
        assert_near("difference", &found, &[ratio, -ratio]);
    }

    #[test]
    fn the_last_step_is_first_order() {
        let sde = sde();
        let (before, last) = (Gap::new(&sde, 60, 20), Gap::new(&sde, 20, 0));
        assert_eq!(last.log_snr_gain(), f64::INFINITY);
        let d = difference(tensor(&[3.0]), tensor(&[1.0]), last, before);
        for term in [second_order_term, second_order_stochastic_term] {
            assert_eq!(host_values(term(d.clone(), last)), [0.0]);
        }
    }

    /// A process whose answers are known: clean pictures N(m, q²), so that V_t = α_t² q² + σ̄_t² is
    /// the variance at t, and û_0 = m + α_t q²/V_t (u_t − α_t m) the best estimate.
    struct Known {
        sde: Sde,
        steps: usize,
    }

    impl Known {
        const M: f64 = 0.6;
        const Q: f64 = 0.5;
        const END: usize = 2_000;

        fn new(steps: usize) -> Self {
            let sde = Sde::new(&SdeConfig {
                steps: 20_000,
                max_sigma: 1.0,
                eps: 0.05,
                ..SdeConfig::default()
            });
            let sde = sde.unwrap();
            Self { sde, steps }
        }

        fn variance(&self, t: usize) -> f64 {
            (self.sde.alpha(t) * Self::Q).powi(2) + self.sde.sigma_bar(t).powi(2)
        }

        /// How û_0 follows u.
        fn slope(&self, t: usize) -> f64 {
            self.sde.alpha(t) * Self::Q.powi(2) / self.variance(t)
        }

        /// Timesteps and gaps of a uniform grid from T to END.
        fn grid(&self) -> Vec<(usize, Gap)> {
            let last = self.sde.steps();
            let time = |i: usize| last - (last - Self::END) * i / self.steps;
            (0..self.steps)
                .map(|i| (time(i), Gap::new(&self.sde, time(i), time(i + 1))))
                .collect()
        }
    }

    fn assert_order(error: impl Fn(usize) -> f64, order: f64) {
        let observed = (error(40) / error(80)).log2();
        assert!(
            (observed - order).abs() < 0.15,
            "order {observed:.2} where {order} is due"
        );
    }

    /// Exact: u_t − α_t m = √(V_t/V_T) (u_T − α_T m).
    #[test]
    fn the_deterministic_error_shrinks_with_the_order_of_the_solver() {
        let error = |steps: usize, second: bool| -> f64 {
            let known = Known::new(steps);
            let (sde, start) = (&known.sde, 1.3);
            let mut u = tensor(&[start as f32]);
            let mut before: Option<(Tensor<4>, Gap)> = None;
            for (s, gap) in known.grid() {
                let apart = u.clone() - sde.alpha(s) * Known::M;
                let clean = apart * known.slope(s) + Known::M;
                let mut next = first_order(u, clean.clone(), gap);
                if let (true, Some((previous, previous_gap))) = (second, before) {
                    let d = difference(clean.clone(), previous, gap, previous_gap);
                    next = next + second_order_term(d, gap);
                }
                (u, before) = (next, Some((clean, gap)));
            }
            let mean = |t: usize| sde.alpha(t) * Known::M;
            let ratio = known.variance(Known::END) / known.variance(sde.steps());
            let exact = mean(Known::END) + ratio.sqrt() * (start - mean(sde.steps()));
            (f64::from(host_values(u)[0]) - exact).abs()
        };
        assert_order(|steps| error(steps, false), 1.0);
        assert_order(|steps| error(steps, true), 2.0);
    }

    /// The variance of u_t from one u_T, exact: V_t − (α_T/α_t)² V_t²/V_T. A step is linear in u,
    /// the estimate before and z, so that the solver's variance follows from its coefficients.
    #[test]
    fn the_stochastic_variance_converges_with_the_order_of_the_solver() {
        let error = |steps: usize, second: bool| -> f64 {
            let known = Known::new(steps);
            let sde = &known.sde;
            // Variance of u, its covariance with the estimate before, variance of that.
            let (mut uu, mut uc, mut cc) = (0.0, 0.0, 0.0);
            let mut before = None;
            for (s, gap) in known.grid() {
                let k = known.slope(s);
                let [a, b, c] = coefficients(|[u, previous, z]| {
                    let clean = u.clone() * k;
                    let first = first_order_stochastic(u, clean.clone(), gap, z);
                    match before {
                        Some(previous_gap) if second => {
                            let d = difference(clean, previous, gap, previous_gap);
                            first + second_order_stochastic_term(d, gap)
                        }
                        _ => first,
                    }
                });
                (uu, uc, cc) = (
                    a * a * uu + 2.0 * a * b * uc + b * b * cc + c * c,
                    k * (a * uu + b * uc),
                    k * k * uu,
                );
                before = Some(gap);
            }
            let (last, end) = (sde.steps(), Known::END);
            let covariance = sde.alpha(last) / sde.alpha(end) * known.variance(end);
            let exact = known.variance(end) - covariance.powi(2) / known.variance(last);
            (uu - exact).abs()
        };
        assert_order(|steps| error(steps, false), 1.0);
        assert_order(|steps| error(steps, true), 2.0);
    }
}
