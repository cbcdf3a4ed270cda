//! A photograph in its own bit depth and colour type.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use image::codecs::bmp::BmpEncoder;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::codecs::tiff::TiffEncoder;
use image::codecs::webp::WebPEncoder;
use image::{DynamicImage, ImageDecoder, ImageEncoder, ImageError, ImageFormat, ImageReader};

use super::jpeg_end::reaches_end;
use super::output::{OutputFormat, check_output, write_atomically};
use super::{FloatImage, Limits, Mask, PictureError};
use crate::structure::luma;

/// JPEG quality of written files, 1 to 100: high, since the photograph is compressed a second time.
const JPEG_QUALITY: u8 = 95;

/// A photograph: pixels as the file holds them (8 or 16 bit; gray or RGB; with or without alpha),
/// upright (EXIF orientation applied), with its ICC profile.
#[derive(Clone, Debug)]
pub struct Photo {
    image: DynamicImage,
    icc_profile: Option<Vec<u8>>,
    path: Option<PathBuf>,
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

    /// As [`Self::open`], within other limits.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_within(path: impl AsRef<Path>, limits: &Limits) -> Result<Self, PictureError> {
        let path = path.as_ref();
        // Opening a folder succeeds on some systems and fails only at the first read.
        if path.is_dir() {
            return Err(PictureError::Folder {
                path: path.to_path_buf(),
            });
        }
        let file = File::open(path).map_err(|e| PictureError::from_read(path, e))?;
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

