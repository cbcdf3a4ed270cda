//! Schedules and steps.
//!
//! Schedules are checked twice: in the reference's f32 arithmetic (1e-6 of the largest) and in our
//! f64: 1e-5 relative for t ≥ T/2; below, what the recording itself lost to cancellation. The steps
//! run in the f32 arithmetic that they were recorded with.

use std::path::Path;

use burn::tensor::{Device, Tensor};
use strdiffusion::sde::{Arithmetic, At, Schedule, Sde, SdeConfig, max_sigma_from_levels};
use strdiffusion::weights::host_values;
use strdiffusion_testing::{Recording, files, title};

use crate::report::{Report, max_abs};

pub fn check(folder: &Path, device: &Device, report: &mut Report) {
    for path in files(folder, ".safetensors") {
        let name = title(&path);
        match Recording::open(&path) {
            Err(error) => report.broken(&name, &error),
            Ok(recording) => {
                schedules(&name, &recording, report);
                steps(&name, &recording, device, report);
            }
        }
    }
}

fn schedule_named(name: &str) -> Option<Schedule> {
    Some(match name {
        "cosine" => Schedule::Cosine,
        "linear" => Schedule::Linear,
        "constant" => Schedule::Constant,
        _ => return None,
    })
}

/// Reads `T20.cosine`.
fn parse_process(name: &str) -> Option<(usize, Schedule)> {
    let (steps, schedule) = name.split_once('.')?;
    Some((
        steps.strip_prefix('T')?.parse().ok()?,
        schedule_named(schedule)?,
    ))
}

/// Reads `T20.cosine.eps0.005` or `T20.cosine.eps0.005.ms10`; λ in levels of 255.
fn parse_setting(name: &str) -> Option<(SdeConfig, f64)> {
    let (process, rest) = name.split_once(".eps")?;
    let (steps, schedule) = parse_process(process)?;
    let (eps, levels) = match rest.split_once(".ms") {
        Some((eps, levels)) => (eps, levels.parse().ok()?),
        None => (rest, 30.0),
    };
    let config = SdeConfig {
        schedule,
        steps,
        max_sigma: max_sigma_from_levels(levels),
        eps: eps.parse().ok()?,
        arithmetic: Arithmetic::Single,
    };
    Some((config, levels))
}

/// Relative error of what f32 computes as 1 − (nearly 1): a few roundings of 1 against θ_t, and
/// never less than the 5e-4 that the recordings allow at small t.
fn f32_cancellation(theta: f64) -> f64 {
    (4.0 * f64::from(f32::EPSILON) / theta).max(5e-4)
}

fn schedules(file: &str, recording: &Recording, report: &mut Report) {
    for prefix in recording.prefixes_of(".sigma_bars") {
        let case = format!("{file} {prefix}");
        let outcome = (|| -> Result<(), String> {
            let (config, _) = parse_setting(&prefix).ok_or("the name is not understood")?;
            if recording.has(&format!("{prefix}.max_sigma")) {
                let expected = recording.scalar(&format!("{prefix}.max_sigma"))?;
                report.case(
                    &format!("{case} max_sigma"),
                    (config.max_sigma - expected).abs(),
                    1e-12,
                );
            }
            let single = Sde::new(&config).map_err(|e| e.to_string())?;
            let double = Sde::new(&SdeConfig {
                arithmetic: Arithmetic::Double,
                ..config.clone()
            })
            .map_err(|e| e.to_string())?;
            if recording.has(&format!("{prefix}.dt")) {
                let dt = recording.scalar(&format!("{prefix}.dt"))?;
                report.case(&format!("{case} dt"), (single.dt() / dt - 1.0).abs(), 1e-5);
            }
            type Read = fn(&Sde, usize) -> f64;
            let arrays: [(&str, Read); 4] = [
                ("thetas", Sde::theta),
                ("sigmas", Sde::sigma),
                ("thetas_cumsum", Sde::theta_bar),
                ("sigma_bars", Sde::sigma_bar),
            ];
            for (array, read) in arrays {
                let Ok(recorded) = recording.get(&format!("{prefix}.{array}")) else {
                    continue;
                };
                let expected = &recorded.values;
                if expected.len() != config.steps + 1 {
                    return Err(format!("{array} has {} entries", expected.len()));
                }
                let scale = max_abs(expected);
                let (mut of_single, mut late, mut early) = (0f64, 0f64, 0f64);
                for (t, &expected) in expected.iter().enumerate() {
                    of_single = of_single.max((read(&single, t) - expected).abs() / scale);
                    if expected != 0.0 {
                        let relative = (read(&double, t) / expected - 1.0).abs();
                        if 2 * t >= config.steps {
                            late = late.max(relative);
                        } else {
                            early = early.max(relative / f32_cancellation(double.theta(t)));
                        }
                    }
                }
                report.case(&format!("{case} {array} (f32)"), of_single, 1e-6);
                report.case(
                    &format!("{case} {array} (f64, t ≥ T/2, relative)"),
                    late,
                    1e-5,
                );
                report.case(
                    &format!("{case} {array} (f64, t < T/2, of what f32 loses)"),
                    early,
                    1.0,
                );
            }
            Ok(())
        })();
        if let Err(error) = outcome {
            report.broken(&case, &error);
        }
    }
}

fn steps(file: &str, recording: &Recording, device: &Device, report: &mut Report) {
    for process in recording.prefixes_of(".optimal_reverse.out") {
        let case = format!("{file} {process}");
        let outcome = (|| -> Result<(), String> {
            let (steps, schedule) = parse_process(&process).ok_or("the name is not understood")?;
            let config = SdeConfig {
                schedule,
                steps,
                arithmetic: Arithmetic::Single,
                ..Default::default()
            };
            let sde = Sde::new(&config).map_err(|error| error.to_string())?;
            let run = Steps {
                process: &process,
                case: &case,
                recording,
                device,
                sde: &sde,
            };
            run.at_single_times(report)?;
            run.at_vector_times(report)?;
            run.whole_runs(report)
        })();
        if let Err(error) = outcome {
            report.broken(&case, &error);
        }
    }
}

