//! One training step: loss, gradient norms, gradients, and the weights after the step.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{Device, Tensor};
use serde_json::Value;
use strdiffusion::conditioning::{Conditioning, Guide};
use strdiffusion::import;
use strdiffusion::objectives::{Batch, MaskedLoss, Objective};
use strdiffusion::sde::{Arithmetic, Prediction, Sde, SdeConfig};
use strdiffusion::training::optimizer::{Adam, gradients, to_host};
use strdiffusion::weights::{TensorMap, collect, host_values};
use strdiffusion_testing::Recording;

use crate::report::{Report, for_each_with_settings, max_abs, max_difference};

const LOSS_TOLERANCE: f64 = 1e-5;
const NORM_TOLERANCE: f64 = 1e-3;
const GRADIENT_TOLERANCE: f64 = 1e-3;
/// Where |g| is not tiny, Adam's first step moves a weight by the learning rate, whatever g is.
const AFTER_TOLERANCE: f64 = 2e-5;

pub fn check(folder: &Path, device: &Device, report: &mut Report) {
    for_each_with_settings(folder, "train", report, |path, name, settings, report| {
        step(folder, path, name, settings, device, report)
    });
}

/// What one step of a network gave, under the reference's names.
struct Outcome {
    loss: f64,
    gradients: TensorMap,
    after: TensorMap,
}

fn step(
    folder: &Path,
    path: &Path,
    name: &str,
    settings: &Value,
    device: &Device,
    report: &mut Report,
) -> Result<(), String> {
    let recording = Recording::open(path)?;
    let checkpoint = settings["checkpoint"]
        .as_str()
        .ok_or("train.json names no checkpoint")?;
    let file = folder.join("nets").join(format!("{checkpoint}.pth"));
    let number = |key: &str| {
        settings[key]
            .as_f64()
            .ok_or_else(|| format!("train.json does not say {key}"))
    };
    let config = SdeConfig {
        steps: number("T")? as usize,
        eps: number("eps")?,
        arithmetic: Arithmetic::Single,
        ..Default::default()
    };
    let sde = Sde::new(&config).map_err(|error| error.to_string())?;
    let device = device.clone().autodiff();
    let input = |part: &str| recording.tensor(part, &device);
    let mask = input("mask")?;
    let image = input("GT")?;
    let batch = Batch {
        mu: image.clone() * mask.clone(),
        image,
        gray: input("gray")?,
        edges: input("edge")? * mask.clone(),
        mask,
    };
    let times = recording.get("timesteps")?.to_times();
    let noise = input("state_noise")?;
    let objective = Objective {
        guide: Guide::StepAhead,
        structure_gradient: 0.0,
        mismatched_structures: 0.0,
        sde: &sde,
        prediction: Prediction::Noise,
        conditioning: Conditioning::Paper,
        loss: MaskedLoss::default(),
    };

    let outcome = if checkpoint.starts_with("discriminator") {
        let (_, network) = import::discriminator(&file, &device).map_err(|e| e.to_string())?;
        let loss = objective.discriminator_loss(
            &network,
            &batch,
            &times,
            noise,
            input("structure_noise")?,
        );
        finish(
            network,
            loss,
            Adam::discriminator(),
            import::discriminator_name,
        )?
    } else {
        let (sizes, mut network) = import::unet(&file, &device).map_err(|e| e.to_string())?;
        network.iterate_power();
        let loss = if sizes.guided {
            let structure_noise = input("structure_noise")?;
            objective.texture_loss(&network, &batch, &times, noise, structure_noise)
        } else {
            objective.structure_loss(&network, &batch, &times, noise)
        };
        finish(network, loss, Adam::generator(), |ours| {
            import::unet_name(ours, sizes.depth)
        })?
    };
    compare(name, &outcome, &recording, settings, report)
}

fn finish<M: burn::module::Module>(
    network: M,
    loss: Tensor<1>,
    adam: Adam,
    rename: impl Fn(&str) -> String,
) -> Result<Outcome, String> {
    let renamed = |tensors: TensorMap| -> TensorMap {
        tensors
            .into_iter()
            .map(|(name, tensor)| (rename(&name), tensor))
            .collect()
    };
    let grads = gradients(&network, &loss);
    let host = to_host(&network, &grads);
    let after = adam.init().step(1e-4, network, grads);
    Ok(Outcome {
        loss: host_values(loss)[0].into(),
        gradients: renamed(host),
        after: renamed(collect(&after)),
    })
}

fn compare(
    name: &str,
    outcome: &Outcome,
    recording: &Recording,
    settings: &Value,
    report: &mut Report,
) -> Result<(), String> {
    let expected = recording.scalar("loss")?;
    let relative = (outcome.loss / expected - 1.0).abs();
    report.case(&format!("{name} loss (relative)"), relative, LOSS_TOLERANCE);

    let norms: BTreeMap<String, f64> = serde_json::from_value(settings["grad_norms"].clone())
        .map_err(|error| format!("train.json's grad_norms: {error}"))?;
    let mut worst = (String::from("none"), 0f64);
    for (tensor, expected) in &norms {
        let relative = match outcome.gradients.get(tensor) {
            None => f64::INFINITY,
            Some(gradient) => {
                let norm = gradient
                    .values
                    .iter()
                    .map(|&g| f64::from(g).powi(2))
                    .sum::<f64>()
                    .sqrt();
                (norm - expected).abs() / expected.max(1e-12)
            }
        };
        // Also where it is not a number.
        if relative > worst.1 || relative.is_nan() {
            worst = (tensor.clone(), relative);
        }
    }
    report.case(
        &format!(
            "{name} {} gradient norms (relative; worst is {})",
            norms.len(),
            worst.0
        ),
        worst.1,
        NORM_TOLERANCE,
    );

    let (mut gradient_worst, mut after_worst) = (0f64, 0f64);
    let (mut gradient_count, mut after_count) = (0, 0);
    for array in recording.names() {
        let expected = || recording.get(array).map(|recorded| recorded.values.clone());
        if let Some(tensor) = array.strip_prefix("grad.") {
            let expected = expected()?;
            let ours = outcome
                .gradients
                .get(tensor)
                .ok_or(format!("{tensor} has no gradient"))?;
            let scale = max_abs(&expected).max(1e-12);
            gradient_worst = gradient_worst.max(max_difference(&ours.values, &expected) / scale);
            gradient_count += 1;
        } else if let Some(tensor) = array.strip_prefix("after.") {
            let expected = expected()?;
            let ours = &outcome
                .after
                .get(tensor)
                .ok_or(format!("{tensor} is missing"))?
                .values;
            let gradient = outcome.gradients.get(tensor);
            let scale = gradient.map_or(0.0, |g| {
                g.values
                    .iter()
                    .fold(0f64, |max, v| max.max(f64::from(v.abs())))
            });
            for (i, (a, b)) in ours.iter().zip(&expected).enumerate() {
                let tiny = gradient.is_some_and(|g| f64::from(g.values[i].abs()) < 1e-3 * scale);
                if !tiny {
                    after_worst = after_worst.max((f64::from(*a) - b).abs());
                }
            }
            after_count += 1;
        }
    }
    report.case(
        &format!("{name} {gradient_count} gradients (of each largest)"),
        gradient_worst,
        GRADIENT_TOLERANCE,
    );
    report.case(
        &format!("{name} {after_count} tensors after Adam's first step"),
        after_worst,
        AFTER_TOLERANCE,
    );
    Ok(())
}
