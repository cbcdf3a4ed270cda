//! Writing PNG, with text beside the pixels.

use std::borrow::Cow;
use std::io::Write;
use std::path::Path;

use png::{BitDepth, ColorType, Compression, Encoder, EncodingError, Filter, Info};

use super::samples_16;
use crate::picture::decode::png::XMP_KEYWORD;
use crate::picture::metadata::{Resolution, Unit};
use crate::picture::output::{check_output, write_atomically};
use crate::picture::{OutputFormat, Photo, PictureError};
use crate::text::{hex, one_line};

/// Keywords of what this program writes itself: they go with one fill, not with the photograph.
const OWN_KEYWORDS: &str = "strdiffusion-";

impl Photo {
    /// The photograph as the bytes of a PNG file that holds `text` beside the pixels: keywords
    /// (1 to 79 Latin-1 characters, such as `Software`) with their text, one chunk each. Pixels,
    /// everything else are those of [`Self::encode`].
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
        self.try_encode_png(out, text).map_err(|error| match error {
            EncodingError::IoError(source) => PictureError::from_write_io(path, source),
            other => PictureError::from_write(path, one_line(other)),
        })
    }

    fn try_encode_png(
        &self,
        out: &mut impl Write,
        text: &[(&str, String)],
    ) -> Result<(), EncodingError> {
        let image = &self.image;
        let mut info = Info::with_size(image.width(), image.height());
        let metadata = &self.metadata;
        info.icc_profile = self.profile_for(OutputFormat::Png);
        info.source_gamma = metadata.png_colour.gamma;
        info.gama_chunk = metadata.png_colour.gamma;
        info.source_chromaticities = metadata.png_colour.chromaticities;
        info.chrm_chunk = metadata.png_colour.chromaticities;
        // A profile comes before it, and the encoder writes only one of the two.
        info.srgb = metadata
            .png_colour
            .srgb
            .filter(|_| info.icc_profile.is_none());
        info.coding_independent_code_points = metadata.png_colour.code_points;
        info.exif_metadata = metadata.exif.as_deref().map(Cow::Borrowed);
        info.pixel_dims = metadata.resolution.map(pixel_dimensions);
        let mut encoder = Encoder::with_info(out, info)?;
        encoder.set_color(match image.color().channel_count() {
            1 => ColorType::Grayscale,
            2 => ColorType::GrayscaleAlpha,
            3 => ColorType::Rgb,
            _ => ColorType::Rgba,
        });
        encoder.set_compression(Compression::Fast);
        encoder.set_filter(Filter::Adaptive);
        let kept = metadata.text.iter().filter(|(keyword, _)| {
            !keyword.starts_with(OWN_KEYWORDS) && text.iter().all(|(own, _)| own != keyword)
        });
        let kept = kept.map(|(keyword, text)| (keyword.as_str(), text));
        for (keyword, text) in kept.chain(text.iter().map(|(keyword, text)| (*keyword, text))) {
            // Every reader knows the older chunk, which holds no more than Latin-1.
            if text.is_ascii() {
                encoder.add_text_chunk(keyword.into(), text.clone())?;
            } else {
                encoder.add_itxt_chunk(keyword.into(), text.clone())?;
            }
        }
        if let Some(xmp) = metadata
            .xmp
            .as_deref()
            .and_then(|xmp| str::from_utf8(xmp).ok())
        {
            encoder.add_itxt_chunk(XMP_KEYWORD.into(), xmp.into())?;
        }
        if let Some(iptc) = &metadata.iptc {
            encoder.add_ztxt_chunk("Raw profile type iptc".into(), raw_profile("iptc", iptc))?;
        }
        let deep = samples_16(image);
        encoder.set_depth(match deep {
            Some(_) => BitDepth::Sixteen,
            None => BitDepth::Eight,
        });
        let mut writer = encoder.write_header()?;
        if let Some(points) = metadata.png_colour.code_points {
            // The encoder knows this chunk, but does not write it.
            let full_range = u8::from(points.is_video_full_range_image);
            let (primaries, transfer) = (points.color_primaries, points.transfer_function);
            let data = [primaries, transfer, points.matrix_coefficients, full_range];
            writer.write_chunk(png::chunk::ChunkType(*b"cICP"), &data)?;
        }
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

/// Bytes as hexadecimal text, as other programs keep them in PNG: a name, a length, digits.
fn raw_profile(name: &str, bytes: &[u8]) -> String {
    let lines: String = bytes.chunks(36).map(|line| hex(line) + "\n").collect();
    format!("\n{name}\n{:8}\n{lines}", bytes.len())
}

fn pixel_dimensions(resolution: Resolution) -> png::PixelDimensions {
    let [x, y] = resolution
        .per_metre()
        .unwrap_or([resolution.x, resolution.y]);
    png::PixelDimensions {
        xppu: x.round() as u32,
        yppu: y.round() as u32,
        unit: match resolution.unit {
            Unit::None => png::Unit::Unspecified,
            Unit::Inch | Unit::Metre => png::Unit::Meter,
        },
    }
}
