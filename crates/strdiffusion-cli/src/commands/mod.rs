//! One file for each command: its arguments, and `run`.

mod bench;
mod completions;
pub mod eval;
mod experiment;
mod import;
mod info;
mod inpaint;
mod man;
mod masks;
mod merge_results;
mod serve;
mod train;

use clap::Subcommand;

/// The commands.
#[derive(Subcommand)]
pub enum Command {
    Inpaint(inpaint::Inpaint),
    Serve(serve::Serve),
    Train(train::Train),
    Eval(eval::Eval),
    Experiment(experiment::Experiment),
    MergeResults(merge_results::MergeResults),
    Masks(masks::Masks),
    Import(import::Import),
    Info(info::Info),
    Bench(bench::Bench),
    Completions(completions::Completions),
    Man(man::Man),
}

impl Command {
    /// Does what was asked for.
    ///
    /// # Errors
    /// See [`crate::failure`].
    pub fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Inpaint(command) => command.run(),
            Self::Serve(command) => command.run(),
            Self::Train(command) => command.run(),
            Self::Eval(command) => command.run(),
            Self::Experiment(command) => command.run(),
            Self::MergeResults(command) => command.run(),
            Self::Masks(command) => command.run(),
            Self::Import(command) => command.run(),
            Self::Info(command) => command.run(),
            Self::Bench(command) => command.run(),
            Self::Completions(command) => command.run(),
            Self::Man(command) => command.run(),
        }
    }
}
