//! Writing: from a photograph to a file's bytes, in a kind of pixels that the format holds.

use std::io::{Seek, Write};
use std::path::Path;

use image::codecs::bmp::BmpEncoder;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::tiff::TiffEncoder;
use image::codecs::webp::WebPEncoder;
use image::{DynamicImage, ImageEncoder, ImageError};

use super::error::one_line;
use super::output::OutputFormat;
use super::{Photo, PictureError};

/// JPEG quality of written files, 1 to 100: high, since the photograph is compressed a second time.
const JPEG_QUALITY: u8 = 95;

impl Photo {
    /// Writes the photograph to a stream; `path` stands for it in errors.
    pub(super) fn encode_to(
        &self,
        out: &mut (impl Write + Seek),
        path: &Path,
        format: OutputFormat,
    ) -> Result<(), PictureError> {
        let image = representable(&self.image, format);
        let image = image.as_ref().unwrap_or(&self.image);
        let written = match format {
            OutputFormat::Png => return self.encode_png(out, path, &[]),
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