    fn read(
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
                    let (w, h) = reader.into_dimensions().map_err(|e| decode_error(e, path))?;
                    limits.check(path, w, h)?;
                    return Err(PictureError::Damaged {
                        path: path.to_path_buf(),
                        reason: "the JPEG data ends early".into(),
                    });
                }
            }
            Some(
                ImageFormat::Png | ImageFormat::WebP | ImageFormat::Tiff | ImageFormat::Bmp,
            ) => {}
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
        let mut image =
            DynamicImage::from_decoder(decoder).map_err(|e| decode_error(e, path))?;
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

    /// Takes a picture of the `image` crate.
    ///
    /// # Errors
    /// [`PictureError::Unsupported`] for floating-point pixels,
    /// [`PictureError::EmptySize`] where a side is zero.
    pub fn from_image(image: DynamicImage) -> Result<Self, PictureError> {
        check_kind(&image).map_err(|what| PictureError::Unsupported {
            path: PathBuf::from("the picture"),
            what,
        })?;
        if image.width() == 0 || image.height() == 0 {
            return Err(PictureError::EmptySize {
                width: image.width() as usize,
                height: image.height() as usize,
            });
        }
        Ok(Self {
            image,
            icc_profile: None,
            path: None,
        })
    }

    /// An 8-bit photograph of a planar picture: RGB of three channels, gray of one. Values are
    /// clamped to [0, 1] and rounded.
    ///
    /// # Errors
    /// [`PictureError::Channels`] for another number of channels, [`PictureError::NotFinite`],
    /// [`PictureError::EmptySize`], [`PictureError::TooLarge`].
    pub fn from_float_image(picture: &FloatImage) -> Result<Self, PictureError> {
        let (w, h) = (picture.width(), picture.height());
        if w == 0 || h == 0 {
            return Err(PictureError::EmptySize {
                width: w,
                height: h,
            });
        }
        let (width, height) = (
            u32::try_from(w).unwrap_or(u32::MAX),
            u32::try_from(h).unwrap_or(u32::MAX),
        );
        Limits {
            max_side: i32::MAX as u32,
            max_pixels: u64::MAX,
        }
        .check(Path::new("the picture"), width, height)?;
        let blank = match picture.channels() {
            1 => DynamicImage::new_luma8(width, height),
            3 => DynamicImage::new_rgb8(width, height),
            found => return Err(PictureError::Channels { found }),
        };
        let hole = Mask::from_keep(w, h, vec![0; w * h])?;
        Self::from_image(blank)?.composite(picture, &hole)
    }

    /// Pixels in a row.
    pub fn width(&self) -> usize {
        self.image.width() as usize
    }

    /// Number of rows.
    pub fn height(&self) -> usize {
        self.image.height() as usize
    }

    /// The pixels in their own bit depth and colour type.
    pub fn image(&self) -> &DynamicImage {
        &self.image
    }

    /// The file's ICC profile, if it has one. It is written back with the photograph.
    pub fn icc_profile(&self) -> Option<&[u8]> {
        self.icc_profile.as_deref()
    }

    /// The photograph in words, for messages: its file's path where it has one.
    pub fn name(&self) -> String {
        self.path
            .as_ref()
            .map_or_else(|| "the photograph".into(), |p| p.display().to_string())
    }

    /// Whether there is one colour channel only.
    pub fn is_gray(&self) -> bool {
        !self.image.color().has_color()
    }

    /// Bits per channel: 8 or 16.
    pub fn bit_depth(&self) -> u32 {
        u32::from(self.image.color().bits_per_pixel() / u16::from(self.image.color().channel_count()))
    }

    /// Alpha of every pixel in [0, 1], row by row; none where there is no alpha channel.
    pub fn alpha(&self) -> Option<Vec<f32>> {
        let channels = usize::from(self.image.color().channel_count());
        self.image.color().has_alpha().then(|| {
            let last = channels - 1;
            match self.bit_depth() {
                8 => strided(self.image.as_bytes(), channels, last),
                _ => strided(&self.samples16(), channels, last),
            }
        })
    }

    /// The colours as a planar picture `[3, height, width]` in [0, 1]. Gray fills all three
    /// channels; alpha is left out.
    pub fn to_rgb_f32(&self) -> FloatImage {
        let channels = usize::from(self.image.color().channel_count());
        let plane = |c: usize| match self.bit_depth() {
            8 => strided(self.image.as_bytes(), channels, c),
            _ => strided(&self.samples16(), channels, c),
        };
        let mut data = plane(0);
        if self.is_gray() {
            data.extend_from_within(..);
            data.extend_from_within(..self.width() * self.height());
        } else {
            data.extend(plane(1));
            data.extend(plane(2));
        }
        FloatImage::from_vec(3, self.width(), self.height(), data).expect("three full planes")
    }

    /// The 16-bit samples, interleaved; empty for an 8-bit photograph.
    pub(super) fn samples16(&self) -> Vec<u16> {
        match &self.image {
            DynamicImage::ImageLuma16(i) => i.as_raw().clone(),
            DynamicImage::ImageLumaA16(i) => i.as_raw().clone(),
            DynamicImage::ImageRgb16(i) => i.as_raw().clone(),
            DynamicImage::ImageRgba16(i) => i.as_raw().clone(),
            _ => Vec::new(),
        }
    }

    /// This photograph with the hole's pixels taken from `result`, a planar picture
    /// `[3 or 1, height, width]` in [0, 1], rounded to the photograph's own bit depth (beyond
    /// [0, 1] clamped). A gray photograph takes the result's luma. Filled pixels become opaque.
    /// Every known pixel stays bit for bit.
    ///
    /// # Errors
    /// [`PictureError::SizeMismatch`], [`PictureError::Channels`], and
    /// [`PictureError::NotFinite`] where the result holds NaN or infinity in the hole.
    pub fn composite(&self, result: &FloatImage, mask: &Mask) -> Result<Self, PictureError> {
        mask.check_size(self.width(), self.height(), &self.name())?;
        mask.check_size(result.width(), result.height(), "the result")?;
        if result.channels() != 1 && result.channels() != 3 {
            return Err(PictureError::Channels {
                found: result.channels(),
            });
        }
        let mut out = self.clone();
        match &mut out.image {
            DynamicImage::ImageLuma8(i) => fill(i.as_mut(), 1, result, mask)?,
            DynamicImage::ImageLumaA8(i) => fill(i.as_mut(), 2, result, mask)?,
            DynamicImage::ImageRgb8(i) => fill(i.as_mut(), 3, result, mask)?,
            DynamicImage::ImageRgba8(i) => fill(i.as_mut(), 4, result, mask)?,
            DynamicImage::ImageLuma16(i) => fill(i.as_mut(), 1, result, mask)?,
            DynamicImage::ImageLumaA16(i) => fill(i.as_mut(), 2, result, mask)?,
            DynamicImage::ImageRgb16(i) => fill(i.as_mut(), 3, result, mask)?,
            DynamicImage::ImageRgba16(i) => fill(i.as_mut(), 4, result, mask)?,
            _ => unreachable!("other kinds are refused when a photograph is made"),
        }
        Ok(out)
    }

    /// Checks that the file named `path` could hold this photograph once the hole is filled: the
    /// format's size limit, and transparency outside the hole. For calling before long work,
    /// after [`check_output`].
    ///
    /// # Errors
    /// [`PictureError::UnknownExtension`] or [`PictureError::CannotHold`].
    pub fn check_fits(&self, path: &Path, mask: Option<&Mask>) -> Result<(), PictureError> {
        let format = super::output_format(path)?;
        let cannot = |what: String| PictureError::CannotHold {
            path: path.to_path_buf(),
            format: format.name(),
            what,
        };
        if self.width().max(self.height()) > format.max_side() {
            return Err(cannot(format!(
                "{}x{} pixels",
                self.width(),
                self.height()
            )));
        }
        if !format.holds_alpha()
            && let Some(alpha) = self.alpha()
        {
            let filled = |i: usize| mask.is_some_and(|m| m.keep().get(i) == Some(&0));
            if alpha.iter().enumerate().any(|(i, &a)| a < 1.0 && !filled(i)) {
                return Err(cannot("the photograph's transparent pixels".into()));
            }
        }
        Ok(())
    }

    /// Writes the photograph, in the format that the extension names, in one step: the file is
    /// whole or not there. Formats without 16 bits get 8, rounded; JPEG drops an alpha channel
    /// that is opaque everywhere and refuses any other.
    ///
    /// # Errors
    /// [`PictureError::UnknownExtension`], [`PictureError::CannotHold`], [`PictureError::Write`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), PictureError> {
        let path = path.as_ref();
        let format = check_output(path)?;
        self.check_fits(path, None)?;
        write_atomically(path, |file| self.encode_to(file, path, format))
    }

    /// The photograph as a file's bytes.
    ///
    /// # Errors
    /// As [`Self::save`].
    pub fn encode(&self, format: OutputFormat) -> Result<Vec<u8>, PictureError> {
        let extension = match format {
            OutputFormat::Png => "png",
            OutputFormat::Jpeg => "jpg",
            OutputFormat::WebP => "webp",
            OutputFormat::Tiff => "tif",
            OutputFormat::Bmp => "bmp",
        };
        let name = PathBuf::from(format!("result.{extension}"));
        self.check_fits(&name, None)?;
        let mut bytes = Cursor::new(Vec::new());
        self.encode_to(&mut bytes, &name, format)?;
        Ok(bytes.into_inner())
    }

    pub(super) fn encode_to(
        &self,
        out: &mut (impl Write + Seek),
        path: &Path,
        format: OutputFormat,
    ) -> Result<(), PictureError> {
        let image = representable(&self.image, format);
        let image = image.as_ref().unwrap_or(&self.image);
        let written = match format {
            OutputFormat::Png => self.write_with(PngEncoder::new(out), image),
            OutputFormat::Jpeg => {
                self.write_with(JpegEncoder::new_with_quality(out, JPEG_QUALITY), image)
            }
            OutputFormat::WebP => self.write_with(WebPEncoder::new_lossless(out), image),
            OutputFormat::Tiff => self.write_with(TiffEncoder::new(out), image),
            OutputFormat::Bmp => self.write_with(BmpEncoder::new(out), image),
        };
        written.map_err(|e| PictureError::from_write(path, one_line(&e)))
    }

    fn write_with(
        &self,
        mut encoder: impl ImageEncoder,
        image: &DynamicImage,
    ) -> Result<(), ImageError> {
        if let Some(profile) = &self.icc_profile {
            // BMP has no place for a profile; the pixels matter more.
            let _ = encoder.set_icc_profile(profile.clone());
        }
        encoder.write_image(
            image.as_bytes(),
            image.width(),
            image.height(),
            image.color().into(),
        )
    }
}

