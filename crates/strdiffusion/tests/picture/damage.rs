//! Files that were cut off or contradict themselves are errors, in every format.

use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ExtendedColorType, ImageEncoder, RgbImage};
use strdiffusion::picture::{Limits, OutputFormat, Photo};

use crate::support::*;

/// A picture that no part of a JPEG can leave out.
fn lively() -> RgbImage {
    RgbImage::from_fn(64, 64, |x, y| {
        image::Rgb([(x * 4) as u8, (y * 4) as u8, value(x, y, 0) as u8])
    })
}

#[test]
fn a_truncated_file_is_an_error_in_every_format_at_every_cut() {
    let photo = Photo::from_image(DynamicImage::ImageRgb8(lively())).unwrap();
    for format in [
        OutputFormat::Png,
        OutputFormat::Jpeg,
        OutputFormat::WebP,
        OutputFormat::Tiff,
        OutputFormat::Bmp,
    ] {
        let bytes = photo.encode(format).unwrap();
        assert!(Photo::from_bytes(&bytes, "whole", &Limits::default()).is_ok());
        for cut in (1..20).map(|i| bytes.len() * i / 20) {
            let read = Photo::from_bytes(&bytes[..cut], "cut", &Limits::default());
            assert!(
                read.is_err(),
                "{} cut at {cut} of {}",
                format.name(),
                bytes.len()
            );
        }
    }
}

#[test]
fn a_jpeg_that_was_cut_off_and_closed_with_an_end_marker_is_damaged() {
    let mut bytes = vec![];
    let encoder = JpegEncoder::new_with_quality(&mut bytes, 90);
    encoder
        .write_image(&lively(), 64, 64, ExtendedColorType::Rgb8)
        .unwrap();
    assert!(read(&bytes, "whole.jpg").is_ok());
    let scan = bytes.windows(2).position(|w| w == [0xff, 0xda]).unwrap() + 14;
    for cut in (1..20).map(|i| scan + (bytes.len() - scan) * i / 20) {
        let mut closed = bytes[..cut].to_vec();
        closed.extend([0xff, 0xd9]);
        let error = read(&closed, "half.jpg").unwrap_err().to_string();
        assert!(error.contains("truncated or damaged"), "{error}");
    }
}

/// A progressive JPEG of 16×16 gray pixels whose only coefficients are the four DC ones: a first
/// pass without the lowest bit, and one that refines it (ITU-T T.81, annex G).
fn progressive(scans: usize, last_bits: &[u8]) -> Vec<u8> {
    let mut jpeg = vec![0xff, 0xd8];
    // One quantisation table of ones.
    jpeg.extend([0xff, 0xdb, 0, 67, 0]);
    jpeg.extend([1; 64]);
    jpeg.extend([0xff, 0xc2, 0, 11, 8, 0, 16, 0, 16, 1, 1, 0x11, 0]);
    // One DC table: code 0 is size 0, code 10 is size 3.
    jpeg.extend([
        0xff, 0xc4, 0, 21, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3,
    ]);
    // Sizes 3 (10 111 = 7), 0, 0 and 0: 1011 1000, padded with ones as the standard has it.
    jpeg.extend([0xff, 0xda, 0, 8, 1, 1, 0, 0, 0, 0x01, 0b1011_1000]);
    if scans == 2 {
        jpeg.extend([0xff, 0xda, 0, 8, 1, 1, 0, 0, 0, 0x10]);
        jpeg.extend(last_bits);
    }
    jpeg.extend([0xff, 0xd9]);
    jpeg
}

#[test]
fn a_progressive_jpeg_must_have_all_bits_of_its_scans() {
    let whole = read(&progressive(2, &[0b0000_1111]), "whole.jpg");
    assert_eq!(whole.unwrap().width(), 16);
    for bad in [progressive(1, &[]), progressive(2, &[])] {
        let error = read(&bad, "cut.jpg").unwrap_err().to_string();
        assert!(error.contains("truncated or damaged"), "{error}");
    }
}

#[test]
fn a_png_without_its_last_chunk_is_damaged() {
    let photo = Photo::from_image(DynamicImage::ImageRgb8(lively())).unwrap();
    let bytes = photo.encode(OutputFormat::Png).unwrap();
    let error = read(&bytes[..bytes.len() - 12], "cut.png")
        .unwrap_err()
        .to_string();
    assert!(error.contains("truncated or damaged"), "{error}");
}

#[test]
fn a_tiff_whose_strips_are_shorter_than_stated_is_damaged() {
    let photo = Photo::from_image(DynamicImage::ImageRgb8(lively())).unwrap();
    let bytes = photo.encode(OutputFormat::Tiff).unwrap();
    let length = 64 * 64 * 3u32;
    let at = bytes
        .windows(4)
        .rposition(|w| w == length.to_ne_bytes())
        .unwrap();
    let with = |count: u32| {
        let mut changed = bytes.clone();
        changed[at..at + 4].copy_from_slice(&count.to_ne_bytes());
        read(&changed, "strips.tif").map_err(|error| error.to_string())
    };
    assert!(with(length).is_ok());
    assert!(
        with(length - 1)
            .unwrap_err()
            .contains("part 1 of 1 is too short")
    );
    assert!(
        with(length + 10_000)
            .unwrap_err()
            .contains("part 1 of 1 is missing")
    );
}

#[test]
fn a_webp_that_is_shorter_than_it_states_is_damaged() {
    let photo = Photo::from_image(DynamicImage::ImageRgb8(lively())).unwrap();
    let mut bytes = photo.encode(OutputFormat::WebP).unwrap();
    let length = u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
    bytes[4..8].copy_from_slice(&(length + 100).to_le_bytes());
    let error = read(&bytes, "short.webp").unwrap_err().to_string();
    assert!(error.contains("the last 100 bytes are missing"), "{error}");
}

#[test]
fn the_content_decides_and_a_name_that_says_otherwise_is_noted() {
    let folder = tempfile::tempdir().unwrap();
    let photo = Photo::from_image(DynamicImage::ImageRgb8(lively())).unwrap();
    let file = folder.path().join("photo.jpe");
    photo.save(&file).unwrap();
    assert!(std::fs::read(&file).unwrap().starts_with(&[0xff, 0xd8]));
    assert!(Photo::open(&file).unwrap().notes().is_empty());
    std::fs::write(&file, photo.encode(OutputFormat::Png).unwrap()).unwrap();
    let opened = Photo::open(&file).unwrap();
    assert_eq!(opened.image(), photo.image());
    assert_eq!(
        opened.notes(),
        ["it is PNG by its content, though its name says JPEG"]
    );
    assert_eq!(Photo::size_of_file(&file).unwrap(), [64, 64]);
}

#[test]
fn a_stream_is_read_to_its_end_and_no_picture_is_not_waited_for() {
    let photo = Photo::from_image(DynamicImage::ImageRgb8(lively())).unwrap();
    let bytes = photo.encode(OutputFormat::Png).unwrap();
    let limits = Limits::default();
    let streamed = Photo::from_reader(&bytes[..], "standard input", &limits).unwrap();
    assert_eq!(streamed.image(), photo.image());
    assert_eq!(streamed.name(), "standard input");
    let error = Photo::from_reader(std::io::repeat(b'a'), "pipe", &limits)
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("pipe: not a picture"), "{error}");
    let error = Photo::from_reader(std::io::empty(), "pipe", &limits)
        .unwrap_err()
        .to_string();
    assert!(error.contains("empty"), "{error}");
}
