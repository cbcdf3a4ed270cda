//! Writing PNG, with text beside the pixels.

use std::borrow::Cow;
use std::io::Write;
use std::path::Path;

use image::DynamicImage;
use png::{BitDepth, ColorType, Compression, Encoder, EncodingError, Filter, Info};

use super::error::one_line;
use super::output::{check_output, write_atomically};
use super::{OutputFormat, Photo, PictureError};

impl Photo {
    /// The photograph as the bytes of a PNG file that holds `text` beside the pixels: keywords
    /// (1 to 79 Latin-1 characters, such as `Software`) with their text, one chunk each. Pixels,
    /// colour type, bit depth and ICC profile are those of [`Self::encode`].
    ///
    /// # Errors
    /// [`PictureError::CannotHold`]; [`PictureError::Write`] for a keyword that PNG does not have.
    pub fn encode_png_with_text(&self, text: &[(&str, String)]) -> Result<Vec<u8>, PictureError> {
        let name = Path::new("result.png");
        self.check_fits(name, None)?;
        let mut bytes = Vec::new();
        self.encode_png(&mut bytes, name, text)?;
        Ok(bytes)
    }

    /// As [`Self::save`]. A PNG file holds `text`, as [`Self::encode_png_with_text`] says; the
    /// other formats have no place for it.
    ///
    /// # Errors
    /// As [`Self::save`] and [`Self::encode_png_with_text`].
    pub fn save_with_text(
        &self,
        path: impl AsRef<Path>,
        text: &[(&str, String)],
    ) -> Result<(), PictureError> {
        let path = path.as_ref();
        if check_output(path)? != OutputFormat::Png {
            return self.save(path);
        }
        self.check_fits(path, None)?;
        write_atomically(path, |file| self.encode_png(file, path, text))
    }

    /// Writes the photograph to a stream; `path` stands for it in errors.
    pub(super) fn encode_png(
        &self,
        out: &mut impl Write,
        path: &Path,
        text: &[(&str, String)],
    ) -> Result<(), PictureError> {
        self.try_encode_png(out, text)
            .map_err(|e| PictureError::from_write(path, one_line(&e)))
    }

    fn try_encode_png(
        &self,
        out: &mut impl Write,
        text: &[(&str, String)],
    ) -> Result<(), EncodingError> {
        let image = &self.image;
        let mut info = Info::with_size(image.width(), image.height());
        info.icc_profile = self.icc_profile.as_deref().map(Cow::Borrowed);
        let mut encoder = Encoder::with_info(out, info)?;
        encoder.set_color(match image.color().channel_count() {
            1 => ColorType::Grayscale,
            2 => ColorType::GrayscaleAlpha,
            3 => ColorType::Rgb,
            _ => ColorType::Rgba,
        });
        encoder.set_compression(Compression::Fast);
        encoder.set_filter(Filter::Adaptive);
        for (keyword, text) in text {
            // Every reader knows the older chunk, which holds no more than Latin-1.
            if text.is_ascii() {
                encoder.add_text_chunk((*keyword).into(), text.clone())?;
            } else {
                encoder.add_itxt_chunk((*keyword).into(), text.clone())?;
            }
        }
        let deep = samples_16(image);
        encoder.set_depth(match deep {
            Some(_) => BitDepth::Sixteen,
            None => BitDepth::Eight,
        });
        let mut writer = encoder.write_header()?;
        match deep {
            Some(samples) => {
                let big_endian: Vec<u8> = samples.iter().flat_map(|v| v.to_be_bytes()).collect();
                writer.write_image_data(&big_endian)?;
            }
            None => writer.write_image_data(image.as_bytes())?,
        }
        writer.finish()
    }
}

/// The samples of a 16-bit picture.
fn samples_16(image: &DynamicImage) -> Option<&[u16]> {
    match image {
        DynamicImage::ImageLuma16(i) => Some(i.as_raw()),
        DynamicImage::ImageLumaA16(i) => Some(i.as_raw()),
        DynamicImage::ImageRgb16(i) => Some(i.as_raw()),
        DynamicImage::ImageRgba16(i) => Some(i.as_raw()),
        _ => None,
    }
}
