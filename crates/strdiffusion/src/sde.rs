//! The mean-reverting SDE, dx = θ_t (μ − x) dt + σ_t dw with σ_t² = 2 λ² θ_t (Luo et al., ICML
//! 2023), on discrete steps t = 0..T.
//!
//! Structure and texture are two processes of the same schedule. Every step is a pure function of
//! a state x, the mean μ it reverts to, and coefficients that [`Sde`] computes once. Noise is an
//! argument, never drawn here.

use burn::tensor::{Tensor, TensorData};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::pytorch_math;

/// How θ runs over time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// θ_t = 1 − f(t+1)/f(0), f(k) = cos²((k/N + s)/(1 + s) · π/2), N = T + 2, s = 0.008.
    #[default]
    Cosine,
    /// T + 1 points from 0.1/(T+1) to 20/(T+1).
    Linear,
    /// All ones.
    Constant,
}

/// How the schedule's coefficients are computed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Arithmetic {
    /// In f64.
    #[default]
    Double,
    /// In f32 and in the reference implementation's order, with PyTorch's cosine and exponential.
    /// It loses digits to cancellation: σ̄_t is off by up to 2e-4 relative at t ≤ 3.
    Single,
}

/// What a network's output means.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Prediction {
    /// The noise ε of the marginal x_t = μ + α_t (x_0 − μ) + σ̄_t ε: the paper's choice.
    #[default]
    Noise,
    /// The clean difference û_0 = x_0 − μ. The same process; near t = T, where the noise form
    /// divides its error by α_t ≈ ε = 0.005, this one does not.
    CleanDifference,
}

/// The timestep of a batch: one for all of its pictures, or one for each.
#[derive(Debug, Clone, Copy)]
pub enum Times<'a> {
    /// All pictures are at this t.
    All(usize),
    /// Picture i is at the i-th t.
    Each(&'a [usize]),
}

impl From<usize> for Times<'_> {
    fn from(t: usize) -> Self {
        Self::All(t)
    }
}

impl<'a> From<&'a [usize]> for Times<'a> {
    fn from(times: &'a [usize]) -> Self {
        Self::Each(times)
    }
}

/// A state of the process: x_t, the μ that it reverts to, and t.
#[derive(Debug, Clone)]
pub struct At<'a> {
    /// x_t, `[b, c, h, w]`.
    pub x: Tensor<4>,
    /// μ, of its shape.
    pub mu: Tensor<4>,
    /// t.
    pub t: Times<'a>,
}

impl<'a> At<'a> {
    /// The state `x` that reverts to `mu`, at `t`.
    pub fn new(x: &Tensor<4>, mu: &Tensor<4>, t: impl Into<Times<'a>>) -> Self {
        Self {
            x: x.clone(),
            mu: mu.clone(),
            t: t.into(),
        }
    }

    /// x_t − μ.
    fn difference(&self) -> Tensor<4> {
        self.x.clone() - self.mu.clone()
    }
}

/// Everything that defines an [`Sde`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SdeConfig {
    /// Shape of θ_t.
    pub schedule: Schedule,
    /// Number of steps T.
    pub steps: usize,
    /// Stationary standard deviation λ, in units of the pictures' range [0, 1]; 30/255 in the
    /// paper.
    pub max_sigma: f64,
    /// ε: what is left of x_0 at t = T.
    pub eps: f64,
    /// Precision of the coefficients.
    #[serde(default)]
    pub arithmetic: Arithmetic,
}

impl Default for SdeConfig {
    /// The paper's: cosine, T = 100, λ = 30/255, ε = 0.005.
    fn default() -> Self {
        Self {
            schedule: Schedule::Cosine,
            steps: 100,
            max_sigma: 30.0 / 255.0,
            eps: 0.005,
            arithmetic: Arithmetic::Double,
        }
    }
}

/// The reference implementation's reading of λ: values of 1 and more are levels of 255.
pub fn max_sigma_from_levels(max_sigma: f64) -> f64 {
    if max_sigma >= 1.0 {
        max_sigma / 255.0
    } else {
        max_sigma
    }
}

/// The schedule's coefficients. All of them are indexed by t = 0..=T.
#[derive(Debug, Clone)]
pub struct Sde {
    thetas: Vec<f64>,
    sigmas: Vec<f64>,
    /// θ̄_t = Σ_{i ≤ t} θ_i − θ_0.
    theta_bars: Vec<f64>,
    sigma_bars: Vec<f64>,
    /// Δ = −ln ε / θ̄_T.
    dt: f64,
    lambda: f64,
    arithmetic: Arithmetic,
}

