//! Writing WebP, its lossless kind, with what its chunks hold beside the pixels.

use std::io::Write;

use image::DynamicImage;
use image_webp::{ColorType, EncodingError, WebPEncoder};

use crate::picture::{OutputFormat, Photo};

impl Photo {
    pub(super) fn encode_webp(
        &self,
        out: &mut impl Write,
        image: &DynamicImage,
    ) -> Result<(), EncodingError> {
        let mut encoder = WebPEncoder::new(out);
        if let Some(profile) = self.profile_for(OutputFormat::WebP) {
            encoder.set_icc_profile(profile.into_owned());
        }
        if let Some(exif) = self.metadata.exif_with_resolution() {
            encoder.set_exif_metadata(exif);
        }
        if let Some(xmp) = &self.metadata.xmp {
            encoder.set_xmp_metadata(xmp.clone());
        }
        let kind = match image.color().channel_count() {
            1 => ColorType::L8,
            2 => ColorType::La8,
            3 => ColorType::Rgb8,
            _ => ColorType::Rgba8,
        };
        encoder.encode(image.as_bytes(), image.width(), image.height(), kind)
    }
}
