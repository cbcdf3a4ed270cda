//! The command `strdiffusion`: it reads arguments, calls the library, and reports.

#![forbid(unsafe_code)]

mod arithmetic;
mod commands;
mod failure;
mod frames;
mod interrupt;
mod model_source;
mod progress;
mod sampler_options;
mod terminal;
mod training_display;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use strdiffusion::Recycler;
use tracing_subscriber::EnvFilter;

/// Networks free and ask for the same large blocks all the time.
#[global_allocator]
static ALLOCATOR: Recycler = Recycler;

/// Fill holes in photographs with structure-guided diffusion.
#[derive(Parser)]
#[command(name = "strdiffusion", version, max_term_width = 100, after_help = EXIT_CODES)]
struct Arguments {
    /// Compute on at most so many threads [default: as many as the machine offers]
    #[arg(long, global = true, value_name = "N")]
    threads: Option<usize>,
    #[command(subcommand)]
    command: commands::Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 2 the input is at fault, 130 cancelled, 1 anything \
                          else.\nRUST_LOG=debug shows what happens inside.";

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    strdiffusion::when_exhausted(failure::out_of_memory);
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    failure::report(|| {
        if let Some(threads) = arguments.threads {
            strdiffusion::limit_threads(threads)?;
        }
        arguments.command.run()
    })
}
