//! Checks this crate, number for number, against recordings of the reference implementation.
//!
//! ```text
//! cargo run --release --example parity -- FIXTURE_DIR [--bf16] [--device D]
//! ```
//!
//! Runs every kind of recording found in the folder (`sde/`, `nets/`, `prep/`, `traj/`, `train/`),
//! prints one line for each checked case, and exits non-zero if any failed. The repository's own
//! folder is `crates/strdiffusion-testing/recorded`; its test runs with `cargo test`. With `--bf16` only
//! the networks are checked, in bf16, with the tolerances that `nets` states.

mod nets;
mod prep;
mod report;
mod sde;
mod train;
mod traj;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use report::Report;
use strdiffusion::Device;
use strdiffusion::device::DeviceName;
use strdiffusion::networks::Precision;

const USAGE: &str =
    "usage: parity FIXTURE_DIR [--bf16] [--device auto|cpu|cuda[:i]|vulkan[:i]|metal]";

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("parity: {message}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<bool, String> {
    let (mut folder, mut device, mut bf16) = (None, DeviceName::Cpu, false);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--bf16" => bf16 = true,
            "--device" => {
                let name = arguments.next().ok_or(USAGE)?;
                device = name.parse().map_err(|error| format!("{error}"))?;
            }
            other if other.starts_with('-') => return Err(USAGE.into()),
            path if folder.is_none() => folder = Some(PathBuf::from(path)),
            _ => return Err(USAGE.into()),
        }
    }
    let folder = folder.ok_or(USAGE)?;
    if !folder.is_dir() {
        return Err(format!("{}: no such folder", folder.display()));
    }
    let device = device.open().map_err(|error| error.to_string())?;
    let report = if bf16 {
        check_bf16(&folder, &device)
    } else {
        check(&folder, &device)
    };
    if report.is_empty() {
        return Err(format!("{}: no recordings found", folder.display()));
    }
    Ok(report.finish())
}

fn check(folder: &Path, device: &Device) -> Report {
    let mut report = Report::default();
    sde::check(&folder.join("sde"), device, &mut report);
    prep::check(&folder.join("prep"), &mut report);
    nets::check(&folder.join("nets"), device, Precision::F32, &mut report);
    train::check(folder, device, &mut report);
    traj::check(folder, device, &mut report);
    report
}

fn check_bf16(folder: &Path, device: &Device) -> Report {
    let mut report = Report::default();
    nets::check(&folder.join("nets"), device, Precision::Bf16, &mut report);
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the repository's recordings hold; fewer means that one of them is gone.
    const CASES: usize = 425;

    #[test]
    fn the_recorded_numbers_are_met() {
        let report = check(&strdiffusion_testing::recorded(), &Device::flex());
        assert!(report.cases() >= CASES, "only {} cases", report.cases());
        assert!(report.finish());
    }

    #[test]
    fn networks_in_bf16_stay_near_the_recorded_numbers() {
        let report = check_bf16(&strdiffusion_testing::recorded(), &Device::flex());
        assert!(!report.is_empty());
        assert!(report.finish());
    }
}
