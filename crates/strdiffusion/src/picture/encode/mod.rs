//! Writing: from a photograph to a file's bytes, in a kind of pixels that the format holds.

mod jpeg;
mod png;
mod tiff;
mod webp;

use std::borrow::Cow;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

use image::codecs::bmp::BmpEncoder;
use image::{DynamicImage, ImageEncoder, ImageError};

use super::colour::{self, Model};
use super::metadata::Resolution;
use super::output::OutputFormat;
use super::{Photo, PictureError};
use crate::text::one_line;

impl Photo {
    /// What a file of this format does not keep of the photograph, each in a few words: bit depth,
    /// colour profile, EXIF and so on. Empty where all of it is kept.
    pub fn losses(&self, format: OutputFormat) -> Vec<String> {
        let mut losses = vec![];
        if self.bit_depth() == 16 && !format.holds_16_bit() {
            losses.push(format!(
                "{} holds 8 bits, so the photo's 16 bits are rounded; .png and .tif keep them",
                format.name()
            ));
        }
        let mut lost = self.metadata.without_place(format);
        if self.metadata.icc.is_some()
            && format != OutputFormat::Bmp
            && self.profile_for(format).is_none()
        {
            lost.push("the colour profile, which is for gray");
        }
        let list = match lost.as_slice() {
            [] => return losses,
            [one] => (*one).to_string(),
            [most @ .., last] => format!("{} and {last}", most.join(", ")),
        };
        losses.push(format!("{} has no place for {list}", format.name()));
        losses
    }

    /// Writes the photograph to a stream; `path` stands for it in errors.
    pub(super) fn encode_to(
        &self,
        out: &mut (impl Write + Seek),
        path: &Path,
        format: OutputFormat,
    ) -> Result<(), PictureError> {
        let failed =
            |error: &dyn std::error::Error| PictureError::from_write(path, one_line(error));
        let refused = |source: io::Error| PictureError::from_write_io(path, source);
        let of_image = |error: ImageError| match error {
            ImageError::IoError(source) => refused(source),
            other => failed(&other),
        };
        let image = representable(&self.image, format);
        let image = image.as_ref().unwrap_or(&self.image);
        match format {
            OutputFormat::Png => self.encode_png(out, path, &[]),
            OutputFormat::Jpeg => self.encode_jpeg(out, image).map_err(|e| match e {
                jpeg_encoder::EncodingError::IoError(source) => refused(source),
                other => failed(&other),
            }),
            OutputFormat::WebP => self.encode_webp(out, image).map_err(|e| match e {
                image_webp::EncodingError::IoError(source) => refused(source),
                other => failed(&other),
            }),
            OutputFormat::Tiff => self.encode_tiff(out, image).map_err(|e| match e {
                ::tiff::TiffError::IoError(source) => refused(source),
                other => failed(&other),
            }),
            OutputFormat::Bmp => self.encode_bmp(out, image).map_err(of_image),
        }
    }

    fn encode_bmp(
        &self,
        out: &mut (impl Write + Seek),
        image: &DynamicImage,
    ) -> Result<(), ImageError> {
        let start = out.stream_position()?;
        let (width, height) = (image.width(), image.height());
        BmpEncoder::new(&mut *out).write_image(
            image.as_bytes(),
            width,
            height,
            image.color().into(),
        )?;
        // Pixels per metre stand at byte 38; the encoder writes zeros there.
        if let Some(resolution) = self.metadata.resolution.and_then(Resolution::per_metre) {
            let end = out.stream_position()?;
            out.seek(SeekFrom::Start(start + 38))?;
            for value in resolution {
                out.write_all(&(value.round() as i32).to_le_bytes())?;
            }
            out.seek(SeekFrom::Start(end))?;
        }
        Ok(())
    }

    /// The colour profile as a file of this format holds it: for the colour model that its pixels
    /// have there. None where there is none, or none that would mean the same.
    fn profile_for(&self, format: OutputFormat) -> Option<Cow<'_, [u8]>> {
        let profile = self.metadata.icc.as_deref()?;
        let becomes_rgb = self.is_gray() && format == OutputFormat::WebP;
        match (becomes_rgb, colour::model_of(profile)) {
            (true, Some(Model::Gray)) => colour::gray_as_rgb(profile).map(Cow::Owned),
            (true, _) => None,
            (false, _) => Some(Cow::Borrowed(profile)),
        }
    }
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
        (OutputFormat::Jpeg, D::ImageLumaA8(i)) => {
            rebuild(i.as_raw(), 2, current, |p| [p[0]]).map(D::ImageLuma8)
        }
        (OutputFormat::Jpeg, D::ImageRgba8(i)) => {
            rebuild(i.as_raw(), 4, current, |p| [p[0], p[1], p[2]]).map(D::ImageRgb8)
        }
        // It has gray, but not gray with alpha.
        (OutputFormat::Bmp, D::ImageLumaA8(i)) => {
            rebuild(i.as_raw(), 2, current, |p| [p[0], p[0], p[0], p[1]]).map(D::ImageRgba8)
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
        raw.iter()
            .map(|&v| ((u32::from(v) + 128) / 257) as u8)
            .collect()
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
