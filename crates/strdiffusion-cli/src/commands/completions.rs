//! `strdiffusion completions`: what a shell needs to complete the command's options.

use std::io::Write;

use anyhow::Result;
use clap::Args;
use clap_complete::Shell;

/// Print a completion script for a shell
#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Completions {
    /// Shell that the script is for
    #[arg(value_enum)]
    shell: Shell,
}

const EXAMPLES: &str = "Examples:
  strdiffusion completions bash > ~/.local/share/bash-completion/completions/strdiffusion
  strdiffusion completions fish > ~/.config/fish/completions/strdiffusion.fish";

impl Completions {
    pub fn run(self) -> Result<()> {
        let mut script = vec![];
        let mut command = crate::command_line();
        clap_complete::generate(self.shell, &mut command, "strdiffusion", &mut script);
        // A reader that has gone away wants no more.
        let _ = std::io::stdout().write_all(&script);
        Ok(())
    }
}
