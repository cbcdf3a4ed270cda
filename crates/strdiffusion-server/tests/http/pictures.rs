//! Photographs and masks as requests send them.

use image::{DynamicImage, ImageBuffer, Luma, Rgba};
use strdiffusion::picture::{Limits, Mask, OutputFormat, Photo};

fn wave(x: u32, y: u32, channel: u32) -> f32 {
    0.4 + 0.3 * (x as f32 * 0.9 + y as f32 * 0.4 + channel as f32).sin()
}

pub fn png(image: impl Into<DynamicImage>) -> Vec<u8> {
    Photo::from_image(image.into())
        .unwrap()
        .encode(OutputFormat::Png)
        .unwrap()
}

/// An RGB photograph of distinct pixels.
pub fn photo(width: u32, height: u32) -> Vec<u8> {
    let pixel = |x, y| image::Rgb([0, 1, 2].map(|c| (255.0 * wave(x, y, c)) as u8));
    png(image::RgbImage::from_fn(width, height, pixel))
}

/// A photograph of 16 bits whose hole is transparent.
pub fn cutout(width: u32, height: u32, is_hole: impl Fn(u32, u32) -> bool) -> Vec<u8> {
    let pixel = |x, y| {
        let [r, g, b] = [0, 1, 2].map(|c| (65535.0 * wave(x, y, c)) as u16);
        Rgba([r, g, b, if is_hole(x, y) { 0 } else { 65535 }])
    };
    let image: ImageBuffer<Rgba<u16>, _> = ImageBuffer::from_fn(width, height, pixel);
    png(image)
}

/// White where `is_white`, else black.
pub fn black_and_white(width: u32, height: u32, is_white: impl Fn(u32, u32) -> bool) -> Vec<u8> {
    let pixel = |x, y| Luma([if is_white(x, y) { 255 } else { 0u8 }]);
    png(image::GrayImage::from_fn(width, height, pixel))
}

/// A mask with a hole in the middle, too large for a speck even in the smallest picture of the tests.
pub fn mask(width: u32, height: u32) -> Vec<u8> {
    let inside = |v: u32, length: u32| (length / 4..3 * length / 4).contains(&v);
    black_and_white(width, height, |x, y| inside(x, width) && inside(y, height))
}

pub fn decode(bytes: &[u8]) -> Photo {
    Photo::from_bytes(bytes, "picture", &Limits::default()).unwrap()
}

/// Both pictures have the same bytes at every known pixel.
pub fn assert_known_pixels_stay(before: &Photo, after: &Photo, mask: &Mask) {
    assert_eq!(before.image().color(), after.image().color());
    let size = usize::from(before.image().color().bytes_per_pixel());
    let pairs = before.image().as_bytes().chunks(size);
    let pairs = pairs.zip(after.image().as_bytes().chunks(size));
    for (at, (before, after)) in pairs.enumerate() {
        assert!(mask.keep()[at] == 0 || before == after, "pixel {at}");
    }
}
