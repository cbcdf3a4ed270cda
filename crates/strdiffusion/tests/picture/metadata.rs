//! What a file says beside its pixels travels with the photograph, or is said to be left out.

use std::io::Cursor;

use image::codecs::jpeg::{JpegEncoder, PixelDensity};
use image::{DynamicImage, ExtendedColorType, ImageEncoder};
use jpeg_encoder::SamplingFactor;
use moxcms::ColorProfile;
use strdiffusion::picture::{OutputFormat, Photo};

use crate::support::*;

const XMP: &str = "<x:xmpmeta xmlns:x=\"adobe:ns:meta/\"><rdf:Description tiff:Orientation=\"6\">\
    <xmp:Thumbnails>a picture</xmp:Thumbnails><dc:title>A title</dc:title></rdf:Description>\
    </x:xmpmeta>";
const UPRIGHT_XMP: &str = "<x:xmpmeta xmlns:x=\"adobe:ns:meta/\"><rdf:Description \
    tiff:Orientation=\"1\"><dc:title>A title</dc:title></rdf:Description></x:xmpmeta>";
/// One record: keyword "meadow" (IIM 4.2, 2:25).
const IPTC: &[u8] = b"\x1c\x02\x19\x00\x06meadow";
const THUMBNAIL: &[u8] = b"\xff\xd8 the thumbnail \xff\xd9";

/// EXIF, big-endian: maker, orientation 6 and a directory of the lying photograph's width; then a
/// second directory with a thumbnail (Exif 2.32, 4.6).
fn exif_with_thumbnail() -> Vec<u8> {
    let entry = |tag: u16, kind: u16, count: u32, value: u32| {
        [
            &tag.to_be_bytes()[..],
            &kind.to_be_bytes(),
            &count.to_be_bytes(),
            &value.to_be_bytes(),
        ]
        .concat()
    };
    let mut e = b"MM\0*\0\0\0\x08".to_vec();
    e.extend(3u16.to_be_bytes());
    e.extend(entry(0x010f, 2, 5, 0x3e + 18));
    e.extend(entry(0x0112, 3, 1, 6 << 16));
    e.extend(entry(0x8769, 4, 1, 0x32));
    e.extend(0x44u32.to_be_bytes()); // the thumbnail's directory
    assert_eq!(e.len(), 0x32);
    e.extend(1u16.to_be_bytes());
    e.extend(entry(0xa002, 4, 1, 32));
    e.extend(0u32.to_be_bytes());
    assert_eq!(e.len(), 0x44);
    e.extend(2u16.to_be_bytes());
    e.extend(entry(0x0201, 4, 1, 0x68));
    e.extend(entry(0x0202, 4, 1, THUMBNAIL.len() as u32));
    e.extend(0u32.to_be_bytes());
    // The maker's name lies inside what follows.
    e.extend([0; 6]);
    assert_eq!(e.len(), 0x68);
    e.extend(THUMBNAIL);
    let name = e.len() as u32;
    e.extend(b"Acme\0");
    let field = 8 + 2 + 8;
    e[field..field + 4].copy_from_slice(&name.to_be_bytes());
    e
}

fn segment(marker: u8, data: &[u8]) -> Vec<u8> {
    [
        &[0xff, marker][..],
        &(data.len() as u16 + 2).to_be_bytes(),
        data,
    ]
    .concat()
}

