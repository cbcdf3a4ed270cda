//! What can be wrong with a picture, said in one line: which file, what, and what to do.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// An error of reading, combining or writing pictures.
///
/// All but [`Self::BufferLength`], [`Self::Channels`] and [`Self::NotFinite`] are the user's to
/// put right, and their text says how.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PictureError {
    /// No such file.
    #[error("{}: no such file; check the path", path.display())]
    Missing {
        /// The path that was asked for.
        path: PathBuf,
    },
    /// A folder where a file is needed.
    #[error("{}: is a folder; name a picture file", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
    },
    /// A file of zero bytes.
    #[error("{}: the file is empty; copy or export it again", path.display())]
    EmptyFile {
        /// The file.
        path: PathBuf,
    },
    /// The content is no picture format that this library knows.
    #[error("{}: not a picture; use PNG, JPEG, WebP, TIFF or BMP", path.display())]
    NotAPicture {
        /// The file.
        path: PathBuf,
    },
    /// A picture of a format or kind that is not read.
    #[error("{}: {what} is not supported; convert it to an 8- or 16-bit PNG", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What is not supported.
        what: String,
    },
    /// The file ends early or its content contradicts itself.
    #[error("{}: truncated or damaged ({reason}); copy or export it again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the decoder found.
        reason: String,
    },
    /// The header promises more pixels than the limits allow. Nothing was allocated.
    #[error(
        "{}: {width}x{height} pixels is over the limit of {limit}; shrink it or raise the limit",
        path.display()
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Width that the header states.
        width: u32,
        /// Height that the header states.
        height: u32,
        /// The limit that is exceeded, in words.
        limit: String,
    },
    /// The system could not read the file.
    #[error("{}: cannot be read ({source}); check the file and its permissions", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The output could not be written. No partial file is left behind.
    #[error("{}: cannot be written ({reason}); choose another place or free some space", path.display())]
    Write {
        /// The output.
        path: PathBuf,
        /// What went wrong.
        reason: String,
    },
    /// The output's extension names no format that this library writes.
    #[error("{}: unknown output format; end the name in .png, .jpg, .webp, .tif or .bmp", path.display())]
    UnknownExtension {
        /// The output.
        path: PathBuf,
    },
    /// The output format cannot hold this photograph.
    #[error("{}: {format} cannot hold {what}; write a .png or .tif instead", path.display())]
    CannotHold {
        /// The output.
        path: PathBuf,
        /// The format.
        format: &'static str,
        /// What it cannot hold.
        what: String,
    },
    /// The output exists and must not be overwritten.
    #[error("{}: exists already; choose an empty folder or move it away", path.display())]
    Exists {
        /// The output.
        path: PathBuf,
    },
    /// Two pictures that belong together differ in size.
    #[error(
        "{what} is {width}x{height} pixels but {other} is {other_width}x{other_height}; give both the same size"
    )]
    SizeMismatch {
        /// The first picture, in words.
        what: String,
        /// Its width.
        width: usize,
        /// Its height.
        height: usize,
        /// The second picture, in words.
        other: String,
        /// Its width.
        other_width: usize,
        /// Its height.
        other_height: usize,
    },
    /// A photograph without an alpha channel was asked for its transparent pixels.
    #[error("{name} has no transparent pixels to take the hole from; name a mask")]
    NoAlpha {
        /// The photograph, in words.
        name: String,
    },
    /// A drawing of edges that is bright nearly everywhere: black lines on white, it seems.
    #[error(
        "{name}: most of the drawing is bright, but bright means edge; draw white lines on black"
    )]
    BrightDrawing {
        /// The drawing, in words.
        name: String,
    },
    /// A width or height of zero.
    #[error("a picture of {width}x{height} pixels is empty; both sides must be at least 1")]
    EmptySize {
        /// The width.
        width: usize,
        /// The height.
        height: usize,
    },
    /// A caller's buffer has another length than its stated size.
    #[error("the buffer holds {found} values where its size needs {expected}")]
    BufferLength {
        /// Values found.
        found: usize,
        /// Values that the stated size needs.
        expected: usize,
    },
    /// A channel count that an operation does not take.
    #[error("a picture of {found} channels was given where 1 or 3 are needed")]
    Channels {
        /// Channels found.
        found: usize,
    },
    /// A result that holds NaN or infinity.
    #[error(
        "the result holds a value that is not finite at column {x}, row {y}; nothing was written"
    )]
    NotFinite {
        /// Column of the first such pixel.
        x: usize,
        /// Row of the first such pixel.
        y: usize,
    },
}

impl PictureError {
    /// Checks that a buffer is as long as the product of its dimensions.
    pub(crate) fn check_buffer(found: usize, dimensions: &[usize]) -> Result<(), Self> {
        let expected = dimensions
            .iter()
            .try_fold(1usize, |product, &d| product.checked_mul(d))
            .unwrap_or(usize::MAX);
        if found == expected {
            Ok(())
        } else {
            Err(Self::BufferLength { found, expected })
        }
    }

    /// The system's refusal to read `path`, told apart by what a user can do about it.
    pub(crate) fn from_read(path: &Path, source: io::Error) -> Self {
        let path = path.to_path_buf();
        match source.kind() {
            io::ErrorKind::NotFound => Self::Missing { path },
            io::ErrorKind::IsADirectory => Self::Folder { path },
            _ => Self::Read { path, source },
        }
    }

    /// A failure to write `path`.
    pub(crate) fn from_write(path: &Path, reason: impl ToString) -> Self {
        Self::Write {
            path: path.to_path_buf(),
            reason: reason.to_string(),
        }
    }
}

/// An error's text on one line.
pub(super) fn one_line(error: &dyn std::error::Error) -> String {
    error
        .to_string()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}
