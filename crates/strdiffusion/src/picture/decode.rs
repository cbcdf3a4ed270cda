//! Reading: from a file's bytes to an upright photograph within the limits.

use std::io::{self, BufRead, Seek, SeekFrom};
use std::path::Path;

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader};

use super::error::one_line;
use super::jpeg_end::reaches_end;
use super::{Limits, Photo, PictureError};

impl Photo {
    /// Width and height of a picture file as [`Self::open`] would give them, from its header
    /// alone.
    ///
    /// # Errors
    /// As [`Self::open`], where the header shows what is wrong.
    pub fn size_of_file(path: impl AsRef<Path>) -> Result<[usize; 2], PictureError> {
        let path = path.as_ref();
        let from_read = |e: io::Error| PictureError::from_read(path, e);
        let reader = ImageReader::open(path)
            .and_then(ImageReader::with_guessed_format)
            .map_err(from_read)?;
        let mut decoder = reader.into_decoder().map_err(|e| decode_error(e, path))?;
        let (width, height) = decoder.dimensions();
        let orientation = decoder.orientation().map_err(|e| decode_error(e, path))?;
        let size = [width as usize, height as usize];
        Ok(match orientation {
            Orientation::Rotate90
            | Orientation::Rotate270
            | Orientation::Rotate90FlipH
            | Orientation::Rotate270FlipH => [size[1], size[0]],
            _ => size,
        })
    }

    /// Decodes a stream; `path` stands for it in errors.
    pub(super) fn read(
        mut stream: impl BufRead + Seek,
        path: &Path,
        limits: &Limits,
    ) -> Result<Self, PictureError> {
        let from_read = |e: io::Error| PictureError::from_read(path, e);
        if stream.fill_buf().map_err(from_read)?.is_empty() {
            return Err(PictureError::EmptyFile {
                path: path.to_path_buf(),
            });
        }
        let mut reader = ImageReader::new(stream)
            .with_guessed_format()
            .map_err(from_read)?;
        match reader.format() {
            Some(ImageFormat::Jpeg) => {
                let mut stream = reader.into_inner();
                let whole = reaches_end(&mut stream).map_err(from_read)?;
                stream.seek(SeekFrom::Start(0)).map_err(from_read)?;
                reader = ImageReader::with_format(stream, ImageFormat::Jpeg);
                if !whole {
                    // The header still decides first whether this is a size to complain about.
                    let (w, h) = reader
                        .into_dimensions()
                        .map_err(|e| decode_error(e, path))?;
                    limits.check(path, w, h)?;
                    return Err(PictureError::Damaged {
                        path: path.to_path_buf(),
                        reason: "the JPEG data ends early".into(),
                    });
                }
            }
            Some(ImageFormat::Png | ImageFormat::WebP | ImageFormat::Tiff | ImageFormat::Bmp) => {}
            Some(other) => {
                return Err(PictureError::Unsupported {
                    path: path.to_path_buf(),
                    what: format!("the {other:?} format"),
                });
            }
            None => {
                return Err(PictureError::NotAPicture {
                    path: path.to_path_buf(),
                });
            }
        }
        // Twice the largest allowed picture: decoders keep a working copy next to the result.
        let mut allocation = image::Limits::no_limits();
        allocation.max_alloc = Some(limits.max_pixels.saturating_mul(16).max(64 << 20));
        reader.limits(allocation);
        let mut decoder = reader.into_decoder().map_err(|e| decode_error(e, path))?;
        let (width, height) = decoder.dimensions();
        limits.check(path, width, height)?;
        if width == 0 || height == 0 {
            return Err(PictureError::Damaged {
                path: path.to_path_buf(),
                reason: format!("its size is {width}x{height}"),
            });
        }
        let orientation = decoder.orientation().map_err(|e| decode_error(e, path))?;
        // A profile that does not decode is no reason to refuse the pixels.
        let icc_profile = decoder.icc_profile().ok().flatten();
        let mut image = DynamicImage::from_decoder(decoder).map_err(|e| decode_error(e, path))?;
        check_kind(&image).map_err(|what| PictureError::Unsupported {
            path: path.to_path_buf(),
            what,
        })?;
        image.apply_orientation(orientation);
        Ok(Self {
            image,
            icc_profile,
            path: None,
        })
    }
}

/// Refuses kinds of pixels other than 8- and 16-bit integers, saying which.
pub(super) fn check_kind(image: &DynamicImage) -> Result<(), String> {
    use DynamicImage as D;
    match image {
        D::ImageLuma8(_) | D::ImageLumaA8(_) | D::ImageRgb8(_) | D::ImageRgba8(_) => Ok(()),
        D::ImageLuma16(_) | D::ImageLumaA16(_) | D::ImageRgb16(_) | D::ImageRgba16(_) => Ok(()),
        other => Err(format!("the pixel type {:?}", other.color())),
    }
}

/// What a decoder's error means for the user.
fn decode_error(error: ImageError, path: &Path) -> PictureError {
    let path = path.to_path_buf();
    match error {
        ImageError::Unsupported(e) => PictureError::Unsupported {
            path,
            what: one_line(&e),
        },
        ImageError::IoError(e)
            if !matches!(
                e.kind(),
                io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData
            ) =>
        {
            PictureError::Read { path, source: e }
        }
        other => PictureError::Damaged {
            path,
            reason: one_line(&other),
        },
    }
}
