//! Reading, combining, writing.

use std::fs;
use std::path::PathBuf;

use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ImageEncoder};
use strdiffusion::picture::{
    Filter, FloatImage, Limits, Mask, OutputFormat, Photo, PictureError, check_output,
    output_format,
};

use crate::support::*;

#[test]
fn known_pixels_come_back_bit_for_bit_in_lossless_formats() {
    let folder = tempfile::tempdir().unwrap();
    for original in pictures() {
        let photo = Photo::from_image(original.clone()).unwrap();
        let mask = box_mask();
        let filled = photo.composite(&rgb_result(0.25, 0.5, 1.5), &mask).unwrap();
        assert_eq!(filled.image().color(), original.color());
        for extension in ["png", "tif", "webp", "bmp"] {
            let path = folder.path().join(format!("out.{extension}"));
            filled.save(&path).unwrap();
            let back = Photo::open(&path).unwrap();
            let format = output_format(&path).unwrap();
            if photo.bit_depth() == 16 && !format.holds_16_bit() {
                assert_eq!(back.bit_depth(), 8);
                continue;
            }
            // Gray may come back as RGB of three equal channels; the values must be the same.
            let (expected, found) = (original.to_rgba16(), back.image().to_rgba16());
            for (i, (e, f)) in expected.pixels().zip(found.pixels()).enumerate() {
                if mask.keep()[i] == 1 {
                    assert_eq!(e, f, "{extension} {:?} pixel {i}", original.color());
                }
            }
            if extension == "png" {
                assert_eq!(back.image(), filled.image());
            }
        }
    }
}

#[test]
fn the_hole_is_filled_by_rounding_to_the_photographs_own_depth() {
    let mask = box_mask();
    let result = rgb_result(0.25, 0.5, 1.5);
    // Luma with clamped blue: 0.2125 · 0.25 + 0.7154 · 0.5 + 0.0721 = 0.482925.
    for original in pictures() {
        let filled = Photo::from_image(original)
            .unwrap()
            .composite(&result, &mask)
            .unwrap();
        match filled.image() {
            DynamicImage::ImageRgb8(i) => assert_eq!(i.get_pixel(5, 2).0, [64, 128, 255]),
            DynamicImage::ImageRgba8(i) => assert_eq!(i.get_pixel(5, 2).0[..3], [64, 128, 255]),
            DynamicImage::ImageLuma8(i) => assert_eq!(i.get_pixel(5, 2).0, [123]),
            DynamicImage::ImageLumaA8(i) => assert_eq!(i.get_pixel(8, 4).0[0], 123),
            DynamicImage::ImageRgb16(i) => assert_eq!(i.get_pixel(5, 2).0, [16384, 32768, 65535]),
            DynamicImage::ImageRgba16(i) => {
                assert_eq!(i.get_pixel(5, 2).0[..3], [16384, 32768, 65535]);
            }
            DynamicImage::ImageLuma16(i) => assert_eq!(i.get_pixel(5, 2).0, [31648]),
            DynamicImage::ImageLumaA16(i) => assert_eq!(i.get_pixel(5, 2).0[0], 31648),
            _ => unreachable!(),
        }
    }
}

#[test]
fn to_floats_and_back_changes_no_pixel() {
    for original in pictures() {
        let photo = Photo::from_image(original.clone()).unwrap();
        let all_hole = Mask::from_keep(W as usize, H as usize, vec![0; (W * H) as usize]).unwrap();
        let back = photo.composite(&photo.to_rgb_f32(), &all_hole).unwrap();
        let opaque = |i: &DynamicImage| i.to_rgb16().into_raw();
        assert_eq!(
            opaque(back.image()),
            opaque(&original),
            "{:?}",
            original.color()
        );
    }
}

#[test]
fn a_result_with_nan_in_the_hole_is_refused_and_outside_it_ignored() {
    let photo = Photo::from_image(DynamicImage::new_rgb8(W, H)).unwrap();
    let mut result = rgb_result(0.5, 0.5, 0.5);
    result.data_mut()[0] = f32::NAN;
    assert!(photo.composite(&result, &box_mask()).is_ok());
    result.data_mut()[(3 * W + 6) as usize] = f32::NAN;
    let error = photo.composite(&result, &box_mask()).unwrap_err();
    assert!(
        matches!(error, PictureError::NotFinite { x: 6, y: 3 }),
        "{error}"
    );
}

#[test]
fn formats_without_16_bits_get_8_by_rounding() {
    let levels: Vec<u16> = (0..=65535).collect();
    let image = DynamicImage::ImageLuma16(image::ImageBuffer::from_raw(256, 256, levels).unwrap());
    let bytes = Photo::from_image(image)
        .unwrap()
        .encode(OutputFormat::Bmp)
        .unwrap();
    let back = Photo::from_bytes(&bytes, "b.bmp", &Limits::default()).unwrap();
    let low = back.image().to_luma8();
    for (v, &b) in low.as_raw().iter().enumerate() {
        assert_eq!(b, (v as f64 / 257.0).round() as u8, "{v}");
    }
}

