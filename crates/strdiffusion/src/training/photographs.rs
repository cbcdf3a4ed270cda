//! Which photographs a run began with, so that it can say when they are others.

use std::collections::BTreeSet;
use std::fmt::{Display, Formatter};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::files::write_atomically;

/// How today's photographs differ from those that the run began with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Changed {
    /// There now, but not then.
    pub added: usize,
    /// There then, but not now, or of another length in bytes.
    pub missing: usize,
}

impl Display for Changed {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let Self { added, missing } = self;
        write!(
            f,
            "these are not the photographs that the run began with ({added} more, {missing} missing \
             or changed); it goes on with them, but not as if nothing had happened"
        )
    }
}

/// Lists files that do not decode in `RUN/skipped.txt`, and says how many there are.
///
/// # Errors
/// If the list cannot be written.
pub fn list_skipped(run: &Path, skipped: &[(PathBuf, String)]) -> Result<Option<String>> {
    if skipped.is_empty() {
        return Ok(None);
    }
    let list = run.join("skipped.txt");
    let lines: String = skipped
        .iter()
        .map(|(_, reason)| format!("{reason}\n"))
        .collect();
    write_atomically(&list, lines.as_bytes())?;
    Ok(Some(format!(
        "{} files were skipped because they do not decode; {} lists them",
        skipped.len(),
        list.display()
    )))
}

/// Writes `RUN/photographs.txt` where it is not there yet, and compares with it where it is.
///
/// A photograph is known by its name and length, not by its folder: a run may go on on another
/// machine.
///
/// # Errors
/// If the list or a photograph cannot be read, or the list cannot be written.
pub fn remember(run: &Path, photos: &[PathBuf]) -> Result<Option<Changed>> {
    let now = photos
        .iter()
        .map(|photo| {
            let length = std::fs::metadata(photo)
                .map_err(|error| Error::io(photo, error))?
                .len();
            let name = photo.file_name().unwrap_or_default().to_string_lossy();
            Ok(format!("{length} {name}"))
        })
        .collect::<Result<BTreeSet<String>>>()?;
    let list = run.join("photographs.txt");
    if !list.is_file() {
        std::fs::create_dir_all(run).map_err(|error| Error::io(run, error))?;
        let lines: String = now.iter().map(|line| format!("{line}\n")).collect();
        write_atomically(&list, lines.as_bytes())?;
        return Ok(None);
    }
    let text = std::fs::read_to_string(&list).map_err(|error| Error::io(&list, error))?;
    let then: BTreeSet<String> = text.lines().map(str::to_owned).collect();
    let changed = Changed {
        added: now.difference(&then).count(),
        missing: then.difference(&now).count(),
    };
    Ok(Some(changed).filter(|changed| changed.added + changed.missing > 0))
}
