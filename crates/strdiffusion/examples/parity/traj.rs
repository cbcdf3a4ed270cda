//! Whole runs of the sampler in its `Reference` mode, with the recorded noise: states, scores,
//! branch decisions and the final picture.

use std::ops::ControlFlow;
use std::path::Path;

use burn::tensor::Device;
use serde_json::Value;
use strdiffusion::conditions::Conditions;
use strdiffusion::model::{Checkpoints, ImportSettings, Model};
use strdiffusion::sampling::{
    Event, PaperSampler, RecordedNoise, Resampling, Switches, Verdict, paper,
};
use strdiffusion::sde::{Arithmetic, Schedule, SdeConfig, max_sigma_from_levels};
use strdiffusion::weights::host_values;
use strdiffusion_testing::{Recording, files};

use crate::report::{Report, for_each_with_settings, max_difference};

const STATE_TOLERANCE: f64 = 1e-3;
const SCORE_TOLERANCE: f64 = 1e-6;

pub fn check(folder: &Path, device: &Device, report: &mut Report) {
    for_each_with_settings(folder, "traj", report, |path, name, settings, report| {
        replay(folder, path, name, settings, device, report)
    });
}

fn number(settings: &Value, key: &str) -> Result<f64, String> {
    settings[key]
        .as_f64()
        .ok_or_else(|| format!("traj.json does not say {key}"))
}

/// The recorded branch code: 0 and 2 accept (from and before u_min), 1 stops, 3 averages.
fn branch_code(verdict: Verdict, round: usize, u_min: usize) -> f64 {
    match verdict {
        Verdict::Accepted if round >= u_min => 0.0,
        Verdict::Accepted => 2.0,
        Verdict::Stopped => 1.0,
        Verdict::Averaged | Verdict::Dropped => 3.0,
    }
}

/// Networks of family `a`, which the runs were recorded with, or the first family there is.
fn checkpoints(folder: &Path, settings: &Value) -> Result<Checkpoints, String> {
    let nets = folder.join("nets");
    let stated = settings["nets"].as_str().map(str::to_string);
    let first = files(&nets, ".pth").iter().find_map(|path| {
        let stem = path.file_stem()?.to_str()?;
        stem.strip_prefix("discriminator_")
            .filter(|family| !family.contains('_'))
            .map(str::to_string)
    });
    let family = match stated {
        Some(family) => family,
        None if nets.join("texture_a.pth").is_file() => "a".into(),
        None => first.ok_or("there are no networks to run it with")?,
    };
    let file = |kind: &str| nets.join(format!("{kind}_{family}.pth"));
    Ok(Checkpoints {
        texture: file("texture"),
        structure: file("structure"),
        discriminator: file("discriminator"),
    })
}