/// EXIF in JPEG: a TIFF header with the one tag 0x0112 (orientation).
fn exif(orientation: u8) -> Vec<u8> {
    let mut e = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
    e.extend([orientation, 0, 0, 0, 0, 0, 0, 0]);
    e
}

#[test]
fn exif_orientation_is_applied() {
    // Left half black, right half white, stored lying; tag 6 = turn by 90° clockwise.
    let picture =
        image::GrayImage::from_fn(32, 16, |x, _| image::Luma([if x < 16 { 0 } else { 255 }]));
    let mut bytes = Vec::new();
    let mut encoder = JpegEncoder::new_with_quality(&mut bytes, 95);
    encoder.set_exif_metadata(exif(6)).unwrap();
    encoder
        .write_image(&picture, 32, 16, image::ExtendedColorType::L8)
        .unwrap();
    let photo = Photo::from_bytes(&bytes, "turned.jpg", &Limits::default()).unwrap();
    assert_eq!((photo.width(), photo.height()), (16, 32));
    let gray = photo.image().to_luma8();
    assert!(gray.get_pixel(8, 4).0[0] < 16 && gray.get_pixel(8, 28).0[0] > 239);
}

/// A PNG that consists of a header chunk alone.
fn png_header(width: u32, height: u32) -> Vec<u8> {
    let mut chunk = b"IHDR".to_vec();
    chunk.extend(width.to_be_bytes());
    chunk.extend(height.to_be_bytes());
    chunk.extend([8, 2, 0, 0, 0]);
    let crc = !chunk.iter().fold(!0u32, |mut crc, &b| {
        crc ^= u32::from(b);
        for _ in 0..8 {
            crc = if crc & 1 == 1 {
                crc >> 1 ^ 0xedb8_8320
            } else {
                crc >> 1
            };
        }
        crc
    });
    let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\x0d".to_vec();
    png.extend(chunk);
    png.extend(crc.to_be_bytes());
    // The start of a data chunk, as a decoder reads on to it.
    png.extend(b"\0\0\x01\0IDAT");
    png
}

#[test]
fn bad_input_is_a_one_line_error_that_names_the_file_and_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| -> PathBuf {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let mut bmp = vec![0u8; 54];
    bmp[..2].copy_from_slice(b"BM");
    bmp[10] = 54;
    bmp[14] = 40;
    bmp[18..22].copy_from_slice(&100_000u32.to_le_bytes());
    bmp[22..26].copy_from_slice(&100_000u32.to_le_bytes());
    bmp[26] = 1;
    bmp[28] = 24;
    let cases = [
        (folder.path().join("none.png"), "no such file"),
        (folder.path().to_path_buf(), "folder"),
        (write("empty.png", b""), "empty"),
        (
            write("text.jpg", b"hello, this is no picture"),
            "not a picture",
        ),
        (write("short.png", b"\x89P"), "not a picture"),
        (write("anim.gif", b"GIF89a\x01\0\x01\0\0\0\0;"), "Gif"),
        (
            write("huge.png", &png_header(100_000, 100_000)),
            "100000x100000",
        ),
        (write("huge.bmp", &bmp), "100000"),
        (
            write("wide.png", &png_header(32_768, 32_768)),
            "pixels in all",
        ),
        (write("head.png", &png_header(10, 10)), "truncated"),
        (write("soi.jpg", b"\xff\xd8\xff\xe0"), "truncated"),
    ];
    for (path, expected) in cases {
        let error = Photo::open(&path).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(error.contains(path.to_str().unwrap()), "{error}");
        assert!(!error.contains('\n') && error.contains(';'), "{error}");
    }
}

#[test]
fn limits_are_the_callers_to_set() {
    let bytes = Photo::from_image(DynamicImage::new_rgb8(64, 32)).unwrap();
    let bytes = bytes.encode(OutputFormat::Png).unwrap();
    let read = |max_side, max_pixels| {
        Photo::from_bytes(
            &bytes,
            "p",
            &Limits {
                max_side,
                max_pixels,
            },
        )
        .is_ok()
    };
    assert!(read(64, 2048) && !read(63, 2048) && !read(64, 2047));
}

#[test]
fn unwritable_outputs_are_errors_before_any_work_and_leave_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["out", "out.gif", "out.png.bak"] {
        let error = check_output(&folder.path().join(name)).unwrap_err();
        assert!(
            matches!(error, PictureError::UnknownExtension { .. }),
            "{error}"
        );
    }
    let error = check_output(&folder.path().join("no/such/folder/out.png")).unwrap_err();
    assert!(matches!(error, PictureError::Write { .. }), "{error}");
    fs::create_dir(folder.path().join("d.png")).unwrap();
    assert!(check_output(&folder.path().join("d.png")).is_err());
    assert!(check_output(&folder.path().join("fine.PNG")).is_ok());
    assert_eq!(files_in(folder.path()), ["d.png"]);
}