/// A lying JPEG of 32×16 pixels with all that a camera and a library program write into it.
fn camera_jpeg() -> Vec<u8> {
    let picture = image::RgbImage::from_fn(32, 16, |x, y| {
        image::Rgb([(x * 8) as u8, (y * 16) as u8, 90])
    });
    let mut bytes = vec![];
    let mut encoder = JpegEncoder::new_with_quality(&mut bytes, 95);
    encoder.set_exif_metadata(exif_with_thumbnail()).unwrap();
    encoder.set_icc_profile(rgb_profile()).unwrap();
    encoder.set_pixel_density(PixelDensity::dpi(300));
    encoder
        .write_image(&picture, 32, 16, ExtendedColorType::Rgb8)
        .unwrap();
    let mut resources = b"Photoshop 3.0\0".to_vec();
    for (id, data) in [(0x040cu16, THUMBNAIL), (0x0404, IPTC)] {
        resources.extend(b"8BIM");
        resources.extend(id.to_be_bytes());
        resources.extend([0, 0]);
        resources.extend((data.len() as u32).to_be_bytes());
        resources.extend(data);
        resources.resize(resources.len().next_multiple_of(2), 0);
    }
    let xmp = [b"http://ns.adobe.com/xap/1.0/\0", XMP.as_bytes()].concat();
    let more = [segment(0xe1, &xmp), segment(0xed, &resources)].concat();
    [&bytes[..2], &more, &bytes[2..]].concat()
}

fn rgb_profile() -> Vec<u8> {
    ColorProfile::new_display_p3().encode().unwrap()
}

fn gray_profile() -> Vec<u8> {
    ColorProfile::new_gray_with_gamma(1.8).encode().unwrap()
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|w| w == part)
}

#[test]
fn what_a_camera_wrote_travels_into_every_format_that_has_a_place_for_it() {
    let photo = read(&camera_jpeg(), "camera.jpg").unwrap();
    assert_eq!(photo.notes(), [] as [&str; 0]);
    assert_eq!((photo.width(), photo.height()), (16, 32));
    for format in OutputFormat::ALL {
        let bytes = photo.encode(format).unwrap();
        let name = format.name();
        assert!(!contains(&bytes, b"the thumbnail"), "{name}");
        let again = read(&bytes, "again").unwrap();
        // A second turn would lay the photograph down.
        assert_eq!((again.width(), again.height()), (16, 32), "{name}");
        // WebP has a place for it in EXIF alone, where this camera did not write it.
        let expected = (format != OutputFormat::WebP).then_some([300.0; 2]);
        let found = again.pixels_per_inch().map(|p| p.map(f64::round));
        assert_eq!(found, expected, "{name}");
        let losses = photo.losses(format);
        let [xmp, iptc] = [again.xmp(), again.iptc()];
        match format {
            OutputFormat::Bmp => {
                assert_eq!(
                    losses,
                    ["BMP has no place for the colour profile, EXIF, XMP and IPTC"]
                );
                continue;
            }
            OutputFormat::WebP => {
                assert_eq!(losses, ["WebP has no place for IPTC and the resolution"]);
                assert_eq!(iptc, None);
            }
            _ => {
                assert!(losses.is_empty(), "{losses:?}");
                assert_eq!(iptc, Some(IPTC), "{name}");
            }
        }
        assert_eq!(again.icc_profile(), Some(&rgb_profile()[..]), "{name}");
        assert_eq!(xmp, Some(UPRIGHT_XMP.as_bytes()), "{name}");
        // Read by a program of other authors.
        let exif = exif::Reader::new()
            .read_from_container(&mut Cursor::new(&bytes))
            .unwrap();
        let field = |tag| {
            exif.get_field(tag, exif::In::PRIMARY)
                .map(|f| f.display_value().to_string())
        };
        assert_eq!(
            field(exif::Tag::Make).as_deref(),
            Some("\"Acme\""),
            "{name}"
        );
        assert_eq!(
            field(exif::Tag::PixelXDimension).as_deref(),
            Some("16"),
            "{name}"
        );
        let orientation = exif.get_field(exif::Tag::Orientation, exif::In::PRIMARY);
        assert!(
            orientation.is_none_or(|f| f.value.get_uint(0) == Some(1)),
            "{name}"
        );
        let thumbnail = exif.get_field(exif::Tag::JPEGInterchangeFormat, exif::In::THUMBNAIL);
        assert!(thumbnail.is_none(), "{name}");
    }
}

