//! What is a hole in a mask, and which masks are refused.

use image::{DynamicImage, ImageBuffer, Luma, LumaA, Rgb, Rgba};
use strdiffusion::picture::{HolePolarity, Mask, MaskOptions, Photo, PictureError};

use crate::support::*;

#[test]
fn masks_are_thresholded_at_one_half_and_never_dithered() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mask.png");
    let levels: Vec<u8> = (0..=255).collect();
    let gray = image::GrayImage::from_raw(256, 1, levels).unwrap();
    gray.save(&path).unwrap();
    let white = Mask::open(&path, HolePolarity::White).unwrap();
    let black = Mask::open(&path, HolePolarity::Black).unwrap();
    for x in 0..256 {
        assert_eq!(white.is_hole(x, 0), x >= 128);
        assert_eq!(black.is_hole(x, 0), x < 128);
    }
    let deep = image::ImageBuffer::from_raw(4, 1, vec![0u16, 32767, 32768, 65535]).unwrap();
    DynamicImage::ImageLuma16(deep).save(&path).unwrap();
    assert_eq!(
        Mask::open(&path, HolePolarity::White).unwrap().keep(),
        [1, 1, 0, 0]
    );
    let colours = vec![255u8, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 255];
    image::RgbImage::from_raw(4, 1, colours)
        .unwrap()
        .save(&path)
        .unwrap();
    assert_eq!(
        Mask::open(&path, HolePolarity::White).unwrap().keep(),
        [1, 0, 1, 0]
    );
    // Transparent white is no stroke of a brush.
    let pixels = vec![255u8, 255, 255, 0, 255, 255, 255, 255];
    image::RgbaImage::from_raw(2, 1, pixels)
        .unwrap()
        .save(&path)
        .unwrap();
    assert_eq!(
        Mask::open(&path, HolePolarity::White).unwrap().keep(),
        [1, 0]
    );
}

#[test]
fn masks_report_their_hole_and_their_size() {
    let mask = Mask::from_keep(4, 2, vec![1, 1, 0, 0, 1, 1, 1, 1]).unwrap();
    assert_eq!((mask.hole_pixels(), mask.hole_fraction()), (2, 0.25));
    assert!(!mask.is_empty() && !mask.is_full());
    assert!(Mask::all_known(3, 3).is_empty());
    assert!(Mask::from_keep(1, 1, vec![0]).unwrap().is_full());
    let error = mask.check_size(40, 20, "p.png").unwrap_err().to_string();
    assert!(
        error.contains("4x2") && error.contains("p.png is 40x20"),
        "{error}"
    );
    assert_eq!(
        mask.fit_to(8, 2).unwrap().keep()[..8],
        [1, 1, 1, 1, 0, 0, 0, 0]
    );
    assert_eq!(mask.fit_to(4, 2).unwrap(), mask);
    assert!(mask.fit_to(0, 2).is_err());
    // Shrinking 3 to 1: the middle pixel is nearest, but the hole must not be lost.
    let thin = Mask::from_keep(3, 1, vec![0, 1, 1]).unwrap();
    assert!(thin.fit_to(1, 1).unwrap().is_empty());
    assert!(thin.fit_covering(1, 1).unwrap().is_full());
    let opaque = Photo::from_image(DynamicImage::new_rgb8(2, 2)).unwrap();
    assert!(matches!(
        Mask::from_alpha(&opaque),
        Err(PictureError::NoAlpha { .. })
    ));
}

#[test]
fn saved_masks_come_back() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["m.png", "m.tif", "m.bmp", "m.webp"] {
        let path = folder.path().join(name);
        box_mask().save(&path).unwrap();
        assert_eq!(
            Mask::open(&path, HolePolarity::White).unwrap(),
            box_mask(),
            "{name}"
        );
    }
    assert!(box_mask().save(folder.path().join("m.jpg")).is_err());
}

fn mask_of(image: DynamicImage, polarity: HolePolarity) -> Result<Mask, PictureError> {
    Mask::from_photo(&Photo::from_image(image).unwrap(), polarity)
}

/// Whether the column belongs to the hole of the pictures below.
fn is_hole(x: u32) -> bool {
    (4..7).contains(&x)
}

