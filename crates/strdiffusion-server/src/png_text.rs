//! A photograph as PNG that says how it was made.

use std::borrow::Cow;

use bytes::Bytes;
use png::{BitDepth, ColorType, Compression, Encoder, EncodingError, Info};
use serde_json::json;
use strdiffusion::model::ModelConfig;
use strdiffusion::picture::Photo;
use strdiffusion::{FillOptions, Scale};

/// Writes a PNG in the photograph's own bit depth and colour type, with its ICC profile and these
/// keywords and texts.
///
/// # Errors
/// If the picture or a text is more than the format holds.
pub(crate) fn png_with_text(
    photo: &Photo,
    texts: &[(&str, String)],
) -> Result<Bytes, EncodingError> {
    let image = photo.image();
    let mut info = Info::with_size(image.width(), image.height());
    info.color_type = match (photo.is_gray(), image.color().has_alpha()) {
        (true, false) => ColorType::Grayscale,
        (true, true) => ColorType::GrayscaleAlpha,
        (false, false) => ColorType::Rgb,
        (false, true) => ColorType::Rgba,
    };
    let samples = match photo.bit_depth() {
        8 => {
            info.bit_depth = BitDepth::Eight;
            Cow::Borrowed(image.as_bytes())
        }
        _ => {
            info.bit_depth = BitDepth::Sixteen;
            let native = image.as_bytes().chunks_exact(2);
            let big = native.flat_map(|b| u16::from_ne_bytes([b[0], b[1]]).to_be_bytes());
            Cow::Owned(big.collect())
        }
    };
    info.icc_profile = photo.icc_profile().map(Cow::Borrowed);
    let mut bytes = Vec::new();
    let mut encoder = Encoder::with_info(&mut bytes, info)?;
    encoder.set_compression(Compression::Fast);
    for (keyword, text) in texts {
        encoder.add_itxt_chunk((*keyword).to_owned(), text.clone())?;
    }
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&samples)?;
    writer.finish()?;
    Ok(bytes.into())
}

/// What another person needs to make a fill again, as keywords and texts.
pub(crate) fn provenance(
    config: &ModelConfig,
    model: &str,
    options: &FillOptions,
) -> Vec<(&'static str, String)> {
    let settings = json!({
        "scale": match options.scale {
            Scale::Auto => "auto",
            Scale::Native => "native",
        },
        "sampler": options.sampler.unwrap_or(config.sampling),
        "edges": options.edges.unwrap_or(config.edges),
        "drawn_structure": options.drawn_edges.is_some(),
    });
    vec![
        (
            "Software",
            format!("strdiffusion {}", env!("CARGO_PKG_VERSION")),
        ),
        ("strdiffusion-model", model.into()),
        ("strdiffusion-seed", options.seed.to_string()),
        ("strdiffusion-settings", settings.to_string()),
    ]
}