/// Refuses kinds of pixels other than 8- and 16-bit integers, saying which.
fn check_kind(image: &DynamicImage) -> Result<(), String> {
    use DynamicImage as D;
    match image {
        D::ImageLuma8(_) | D::ImageLumaA8(_) | D::ImageRgb8(_) | D::ImageRgba8(_) => Ok(()),
        D::ImageLuma16(_) | D::ImageLumaA16(_) | D::ImageRgb16(_) | D::ImageRgba16(_) => Ok(()),
        other => Err(format!("the pixel type {:?}", other.color())),
    }
}

/// A channel value of an integer picture.
trait Sample: Copy + Into<f64> {
    const RANGE: f64;
    /// The nearest value to `unit` in [0, 1]; beyond that range clamped.
    fn from_unit(unit: f64) -> Self;
}

impl Sample for u8 {
    const RANGE: f64 = 255.0;
    fn from_unit(unit: f64) -> Self {
        (unit.clamp(0.0, 1.0) * Self::RANGE).round() as Self
    }
}

impl Sample for u16 {
    const RANGE: f64 = 65535.0;
    fn from_unit(unit: f64) -> Self {
        (unit.clamp(0.0, 1.0) * Self::RANGE).round() as Self
    }
}

/// One channel of interleaved samples, in [0, 1].
fn strided<S: Sample>(raw: &[S], channels: usize, channel: usize) -> Vec<f32> {
    raw.chunks_exact(channels)
        .map(|p| (p[channel].into() / S::RANGE) as f32)
        .collect()
}

