//! What can be wrong with a picture, said in one line: which file, what, and what to do.

use std::fmt::{self, Display, Formatter};
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// An error of reading, combining or writing pictures.
///
/// Where it is the user's to put right ([`Self::is_users_fault`]), the text says how.
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
    #[error("{}: not a picture by its content; use PNG, JPEG, WebP, TIFF or BMP", path.display())]
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
        "{}: {width}x{height} pixels is over the limit of {limit}; shrink it",
        path.display()
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Width that the header states.
        width: u32,
        /// Height that the header states.
        height: u32,
        /// The limit that is exceeded.
        limit: Limit,
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
        /// The system's kind of failure, where the system failed.
        kind: Option<io::ErrorKind>,
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
    /// A mask, or a drawing, in which nothing is bright enough to be white, though it is not black.
    #[error(
        "{name}: no pixel is white: the brightest is {brightest} of {most}{colour} and white begins \
         at {white}; paint what is meant in white ({most})"
    )]
    TooDark {
        /// The mask, in words.
        name: String,
        /// Its highest brightness.
        brightest: u32,
        /// The colour that has it, in words; empty for gray.
        colour: String,
        /// The brightness of white.
        most: u32,
        /// The least brightness that counts as white.
        white: u32,
    },
    /// A mask in which black is asked for and nothing is dark enough, though it is not white.
    #[error(
        "{name}: no pixel is black: the darkest is {darkest} of {most} and black ends below \
         {white}; make the hole black (0)"
    )]
    TooBright {
        /// The mask, in words.
        name: String,
        /// Its lowest brightness.
        darkest: u32,
        /// The brightness of white.
        most: u32,
        /// The least brightness that counts as white.
        white: u32,
    },
    /// A mask whose transparent pixels seem to be the hole.
    #[error(
        "{name}: {share:.0} % of the mask is transparent, which is no hole, and {rest}; paint the \
         hole white and all else black, without transparency"
    )]
    TransparentMask {
        /// The mask, in words.
        name: String,
        /// Share of pixels that are transparent, 0 to 100.
        share: f64,
        /// What the other pixels are, in words.
        rest: &'static str,
    },
    /// Mask options that are out of range or contradict each other.
    #[error("{reason}")]
    MaskOption {
        /// Which, and what to do.
        reason: String,
    },
    /// A hole that was shrunk to nothing.
    #[error("nothing is left of the hole when it is shrunk by {pixels} pixels; shrink it less")]
    HoleVanishes {
        /// By how much it was to be shrunk.
        pixels: u32,
    },
    /// A hole that was grown, feather included, until no pixel is known.
    #[error(
        "the hole covers the whole picture when it reaches {pixels} pixels further, so nothing is \
         known to fill it from; grow or feather it less"
    )]
    HoleCovers {
        /// By how much it was to be grown and feathered.
        pixels: u32,
    },
    /// A mask's hole of which nothing would be seen.
    #[error(
        "{name}: every pixel of the hole is transparent and would stay so; leave the mask out to \
         fill what is transparent, or fill the transparency with a colour first"
    )]
    InvisibleHole {
        /// The photograph, in words.
        name: String,
    },
    /// A photograph that is transparent everywhere outside the hole.
    #[error(
        "{name}: all that is not in the hole is transparent, so nothing is known to fill it from"
    )]
    NothingKnown {
        /// The photograph, in words.
        name: String,
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
    /// A mask of what to avoid that leaves nothing.
    #[error(
        "{name}: it is white everywhere, so nothing is left that detail may be copied from; paint only \
         what to avoid white"
    )]
    AllAvoided {
        /// The mask, in words.
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

/// A limit on a picture's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// On the longer side, in pixels.
    Side(u32),
    /// On all pixels.
    Pixels(u64),
}

impl Display for Limit {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Side(most) => write!(f, "{most} pixels per side"),
            Self::Pixels(most) => write!(f, "{most} pixels in all"),
        }
    }
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
            kind: None,
        }
    }

    /// The system's refusal to write `path`.
    pub(crate) fn from_write_io(path: &Path, source: io::Error) -> Self {
        Self::Write {
            path: path.to_path_buf(),
            reason: source.to_string(),
            kind: Some(source.kind()),
        }
    }

    /// Whether what the user gave is at fault, as [`crate::Error::is_users_fault`] has it.
    pub fn is_users_fault(&self) -> bool {
        match self {
            Self::Missing { .. }
            | Self::Folder { .. }
            | Self::EmptyFile { .. }
            | Self::NotAPicture { .. }
            | Self::Unsupported { .. }
            | Self::Damaged { .. }
            | Self::TooLarge { .. }
            | Self::UnknownExtension { .. }
            | Self::CannotHold { .. }
            | Self::Exists { .. }
            | Self::SizeMismatch { .. }
            | Self::TooDark { .. }
            | Self::TooBright { .. }
            | Self::TransparentMask { .. }
            | Self::MaskOption { .. }
            | Self::HoleVanishes { .. }
            | Self::HoleCovers { .. }
            | Self::InvisibleHole { .. }
            | Self::NothingKnown { .. }
            | Self::NoAlpha { .. }
            | Self::BrightDrawing { .. }
            | Self::AllAvoided { .. }
            | Self::EmptySize { .. } => true,
            Self::Read { source, .. } => is_users_path(source.kind()),
            Self::Write { kind, .. } => kind.is_none_or(is_users_path),
            Self::BufferLength { .. } | Self::Channels { .. } | Self::NotFinite { .. } => false,
        }
    }
}

/// Whether the system's refusal is about the path that the user gave.
pub(crate) fn is_users_path(kind: io::ErrorKind) -> bool {
    use io::ErrorKind as K;
    matches!(
        kind,
        K::NotFound
            | K::PermissionDenied
            | K::AlreadyExists
            | K::NotADirectory
            | K::IsADirectory
            | K::DirectoryNotEmpty
            | K::ReadOnlyFilesystem
            | K::InvalidInput
            | K::InvalidFilename
    )
}
