//! Reading PNG: pixels, and what its chunks say beside them.

use std::cell::Cell;
use std::io::{BufRead, Seek};
use std::path::Path;

use image::{DynamicImage, ImageBuffer};
use png::{BitDepth, ColorType, DecodingError, Info, Transformations};

use super::{Decoded, damaged, from_io, unsupported};
use crate::picture::exif;
use crate::picture::metadata::{Metadata, PngColour, Resolution, Unit};
use crate::picture::{Limits, PictureError};

/// Bytes that the decoder keeps beside the pixels: rows, and chunks unpacked.
const MOST_BESIDE_PIXELS: usize = 64 << 20;
/// Bytes of packed text that are unpacked, in all.
const MOST_TEXT: usize = 32 << 20;
/// Keywords under which programs keep other files' metadata as hexadecimal text.
const RAW_PROFILE: &str = "Raw profile type ";
/// Keyword of XMP (XMP specification, part 3, 1.1.5).
pub(in crate::picture) const XMP_KEYWORD: &str = "XML:com.adobe.xmp";

/// Decodes a whole file.
pub(super) fn read(
    stream: impl BufRead + Seek,
    path: &Path,
    limits: &Limits,
) -> Result<Decoded, PictureError> {
    let failed = |e| decode_error(path, e);
    let bytes = usize::try_from(limits.bytes()).unwrap_or(usize::MAX);
    let bytes = bytes.min(MOST_BESIDE_PIXELS);
    let mut decoder = png::Decoder::new_with_limits(stream, png::Limits { bytes });
    let header = decoder.read_header_info().map_err(failed)?;
    let [width, height] = [header.width, header.height];
    limits.check(path, width, height)?;
    // Palettes to colours, few bits to eight, a transparent colour to an alpha channel.
    decoder.set_transformations(Transformations::EXPAND);
    let mut reader = decoder.read_info().map_err(failed)?;
    let (kind, depth) = reader.output_color_type();
    let size = reader.output_buffer_size();
    let mut pixels = vec![0; size.ok_or_else(|| damaged(path, "its size is not possible"))?];
    reader.next_frame(&mut pixels).map_err(failed)?;
    let frames = reader
        .info()
        .animation_control
        .map_or(1, |control| control.num_frames);
    // What follows the pixels may be text, and must be whole.
    reader.finish().map_err(failed)?;
    let mut notes = vec![];
    if frames > 1 {
        notes.push(super::only_one_of("frames", frames as usize, 1));
    }
    let info = reader.info();
    if info.mastering_display_color_volume.is_some() || info.content_light_level.is_some() {
        notes.push("it states the display that it was made on, which is left out".into());
    }
    use ColorType as C;
    use DynamicImage as D;
    let image = match (kind, depth) {
        (C::Grayscale, BitDepth::Eight) => {
            ImageBuffer::from_raw(width, height, pixels).map(D::ImageLuma8)
        }
        (C::GrayscaleAlpha, BitDepth::Eight) => {
            ImageBuffer::from_raw(width, height, pixels).map(D::ImageLumaA8)
        }
        (C::Rgb, BitDepth::Eight) => ImageBuffer::from_raw(width, height, pixels).map(D::ImageRgb8),
        (C::Rgba, BitDepth::Eight) => {
            ImageBuffer::from_raw(width, height, pixels).map(D::ImageRgba8)
        }
        (C::Grayscale, BitDepth::Sixteen) => {
            ImageBuffer::from_raw(width, height, samples_16(&pixels)).map(D::ImageLuma16)
        }
        (C::GrayscaleAlpha, BitDepth::Sixteen) => {
            ImageBuffer::from_raw(width, height, samples_16(&pixels)).map(D::ImageLumaA16)
        }
        (C::Rgb, BitDepth::Sixteen) => {
            ImageBuffer::from_raw(width, height, samples_16(&pixels)).map(D::ImageRgb16)
        }
        (C::Rgba, BitDepth::Sixteen) => {
            ImageBuffer::from_raw(width, height, samples_16(&pixels)).map(D::ImageRgba16)
        }
        _ => {
            return Err(unsupported(
                path,
                format!("PNG of {kind:?} with {depth:?} bits"),
            ));
        }
    };
    let image = image.ok_or_else(|| damaged(path, "it holds fewer pixels than it states"))?;
    let metadata = metadata(reader.info(), &mut notes);
    Ok(Decoded {
        image,
        orientation: metadata
            .exif
            .as_deref()
            .and_then(exif::orientation)
            .unwrap_or(1),
        metadata,
        notes,
    })
}

