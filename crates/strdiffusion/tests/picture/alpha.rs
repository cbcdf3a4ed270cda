//! What alpha means.

use image::{DynamicImage, ImageBuffer, Rgba};
use strdiffusion::picture::{FloatImage, Mask, OutputFormat, Photo};

use crate::support::*;

/// Opaque, but for one column each of half, little and no opacity.
fn photo() -> Photo {
    let image = ImageBuffer::from_fn(W, H, |x, y| {
        let alpha = [0u8, 100, 200].get(x as usize).copied().unwrap_or(255);
        Rgba([(x * 9) as u8, (y * 9) as u8, 50, alpha])
    });
    Photo::from_image(DynamicImage::ImageRgba8(image)).unwrap()
}

fn whole_column_mask(columns: std::ops::Range<u32>) -> Mask {
    let keep = (0..W * H).map(|i| u8::from(!columns.contains(&(i % W))));
    Mask::from_keep(W as usize, H as usize, keep.collect()).unwrap()
}

#[test]
fn pixels_more_transparent_than_opaque_are_unknown() {
    let unknown = photo().unknown(&whole_column_mask(7..8)).unwrap();
    for x in 0..W as usize {
        assert_eq!(unknown.is_hole(x, 2), x == 0 || x == 1 || x == 7, "{x}");
    }
    let opaque = Photo::from_image(DynamicImage::new_rgb8(W, H)).unwrap();
    assert_eq!(opaque.unknown(&box_mask()).unwrap(), box_mask());
}

#[test]
fn a_masks_hole_keeps_its_alpha_and_a_hole_of_transparency_becomes_opaque() {
    let result = FloatImage::filled(3, W as usize, H as usize, 1.0);
    let alphas = |photo: &Photo| -> Vec<u8> {
        let image = photo.image().to_rgba8();
        (0..4).map(|x| image.get_pixel(x, 0)[3]).collect()
    };
    let filled = photo()
        .composite(&result, &whole_column_mask(0..4))
        .unwrap();
    assert_eq!(alphas(&filled), [0, 100, 200, 255]);
    let hole = Mask::from_alpha(&photo()).unwrap();
    assert!(hole.is_transparency());
    assert_eq!(hole.keep()[..4], [0, 0, 0, 1]);
    let filled = photo().composite(&result, &hole).unwrap();
    assert_eq!(alphas(&filled), [255; 4]);
    assert_eq!(filled.image().to_rgba8().get_pixel(2, 0).0, [255; 4]);
}

#[test]
fn a_format_without_alpha_is_refused_where_the_fill_leaves_transparency() {
    let path = std::path::Path::new("out.jpg");
    assert!(
        photo()
            .check_fits(path, Some(&whole_column_mask(0..4)))
            .is_err()
    );
    let hole = Mask::from_alpha(&photo()).unwrap();
    assert!(photo().check_fits(path, Some(&hole)).is_ok());
}

#[test]
fn alpha_survives_every_format_that_holds_it() {
    for format in [
        OutputFormat::Png,
        OutputFormat::Tiff,
        OutputFormat::WebP,
        OutputFormat::Bmp,
    ] {
        let back = read(&photo().encode(format).unwrap(), "back").unwrap();
        assert_eq!(
            back.image().to_rgba8(),
            photo().image().to_rgba8(),
            "{}",
            format.name()
        );
    }
}
