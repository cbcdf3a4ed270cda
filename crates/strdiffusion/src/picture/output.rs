//! Output files: format by extension, and writing that leaves a whole file or none.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use super::PictureError;
use crate::files::whole;

/// A picture format that can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputFormat {
    /// PNG: lossless, 8 or 16 bit, with or without alpha.
    Png,
    /// JPEG: lossy, 8 bit, no alpha.
    Jpeg,
    /// WebP, its lossless kind: 8 bit, with or without alpha.
    WebP,
    /// TIFF: lossless, 8 or 16 bit, with or without alpha.
    Tiff,
    /// BMP: lossless, 8 bit, with or without alpha.
    Bmp,
}

impl OutputFormat {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Png, Self::Jpeg, Self::WebP, Self::Tiff, Self::Bmp];

    /// The format's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Png => "PNG",
            Self::Jpeg => "JPEG",
            Self::WebP => "WebP",
            Self::Tiff => "TIFF",
            Self::Bmp => "BMP",
        }
    }

    /// Whether the format holds 16 bits per channel; the others get 8, rounded.
    pub fn holds_16_bit(self) -> bool {
        matches!(self, Self::Png | Self::Tiff)
    }

    /// Whether the format holds transparency.
    pub fn holds_alpha(self) -> bool {
        self != Self::Jpeg
    }

    /// Longest side that the format can state.
    pub(crate) fn max_side(self) -> usize {
        match self {
            Self::WebP => 16_383,
            Self::Jpeg => 65_535,
            Self::Png | Self::Tiff | Self::Bmp => i32::MAX as usize,
        }
    }
}

/// The format that a file name's extension asks for.
///
/// # Errors
/// [`PictureError::UnknownExtension`].
pub fn output_format(path: &Path) -> Result<OutputFormat, PictureError> {
    let extension = path
        .extension()
        .and_then(|e| e.to_str())
        .map(str::to_ascii_lowercase);
    match extension.as_deref() {
        Some("png") => Ok(OutputFormat::Png),
        Some("jpg" | "jpeg" | "jpe" | "jfif" | "jfi" | "jif") => Ok(OutputFormat::Jpeg),
        Some("webp") => Ok(OutputFormat::WebP),
        Some("tif" | "tiff") => Ok(OutputFormat::Tiff),
        Some("bmp" | "dib") => Ok(OutputFormat::Bmp),
        _ => Err(PictureError::UnknownExtension {
            path: path.to_path_buf(),
        }),
    }
}

/// Checks an output before work is spent on it: a known extension, and a folder in which a file
/// can really be made. Nothing is left behind.
///
/// # Errors
/// [`PictureError::UnknownExtension`] or [`PictureError::Write`].
pub fn check_output(path: &Path) -> Result<OutputFormat, PictureError> {
    let format = output_format(path)?;
    check_place(path)?;
    whole::temporary_beside(path).map_err(|error| PictureError::from_write_io(path, error))?;
    Ok(format)
}

/// Says why no file can be made at `path`, where that is known before trying.
fn check_place(path: &Path) -> Result<(), PictureError> {
    if path.is_dir() {
        return Err(PictureError::from_write(path, "it is a folder"));
    }
    let there = std::fs::symlink_metadata(path).map(|there| there.file_type());
    if there.is_ok_and(|kind| !kind.is_file() && !kind.is_symlink()) {
        return Err(PictureError::from_write(path, "it is no regular file"));
    }
    let folder = whole::folder_of(path);
    if !folder.is_dir() {
        let reason = format!("there is no folder {}", folder.display());
        return Err(PictureError::from_write(path, reason));
    }
    Ok(())
}

/// Writes a picture's file whole or not at all, see [`whole::replace`].
pub(crate) fn write_atomically(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<&mut File>) -> Result<(), PictureError>,
) -> Result<(), PictureError> {
    check_place(path)?;
    whole::replace(
        path,
        |error| PictureError::from_write_io(path, error),
        write,
    )
}