#[test]
fn masks_that_are_too_dark_to_be_white_are_refused_with_their_brightest_value() {
    let gray = |value: u8| {
        ImageBuffer::from_fn(W, H, move |x, _| Luma([if is_hole(x) { value } else { 0 }]))
    };
    let deep = ImageBuffer::from_fn(W, H, |x, _| Luma([if is_hole(x) { 255u16 } else { 0 }]));
    let red = ImageBuffer::from_fn(W, H, |x, _| Rgb([if is_hole(x) { 255u8 } else { 0 }, 0, 0]));
    let cases: [(DynamicImage, &str); 4] = [
        (
            gray(1).into(),
            "the brightest is 1 of 255 and white begins at 128",
        ),
        (gray(127).into(), "the brightest is 127 of 255"),
        (
            deep.into(),
            "the brightest is 255 of 65535 and white begins at 32768",
        ),
        // 0.2125 · 255 = 54.19
        (
            red.into(),
            "the brightest is 54 of 255 (the luma of red 255, green 0, blue 0)",
        ),
    ];
    for (image, expected) in cases {
        let error = mask_of(image.clone(), HolePolarity::White)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(expected) && error.contains("paint what is meant in white"),
            "{error}"
        );
        let hole = mask_of(image, HolePolarity::NonZero).unwrap();
        assert!((0..W).all(|x| hole.is_hole(x as usize, 3) == is_hole(x)));
    }
    // All black is a mask without a hole, not a mistake.
    assert!(
        mask_of(gray(0).into(), HolePolarity::White)
            .unwrap()
            .is_empty()
    );
    let bright = ImageBuffer::from_fn(W, H, |x, _| Luma([if is_hole(x) { 200u8 } else { 255 }]));
    let error = mask_of(bright.into(), HolePolarity::Black)
        .unwrap_err()
        .to_string();
    assert!(error.contains("the darkest is 200 of 255"), "{error}");
}

#[test]
fn a_palette_of_dark_colours_is_refused_as_its_colours_are() {
    let mut bytes = vec![];
    let mut encoder = png::Encoder::new(&mut bytes, 4, 1);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_palette(vec![0, 0, 0, 128, 0, 0]);
    encoder
        .write_header()
        .unwrap()
        .write_image_data(&[0, 1, 1, 0])
        .unwrap();
    let photo = read(&bytes, "classes.png").unwrap();
    let error = Mask::from_photo(&photo, HolePolarity::White)
        .unwrap_err()
        .to_string();
    // 0.2125 · 128 = 27.2
    assert!(
        error.starts_with("classes.png: ") && error.contains("27 of 255"),
        "{error}"
    );
    let hole = Mask::from_photo(&photo, HolePolarity::NonZero).unwrap();
    assert_eq!(hole.keep(), [1, 0, 0, 1]);
}

#[test]
fn a_transparent_hole_is_refused_unless_it_is_asked_for() {
    let with = |hole: [u8; 4], known: [u8; 4]| -> DynamicImage {
        ImageBuffer::from_fn(W, H, |x, _| Rgba(if is_hole(x) { hole } else { known })).into()
    };
    let clear = [0, 0, 0, 0];
    for (image, expected) in [
        (with(clear, [0, 0, 0, 255]), "all else is black"),
        (with(clear, [255; 4]), "most of it is white"),
    ] {
        let error = mask_of(image.clone(), HolePolarity::White)
            .unwrap_err()
            .to_string();
        // 3 of 13 columns.
        assert!(
            error.contains("23 %") && error.contains(expected),
            "{error}"
        );
        let hole = mask_of(image, HolePolarity::Transparent).unwrap();
        assert!((0..W).all(|x| hole.is_hole(x as usize, 0) == is_hole(x)));
    }
    // A photograph out of which the hole was cut.
    let cut = ImageBuffer::from_fn(W, H, |x, y| {
        LumaA(if is_hole(x) {
            [0, 0]
        } else {
            [(x * 20) as u8 ^ (y * 8) as u8, 255]
        })
    });
    let error = mask_of(cut.into(), HolePolarity::White)
        .unwrap_err()
        .to_string();
    assert!(error.contains("dark and white pixels"), "{error}");
    // A layer with a brush's stroke.
    let stroke = with([255; 4], clear);
    let hole = mask_of(stroke, HolePolarity::White).unwrap();
    assert!((0..W).all(|x| hole.is_hole(x as usize, 0) == is_hole(x)));
}

/// A mask's gray as a ramp from black to white.
fn ramp() -> Photo {
    let levels: Vec<u8> = (0..=255).collect();
    let gray = image::GrayImage::from_raw(256, 1, levels).unwrap();
    Photo::from_image(gray.into()).unwrap()
}