impl Sde {
    /// Computes the coefficients.
    ///
    /// # Errors
    /// If T, λ or ε is out of range, or `single` arithmetic loses the noise at small t.
    pub fn new(config: &SdeConfig) -> Result<Self> {
        let SdeConfig {
            schedule,
            steps,
            max_sigma: lambda,
            eps,
            arithmetic,
        } = *config;
        if !(2..=100_000).contains(&steps) {
            return Err(Error::Config(format!(
                "T is {steps}: it must be 2 to 100000"
            )));
        }
        if !(lambda > 0.0 && lambda.is_finite()) {
            return Err(Error::Config(format!(
                "max_sigma is {lambda}: it must be above 0"
            )));
        }
        if !(eps > 0.0 && eps < 1.0) {
            return Err(Error::Config(format!(
                "eps is {eps}: it must be between 0 and 1"
            )));
        }
        let sde = match arithmetic {
            Arithmetic::Double => Self::in_double(schedule, steps, lambda, eps),
            Arithmetic::Single => Self::in_single(schedule, steps, lambda, eps),
        };
        if let Some(t) = (1..=steps).find(|&t| sde.sigma_bar(t) == 0.0) {
            return Err(Error::Config(format!(
                "T is {steps}: the noise at t = {t} vanishes in this arithmetic; use a smaller T, \
                 or \"double\" arithmetic"
            )));
        }
        Ok(sde)
    }

    fn in_double(schedule: Schedule, steps: usize, lambda: f64, eps: f64) -> Self {
        let thetas: Vec<f64> = match schedule {
            Schedule::Cosine => {
                let n = (steps + 2) as f64;
                let f = |k: usize| {
                    let phase = (k as f64 / n + 0.008) / 1.008 * std::f64::consts::FRAC_PI_2;
                    phase.cos().powi(2)
                };
                (0..=steps).map(|t| 1.0 - f(t + 1) / f(0)).collect()
            }
            Schedule::Linear => {
                let scale = 1.0 / (steps + 1) as f64;
                let (first, last) = (0.1 * scale, 20.0 * scale);
                (0..=steps)
                    .map(|t| first + (last - first) * t as f64 / steps as f64)
                    .collect()
            }
            Schedule::Constant => vec![1.0; steps + 1],
        };
        let theta_bars: Vec<f64> = thetas
            .iter()
            .scan(-thetas[0], |sum, theta| {
                *sum += theta;
                Some(*sum)
            })
            .collect();
        let dt = -eps.ln() / theta_bars[steps];
        Self {
            sigmas: thetas
                .iter()
                .map(|theta| lambda * (2.0 * theta).sqrt())
                .collect(),
            sigma_bars: theta_bars
                .iter()
                .map(|bar| lambda * (-(-2.0 * bar * dt).exp_m1()).sqrt())
                .collect(),
            thetas,
            theta_bars,
            dt,
            lambda,
            arithmetic: Arithmetic::Double,
        }
    }

    /// The reference implementation's order of f32 operations.
    fn in_single(schedule: Schedule, steps: usize, lambda: f64, eps: f64) -> Self {
        let thetas: Vec<f32> = match schedule {
            Schedule::Cosine => {
                let n = (steps + 2) as f32;
                let f = |k: usize| {
                    let phase = ((k as f32 / n) + 0.008) / 1.008 * std::f32::consts::PI * 0.5;
                    pytorch_math::cos(phase).powi(2)
                };
                let first = f(0);
                (0..=steps).map(|t| 1.0 - f(t + 1) / first).collect()
            }
            Schedule::Linear => {
                let double = Self::in_double(schedule, steps, lambda, eps);
                double.thetas.iter().map(|&theta| theta as f32).collect()
            }
            Schedule::Constant => vec![1.0; steps + 1],
        };
        let mut sum = 0f64; // running sums of f32 are kept in f64 there
        let theta_bars: Vec<f32> = thetas
            .iter()
            .map(|&theta| {
                sum += f64::from(theta);
                sum as f32 - thetas[0]
            })
            .collect();
        let dt = -1.0 / theta_bars[steps] * eps.ln() as f32;
        let variance = (lambda * lambda) as f32;
        let widen = |values: Vec<f32>| values.into_iter().map(f64::from).collect::<Vec<_>>();
        Self {
            sigmas: widen(
                thetas
                    .iter()
                    .map(|theta| ((lambda * lambda * 2.0) as f32 * theta).sqrt())
                    .collect(),
            ),
            sigma_bars: widen(
                theta_bars
                    .iter()
                    .map(|bar| (variance * (1.0 - pytorch_math::exp(-2.0 * bar * dt))).sqrt())
                    .collect(),
            ),
            thetas: widen(thetas),
            theta_bars: widen(theta_bars),
            dt: f64::from(dt),
            lambda,
            arithmetic: Arithmetic::Single,
        }
    }

