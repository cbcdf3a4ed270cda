//! `strdiffusion man`: manual pages.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, Command};
use strdiffusion::files::write_atomically;

use crate::failure::user_error;

/// Print a manual page, or write all of them
#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Man {
    /// Command whose page to print [default: strdiffusion itself]
    command: Option<String>,
    /// Write the pages of all commands into this folder
    #[arg(short, long, value_name = "DIR", conflicts_with = "command")]
    out: Option<PathBuf>,
}

const EXAMPLES: &str = "Examples:
  strdiffusion man inpaint | man -l -
  strdiffusion man --out ~/.local/share/man/man1";

impl Man {
    pub fn run(self) -> Result<()> {
        let mut root = crate::command_line();
        root.build();
        let Some(folder) = &self.out else {
            let page = page(&self.find(&root)?)?;
            // A reader that has gone away wants no more.
            let _ = std::io::stdout().write_all(&page);
            return Ok(());
        };
        std::fs::create_dir_all(folder)
            .with_context(|| format!("{}: cannot be created", folder.display()))?;
        let mut waiting = vec![root];
        while let Some(command) = waiting.pop() {
            let name = clap_mangen::Man::new(command.clone()).get_filename();
            write_atomically(&folder.join(name), &page(&command)?)?;
            let parts = command.get_subcommands();
            waiting.extend(parts.filter(|part| part.get_name() != "help").cloned());
        }
        Ok(())
    }

    fn find(&self, root: &Command) -> Result<Command> {
        let Some(name) = &self.command else {
            return Ok(root.clone());
        };
        let found = root.find_subcommand(name).cloned();
        found.ok_or_else(|| {
            user_error(format!(
                "{name:?} is no command; strdiffusion --help lists them"
            ))
        })
    }
}

/// A command's page in the language of `man`.
fn page(command: &Command) -> Result<Vec<u8>> {
    let mut page = vec![];
    clap_mangen::Man::new(command.clone()).render(&mut page)?;
    Ok(page)
}
