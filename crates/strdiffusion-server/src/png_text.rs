//! A photograph as PNG that says how it was made.

use std::borrow::Cow;

use bytes::Bytes;
use png::{BitDepth, ColorType, Compression, Encoder, EncodingError, Info};
use strdiffusion::picture::Photo;

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