    /// T.
    pub fn steps(&self) -> usize {
        self.thetas.len() - 1
    }

    /// θ_t.
    pub fn theta(&self, t: usize) -> f64 {
        self.thetas[t]
    }

    /// σ_t = λ √(2 θ_t).
    pub fn sigma(&self, t: usize) -> f64 {
        self.sigmas[t]
    }

    /// θ̄_t.
    pub fn theta_bar(&self, t: usize) -> f64 {
        self.theta_bars[t]
    }

    /// σ̄_t = λ √(1 − e^{−2 θ̄_t Δ}): the marginal's standard deviation.
    pub fn sigma_bar(&self, t: usize) -> f64 {
        self.sigma_bars[t]
    }

    /// α_t = e^{−θ̄_t Δ}: what is left of x_0 − μ at t.
    pub fn alpha(&self, t: usize) -> f64 {
        (-self.theta_bars[t] * self.dt).exp()
    }

    /// Δ.
    pub fn dt(&self) -> f64 {
        self.dt
    }

    /// λ.
    pub fn max_sigma(&self) -> f64 {
        self.lambda
    }

    /// x · f(t), with a scalar for one timestep and a column for one timestep of each picture.
    fn weigh(&self, x: Tensor<4>, t: Times, f: impl Fn(usize) -> f64) -> Tensor<4> {
        match t {
            Times::All(t) => x * f(t),
            Times::Each(times) => {
                let column: Vec<f32> = times.iter().map(|&t| f(t) as f32).collect();
                let data = TensorData::new(column, [times.len(), 1, 1, 1]);
                let column: Tensor<4> = Tensor::from_data(data, &x.device());
                let dtype = x.dtype();
                x * column.cast(dtype)
            }
        }
    }

