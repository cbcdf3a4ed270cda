//! Writing JPEG, with what its segments hold beside the pixels.

use std::io::Write;

use image::codecs::jpeg::{JpegEncoder, PixelDensity, PixelDensityUnit};
use image::{DynamicImage, ImageEncoder, ImageError};

use crate::picture::decode::XMP_NAME;
use crate::picture::metadata::{MOST_IN_A_SEGMENT, Resolution, Unit};
use crate::picture::{OutputFormat, Photo};

/// JPEG quality of written files, 1 to 100: high, since the photograph is compressed a second time.
const QUALITY: u8 = 95;

impl Photo {
    pub(super) fn encode_jpeg(
        &self,
        out: &mut impl Write,
        image: &DynamicImage,
    ) -> Result<(), ImageError> {
        let mut bytes = vec![];
        let mut encoder = JpegEncoder::new_with_quality(&mut bytes, QUALITY);
        if let Some(profile) = self.profile_for(OutputFormat::Jpeg) {
            let _ = encoder.set_icc_profile(profile.into_owned());
        }
        let fits = |block: &&Vec<u8>| block.len() <= MOST_IN_A_SEGMENT;
        let metadata = &self.metadata;
        if let Some(exif) = metadata.exif.as_ref().filter(fits) {
            let _ = encoder.set_exif_metadata(exif.clone());
        }
        if let Some(resolution) = metadata.resolution {
            encoder.set_pixel_density(density(resolution));
        }
        encoder.write_image(
            image.as_bytes(),
            image.width(),
            image.height(),
            image.color().into(),
        )?;
        // The encoder writes no XMP and no IPTC: they come after its first two segments.
        let mut more = vec![];
        if let Some(xmp) = metadata.xmp.as_ref().filter(fits) {
            segment(&mut more, 0xe1, &[XMP_NAME, xmp]);
        }
        if let Some(iptc) = metadata.iptc.as_ref().filter(fits) {
            let length = (iptc.len() as u32).to_be_bytes();
            let padding = &[0][..iptc.len() % 2];
            segment(
                &mut more,
                0xed,
                &[b"Photoshop 3.0\08BIM\x04\x04\0\0", &length, iptc, padding],
            );
        }
        let at = after_first_segments(&bytes);
        for part in [&bytes[..at], &more, &bytes[at..]] {
            out.write_all(part).map_err(ImageError::IoError)?;
        }
        Ok(())
    }
}

/// Where the start-of-image marker, JFIF and EXIF end.
fn after_first_segments(bytes: &[u8]) -> usize {
    let mut at = 2;
    while let Some(&[0xff, 0xe0 | 0xe1, high, low]) = bytes.get(at..at + 4) {
        at += 2 + usize::from(u16::from_be_bytes([high, low]));
    }
    at.min(bytes.len())
}

fn segment(out: &mut Vec<u8>, marker: u8, parts: &[&[u8]]) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    out.extend([0xff, marker]);
    out.extend((length as u16 + 2).to_be_bytes());
    parts.iter().for_each(|part| out.extend(*part));
}

fn density(resolution: Resolution) -> PixelDensity {
    let [x, y] = resolution
        .per_inch()
        .map(|v| v.round().clamp(1.0, 65_535.0) as u16);
    let unit = match resolution.unit {
        Unit::None => PixelDensityUnit::PixelAspectRatio,
        Unit::Inch | Unit::Metre => PixelDensityUnit::Inches,
    };
    PixelDensity {
        density: (x, y),
        unit,
    }
}
