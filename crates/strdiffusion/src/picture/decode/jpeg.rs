//! Reading JPEG: pixels, and what its segments say beside them.

use std::path::Path;

use image::{DynamicImage, ImageBuffer};
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::jpeg_scan;
use super::{Decoded, damaged, unsupported};
use crate::picture::colour;
use crate::picture::exif;
use crate::picture::metadata::{JpegCoding, Metadata, Resolution, Unit};
use crate::picture::{Limits, PictureError};

/// Decodes a whole file.
pub(super) fn read(bytes: &[u8], path: &Path, limits: &Limits) -> Result<Decoded, PictureError> {
    let segments = Segments::of(bytes);
    if let Some([width, height]) = segments.size {
        limits.check(path, width, height)?;
    }
    jpeg_scan::check(bytes, limits).map_err(|reason| damaged(path, reason))?;
    let options = DecoderOptions::default()
        .set_strict_mode(false)
        .set_max_width(usize::MAX)
        .set_max_height(usize::MAX);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder
        .decode_headers()
        .map_err(|e| decode_error(path, e))?;
    let [width, height] = match decoder.dimensions() {
        Some((width, height)) if width > 0 && height > 0 => [width as u32, height as u32],
        _ => return Err(damaged(path, "its size is not stated")),
    };
    limits.check(path, width, height)?;
    let stored = decoder.input_colorspace().unwrap_or(ColorSpace::YCbCr);
    let wanted = match stored {
        ColorSpace::Luma | ColorSpace::CMYK | ColorSpace::YCCK => stored,
        ColorSpace::YCbCr | ColorSpace::RGB => ColorSpace::RGB,
        other => {
            return Err(unsupported(
                path,
                format!("JPEG of the colour space {other:?}"),
            ));
        }
    };
    decoder.set_options(options.jpeg_set_out_colorspace(wanted));
    let pixels = decoder.decode().map_err(|e| decode_error(path, e))?;
    let mut notes = vec![];
    let mut metadata = segments.metadata(&mut notes);
    let image = match wanted {
        ColorSpace::Luma => {
            ImageBuffer::from_raw(width, height, pixels).map(DynamicImage::ImageLuma8)
        }
        ColorSpace::RGB => {
            ImageBuffer::from_raw(width, height, pixels).map(DynamicImage::ImageRgb8)
        }
        _ => {
            let ink = to_ink(pixels, wanted == ColorSpace::YCCK, segments.is_adobe);
            let (rgb, note) = colour::cmyk_to_rgb(&ink, metadata.icc.take().as_deref());
            notes.push(note);
            ImageBuffer::from_raw(width, height, rgb).map(DynamicImage::ImageRgb8)
        }
    };
    let image = image.ok_or_else(|| damaged(path, "it holds fewer pixels than it states"))?;
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

fn decode_error(path: &Path, error: DecodeErrors) -> PictureError {
    match error {
        DecodeErrors::Unsupported(what) => {
            unsupported(path, format!("this kind of JPEG ({what:?})"))
        }
        other => damaged(path, other),
    }
}

/// Four inks, 0 = none. Adobe's programs store them the other way round.
fn to_ink(mut pixels: Vec<u8>, is_ycck: bool, is_adobe: bool) -> Vec<u8> {
    for pixel in pixels.chunks_exact_mut(4) {
        if is_ycck {
            let [r, g, b] = colour::ycbcr_to_rgb(
                [pixel[0], pixel[1], pixel[2]].map(f32::from),
                colour::REC_601,
            );
            [pixel[0], pixel[1], pixel[2]] = [255 - r, 255 - g, 255 - b];
        }
        if is_adobe {
            pixel.iter_mut().for_each(|ink| *ink = 255 - *ink);
        }
    }
    pixels
}

/// Where the values of a table lie in a block of 8×8, row by row (ITU-T T.81, figure A.6).
const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20,
    13, 6, 7, 14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59,
    52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// What the segments before the first scan say.
#[derive(Default)]
struct Segments<'a> {
    size: Option<[u32; 2]>,
    density: Option<Resolution>,
    exif: Option<&'a [u8]>,
    xmp: Option<&'a [u8]>,
    has_more_xmp: bool,
    /// Number, count and part.
    profile: Vec<(u8, u8, &'a [u8])>,
    photoshop: Vec<u8>,
    is_adobe: bool,
    images: usize,
    /// Quantisation tables by their numbers, row by row.
    tables: [Option<[u16; 64]>; 4],
    /// Columns and rows of samples, and number of the table, of each component.
    components: Vec<([u8; 2], u8)>,
}

impl<'a> Segments<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        let mut found = Self {
            images: 1,
            ..Self::default()
        };
        let mut at = 2;
        while let Some(&[0xff, marker]) = bytes.get(at..at + 2) {
            if marker == 0xff {
                at += 1;
                continue;
            }
            let Some(length) = bytes.get(at + 2..at + 4) else {
                break;
            };
            let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
            let Some(data) = bytes.get(at + 4..at + 2 + length.max(2)) else {
                break;
            };
            match marker {
                0xda | 0xd9 => break,
                _ => found.take(marker, data),
            }
            at += 2 + length.max(2);
        }
        found
    }

    fn take(&mut self, marker: u8, data: &'a [u8]) {
        let short = |at: usize| u32::from(u16::from_be_bytes([data[at], data[at + 1]]));
        match marker {
            0xc0..=0xcf if ![0xc4, 0xc8, 0xcc].contains(&marker) && data.len() >= 5 => {
                self.size = Some([short(3), short(1)]);
                let components = data.get(6..).unwrap_or_default().chunks_exact(3);
                let components = components.map(|c| ([c[1] >> 4, c[1] & 15], c[2]));
                self.components = components.collect();
            }
            0xdb => self.take_tables(data),
            0xe0 if data.starts_with(b"JFIF\0") && data.len() >= 12 => {
                let (x, y) = (f64::from(short(8)), f64::from(short(10)));
                self.density = match data[7] {
                    1 => Resolution::new(x, y, Unit::Inch),
                    2 => Resolution::new(x * 100.0, y * 100.0, Unit::Metre),
                    _ => Resolution::new(x, y, Unit::None),
                };
            }
            0xe1 => {
                if let Some(exif) = data.strip_prefix(b"Exif\0\0") {
                    self.exif = self.exif.or(Some(exif));
                } else if let Some(xmp) = data.strip_prefix(super::XMP_NAME) {
                    self.xmp = self.xmp.or(Some(xmp));
                }
                self.has_more_xmp |= data.starts_with(b"http://ns.adobe.com/xmp/extension/\0");
            }
            0xe2 => {
                if let Some([number, count, part @ ..]) = data.strip_prefix(b"ICC_PROFILE\0") {
                    self.profile.push((*number, *count, part));
                } else if let Some(index) = data.strip_prefix(b"MPF\0") {
                    let images = exif::number(index, exif::NUMBER_OF_IMAGES);
                    self.images = images.map_or(1, |images| images as usize);
                }
            }
            0xed => {
                if let Some(part) = data.strip_prefix(b"Photoshop 3.0\0") {
                    self.photoshop.extend(part);
                }
            }
            0xee => self.is_adobe |= data.starts_with(b"Adobe"),
            _ => {}
        }
    }

    /// Quantisation tables (ITU-T T.81, B.2.4.1), in the zigzag order of figure A.6.
    fn take_tables(&mut self, mut data: &[u8]) {
        while let Some((&kind, rest)) = data.split_first() {
            let bytes = 1 + usize::from(kind >> 4);
            let Some(values) = rest.get(..64 * bytes).filter(|_| bytes <= 2) else {
                return;
            };
            let mut table = [0; 64];
            for (&place, value) in ZIGZAG.iter().zip(values.chunks_exact(bytes)) {
                let value = value
                    .iter()
                    .fold(0, |all, &byte| all << 8 | u16::from(byte));
                table[usize::from(place)] = value;
            }
            if let Some(slot) = self.tables.get_mut(usize::from(kind & 15)) {
                *slot = Some(table);
            }
            data = &rest[64 * bytes..];
        }
    }

    /// How gray or colours of three components were compressed.
    fn coding(&self) -> Option<JpegCoding> {
        let table = |number: u8| *self.tables.get(usize::from(number))?;
        let (first, second) = match self.components.as_slice() {
            [first] => (first, first),
            [first, second, third] if second.0 == third.0 => (first, second),
            _ => return None,
        };
        let ([across, down], [shared_across, shared_down]) = (first.0, second.0);
        let subsampling = [
            across.checked_div(shared_across)?,
            down.checked_div(shared_down)?,
        ];
        Some(JpegCoding {
            tables: [table(first.1)?, table(second.1)?],
            subsampling,
        })
    }

    fn metadata(&self, notes: &mut Vec<String>) -> Metadata {
        if self.images > 1 {
            notes.push(super::only_one_of("images", self.images, 1));
        }
        if self.has_more_xmp {
            notes.push(
                "its XMP is longer than one segment; what is beyond the first is left out".into(),
            );
        }
        let exif = self.exif.map(<[u8]>::to_vec);
        Metadata {
            icc: self.whole_profile(notes),
            resolution: self.density.or_else(|| {
                let exif = self.exif?;
                Resolution::from_numbers(|tag| exif::number(exif, tag))
            }),
            exif,
            xmp: self.xmp.map(<[u8]>::to_vec),
            iptc: iptc_of(&self.photoshop),
            jpeg: self.coding(),
            ..Metadata::default()
        }
    }

    fn whole_profile(&self, notes: &mut Vec<String>) -> Option<Vec<u8>> {
        let mut parts = self.profile.clone();
        parts.sort_by_key(|&(number, ..)| number);
        let is_whole = parts
            .iter()
            .zip(1..)
            .all(|(&(number, count, _), expected)| {
                number == expected && usize::from(count) == parts.len()
            });
        if !is_whole {
            notes.push("its colour profile is incomplete and is left out".into());
            return None;
        }
        let profile: Vec<u8> = parts
            .iter()
            .flat_map(|(.., part)| part.iter().copied())
            .collect();
        (!profile.is_empty()).then_some(profile)
    }
}

/// The IPTC records among Photoshop's resources. The others are left out: a thumbnail among them
/// would still show what was filled.
pub(super) fn iptc_of(mut resources: &[u8]) -> Option<Vec<u8>> {
    const IPTC: [u8; 2] = 0x0404u16.to_be_bytes();
    while let Some(rest) = resources.strip_prefix(b"8BIM") {
        let (id, rest) = rest.split_first_chunk::<2>()?;
        // A name with its length, padded to an even number of bytes.
        let name = (usize::from(*rest.first()?) + 1).next_multiple_of(2);
        let (length, rest) = rest.get(name..)?.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let data = rest.get(..length)?;
        if *id == IPTC {
            return (!data.is_empty()).then(|| data.to_vec());
        }
        resources = rest.get(length.next_multiple_of(2)..)?;
    }
    None
}