#[test]
fn what_a_tiff_says_travels_as_exif_and_back() {
    let camera = read(&camera_jpeg(), "camera.jpg").unwrap();
    let tiff = read(&camera.encode(OutputFormat::Tiff).unwrap(), "camera.tif").unwrap();
    for format in [
        OutputFormat::Png,
        OutputFormat::Jpeg,
        OutputFormat::WebP,
        OutputFormat::Tiff,
    ] {
        let bytes = tiff.encode(format).unwrap();
        let exif = exif::Reader::new()
            .read_from_container(&mut Cursor::new(&bytes))
            .unwrap();
        let field = |tag| {
            exif.get_field(tag, exif::In::PRIMARY)
                .map(|f| f.display_value().to_string())
        };
        assert_eq!(
            field(exif::Tag::Make).as_deref(),
            Some("\"Acme\""),
            "{}",
            format.name()
        );
        assert_eq!(
            field(exif::Tag::PixelXDimension).as_deref(),
            Some("16"),
            "{}",
            format.name()
        );
    }
}

#[test]
fn exif_stays_where_it_is_so_that_a_makers_offsets_hold() {
    let photo = read(&camera_jpeg(), "camera.jpg").unwrap();
    let (before, after) = (exif_with_thumbnail(), photo.exif().unwrap().to_vec());
    let name = |block: &[u8]| block.windows(4).position(|w| w == b"Acme");
    assert_eq!(name(&after), name(&before));
    assert!(!contains(&after, b"thumbnail"));
}

#[test]
fn a_profile_is_written_only_with_pixels_of_its_colour_model() {
    let with = |image: DynamicImage, profile: Vec<u8>| {
        let mut bytes = vec![];
        let mut encoder = image::codecs::png::PngEncoder::new(&mut bytes);
        encoder.set_icc_profile(profile).unwrap();
        let (w, h) = (image.width(), image.height());
        encoder
            .write_image(image.as_bytes(), w, h, image.color().into())
            .unwrap();
        read(&bytes, "p.png").unwrap()
    };
    let gray = with(DynamicImage::new_luma8(4, 4), gray_profile());
    let colour = with(DynamicImage::new_rgb8(4, 4), rgb_profile());
    for (photo, profile) in [(&gray, gray_profile()), (&colour, rgb_profile())] {
        assert_eq!(photo.icc_profile(), Some(&profile[..]));
        for format in OutputFormat::ALL {
            let back = read(&photo.encode(format).unwrap(), "back").unwrap();
            assert!(
                back.notes().is_empty(),
                "{}: {:?}",
                format.name(),
                back.notes()
            );
            let Some(found) = back.icc_profile() else {
                assert_eq!(format, OutputFormat::Bmp);
                continue;
            };
            let expected: &[u8] = if back.is_gray() { b"GRAY" } else { b"RGB " };
            assert_eq!(&found[16..20], expected, "{}", format.name());
            // WebP has no gray, so its profile is another one with the same tone curve.
            if format != OutputFormat::WebP || !photo.is_gray() {
                assert_eq!(found, &profile[..], "{}", format.name());
            }
        }
    }
    for photo in [
        with(DynamicImage::new_luma8(4, 4), rgb_profile()),
        with(DynamicImage::new_rgb8(4, 4), gray_profile()),
    ] {
        assert_eq!(photo.icc_profile(), None);
        assert!(
            photo.notes()[0].contains("colour profile"),
            "{:?}",
            photo.notes()
        );
    }
}

#[test]
fn a_gray_profile_means_the_same_on_three_equal_channels() {
    let levels: Vec<u8> = (0..=255).collect();
    let image = DynamicImage::ImageLuma8(image::ImageBuffer::from_raw(16, 16, levels).unwrap());
    let mut bytes = vec![];
    let mut encoder = image::codecs::png::PngEncoder::new(&mut bytes);
    encoder.set_icc_profile(gray_profile()).unwrap();
    encoder
        .write_image(image.as_bytes(), 16, 16, ExtendedColorType::L8)
        .unwrap();
    let webp = read(&bytes, "g.png")
        .unwrap()
        .encode(OutputFormat::WebP)
        .unwrap();
    let webp = read(&webp, "g.webp").unwrap();
    let srgb = ColorProfile::new_srgb();
    let through = |profile: &[u8], from: moxcms::Layout, pixels: &[u8]| {
        let profile = ColorProfile::new_from_slice(profile).unwrap();
        let transform = profile
            .create_transform_8bit(from, &srgb, moxcms::Layout::Rgb, Default::default())
            .unwrap();
        let mut out = vec![0; 3 * 256];
        transform.transform(pixels, &mut out).unwrap();
        out
    };
    let one = through(&gray_profile(), moxcms::Layout::Gray, image.as_bytes());
    let three = through(
        webp.icc_profile().unwrap(),
        moxcms::Layout::Rgb,
        webp.image().as_bytes(),
    );
    let difference = one.iter().zip(&three).map(|(a, b)| a.abs_diff(*b)).max();
    assert!(difference <= Some(1), "{difference:?}");
}

