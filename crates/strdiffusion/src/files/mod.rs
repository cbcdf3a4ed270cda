//! Files on disk: written whole or not at all, and found in folders.

pub(crate) mod whole;

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Writes a file so that it is either there as a whole or not at all; on any error what was there
/// before stays.
///
/// # Errors
/// If the folder cannot be written to, or the disk is full.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    write_atomically_with(path, |file| file.write_all(bytes))
}

/// As [`write_atomically`], for what is too much to hold in memory.
///
/// # Errors
/// If the file cannot be written, or `write` fails.
pub fn write_atomically_with(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
) -> Result<()> {
    let failed = |error| Error::io(path, error);
    whole::replace(path, failed, |file| write(file).map_err(failed))
}

/// Files of a folder, and of all folders in it, whose names end like pictures; sorted. A folder that
/// links lead to again is listed once, and pipes and devices, which might never end, are left out.
///
/// # Errors
/// If the folder cannot be read.
pub fn list_pictures(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = vec![];
    let mut folders = vec![folder.to_path_buf()];
    let mut seen = BTreeSet::new();
    while let Some(current) = folders.pop() {
        let real = current.canonicalize();
        if !seen.insert(real.map_err(|error| Error::io(&current, error))?) {
            continue;
        }
        let entries = std::fs::read_dir(&current).map_err(|error| Error::io(&current, error))?;
        for entry in entries {
            let path = entry.map_err(|error| Error::io(&current, error))?.path();
            if path.is_dir() {
                folders.push(path);
            } else if looks_like_a_picture(&path) && may_be_opened(&path) {
                paths.push(path);
            }
        }
    }
    paths.sort();
    Ok(paths)
}

/// A link that leads nowhere may: what is wrong with it is said then.
fn may_be_opened(path: &Path) -> bool {
    std::fs::metadata(path).map_or(true, |kind| kind.is_file())
}

fn looks_like_a_picture(path: &Path) -> bool {
    const ENDINGS: [&str; 7] = ["png", "jpg", "jpeg", "webp", "tif", "tiff", "bmp"];
    let ending = path
        .extension()
        .unwrap_or_default()
        .to_string_lossy()
        .to_lowercase();
    ENDINGS.contains(&ending.as_str())
}
