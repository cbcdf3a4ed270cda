//! The program around the command.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use strdiffusion::Recycler;

/// Networks free and ask for the same large blocks all the time.
#[global_allocator]
static ALLOCATOR: Recycler = Recycler;

fn main() -> ExitCode {
    strdiffusion_cli::run(std::env::args_os()).into()
}
