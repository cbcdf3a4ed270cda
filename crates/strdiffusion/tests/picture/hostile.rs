//! Files that are small and claim to be large, and structures that lead in circles.

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use image::DynamicImage;
use strdiffusion::picture::{Limits, OutputFormat, Photo};

use crate::support::*;

/// Zeros, packed to a thousandth.
fn zeros(count: usize) -> Vec<u8> {
    let mut packer = ZlibEncoder::new(vec![], Compression::fast());
    packer.write_all(&vec![0; count]).unwrap();
    packer.finish().unwrap()
}

/// A chunk (PNG specification, 5.3): its checksum is the IEEE CRC-32 of type and data.
fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let body = [kind, data].concat();
    let mut crc = flate2::Crc::new();
    crc.update(&body);
    let length = data.len() as u32;
    [&length.to_be_bytes()[..], &body, &crc.sum().to_be_bytes()].concat()
}

/// An RGB picture of this size with `chunks` before its pixels.
fn png(size: u32, chunks: &[Vec<u8>], pixels: &[u8]) -> Vec<u8> {
    let header = [
        &size.to_be_bytes()[..],
        &size.to_be_bytes(),
        &[8, 2, 0, 0, 0],
    ]
    .concat();
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    file.extend(chunk(b"IHDR", &header));
    file.extend(chunks.concat());
    file.extend(chunk(b"IDAT", pixels));
    file.extend(chunk(b"IEND", b""));
    file
}

#[test]
fn packed_text_and_profiles_are_not_unpacked_without_bound() {
    let huge = zeros(256 << 20);
    let pixels = zeros(4 * 13);
    let packed = |start: &[u8]| [start, &huge].concat();
    for chunks in [
        vec![chunk(b"zTXt", &packed(b"Comment\0\0"))],
        vec![chunk(b"iTXt", &packed(b"XML:com.adobe.xmp\0\x01\0\0\0"))],
        vec![chunk(b"iCCP", &packed(b"profile\0\0"))],
    ] {
        let photo = read(&png(4, &chunks, &pixels), "bomb.png");
        // Either is right: the pixels are small. Nothing of the bomb is kept.
        if let Ok(photo) = photo {
            assert!(photo.text().is_empty() && photo.notes().len() < 3);
            assert!(photo.xmp().is_none() && photo.icc_profile().is_none());
        }
    }
    // More pixels than the header states.
    if let Ok(photo) = read(&png(4, &[], &huge), "bomb.png") {
        assert_eq!((photo.width(), photo.height()), (4, 4));
    }
}

#[test]
fn a_small_file_of_a_huge_size_is_refused_by_its_header() {
    let limits = Limits {
        max_pixels: 1_000_000,
        ..Limits::default()
    };
    let small = Photo::from_image(DynamicImage::new_rgb8(3, 3)).unwrap();
    let mut webp = small.encode(OutputFormat::WebP).unwrap();
    // The lossless stream's 14 bits of width and of height, less one (WebP, RFC 9649, 3.4).
    let at = webp.windows(4).position(|w| w == b"VP8L").unwrap() + 9;
    webp[at..at + 4].copy_from_slice(&0x0fff_ffffu32.to_le_bytes());
    let mut tiff = small.encode(OutputFormat::Tiff).unwrap();
    let directory = u32::from_le_bytes(tiff[4..8].try_into().unwrap()) as usize;
    let entries = usize::from(u16::from_le_bytes([tiff[directory], tiff[directory + 1]]));
    for i in 0..entries {
        let entry = directory + 2 + 12 * i;
        if [256u16, 257].contains(&u16::from_le_bytes([tiff[entry], tiff[entry + 1]])) {
            tiff[entry + 8..entry + 12].copy_from_slice(&30_000u32.to_le_bytes());
        }
    }
    for (name, file) in [("a.webp", webp), ("a.tif", tiff)] {
        let error = Photo::from_bytes(&file, name, &limits).unwrap_err();
        let error = error.to_string();
        assert!(error.contains(name), "{error}");
    }
}

/// EXIF whose directories are each other and themselves, and whose values lie outside.
fn circular_exif() -> Vec<u8> {
    let entry = |tag: u16, kind: u16, count: u32, value: u32| {
        let (tag, kind) = (tag.to_le_bytes(), kind.to_le_bytes());
        [&tag[..], &kind, &count.to_le_bytes(), &value.to_le_bytes()].concat()
    };
    let entries = [
        entry(0x0112, 3, 1, 6),
        entry(0x8769, 4, 1, 8),
        entry(0x8825, 4, 1, 8),
        entry(0x010f, 2, u32::MAX, 8),
        entry(0x011a, 5, 1, u32::MAX),
    ];
    let mut block = b"II*\0\x08\0\0\0".to_vec();
    block.extend((entries.len() as u16).to_le_bytes());
    block.extend(entries.concat());
    // The next directory is this one.
    block.extend(8u32.to_le_bytes());
    block
}

#[test]
fn exif_that_leads_in_circles_costs_nothing_but_itself() {
    let exif = circular_exif();
    let in_png = png(4, &[chunk(b"eXIf", &exif)], &zeros(4 * 13));
    let blank = Photo::from_image(DynamicImage::new_rgb8(8, 4)).unwrap();
    let jpeg = blank.encode(OutputFormat::Jpeg).unwrap();
    let segment = [b"Exif\0\0", &exif[..]].concat();
    let length = (segment.len() as u16 + 2).to_be_bytes();
    let in_jpeg = [&jpeg[..2], b"\xff\xe1", &length, &segment, &jpeg[2..]].concat();
    for (name, file) in [("a.png", in_png), ("a.jpg", in_jpeg)] {
        let photo = read(&file, name).unwrap();
        for format in [OutputFormat::Png, OutputFormat::Tiff, OutputFormat::WebP] {
            let written = photo.encode(format).unwrap();
            let back = read(&written, "back").unwrap();
            assert_eq!(back.to_rgb_f32().data(), photo.to_rgb_f32().data());
        }
    }
    // A TIFF file is such a structure itself.
    assert!(read(&exif, "a.tif").is_err());
    let mut tiff = blank.encode(OutputFormat::Tiff).unwrap();
    let directory = u32::from_le_bytes(tiff[4..8].try_into().unwrap());
    let at = directory as usize;
    let entries = usize::from(u16::from_le_bytes([tiff[at], tiff[at + 1]]));
    let next = at + 2 + 12 * entries;
    tiff[next..next + 4].copy_from_slice(&directory.to_le_bytes());
    // Read as the one page that it is, or refused; but at once.
    if let Ok(photo) = read(&tiff, "a.tif") {
        assert_eq!((photo.width(), photo.height()), (8, 4));
    }
}