fn replay(
    folder: &Path,
    path: &Path,
    name: &str,
    settings: &Value,
    device: &Device,
    report: &mut Report,
) -> Result<(), String> {
    let recording = Recording::open(path)?;
    let whole = |key: &str| number(settings, key).map(|value| value as usize);
    let schedule = match settings["schedule"].as_str() {
        Some("linear") => Schedule::Linear,
        Some("constant") => Schedule::Constant,
        _ => Schedule::Cosine,
    };
    let resampling = Resampling {
        u_max: whole("u_max")?,
        u_min: whole("u_min")?,
        jump: whole("jump")?,
        re: whole("re")?,
    };
    let sampler = PaperSampler {
        resampling: Some(resampling),
        switches: Switches::reference(),
        ..Default::default()
    };
    let import = ImportSettings {
        sde: SdeConfig {
            schedule,
            steps: whole("T")?,
            eps: number(settings, "eps")?,
            max_sigma: max_sigma_from_levels(number(settings, "max_sigma")?),
            arithmetic: Arithmetic::Single,
        },
        sampling: sampler.into(),
        ..Default::default()
    };
    let model = Model::import(&checkpoints(folder, settings)?, &import, device)
        .map_err(|error| error.to_string())?;

    let input = |part: &str| recording.tensor(&format!("in.{part}"), device);
    let mask = input("mask")?;
    let conditions = Conditions {
        texture: input("GT")? * mask.clone(),
        gray: input("gray")? * mask.clone(),
        edges: input("edge")? * mask.clone(),
        texture_context: None,
        structure_context: None,
        mask,
    };
    let mut draws = vec![];
    while let Ok(draw) = recording.get(&format!("noise.{:04}", draws.len())) {
        let [1, c, h, w] = draw.shape[..] else {
            return Err(format!("a draw has shape {:?}", draw.shape));
        };
        draws.push(([c, h, w], draw.to_f32()));
    }
    let mut noise = RecordedNoise::new(draws);

    let (mut scores, mut score_t, mut score_round) = (vec![], vec![], vec![]);
    let (mut branch_t, mut branch_round, mut branches) = (vec![], vec![], vec![]);
    let mut states = vec![];
    let sampled = paper::sample(&model, &conditions, &sampler, &mut noise, &mut |event| {
        match event {
            Event::Scored {
                t,
                round,
                scores: values,
            } => {
                scores.push(values[0]);
                score_t.push(*t as f32);
                score_round.push(*round as f32);
            }
            Event::Resampled {
                t, round, verdict, ..
            } => {
                branch_t.push(*t as f32);
                branch_round.push(*round as f32);
                branches.push(branch_code(*verdict, *round, resampling.u_min) as f32);
            }
            Event::Step {
                t,
                texture,
                structure,
                ..
            } => {
                for (kind, state) in [("x", texture), ("xs", structure)] {
                    let array = format!("state.{kind}.t{t}");
                    if recording.has(&array) {
                        states.push((array, host_values((*state).clone())));
                    }
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    })
    .map_err(|error| error.to_string())?;

    report.case(
        &format!("{name} draws left over"),
        noise.remaining() as f64,
        0.0,
    );
    let array = |key: &str| recording.get(key).map(|recorded| recorded.values.clone());
    // A branch decided by less than 1e-6 is a tie, which rounding may turn either way.
    let branch_tolerance = if number(settings, "min_margin_Dp_Dn").unwrap_or(1.0) < 1e-6 {
        3.0
    } else {
        0.0
    };
    for (key, ours, tolerance) in [
        ("D.t", &score_t, 0.0),
        ("D.i", &score_round, 0.0),
        ("D.value", &scores, SCORE_TOLERANCE),
        ("branch.t", &branch_t, 0.0),
        ("branch.i", &branch_round, 0.0),
        ("branch.code", &branches, branch_tolerance),
    ] {
        report.compare(&format!("{name} {key}"), ours, &array(key)?, tolerance);
    }
    for (key, ours) in &states {
        report.compare(
            &format!("{name} {key}"),
            ours,
            &array(key)?,
            STATE_TOLERANCE,
        );
    }
    let recorded = recording
        .names()
        .filter(|name| name.starts_with("state."))
        .count();
    report.case(
        &format!("{name} states not reached"),
        (recorded - states.len()) as f64,
        0.0,
    );

    let out = host_values(sampled.composite(&conditions));
    report.compare(
        &format!("{name} out"),
        &out,
        &array("out")?,
        STATE_TOLERANCE,
    );
    if recording.has("out_u8_bgr") {
        let bytes = to_bgr8(&out);
        let difference = max_difference(&bytes, &array("out_u8_bgr")?);
        // Rounding may fall either way where the float is that near to a half.
        report.case(&format!("{name} out_u8_bgr"), difference, 1.0);
    }
    Ok(())
}

/// Planar RGB in [0, 1] to interleaved 8-bit BGR, rounded.
fn to_bgr8(rgb: &[f32]) -> Vec<f32> {
    let area = rgb.len() / 3;
    (0..area)
        .flat_map(|i| [2, 1, 0].map(|c| (rgb[c * area + i].clamp(0.0, 1.0) * 255.0).round()))
        .collect()
}
