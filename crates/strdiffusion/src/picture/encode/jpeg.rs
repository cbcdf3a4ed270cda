//! Writing JPEG, compressed as the photograph's file was, with what its segments hold beside the pixels.

use std::io::Write;

use image::DynamicImage;
use jpeg_encoder::{
    ChromaSubsamplingMethod, ColorType, Encoder, EncodingError, PixelDensity, PixelDensityUnit,
    QuantizationTableType, SamplingFactor,
};

use crate::picture::decode::XMP_NAME;
use crate::picture::metadata::{MOST_IN_A_SEGMENT, Metadata, Resolution, Unit};
use crate::picture::{OutputFormat, Photo};

/// JPEG quality of written files, 1 to 100, where the photograph's was none.
const QUALITY: u8 = 95;

impl Photo {
    pub(super) fn encode_jpeg(
        &self,
        out: &mut impl Write,
        image: &DynamicImage,
    ) -> Result<(), EncodingError> {
        let metadata = &self.metadata;
        let mut encoder = Encoder::new(out, metadata.jpeg_quality.unwrap_or(QUALITY));
        set_coding(&mut encoder, metadata);
        if let Some(resolution) = metadata.resolution {
            encoder.set_density(density(resolution));
        }
        let fits = |block: &&Vec<u8>| block.len() <= MOST_IN_A_SEGMENT;
        if let Some(exif) = metadata.exif.as_ref().filter(fits) {
            encoder.add_exif_metadata(exif)?;
        }
        if let Some(xmp) = metadata.xmp.as_ref().filter(fits) {
            encoder.add_app_segment(1, [XMP_NAME, xmp].concat())?;
        }
        if let Some(profile) = self.profile_for(OutputFormat::Jpeg) {
            encoder.add_icc_profile(&profile)?;
        }
        if let Some(iptc) = metadata.iptc.as_ref().filter(fits) {
            let length = (iptc.len() as u32).to_be_bytes();
            let padding = &[0][..iptc.len() % 2];
            let head = b"Photoshop 3.0\08BIM\x04\x04\0\0";
            encoder.add_app_segment(13, [&head[..], &length, iptc, padding].concat())?;
        }
        let kind = match image.color().has_color() {
            true => ColorType::Rgb,
            false => ColorType::Luma,
        };
        let [width, height] = [image.width(), image.height()].map(|side| side as u16);
        encoder.encode(image.as_bytes(), width, height, kind)
    }
}

/// Chooses tables and subsampling.
fn set_coding<W: Write>(encoder: &mut Encoder<W>, metadata: &Metadata) {
    encoder.set_chroma_subsampling_method(ChromaSubsamplingMethod::Average);
    encoder.set_sampling_factor(SamplingFactor::F_1_1);
    let Some(source) = &metadata.jpeg else {
        return;
    };
    let [across, down] = source.subsampling;
    if let Some(subsampling) = SamplingFactor::from_factors(across, down) {
        encoder.set_sampling_factor(subsampling);
    }
    if metadata.jpeg_quality.is_none() {
        // One byte each: what is written is of 8 bits.
        let table = |table: &[u16; 64]| {
            QuantizationTableType::Custom(Box::new(table.map(|value| value.clamp(1, 255))))
        };
        let [first, second] = &source.tables;
        encoder.set_quantization_tables(table(first), table(second));
    }
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
