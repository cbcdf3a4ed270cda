//! Reading: from a file's bytes to an upright photograph within the limits.

mod jpeg;
mod jpeg_scan;
pub(super) mod png;
mod tiff;
mod webp;

use std::fmt::Display;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader};

use super::colour::{self, Model};
use super::exif;
use super::metadata::{Metadata, Resolution, Unit, upright_xmp};
use super::output::OutputFormat;
use super::samples::check_kind;
use super::{Limits, Photo, PictureError};

/// What stands before XMP in a JPEG's segment.
pub(super) const XMP_NAME: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";

/// A file's picture as it lies there.
struct Decoded {
    image: DynamicImage,
    /// How it is to be turned, 1 to 8 (Exif 2.32, 4.6.4 A).
    orientation: u8,
    metadata: Metadata,
    notes: Vec<String>,
}

/// The format of a file by its first bytes.
fn format_of(start: &[u8], path: &Path) -> Result<OutputFormat, PictureError> {
    // The second is BigTIFF.
    if start.starts_with(b"II+\0") || start.starts_with(b"MM\0+") {
        return Ok(OutputFormat::Tiff);
    }
    match image::guess_format(start) {
        Ok(ImageFormat::Png) => Ok(OutputFormat::Png),
        Ok(ImageFormat::Jpeg) => Ok(OutputFormat::Jpeg),
        Ok(ImageFormat::WebP) => Ok(OutputFormat::WebP),
        Ok(ImageFormat::Tiff) => Ok(OutputFormat::Tiff),
        Ok(ImageFormat::Bmp) => Ok(OutputFormat::Bmp),
        Ok(ImageFormat::Avif) => Err(unsupported(path, "the AVIF format (which avifdec reads)")),
        Ok(other) => Err(unsupported(path, format!("the {other:?} format"))),
        Err(_) => Err(match other_format(start) {
            Some(name) => unsupported(path, format!("the {name}")),
            None => PictureError::NotAPicture {
                path: path.to_path_buf(),
            },
        }),
    }
}

/// Formats that photographs come in and that are not read, with a program that reads them.
fn other_format(start: &[u8]) -> Option<&'static str> {
    let brand = start
        .get(8..12)
        .filter(|_| start.get(4..8) == Some(b"ftyp"));
    match (brand, start) {
        (Some(b"heic" | b"heix" | b"hevc" | b"heim" | b"heis" | b"mif1" | b"msf1"), _) => {
            Some("HEIC format (which heif-convert reads)")
        }
        (Some(b"crx "), _) => Some("camera raw format (which dcraw or darktable-cli reads)"),
        (_, [0xff, 0x0a, ..] | [0, 0, 0, 12, b'J', b'X', b'L', b' ', ..]) => {
            Some("JPEG XL format (which djxl reads)")
        }
        (_, [0, 0, 0, 12, b'j', b'P', ..] | [0xff, 0x4f, 0xff, 0x51, ..]) => {
            Some("JPEG 2000 format")
        }
        (_, [b'8', b'B', b'P', b'S', ..]) => Some("Photoshop format"),
        (_, [b'%', b'P', b'D', b'F', ..]) => Some("PDF format"),
        (_, [b'F', b'U', b'J', b'I', b'F', b'I', b'L', b'M', ..]) => {
            Some("camera raw format (which dcraw or darktable-cli reads)")
        }
        _ => None,
    }
}

