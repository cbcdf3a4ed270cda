//! Checks this crate, number for number, against recordings of the reference implementation.
//!
//! ```text
//! cargo run --release --example parity -- FIXTURE_DIR [--device D]
//! ```
//!
//! Runs every kind of recording found in the folder (`sde/`, `nets/`, `prep/`, `traj/`, `train/`),
//! prints one line for each checked case, and exits non-zero if any failed.

mod fixture;
mod nets;
mod prep;
mod report;
mod sde;
mod train;
mod traj;

use std::path::PathBuf;
use std::process::ExitCode;

use report::Report;
use strdiffusion::device::DeviceName;

const USAGE: &str = "usage: parity FIXTURE_DIR [--device auto|cpu|cuda[:i]|vulkan[:i]|metal]";

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
    let (mut folder, mut device) = (None, DeviceName::Cpu);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
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

    let mut report = Report::default();
    sde::check(&folder.join("sde"), &device, &mut report);
    prep::check(&folder.join("prep"), &mut report);
    nets::check(&folder.join("nets"), &device, &mut report);
    train::check(&folder, &device, &mut report);
    traj::check(&folder, &device, &mut report);
    if report.is_empty() {
        return Err(format!("{}: no recordings found", folder.display()));
    }
    Ok(report.finish())
}
