//! Files on disk: written whole or not at all, and found in folders.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::error::{Error, Result};

/// Writes a file so that it is either there as a whole or not at all; on any error what was there
/// before stays.
///
/// # Errors
/// If the folder cannot be written to, or the disk is full.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let failed = |error| Error::io(path, error);
    replace(path, failed, |file| file.write_all(bytes).map_err(failed))
}

/// As [`write_atomically`]: `write` fills a temporary file beside `path`, which then takes its
/// name; `failed` makes the caller's error of the system's.
pub(crate) fn replace<E>(
    path: &Path,
    failed: impl Fn(io::Error) -> E,
    write: impl FnOnce(&mut BufWriter<&mut File>) -> Result<(), E>,
) -> Result<(), E> {
    let mut temporary = temporary_beside(path).map_err(&failed)?;
    let mut buffered = BufWriter::new(temporary.as_file_mut());
    write(&mut buffered)?;
    buffered.flush().map_err(&failed)?;
    drop(buffered);
    // A power cut between the rename and the data would otherwise leave an empty file.
    temporary.as_file().sync_all().map_err(&failed)?;
    temporary
        .persist(path)
        .map_err(|error| failed(error.error))?;
    Ok(())
}

/// A temporary file in the file's own folder, so that the later rename is atomic.
pub(crate) fn temporary_beside(path: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".strdiffusion-").suffix(".part");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // A private temporary file would stay private; the user's umask decides instead.
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder_of(path))
}

/// The folder that a file lies in, as a path that can be opened.
pub(crate) fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

/// Files of a folder, and of all folders in it, whose names end like pictures; sorted.
///
/// # Errors
/// If the folder cannot be read.
pub fn list_pictures(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = vec![];
    let mut folders = vec![folder.to_path_buf()];
    while let Some(current) = folders.pop() {
        let entries = std::fs::read_dir(&current).map_err(|error| Error::io(&current, error))?;
        for entry in entries {
            let path = entry.map_err(|error| Error::io(&current, error))?.path();
            if path.is_dir() {
                folders.push(path);
            } else if looks_like_a_picture(&path) {
                paths.push(path);
            }
        }
    }
    paths.sort();
    Ok(paths)
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