#[test]
fn cmyk_is_converted_with_a_note() {
    // Four components without Adobe's marker: 0 is no ink. Cyan alone, by a stream of DC
    // coefficients: quantised by 8, so that a difference of 127 is one of 127 in each sample.
    let mut jpeg = vec![0xff, 0xd8, 0xff, 0xdb, 0, 67, 0];
    jpeg.extend([8; 64]);
    let frame = [
        8, 0, 8, 0, 8, 4, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0, 4, 0x11, 0,
    ];
    jpeg.extend(segment(0xc0, &frame));
    // DC: code 0 is size 0, code 10 size 7, code 110 size 8. AC: code 0 is the end of a block.
    jpeg.extend(segment(
        0xc4,
        &[0, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 8],
    ));
    jpeg.extend(segment(
        0xc4,
        &[0x10, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ));
    jpeg.extend(segment(0xda, &[4, 1, 0, 2, 0, 3, 0, 4, 0, 0, 63, 0]));
    // +127: 10 1111111; -128: 110 01111111 (its ones' complement); each block ends with 0.
    let bits = "1011111110".to_string() + &"110011111110".repeat(3) + "11";
    let bytes: Vec<u8> = bits
        .as_bytes()
        .chunks(8)
        .map(|byte| {
            let text = std::str::from_utf8(byte).unwrap();
            u8::from_str_radix(text, 2).unwrap() << (8 - byte.len())
        })
        .collect();
    for byte in bytes {
        jpeg.push(byte);
        if byte == 0xff {
            jpeg.push(0);
        }
    }
    jpeg.extend([0xff, 0xd9]);
    let photo = read(&jpeg, "inks.jpg").unwrap();
    assert!(
        photo.notes()[0].contains("CMYK") && photo.notes()[0].contains("no colour profile"),
        "{:?}",
        photo.notes()
    );
    assert_eq!(photo.icc_profile(), None);
    let [r, g, b] = photo.image().to_rgb8().get_pixel(3, 3).0;
    assert!(r < 3 && g > 252 && b > 252, "{r} {g} {b}");
}

#[test]
fn png_keeps_its_own_colour_chunks_and_others_say_so() {
    let mut bytes = vec![];
    let mut encoder = png::Encoder::new(&mut bytes, 2, 1);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_source_gamma(png::ScaledFloat::from_scaled(100_000));
    encoder.set_source_chromaticities(png::SourceChromaticities::new(
        (0.3127, 0.329),
        (0.68, 0.32),
        (0.265, 0.69),
        (0.15, 0.06),
    ));
    let mut writer = encoder.write_header().unwrap();
    // BT.2020 primaries, PQ, full range (ITU-T H.273).
    writer
        .write_chunk(png::chunk::ChunkType(*b"cICP"), &[9, 16, 0, 1])
        .unwrap();
    writer.write_image_data(&[1, 2, 3, 4, 5, 6]).unwrap();
    writer.finish().unwrap();
    let photo = read(&bytes, "hdr.png").unwrap();
    let again = photo.encode(OutputFormat::Png).unwrap();
    let mut reader = png::Decoder::new(Cursor::new(&again)).read_info().unwrap();
    reader.next_frame(&mut [0; 6]).unwrap();
    let info = reader.info();
    assert_eq!(info.gama_chunk.unwrap().into_scaled(), 100_000);
    assert_eq!(info.chrm_chunk.unwrap().green.1.into_scaled(), 69_000);
    let points = info.coding_independent_code_points.unwrap();
    assert_eq!((points.color_primaries, points.transfer_function), (9, 16));
    assert!(photo.losses(OutputFormat::Png).is_empty());
    assert!(photo.losses(OutputFormat::Jpeg)[0].contains("colour space"));

    let mut bytes = vec![];
    let mut encoder = png::Encoder::new(&mut bytes, 2, 1);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_source_srgb(png::SrgbRenderingIntent::Perceptual);
    encoder
        .add_text_chunk("Author".into(), "Someone".into())
        .unwrap();
    encoder
        .add_itxt_chunk("Title".into(), "Größe".into())
        .unwrap();
    encoder
        .add_text_chunk("strdiffusion-seed".into(), "4".into())
        .unwrap();
    encoder
        .write_header()
        .unwrap()
        .write_image_data(&[1, 2, 3, 4, 5, 6])
        .unwrap();
    let photo = read(&bytes, "srgb.png").unwrap();
    let again = photo
        .encode_png_with_text(&[("Author", "me".into())])
        .unwrap();
    let again = read(&again, "again.png").unwrap();
    // What was said of an earlier fill is not said of this one.
    let text: Vec<(&str, &str)> = again
        .text()
        .iter()
        .map(|(k, t)| (k.as_str(), t.as_str()))
        .collect();
    assert_eq!(text, [("Author", "me"), ("Title", "Größe")]);
    assert_eq!(
        photo.losses(OutputFormat::Tiff),
        ["TIFF has no place for the texts that only PNG has"]
    );
    assert!(contains(&photo.encode(OutputFormat::Png).unwrap(), b"sRGB"));
}

#[test]
fn a_large_profile_travels_through_tiff() {
    // A profile may hold anything in private tags: this one is longer than one segment of a JPEG.
    let mut profile = rgb_profile();
    profile.resize(200_000, 7);
    let mut bytes = vec![];
    let mut encoder = image::codecs::png::PngEncoder::new(&mut bytes);
    encoder.set_icc_profile(profile.clone()).unwrap();
    encoder
        .write_image(&[9; 48], 4, 4, ExtendedColorType::Rgb8)
        .unwrap();
    let photo = read(&bytes, "p.png").unwrap();
    for format in [
        OutputFormat::Png,
        OutputFormat::Jpeg,
        OutputFormat::WebP,
        OutputFormat::Tiff,
    ] {
        let back = read(&photo.encode(format).unwrap(), "b").unwrap();
        assert!(
            back.icc_profile() == Some(&profile[..]),
            "{}",
            format.name()
        );
    }
}

#[test]
fn only_the_first_frame_of_an_animation_is_taken_with_a_note() {
    let mut bytes = vec![];
    let mut encoder = png::Encoder::new(&mut bytes, 2, 1);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_animated(2, 0).unwrap();
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&[1, 2]).unwrap();
    writer.write_image_data(&[3, 4]).unwrap();
    writer.finish().unwrap();
    let photo = read(&bytes, "a.png").unwrap();
    assert_eq!(photo.image().as_bytes(), [1, 2]);
    assert_eq!(
        photo.notes(),
        ["it holds 2 frames, of which only number 1 is used"]
    );
    assert!(
        read(&photo.encode(OutputFormat::Png).unwrap(), "b.png")
            .unwrap()
            .notes()
            .is_empty()
    );

    // WebP: the frames of an animation are chunks with a picture's chunks inside.
    let still = Photo::from_image(DynamicImage::new_rgb8(2, 2))
        .unwrap()
        .encode(OutputFormat::WebP)
        .unwrap();
    let chunk = |name: &[u8], data: &[u8]| {
        [
            name,
            &(data.len() as u32).to_le_bytes(),
            data,
            &[0][..data.len() % 2],
        ]
        .concat()
    };
    let mut frame = vec![0; 6];
    frame.extend([1, 0, 0, 1, 0, 0, 50, 0, 0, 0]);
    frame.extend(&still[12..]);
    let body = [
        b"WEBP".to_vec(),
        chunk(b"VP8X", &[2, 0, 0, 0, 1, 0, 0, 1, 0, 0]),
        chunk(b"ANIM", &[0; 6]),
        chunk(b"ANMF", &frame),
        chunk(b"ANMF", &frame),
    ]
    .concat();
    let webp = [
        b"RIFF".to_vec(),
        (body.len() as u32).to_le_bytes().to_vec(),
        body,
    ]
    .concat();
    let photo = read(&webp, "a.webp").unwrap();
    assert_eq!(
        photo.notes(),
        ["it holds 2 frames, of which only number 1 is used"]
    );
}

