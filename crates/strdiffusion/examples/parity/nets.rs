//! Networks: evaluation, training mode, and the outputs of single blocks.
//!
//! Tolerances are those that the recordings' own f32-against-f64 noise allows: 2e-5 of the largest
//! output for the U-Nets, 1e-5 of max(1, largest) for the discriminator. In bf16, which rounds each
//! operand of a convolution to 8 bits of mantissa, they are 3e-2 and 2e-2.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{Device, Tensor};
use strdiffusion::import;
use strdiffusion::networks::{ConditionalUNet, GuideAlignment, Precision};
use strdiffusion::weights::{collect, host_values};
use strdiffusion_testing::{Recording, files, title};

use crate::report::{Report, max_abs};

/// Of the largest output.
fn unet_tolerance(precision: Precision) -> f64 {
    match precision {
        Precision::F32 => 2e-5,
        _ => 3e-2,
    }
}

/// Of max(1, largest).
fn discriminator_tolerance(precision: Precision) -> f64 {
    match precision {
        Precision::F32 => 1e-5,
        _ => 2e-2,
    }
}

pub fn check(folder: &Path, device: &Device, precision: Precision, report: &mut Report) {
    for path in files(folder, ".pth") {
        let name = title(&path);
        if let Err(error) = checkpoint(&path, &name, device, precision, report) {
            report.broken(&name, &error);
        }
    }
}

/// Finds the recording of a checkpoint: `texture_a.pth` and `texture_a_module.pth` are both
/// recorded in `texture_a_cases.safetensors`, `texture_tiny_module.pth` in
/// `tiny_cases.safetensors`.
fn checkpoint(
    path: &Path,
    name: &str,
    device: &Device,
    precision: Precision,
    report: &mut Report,
) -> Result<(), String> {
    let stem = path
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let stem = stem
        .trim_end_matches("_module")
        .trim_end_matches("_legacyformat")
        .to_string();
    let (kind, family) = stem
        .split_once('_')
        .ok_or("the file's name is not understood")?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let own = folder.join(format!("{stem}_cases.safetensors"));
    let shared = folder.join(format!("{family}_cases.safetensors"));
    let recording = Recording::open(if own.is_file() { &own } else { &shared })
        .map_err(|error| format!("its recording cannot be read: {error}"))?;
    let prefixes: Vec<String> = recording
        .prefixes_of(".out")
        .into_iter()
        .filter(|prefix| own.is_file() || prefix == kind)
        .collect();
    if prefixes.is_empty() {
        return Err("no case was recorded".into());
    }
    if kind == "discriminator" {
        let (_, network) = import::discriminator(path, device).map_err(|e| e.to_string())?;
        let network = precision.of(&network);
        for case in prefixes {
            let part = |part: &str| format!("{case}.{part}");
            let times = times(&recording, &part("t"))?;
            let scores = network.forward(
                &times,
                recording.tensor(&part("x"), device)?,
                recording.tensor(&part("S"), device)?,
            );
            let expected = &recording.get(&part("out"))?.values;
            let tolerance = discriminator_tolerance(precision) * max_abs(expected).max(1.0);
            report.compare(
                &format!("{name} {case}"),
                &host_values(scores),
                expected,
                tolerance,
            );
        }
        return Ok(());
    }
    let (config, network) = import::unet(path, device).map_err(|e| e.to_string())?;
    let network = precision.of(&network);
    for case in prefixes.iter().filter(|case| *case != "inter") {
        let out = forward(&network, &recording, case, device)?;
        let expected = &recording.get(&format!("{case}.out"))?.values;
        let tolerance = unet_tolerance(precision) * max_abs(expected);
        report.compare(&format!("{name} {case}"), &out, expected, tolerance);
        let exact = format!("{case}.out_f64");
        if recording.has(&exact) {
            let expected = &recording.get(&exact)?.values;
            report.compare(&format!("{name} {case} (f64)"), &out, expected, tolerance);
        }
    }
    if recording.has("train.out_1st_call") {
        training_mode(
            name,
            network.clone(),
            config.depth,
            &recording,
            device,
            precision,
            report,
        )?;
    }
    if recording.has("inter.out") {
        blocks(
            name,
            &network,
            config.depth,
            &recording,
            device,
            precision,
            report,
        )?;
    }
    Ok(())
}