impl Photo {
    /// Reads a PNG, JPEG, WebP, TIFF or BMP file within the default [`Limits`]. The content
    /// decides the format, not the name.
    ///
    /// # Errors
    /// Every [`PictureError`] that concerns reading; each names the file and what to do.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, PictureError> {
        Self::open_within(path, &Limits::default())
    }

    /// As [`Self::open`], within other limits. A pipe is read to its end.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_within(path: impl AsRef<Path>, limits: &Limits) -> Result<Self, PictureError> {
        let path = path.as_ref();
        let from_read = |e| PictureError::from_read(path, e);
        // Opening a folder succeeds on some systems and fails only at the first read.
        if path.is_dir() {
            return Err(PictureError::Folder {
                path: path.to_path_buf(),
            });
        }
        let file = File::open(path).map_err(from_read)?;
        if !file.metadata().map_err(from_read)?.is_file() {
            return Self::from_reader(file, &path.display().to_string(), limits);
        }
        let mut photo = Self::read(BufReader::new(file), path, limits)?;
        photo.path = Some(path.to_path_buf());
        Ok(photo)
    }

    /// Reads a picture from memory; `name` stands for the file in errors.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn from_bytes(bytes: &[u8], name: &str, limits: &Limits) -> Result<Self, PictureError> {
        let mut photo = Self::read(Cursor::new(bytes), Path::new(name), limits)?;
        photo.path = Some(PathBuf::from(name));
        Ok(photo)
    }

    /// Width and height of a picture file as [`Self::open`] would give them, from its header
    /// alone.
    ///
    /// # Errors
    /// As [`Self::open`], where the header shows what is wrong.
    pub fn size_of_file(path: impl AsRef<Path>) -> Result<[usize; 2], PictureError> {
        let path = path.as_ref();
        let from_read = |e: io::Error| PictureError::from_read(path, e);
        let mut stream = BufReader::new(File::open(path).map_err(from_read)?);
        let format = format_of(stream.fill_buf().map_err(from_read)?, path)?;
        let (size, orientation) = if format == OutputFormat::Tiff {
            tiff::size(stream, path)?
        } else {
            let reader = ImageReader::new(stream)
                .with_guessed_format()
                .map_err(from_read)?;
            let mut decoder = reader.into_decoder().map_err(|e| decode_error(e, path))?;
            let (width, height) = decoder.dimensions();
            let orientation = decoder.orientation().map_err(|e| decode_error(e, path))?;
            ([width, height], orientation.to_exif())
        };
        let [width, height] = size.map(|side| side as usize);
        Ok(if orientation > 4 {
            [height, width]
        } else {
            [width, height]
        })
    }

    /// Reads all of a stream that cannot go back, such as a pipe.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn from_reader(
        mut reader: impl Read,
        name: &str,
        limits: &Limits,
    ) -> Result<Self, PictureError> {
        let path = Path::new(name);
        let from_read = |e: io::Error| PictureError::from_read(path, e);
        let mut bytes = vec![];
        // Enough to know a picture by; what is none is not waited for.
        (&mut reader)
            .take(32)
            .read_to_end(&mut bytes)
            .map_err(from_read)?;
        if !bytes.is_empty() {
            format_of(&bytes, path)?;
        }
        let most = limits.bytes();
        reader
            .take(most)
            .read_to_end(&mut bytes)
            .map_err(from_read)?;
        if bytes.len() as u64 > most {
            return Err(damaged(path, format!("it does not end after {most} bytes")));
        }
        Self::from_bytes(&bytes, name, limits)
    }

    /// Decodes a stream; `path` stands for it in errors.
    fn read(
        mut stream: impl BufRead + Seek,
        path: &Path,
        limits: &Limits,
    ) -> Result<Self, PictureError> {
        let from_read = |e: io::Error| PictureError::from_read(path, e);
        let start = stream.fill_buf().map_err(from_read)?;
        if start.is_empty() {
            return Err(PictureError::EmptyFile {
                path: path.to_path_buf(),
            });
        }
        let format = format_of(start, path)?;
        let mut decoded = match format {
            OutputFormat::Png => png::read(stream, path, limits),
            OutputFormat::WebP => webp::read(stream, path, limits),
            OutputFormat::Tiff => tiff::read(stream, path, limits),
            OutputFormat::Bmp => read_bmp(stream, path, limits),
            OutputFormat::Jpeg => {
                let mut bytes = vec![];
                stream.read_to_end(&mut bytes).map_err(from_read)?;
                jpeg::read(&bytes, path, limits)
            }
        }?;
        let says = super::output_format(path).ok().map(OutputFormat::name);
        if let Some(says) = says.filter(|&says| says != format.name()) {
            let note = format!(
                "it is {} by its content, though its name says {says}",
                format.name()
            );
            decoded.notes.push(note);
        }
        let photo = decoded.into_photo()?;
        Ok(Self {
            format: Some(format),
            ..photo
        })
    }
}