/// Writes the hole's pixels of `result` into interleaved samples; an even number of channels has
/// alpha as its last.
fn fill<S: Sample>(
    raw: &mut [S],
    channels: usize,
    result: &FloatImage,
    mask: &Mask,
) -> Result<(), PictureError> {
    let planes: Vec<&[f32]> = (0..3)
        .map(|c| result.plane(if result.channels() == 1 { 0 } else { c }))
        .collect();
    for (at, pixel) in raw.chunks_exact_mut(channels).enumerate() {
        if mask.keep()[at] == 1 {
            continue;
        }
        let rgb = [0, 1, 2].map(|c: usize| f64::from(planes[c][at]));
        if !rgb.iter().all(|v| v.is_finite()) {
            return Err(PictureError::NotFinite {
                x: at % mask.width(),
                y: at / mask.width(),
            });
        }
        if channels <= 2 {
            let [r, g, b] = rgb.map(|v| v.clamp(0.0, 1.0));
            // A gray result must come through unchanged, whatever the weights' last bit.
            let gray = if r == g && g == b { r } else { luma(r, g, b) };
            pixel[0] = S::from_unit(gray);
        } else {
            for (out, v) in pixel.iter_mut().zip(rgb) {
                *out = S::from_unit(v);
            }
        }
        if channels % 2 == 0 {
            pixel[channels - 1] = S::from_unit(1.0);
        }
    }
    Ok(())
}

/// The picture in a kind that the format holds; none where it is one already.
fn representable(image: &DynamicImage, format: OutputFormat) -> Option<DynamicImage> {
    use DynamicImage as D;
    let mut changed = None;
    if !format.holds_16_bit() {
        changed = to_8_bit(image);
    }
    let current = changed.as_ref().unwrap_or(image);
    let spread = match (format, current) {
        // Opaque everywhere, as checked before: the channel says nothing.
        (OutputFormat::Jpeg, D::ImageLumaA8(i)) => rebuild(i.as_raw(), 2, current, |p| [p[0]])
            .map(D::ImageLuma8),
        (OutputFormat::Jpeg, D::ImageRgba8(i)) => {
            rebuild(i.as_raw(), 4, current, |p| [p[0], p[1], p[2]]).map(D::ImageRgb8)
        }
        // These two have gray, but not gray with alpha.
        (OutputFormat::Tiff | OutputFormat::Bmp, D::ImageLumaA8(i)) => {
            rebuild(i.as_raw(), 2, current, |p| [p[0], p[0], p[0], p[1]]).map(D::ImageRgba8)
        }
        (OutputFormat::Tiff, D::ImageLumaA16(i)) => {
            rebuild(i.as_raw(), 2, current, |p| [p[0], p[0], p[0], p[1]]).map(D::ImageRgba16)
        }
        _ => None,
    };
    spread.or(changed)
}

/// A buffer of the same size with other channels.
fn rebuild<P: image::Pixel, const N: usize>(
    raw: &[P::Subpixel],
    channels: usize,
    like: &DynamicImage,
    pixel: impl Fn(&[P::Subpixel]) -> [P::Subpixel; N],
) -> Option<image::ImageBuffer<P, Vec<P::Subpixel>>> {
    let data = raw.chunks_exact(channels).flat_map(pixel).collect();
    image::ImageBuffer::from_raw(like.width(), like.height(), data)
}

/// A 16-bit picture in 8 bits, rounded; none where it has 8 bits already.
fn to_8_bit(image: &DynamicImage) -> Option<DynamicImage> {
    use DynamicImage as D;
    fn round(raw: &[u16]) -> Vec<u8> {
        // 65535 / 255 = 257 exactly.
        raw.iter().map(|&v| ((u32::from(v) + 128) / 257) as u8).collect()
    }
    let (w, h) = (image.width(), image.height());
    match image {
        D::ImageLuma16(i) => image::ImageBuffer::from_raw(w, h, round(i)).map(D::ImageLuma8),
        D::ImageLumaA16(i) => image::ImageBuffer::from_raw(w, h, round(i)).map(D::ImageLumaA8),
        D::ImageRgb16(i) => image::ImageBuffer::from_raw(w, h, round(i)).map(D::ImageRgb8),
        D::ImageRgba16(i) => image::ImageBuffer::from_raw(w, h, round(i)).map(D::ImageRgba8),
        _ => None,
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

/// An error's text on one line.
fn one_line(error: &dyn std::error::Error) -> String {
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}