fn times(recording: &Recording, name: &str) -> Result<Vec<f32>, String> {
    Ok(recording.get(name)?.to_f32())
}

fn forward(
    network: &ConditionalUNet,
    recording: &Recording,
    case: &str,
    device: &Device,
) -> Result<Vec<f32>, String> {
    let out = forward_watched(network, recording, case, device, &mut |_, _| {})?;
    Ok(host_values(out))
}

fn forward_watched(
    network: &ConditionalUNet,
    recording: &Recording,
    case: &str,
    device: &Device,
    watch: &mut dyn FnMut(&str, &Tensor<4>),
) -> Result<Tensor<4>, String> {
    let part = |part: &str| format!("{case}.{part}");
    let guide = match recording.has(&part("S")) {
        true => Some(recording.tensor(&part("S"), device)?),
        false => None,
    };
    Ok(network.forward_with(
        recording.tensor(&part("xt"), device)?,
        recording.tensor(&part("cond"), device)?,
        None,
        &times(recording, &part("time"))?,
        guide,
        GuideAlignment::Stretched,
        watch,
    ))
}

/// One power iteration before each forward pass, which moves u and v; evaluation uses them as they
/// were stored.
fn training_mode(
    name: &str,
    mut network: ConditionalUNet,
    depth: usize,
    recording: &Recording,
    device: &Device,
    precision: Precision,
    report: &mut Report,
) -> Result<(), String> {
    let ours = forward(&network, recording, "train", device)?;
    let expected = &recording.get("train.out_eval_same_inputs")?.values;
    let tolerance = unet_tolerance(precision) * max_abs(expected);
    report.compare(
        &format!("{name} evaluation of the same"),
        &ours,
        expected,
        tolerance,
    );

    for (call, out) in [("1st", "train.out_1st_call"), ("2nd", "train.out_2nd_call")] {
        network.iterate_power();
        let ours = forward(&network, recording, "train", device)?;
        let expected = &recording.get(out)?.values;
        let tolerance = unet_tolerance(precision) * max_abs(expected);
        report.compare(
            &format!("{name} train, {call} call"),
            &ours,
            expected,
            tolerance,
        );
    }
    for (path, tensor) in collect(&network) {
        let recorded = format!("train.after2.{}", import::unet_name(&path, depth));
        if recording.has(&recorded) {
            let expected = &recording.get(&recorded)?.values;
            report.compare(
                &format!("{name} {recorded}"),
                &tensor.values,
                expected,
                unet_tolerance(precision) * max_abs(expected),
            );
        }
    }
    Ok(())
}

/// Outputs of whole blocks, under the reference's module paths.
fn blocks(
    name: &str,
    network: &ConditionalUNet,
    depth: usize,
    recording: &Recording,
    device: &Device,
    precision: Precision,
    report: &mut Report,
) -> Result<(), String> {
    let mut seen = BTreeMap::new();
    let out = forward_watched(network, recording, "inter.in", device, &mut |path, x| {
        seen.insert(path.to_string(), host_values(x.clone()));
    })?;
    let expected = &recording.get("inter.out")?.values;
    let tolerance = unet_tolerance(precision) * max_abs(expected);
    report.compare(
        &format!("{name} inter.out"),
        &host_values(out),
        expected,
        tolerance,
    );

    for (path, ours) in seen {
        // The name of one of the block's weights, up to the block.
        let theirs = import::unet_name(&format!("{path}.weight"), depth);
        let theirs = theirs.trim_end_matches(".weight").trim_end_matches('.');
        let block: Vec<&str> = theirs.split('.').take(3).collect();
        let recorded = format!("inter.{}", block.join("."));
        let expected = &recording.get(&recorded)?.values;
        let tolerance = unet_tolerance(precision) * max_abs(expected);
        report.compare(&format!("{name} {recorded}"), &ours, expected, tolerance);
    }
    Ok(())
}