/// Samples of two bytes, the higher one first.
fn samples_16(bytes: &[u8]) -> Vec<u16> {
    let pairs = bytes.chunks_exact(2);
    pairs.map(|b| u16::from_be_bytes([b[0], b[1]])).collect()
}

fn decode_error(path: &Path, error: DecodingError) -> PictureError {
    match error {
        DecodingError::IoError(e) => from_io(path, e),
        other => damaged(path, other),
    }
}

fn metadata(info: &Info, notes: &mut Vec<String>) -> Metadata {
    let mut metadata = Metadata {
        icc: info.icc_profile.as_deref().map(<[u8]>::to_vec),
        png_colour: PngColour {
            gamma: info.gama_chunk,
            chromaticities: info.chrm_chunk,
            srgb: info.srgb,
            code_points: info.coding_independent_code_points,
        },
        exif: info
            .exif_metadata
            .as_deref()
            .map(|exif| exif::without_prefix(exif).to_vec()),
        resolution: info.pixel_dims.and_then(|dims| {
            let unit = match dims.unit {
                png::Unit::Meter => Unit::Metre,
                png::Unit::Unspecified => Unit::None,
            };
            Resolution::new(f64::from(dims.xppu), f64::from(dims.yppu), unit)
        }),
        ..Metadata::default()
    };
    let latin = info.uncompressed_latin1_text.iter();
    let latin = latin.map(|chunk| (chunk.keyword.clone(), Some(chunk.text.clone())));
    let left = Cell::new(MOST_TEXT);
    let bounded = |text: Option<String>| {
        let rest = left.get().checked_sub(text.as_ref()?.len())?;
        left.set(rest);
        text
    };
    let packed = info.compressed_latin1_text.iter().map(|chunk| {
        let mut packed = chunk.clone();
        let unpacked = packed.decompress_text_with_limit(left.get());
        let text = unpacked.and_then(|()| packed.get_text());
        (chunk.keyword.clone(), bounded(text.ok()))
    });
    let unicode = info.utf8_text.iter().map(|chunk| {
        let mut packed = chunk.clone();
        let unpacked = packed.decompress_text_with_limit(left.get());
        let text = unpacked.and_then(|()| packed.get_text());
        (chunk.keyword.clone(), bounded(text.ok()))
    });
    for (keyword, text) in latin.chain(packed).chain(unicode) {
        let Some(text) = text else {
            notes.push(format!(
                "its text {keyword:?} is damaged or too long and is left out"
            ));
            continue;
        };
        if keyword == XMP_KEYWORD {
            metadata.xmp = Some(text.into_bytes());
        } else if let Some(kind) = keyword.strip_prefix(RAW_PROFILE) {
            take_raw_profile(&mut metadata, kind, &text);
        } else {
            metadata.text.push((keyword, text));
        }
    }
    metadata
}

/// Takes what a program has kept as hexadecimal text.
fn take_raw_profile(metadata: &mut Metadata, kind: &str, text: &str) {
    let Some(bytes) = raw_profile(text) else {
        return;
    };
    match kind {
        "exif" | "APP1" => {
            if let Some(xmp) = bytes.strip_prefix(super::XMP_NAME) {
                metadata.xmp.get_or_insert(xmp.to_vec());
            } else {
                metadata
                    .exif
                    .get_or_insert(exif::without_prefix(&bytes).to_vec());
            }
        }
        "xmp" => {
            metadata.xmp.get_or_insert(bytes);
        }
        // Some write the records alone, some Photoshop's resources around them.
        "iptc" | "8bim" => {
            let records = match bytes.starts_with(b"8BIM") {
                true => super::jpeg::iptc_of(&bytes),
                false => Some(bytes),
            };
            if let Some(records) = records {
                metadata.iptc.get_or_insert(records);
            }
        }
        _ => {}
    }
}

/// A line with a name, one with a length, then two hexadecimal digits for each byte.
fn raw_profile(text: &str) -> Option<Vec<u8>> {
    let mut lines = text.trim_start().lines().skip(1);
    let length: usize = lines.next()?.trim().parse().ok()?;
    let digits: Vec<u32> = lines
        .flat_map(str::chars)
        .filter_map(|c| c.to_digit(16))
        .collect();
    let bytes: Vec<u8> = digits
        .chunks_exact(2)
        .map(|pair| (pair[0] << 4 | pair[1]) as u8)
        .collect();
    (bytes.len() == length).then_some(bytes)
}