/// The quantisation table of the first component, and the components' samples, as a JPEG states them
/// (ITU-T T.81, B.2.2 and B.2.4.1).
fn coding(jpeg: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let segment = |marker: u8| {
        let at = jpeg.windows(2).position(|bytes| bytes == [0xff, marker]);
        &jpeg[at.unwrap() + 4..]
    };
    let frame = segment(0xc0);
    let samples = frame[6..].chunks(3).take(usize::from(frame[5]));
    (
        segment(0xdb)[1..65].to_vec(),
        samples.map(|component| component[1]).collect(),
    )
}

#[test]
fn a_jpeg_is_compressed_again_as_it_was_unless_told() {
    let image = image::RgbImage::from_fn(64, 48, |x, y| {
        image::Rgb([(x * 4) as u8, (y * 5) as u8, ((x / 8 + y / 8) * 15) as u8])
    });
    for (quality, factor, samples) in [
        (35, SamplingFactor::F_2_2, 0x22),
        (80, SamplingFactor::F_2_1, 0x21),
        (93, SamplingFactor::F_1_1, 0x11),
    ] {
        let mut first = vec![];
        let mut encoder = jpeg_encoder::Encoder::new(&mut first, quality);
        encoder.set_sampling_factor(factor);
        encoder
            .encode(&image, 64, 48, jpeg_encoder::ColorType::Rgb)
            .unwrap();
        let photo = read(&first, "first.jpg").unwrap();
        assert_eq!(photo.format(), Some(OutputFormat::Jpeg));
        let again = photo.encode(OutputFormat::Jpeg).unwrap();
        assert_eq!(coding(&again), coding(&first));
        assert_eq!(coding(&again).1, [samples, 0x11, 0x11]);
        // Decoded again it is nearly what it was, since it was rounded to the same steps.
        let second = read(&again, "again.jpg").unwrap();
        let pairs = photo
            .image()
            .as_bytes()
            .iter()
            .zip(second.image().as_bytes());
        let off: u32 = pairs.map(|(a, b)| u32::from(a.abs_diff(*b))).sum();
        assert!(off < 64 * 48 * 3, "{quality}: {off}");
        let finer = photo
            .clone()
            .with_jpeg_quality(99)
            .encode(OutputFormat::Jpeg)
            .unwrap();
        assert_eq!(coding(&finer).1, [samples, 0x11, 0x11]);
        assert!(coding(&finer).0.iter().all(|&step| step <= 3));
    }
    // A photograph of another format.
    let photo = Photo::from_image(image.into()).unwrap();
    let jpeg = photo.encode(OutputFormat::Jpeg).unwrap();
    assert_eq!(coding(&jpeg).1, [0x11; 3]);
}

#[test]
fn a_stripped_photograph_has_its_colours_alone() {
    let photo = read(&camera_jpeg(), "camera.jpg").unwrap();
    let bare = photo.clone().stripped();
    assert_eq!(bare.icc_profile(), photo.icc_profile());
    for format in OutputFormat::ALL {
        let bytes = bare.encode(format).unwrap();
        let found = read(&bytes, "bare").unwrap();
        assert!(
            found.xmp().is_none() && found.iptc().is_none(),
            "{format:?}"
        );
        assert!(found.pixels_per_inch().is_none(), "{format:?}");
        assert!(
            !contains(&bytes, b"Acme") && !contains(&bytes, IPTC),
            "{format:?}"
        );
    }
}