    /// Mean of the marginal: μ + α_t (x_0 − μ).
    pub fn marginal_mean<'a>(
        &self,
        x0: Tensor<4>,
        mu: Tensor<4>,
        t: impl Into<Times<'a>>,
    ) -> Tensor<4> {
        mu.clone() + self.weigh(x0 - mu, t.into(), |t| self.alpha(t))
    }

    /// A sample of the marginal: its mean + σ̄_t z.
    pub fn marginal<'a>(
        &self,
        x0: Tensor<4>,
        mu: Tensor<4>,
        t: impl Into<Times<'a>>,
        z: Tensor<4>,
    ) -> Tensor<4> {
        let t = t.into();
        self.marginal_mean(x0, mu, t) + self.weigh(z, t, |t| self.sigma_bar(t))
    }

    /// The start state x_T = μ + λ z.
    pub fn start(&self, mu: Tensor<4>, z: Tensor<4>) -> Tensor<4> {
        mu + z * self.lambda
    }

    /// Score s = −ε̂ / σ̄_t.
    pub fn score_from_noise<'a>(&self, noise: Tensor<4>, t: impl Into<Times<'a>>) -> Tensor<4> {
        self.weigh(noise, t.into(), |t| -1.0 / self.sigma_bar(t))
    }

    /// Noise of a state whose clean end is known: (x_t − marginal mean) / σ̄_t.
    pub fn noise_from_clean(&self, at: &At, x0: Tensor<4>) -> Tensor<4> {
        let mean = self.marginal_mean(x0, at.mu.clone(), at.t);
        self.weigh(at.x.clone() - mean, at.t, |t| 1.0 / self.sigma_bar(t))
    }

    /// Clean end of a state whose noise is known: x̂_0 = (x_t − μ − σ̄_t ε̂)/α_t + μ.
    pub fn clean_from_noise(&self, at: &At, noise: Tensor<4>) -> Tensor<4> {
        let noise = self.weigh(noise, at.t, |t| self.sigma_bar(t));
        self.weigh(at.difference() - noise, at.t, |t| 1.0 / self.alpha(t)) + at.mu.clone()
    }

    /// Drift of one forward step: θ_t (μ − x) Δ.
    pub fn drift(&self, at: &At) -> Tensor<4> {
        self.weigh(at.mu.clone() - at.x.clone(), at.t, |t| {
            self.theta(t) * self.dt
        })
    }

    /// Dispersion of one step: σ_t √Δ z.
    pub fn dispersion<'a>(&self, z: Tensor<4>, t: impl Into<Times<'a>>) -> Tensor<4> {
        self.weigh(z, t.into(), |t| self.sigma(t) * self.dt.sqrt())
    }

    /// Forward step: x + θ_t (μ − x) Δ + σ_t √Δ z.
    pub fn forward_step(&self, at: &At, z: Tensor<4>) -> Tensor<4> {
        at.x.clone() + self.drift(at) + self.dispersion(z, at.t)
    }

    /// Drift of the reverse SDE: [θ_t (μ − x) − σ_t² s] Δ.
    pub fn reverse_sde_drift(&self, at: &At, score: Tensor<4>) -> Tensor<4> {
        self.reverse_drift(at, score, 1.0)
    }

    /// Drift of the reverse ODE: [θ_t (μ − x) − ½ σ_t² s] Δ.
    pub fn reverse_ode_drift(&self, at: &At, score: Tensor<4>) -> Tensor<4> {
        self.reverse_drift(at, score, 0.5)
    }

    fn reverse_drift(&self, at: &At, score: Tensor<4>, share: f64) -> Tensor<4> {
        let push = |t: usize| share * self.sigma(t).powi(2) * self.dt;
        self.drift(at) - self.weigh(score, at.t, push)
    }

    /// Mean of the reverse SDE step: x_t minus its drift.
    pub fn reverse_sde_mean(&self, at: &At, score: Tensor<4>) -> Tensor<4> {
        at.x.clone() - self.reverse_sde_drift(at, score)
    }

    /// Reverse SDE step: its mean − σ_t √Δ z.
    pub fn reverse_sde_step(&self, at: &At, score: Tensor<4>, z: Tensor<4>) -> Tensor<4> {
        self.reverse_sde_mean(at, score) - self.dispersion(z, at.t)
    }

    /// Reverse ODE step: deterministic.
    pub fn reverse_ode_step(&self, at: &At, score: Tensor<4>) -> Tensor<4> {
        at.x.clone() - self.reverse_ode_drift(at, score)
    }

    /// Weights of (x_t − μ) and (x_0 − μ) in the optimum reverse state at t − 1:
    /// A (1 − C²)/(1 − B²) and C (1 − A²)/(1 − B²), A = e^{−θ_t Δ}, B = α_t, C = α_{t−1}.
    pub fn optimum_weights(&self, t: usize) -> [f64; 2] {
        let exponents = [self.theta(t), self.theta_bar(t), self.theta_bar(t - 1)];
        match self.arithmetic {
            Arithmetic::Double => {
                let [a, _, c] = exponents.map(|e| (-e * self.dt).exp());
                let [rest_a, rest_b, rest_c] = exponents.map(|e| -(-2.0 * e * self.dt).exp_m1());
                [a * rest_c / rest_b, c * rest_a / rest_b]
            }
            Arithmetic::Single => {
                let [a, b, c] = exponents.map(|e| pytorch_math::exp(-(e as f32) * self.dt as f32));
                let rest = 1.0 - b * b;
                [a * (1.0 - c * c) / rest, c * (1.0 - a * a) / rest].map(f64::from)
            }
        }
    }

    /// Optimum reverse state: the mean of x_{t−1} given x_t and x_0.
    pub fn optimum_step(&self, at: &At, x0: Tensor<4>) -> Tensor<4> {
        let of_state = self.weigh(at.difference(), at.t, |t| self.optimum_weights(t)[0]);
        let of_clean = self.weigh(x0 - at.mu.clone(), at.t, |t| self.optimum_weights(t)[1]);
        of_state + of_clean + at.mu.clone()
    }

    /// Posterior step: the optimum reverse state for x̂_0, plus
    /// λ √((1 − A²)(1 − C²)/(1 − B²)) z.
    pub fn posterior_step(&self, at: &At, x0: Tensor<4>, z: Tensor<4>) -> Tensor<4> {
        self.optimum_step(at, x0) + self.weigh(z, at.t, |t| self.posterior_sigma(t))
    }

    /// Standard deviation of the posterior step.
    pub fn posterior_sigma(&self, t: usize) -> f64 {
        let rest = |exponent: f64| -(-2.0 * exponent * self.dt).exp_m1();
        let [a, b, c] = [self.theta(t), self.theta_bar(t), self.theta_bar(t - 1)].map(rest);
        self.lambda * (a * c / b).sqrt()
    }

    /// The noise that a network's output stands for, at state x_t.
    pub fn noise_from_output(
        &self,
        at: &At,
        output: Tensor<4>,
        prediction: Prediction,
    ) -> Tensor<4> {
        match prediction {
            Prediction::Noise => output,
            Prediction::CleanDifference => self.noise_from_clean(at, output + at.mu.clone()),
        }
    }

    /// The clean end x̂_0 that a network's output stands for, at state x_t.
    pub fn clean_from_output(
        &self,
        at: &At,
        output: Tensor<4>,
        prediction: Prediction,
    ) -> Tensor<4> {
        match prediction {
            Prediction::Noise => self.clean_from_noise(at, output),
            Prediction::CleanDifference => output + at.mu.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sde(schedule: Schedule, steps: usize) -> Sde {
        Sde::new(&SdeConfig {
            schedule,
            steps,
            ..Default::default()
        })
        .unwrap()
    }

    #[test]
    fn eps_of_the_picture_is_left_at_the_end() {
        for schedule in [Schedule::Cosine, Schedule::Linear, Schedule::Constant] {
            for steps in [2, 20, 400] {
                let sde = sde(schedule, steps);
                assert!((sde.alpha(steps) - 0.005).abs() < 1e-12);
                assert_eq!(sde.alpha(0), 1.0);
                assert_eq!(sde.sigma_bar(0), 0.0);
            }
        }
    }

    /// Expected numbers: `sde/schedules.safetensors` of the reference implementation's recorded
    /// numbers, T = 20, cosine, ε = 0.005.
    #[test]
    fn cosine_schedule_is_the_references() {
        let sde = sde(Schedule::Cosine, 20);
        for (t, bar) in [(1, 0.017912850), (10, 0.111675806), (20, 0.117645591)] {
            assert!((sde.sigma_bar(t) / bar - 1.0).abs() < 5e-4, "t = {t}");
        }
    }

    /// The reference implementation's f32, bit for bit: θ_t, θ̄_t of t = 0..T, then the optimum's
    /// weights of t = 1..T, hashed. Expected: PyTorch 2.15.0 on an x86 CPU, by
    /// `scripts/recorded_numbers.py`.
    #[test]
    fn single_coefficients_are_pytorchs_bit_for_bit() {
        for (schedule, steps, expected) in HASHES {
            let sde = Sde::new(&SdeConfig {
                schedule,
                steps,
                arithmetic: Arithmetic::Single,
                ..Default::default()
            })
            .unwrap();
            let times = || 0..=steps;
            let numbers = times()
                .map(|t| sde.theta(t))
                .chain(times().map(|t| sde.theta_bar(t)))
                .chain((1..=steps).flat_map(|t| sde.optimum_weights(t)));
            // FNV-1a
            let hash = numbers
                .flat_map(|number| (number as f32).to_le_bytes())
                .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
                    (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
                });
            assert_eq!(hash, expected, "{schedule:?}, T = {steps}");
        }
    }

    const HASHES: [(Schedule, usize, u64); 8] = [
        (Schedule::Cosine, 50, 0x8205_4730_73c4_b7d2),
        (Schedule::Cosine, 100, 0xe2b2_0a5f_cf44_0539),
        (Schedule::Cosine, 400, 0x8c07_6192_47ae_42a6),
        (Schedule::Cosine, 1000, 0xc457_0e5e_60f7_e992),
        (Schedule::Constant, 50, 0x50ce_f1a2_bee3_c6ec),
        (Schedule::Constant, 100, 0x73c6_b2ef_2b17_d5b3),
        (Schedule::Constant, 400, 0x9ed6_20ce_082c_ab95),
        (Schedule::Constant, 1000, 0x3a39_e99e_c5ca_0d66),
    ];

    #[test]
    fn settings_out_of_range_are_errors() {
        let bad = |change: fn(&mut SdeConfig)| {
            let mut config = SdeConfig::default();
            change(&mut config);
            Sde::new(&config).is_err()
        };
        assert!(bad(|c| c.steps = 1));
        assert!(bad(|c| c.max_sigma = 0.0));
        assert!(bad(|c| c.eps = 1.0));
        assert!(bad(|c| c.eps = f64::NAN));
    }

    #[test]
    fn a_schedule_without_noise_at_small_t_is_an_error() {
        let fine = |steps, arithmetic| {
            let config = SdeConfig {
                steps,
                arithmetic,
                ..Default::default()
            };
            Sde::new(&config).is_ok()
        };
        assert!(fine(1000, Arithmetic::Single));
        assert!(!fine(10_000, Arithmetic::Single));
        assert!(fine(100_000, Arithmetic::Double));
    }
}
