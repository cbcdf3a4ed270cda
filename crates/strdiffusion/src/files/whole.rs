//! Files that are there as a whole or not at all.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// `write` fills a temporary file beside `path`, which then takes its name; on any error what was
/// there before stays. `failed` makes the caller's error of the system's.
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

/// `new`, a folder, takes the name of `folder`, and what was there goes to `old`. At no moment is
/// nothing there, where the system can exchange names in one step.
pub(crate) fn replace_folder(new: &Path, folder: &Path, old: &Path) -> io::Result<()> {
    if std::fs::symlink_metadata(folder).is_err() {
        return std::fs::rename(new, folder);
    }
    if exchange(new, folder).is_ok() {
        return std::fs::rename(new, old);
    }
    std::fs::rename(folder, old)?;
    std::fs::rename(new, folder)
}

#[cfg(any(target_os = "linux", target_vendor = "apple"))]
fn exchange(one: &Path, other: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    Ok(renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE)?)
}

#[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
fn exchange(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// How the names of temporary files begin and end.
const PARTIAL: [&str; 2] = [".strdiffusion-", ".part"];

/// Whether a file of that name is what a write that was killed has left.
#[cfg(feature = "eval")]
pub(crate) fn is_partial(name: &str) -> bool {
    name.starts_with(PARTIAL[0]) && name.ends_with(PARTIAL[1])
}

/// A temporary file in the file's own folder, so that the later rename is atomic.
pub(crate) fn temporary_beside(path: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(PARTIAL[0]).suffix(PARTIAL[1]);
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