struct Steps<'a> {
    process: &'a str,
    case: &'a str,
    recording: &'a Recording,
    device: &'a Device,
    sde: &'a Sde,
}

impl Steps<'_> {
    fn tensor(&self, name: &str) -> Result<Tensor<4>, String> {
        self.recording
            .tensor(&format!("{}.{name}", self.process), self.device)
    }

    fn compare(&self, name: &str, ours: Tensor<4>, report: &mut Report) -> Result<(), String> {
        let expected = &self
            .recording
            .get(&format!("{}.{name}", self.process))?
            .values;
        let tolerance = 1e-5 * max_abs(expected).max(1e-6);
        report.compare(
            &format!("{} {name}", self.case),
            &host_values(ours),
            expected,
            tolerance,
        );
        Ok(())
    }

    fn at_single_times(&self, report: &mut Report) -> Result<(), String> {
        let sde = self.sde;
        let (x0, mu) = (self.tensor("x0")?, self.tensor("mu")?);
        let start = format!("{}.t", self.process);
        let times: Vec<usize> = self
            .recording
            .prefixes_of(".x")
            .iter()
            .filter_map(|name| name.strip_prefix(&start)?.parse().ok())
            .collect();
        for t in times {
            let at = |name: &str| format!("t{t}.{name}");
            let x = self.tensor(&at("x"))?;
            let score = self.tensor(&at("score"))?;
            let forward_z = self.tensor(&at("forward_step.noise"))?;
            let reverse_z = self.tensor(&at("reverse_sde_step.noise"))?;
            let state = At::new(&x, &mu, t);
            let (x0_, score_) = (|| x0.clone(), || score.clone());
            let noise = sde.noise_from_clean(&state, x0_());
            for (name, ours) in [
                ("mu_bar", sde.marginal_mean(x0_(), mu.clone(), t)),
                ("drift", sde.drift(&state)),
                ("sde_reverse_drift", sde.reverse_sde_drift(&state, score_())),
                ("ode_reverse_drift", sde.reverse_ode_drift(&state, score_())),
                ("forward_step", sde.forward_step(&state, forward_z)),
                (
                    "reverse_sde_step_mean",
                    sde.reverse_sde_mean(&state, score_()),
                ),
                (
                    "reverse_sde_step",
                    sde.reverse_sde_step(&state, score_(), reverse_z),
                ),
                ("reverse_ode_step", sde.reverse_ode_step(&state, score_())),
                ("reverse_optimum_step", sde.optimum_step(&state, x0_())),
                ("real_score", sde.score_from_noise(noise.clone(), t)),
                ("real_noise", noise),
            ] {
                self.compare(&at(name), ours, report)?;
            }
            // It was recorded with the score's array standing in for a noise.
            self.compare(
                &at("score_from_noise"),
                sde.score_from_noise(score_(), t),
                report,
            )?;
            for (name, ours) in [("sigma_bar", sde.sigma_bar(t)), ("weights", sde.alpha(t))] {
                let expected = self
                    .recording
                    .scalar(&format!("{}.t{t}.{name}", self.process))?;
                let relative = (ours / expected - 1.0).abs();
                report.case(
                    &format!("{} t{t}.{name} (relative)", self.case),
                    relative,
                    1e-5,
                );
            }
        }
        Ok(())
    }

    fn at_vector_times(&self, report: &mut Report) -> Result<(), String> {
        let sde = self.sde;
        let (x0, mu, x) = (
            self.tensor("x0")?,
            self.tensor("mu")?,
            self.tensor("vec.x")?,
        );
        let score = self.tensor("vec.score")?;
        let times = self
            .recording
            .get(&format!("{}.vec.t", self.process))?
            .to_times();
        let t = times.as_slice();
        let mean = sde.marginal_mean(x0.clone(), mu.clone(), t);
        self.compare("vec.mu_bar", mean, report)?;
        self.compare(
            "vec.score_from_noise",
            sde.score_from_noise(score.clone(), t),
            report,
        )?;
        let state = At::new(&x, &mu, t);
        let mean = sde.reverse_sde_mean(&state, score);
        self.compare("vec.reverse_sde_step_mean", mean, report)?;
        let optimum = sde.optimum_step(&state, x0);
        self.compare("vec.reverse_optimum_step", optimum, report)
    }

    fn whole_runs(&self, report: &mut Report) -> Result<(), String> {
        let sde = self.sde;
        let (x0, mu) = (self.tensor("x0")?, self.tensor("mu")?);
        let start = sde.start(x0.clone(), self.tensor("noise_state.noise")?);
        self.compare("noise_state", start, report)?;
        let mut x = self.tensor("optimal_reverse.in")?;
        for t in (1..=sde.steps()).rev() {
            x = sde.optimum_step(&At::new(&x, &mu, t), x0.clone());
        }
        self.compare("optimal_reverse.out", x, report)?;
        for (name, times) in [
            ("generate_random_states", "timesteps"),
            ("generate_random_states_texture", "timesteps"),
            ("generate_states", "t"),
        ] {
            let part = |part: &str| self.tensor(&format!("{name}.{part}"));
            let times = self
                .recording
                .get(&format!("{}.{name}.{times}", self.process))?
                .to_times();
            let ours = sde.marginal(part("x0")?, part("mu")?, times.as_slice(), part("noise")?);
            self.compare(&format!("{name}.out"), ours, report)?;
        }
        Ok(())
    }
}