impl Decoded {
    /// The upright photograph.
    fn into_photo(self) -> Result<Photo, PictureError> {
        let Self {
            mut image,
            orientation,
            mut metadata,
            mut notes,
        } = self;
        if let Some(orientation) = Orientation::from_exif(orientation) {
            image.apply_orientation(orientation);
        }
        if orientation > 4 {
            metadata.resolution = metadata.resolution.map(Resolution::turned);
        }
        let size = [image.width(), image.height()];
        if let Some(block) = metadata.exif.take() {
            metadata.exif = exif::upright(block, size);
            if metadata.exif.is_none() {
                notes.push("its EXIF cannot be read and is left out".into());
            }
        }
        metadata.xmp = metadata.xmp.map(upright_xmp);
        let pixels = if image.color().has_color() {
            Model::Rgb
        } else {
            Model::Gray
        };
        let stated = metadata.icc.as_deref().and_then(colour::model_of);
        if stated.is_some_and(|stated| stated != pixels) {
            metadata.icc = None;
            notes.push("its colour profile is for another kind of colour than its pixels have and is left out".into());
        }
        Ok(Photo {
            image,
            metadata,
            notes,
            path: None,
            format: None,
        })
    }
}

fn read_bmp(
    mut stream: impl BufRead + Seek,
    path: &Path,
    limits: &Limits,
) -> Result<Decoded, PictureError> {
    let io = |e| from_io(path, e);
    // Pixels per metre stand at a fixed place of all headers but the oldest, short one.
    let mut header = [0; 46];
    let resolution = match stream.read_exact(&mut header) {
        Ok(()) if header[14] >= 40 => {
            let number =
                |at: usize| f64::from(i32::from_le_bytes([0, 1, 2, 3].map(|i| header[at + i])));
            Resolution::new(number(38), number(42), Unit::Metre)
        }
        _ => None,
    };
    stream.seek(SeekFrom::Start(0)).map_err(io)?;
    let mut reader = ImageReader::with_format(stream, ImageFormat::Bmp);
    let mut allocation = image::Limits::no_limits();
    allocation.max_alloc = Some(limits.bytes());
    reader.limits(allocation);
    let decoder = reader.into_decoder().map_err(|e| decode_error(e, path))?;
    let (width, height) = decoder.dimensions();
    limits.check(path, width, height)?;
    let image = DynamicImage::from_decoder(decoder).map_err(|e| decode_error(e, path))?;
    check_kind(&image).map_err(|what| unsupported(path, what))?;
    Ok(Decoded {
        image,
        orientation: 1,
        metadata: Metadata {
            resolution,
            ..Metadata::default()
        },
        notes: vec![],
    })
}

/// A note on a file of several pictures, of which the one with this number (from 1) is taken.
fn only_one_of(what: &str, count: usize, number: usize) -> String {
    format!("it holds {count} {what}, of which only number {number} is used")
}

fn unsupported(path: &Path, what: impl Into<String>) -> PictureError {
    PictureError::Unsupported {
        path: path.to_path_buf(),
        what: what.into(),
    }
}

fn damaged(path: &Path, reason: impl Display) -> PictureError {
    let reason = reason.to_string();
    let words: Vec<&str> = reason.split_whitespace().collect();
    PictureError::Damaged {
        path: path.to_path_buf(),
        reason: words.join(" "),
    }
}

/// A failure to read in the middle of a picture.
fn from_io(path: &Path, error: io::Error) -> PictureError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => damaged(path, "it ends early"),
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::Other => {
            damaged(path, error)
        }
        _ => PictureError::Read {
            path: path.to_path_buf(),
            source: error,
        },
    }
}

/// What an error of the `image` crate means for the user.
fn decode_error(error: ImageError, path: &Path) -> PictureError {
    match error {
        ImageError::Unsupported(e) => unsupported(path, crate::text::one_line(&e)),
        ImageError::IoError(e) => from_io(path, e),
        other => damaged(path, other),
    }
}