#[test]
fn a_failed_save_keeps_the_old_file_and_leaves_no_part() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.jpg");
    fs::write(&path, b"old").unwrap();
    let mut transparent = image::RgbaImage::from_pixel(8, 8, image::Rgba([1, 2, 3, 255]));
    transparent.put_pixel(0, 0, image::Rgba([1, 2, 3, 100]));
    let photo = Photo::from_image(DynamicImage::ImageRgba8(transparent)).unwrap();
    let error = photo.save(&path).unwrap_err();
    assert!(error.to_string().contains("JPEG cannot hold"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), b"old");
    assert_eq!(files_in(folder.path()), ["out.jpg"]);
    // With the transparent pixel filled, JPEG can hold it.
    let mask = Mask::from_alpha(&photo).unwrap();
    assert_eq!(mask.hole_pixels(), 1);
    photo.check_fits(&path, Some(&mask)).unwrap();
    let result = FloatImage::filled(3, 8, 8, 0.5);
    photo
        .composite(&result, &mask)
        .unwrap()
        .save(&path)
        .unwrap();
    assert_eq!(Photo::open(&path).unwrap().width(), 8);
    assert_eq!(files_in(folder.path()), ["out.jpg"]);
}

#[test]
fn resizing_is_antialiased_keeps_flat_pictures_flat_and_stays_in_range() {
    // One-pixel stripes shrink to their mean; without antialiasing they would alias.
    let stripes = (0..64 * 64).map(|i| (i % 2) as f32).collect();
    let stripes = FloatImage::from_vec(1, 64, 64, stripes).unwrap();
    for filter in [Filter::Triangle, Filter::Lanczos3] {
        let small = stripes.resize(16, 16, filter);
        let middle = small.crop(4, 4, 8, 8);
        assert!(
            middle.data().iter().all(|v| (v - 0.5).abs() < 0.05),
            "{filter:?}"
        );
        let flat = FloatImage::filled(3, 31, 17, 0.3);
        for (w, h) in [(7, 40), (90, 5), (31, 17), (1, 1)] {
            let resized = flat.resize(w, h, filter);
            assert_eq!((resized.width(), resized.height()), (w, h));
            assert!(resized.data().iter().all(|v| (v - 0.3).abs() < 1e-6));
        }
        let large = stripes.resize(150, 200, filter);
        assert!(large.data().iter().all(|v| (0.0..=1.0).contains(v)));
        assert_eq!(stripes.resize(64, 64, filter), stripes);
    }
}

#[test]
fn text_in_a_png_changes_nothing_but_the_text() {
    let text = [
        ("Software", "strdiffusion".to_string()),
        ("strdiffusion-model", "Größe".to_string()),
    ];
    for picture in pictures() {
        let mut bytes = vec![];
        let mut encoder = image::codecs::png::PngEncoder::new(&mut bytes);
        encoder.set_icc_profile(b"a profile".to_vec()).unwrap();
        let kind = picture.color();
        encoder
            .write_image(picture.as_bytes(), W, H, kind.into())
            .unwrap();
        let photo = Photo::from_bytes(&bytes, "p.png", &Limits::default()).unwrap();
        let with_text = photo.encode_png_with_text(&text).unwrap();
        let again = Photo::from_bytes(&with_text, "q.png", &Limits::default()).unwrap();
        assert_eq!(again.image(), &picture, "{kind:?}");
        assert_eq!(again.icc_profile(), Some(&b"a profile"[..]));

        let mut reader = png::Decoder::new(std::io::Cursor::new(&with_text))
            .read_info()
            .unwrap();
        reader.finish().unwrap();
        let info = reader.info();
        let latin = &info.uncompressed_latin1_text[0];
        assert_eq!(
            (&*latin.keyword, &*latin.text),
            ("Software", "strdiffusion")
        );
        let unicode = &info.utf8_text[0];
        assert_eq!(unicode.keyword, "strdiffusion-model");
        assert_eq!(unicode.get_text().unwrap(), "Größe");

        let plain = photo.encode(OutputFormat::Png).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("text.png");
        photo.save_with_text(&file, &text).unwrap();
        assert!(fs::read(&file).unwrap() == with_text && with_text != plain);
    }
    let photo = Photo::from_image(pictures().remove(0)).unwrap();
    let bad = [("", "an empty keyword".to_string())];
    assert!(photo.encode_png_with_text(&bad).is_err());
}

#[test]
fn the_size_of_a_file_is_that_of_the_upright_photo() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lying.png");
    // Little-endian TIFF with one entry: tag 0x0112 (orientation), SHORT, 1 value, 6 = to be
    // turned by 90 degrees clockwise (Exif 2.3, 4.6.4 A).
    let exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0".to_vec();
    let mut bytes = vec![];
    let mut encoder = image::codecs::png::PngEncoder::new(&mut bytes);
    encoder.set_exif_metadata(exif).unwrap();
    let gray = vec![7; (W * H) as usize];
    encoder
        .write_image(&gray, W, H, image::ExtendedColorType::L8)
        .unwrap();
    fs::write(&file, bytes).unwrap();
    assert_eq!(
        Photo::size_of_file(&file).unwrap(),
        [H as usize, W as usize]
    );
    assert!(Photo::size_of_file(folder.path().join("missing.png")).is_err());
}