#[test]
fn white_begins_where_the_threshold_says() {
    for (threshold, first) in [(0.1, 26), (0.5, 128), (0.502, 129), (1.0, 255)] {
        let options = MaskOptions {
            threshold: Some(threshold),
            ..MaskOptions::default()
        };
        let white = Mask::from_photo_with(&ramp(), HolePolarity::White, &options).unwrap();
        let black = Mask::from_photo_with(&ramp(), HolePolarity::Black, &options).unwrap();
        for x in 0..256 {
            assert_eq!(white.is_hole(x, 0), x >= first, "{threshold}: {x}");
            assert_eq!(black.is_hole(x, 0), x < first, "{threshold}: {x}");
        }
        let nonzero = Mask::from_photo_with(&ramp(), HolePolarity::NonZero, &options);
        assert!(matches!(nonzero, Err(PictureError::MaskOption { .. })));
    }
    let clear = ImageBuffer::from_fn(4, 1, |x, _| LumaA([9u8, [0, 100, 200, 255][x as usize]]));
    let clear = Photo::from_image(clear.into()).unwrap();
    let keep = |threshold| {
        let options = MaskOptions {
            threshold,
            ..MaskOptions::default()
        };
        let mask = Mask::from_alpha_with(&clear, &options).unwrap();
        assert!(mask.is_transparency());
        mask.keep().to_vec()
    };
    assert_eq!(keep(None), [0, 0, 0, 1]);
    assert_eq!(keep(Some(0.5)), [0, 0, 1, 1]);
}

#[test]
fn the_gray_of_a_soft_mask_is_the_share_of_the_fill() {
    let soft = MaskOptions {
        soft: true,
        ..MaskOptions::default()
    };
    let white = Mask::from_photo_with(&ramp(), HolePolarity::White, &soft).unwrap();
    let black = Mask::from_photo_with(&ramp(), HolePolarity::Black, &soft).unwrap();
    for x in 0..256u16 {
        let gray = 257 * x;
        assert_eq!(white.weights().unwrap()[usize::from(x)], gray);
        assert_eq!(black.weights().unwrap()[usize::from(x)], 65535 - gray);
        assert_eq!(white.is_hole(x.into(), 0), x > 0);
    }
    // Nothing is soft about black and white.
    let hard = Photo::from_image(box_mask_picture()).unwrap();
    let mask = Mask::from_photo_with(&hard, HolePolarity::White, &soft).unwrap();
    assert_eq!(mask, box_mask());
    // What is left of a soft mask when it is cut or resized is as soft.
    assert_eq!(white.crop(10, 0, 2, 1).weights(), Some(&[2570, 2827][..]));
    let half = white.fit_covering(128, 1).unwrap();
    assert_eq!(half.weights().unwrap()[3], 7 * 257);
}

fn box_mask_picture() -> DynamicImage {
    let mask = box_mask();
    let gray = mask.keep().iter().map(|&keep| (1 - keep) * 255).collect();
    let gray = image::GrayImage::from_raw(mask.width() as u32, mask.height() as u32, gray);
    gray.unwrap().into()
}

#[test]
fn mask_options_that_cannot_be_followed_are_refused() {
    let refused = |options: MaskOptions, hint: &str| {
        let error = options.apply(box_mask()).unwrap_err();
        assert!(error.is_users_fault());
        let error = error.to_string();
        assert!(error.contains(hint) && !error.contains('\n'), "{error}");
    };
    let options = MaskOptions::default();
    for threshold in [0.0, -1.0, 1.5, f64::NAN] {
        let threshold = Some(threshold);
        refused(
            MaskOptions {
                threshold,
                ..options
            },
            "above 0",
        );
    }
    refused(
        MaskOptions {
            grow: 4097,
            ..options
        },
        "4096",
    );
    refused(
        MaskOptions {
            shrink: 50,
            ..options
        },
        "nothing is left",
    );
    refused(
        MaskOptions {
            grow: 9,
            feather: 9,
            ..options
        },
        "18 pixels",
    );
    let soft = MaskOptions {
        soft: true,
        ..options
    };
    refused(MaskOptions { feather: 1, ..soft }, "feather");
    let threshold = Some(0.4);
    refused(MaskOptions { threshold, ..soft }, "threshold");
    assert_eq!(options.apply(box_mask()).unwrap(), box_mask());
}
