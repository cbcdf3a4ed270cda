//! The command `strdiffusion`: it reads arguments, calls the library, and reports.
//!
//! A library, so that the Python package has the whole command inside.

#![forbid(unsafe_code)]

mod arithmetic;
mod commands;
mod failure;
mod frames;
mod hub;
mod interrupt;
mod model_source;
mod progress;
mod sampler_options;
mod terminal;
mod training_display;

use std::ffi::OsString;
use std::ops::ControlFlow;

use anstream::{AutoStream, ColorChoice};
use clap::{ArgAction, CommandFactory, Parser};
use tracing_subscriber::EnvFilter;

pub use failure::is_users_fault;

/// Fill holes in photographs with structure-guided diffusion.
#[derive(Parser)]
#[command(name = "strdiffusion", version, max_term_width = 100, after_help = EXIT_CODES)]
struct Arguments {
    /// Compute on at most so many threads [default: as many as the machine offers]
    #[arg(long, global = true, value_name = "N")]
    threads: Option<usize>,
    /// No notes, no progress, no word of what is done: only errors, and what was asked for
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Tell what happens inside; twice: more
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,
    #[command(subcommand)]
    command: commands::Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 2 the input is at fault, 130 cancelled, 1 anything \
                          else.\nNO_COLOR=1 keeps colours away.";

impl Arguments {
    /// What is logged: as the options say, else as `RUST_LOG` says, else warnings.
    fn log_filter(&self) -> EnvFilter {
        match (self.quiet, self.verbose) {
            (true, _) => EnvFilter::new("error"),
            (false, 0) => {
                EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"))
            }
            (false, 1) => EnvFilter::new("info"),
            (false, 2) => EnvFilter::new("debug"),
            (false, _) => EnvFilter::new("trace"),
        }
    }
}

/// Does what a command line asks for, and returns the exit code. The first argument is the
/// program's name.
///
/// It is the program: it listens to signals, and may end the process.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // A reader that has gone away is no reason for another exit code.
            let _ = error.print();
            return u8::try_from(error.exit_code()).unwrap_or(1);
        }
    };
    strdiffusion::when_exhausted(failure::out_of_memory);
    let colours = AutoStream::choice(&std::io::stderr());
    tracing_subscriber::fmt()
        .with_env_filter(arguments.log_filter())
        .with_writer(std::io::stderr)
        .with_ansi(colours != ColorChoice::Never)
        .init();
    if arguments.quiet {
        terminal::be_quiet();
    }
    failure::report(|| {
        if let Some(threads) = arguments.threads {
            strdiffusion::limit_threads(threads)?;
        }
        arguments.command.run()
    })
}

/// The command line, for what describes it.
fn command_line() -> clap::Command {
    Arguments::command()
}

/// Does what `strdiffusion eval` does with these options, without a word on stdout or stderr.
/// `is_asked` to stop is asked between network evaluations; `on_progress` gets pictures done and in
/// all, and may stop too.
///
/// # Errors
/// As the command's; [`is_users_fault`] tells whose fault it is.
pub fn evaluate(
    options: impl IntoIterator<Item = OsString>,
    is_asked: &dyn Fn() -> bool,
    on_progress: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> anyhow::Result<()> {
    terminal::be_quiet();
    commands::eval::Eval::parse_options(options)?.run_watched(is_asked, on_progress)
}
