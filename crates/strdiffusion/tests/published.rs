//! The published preprocessing by name: OpenCV's and Pillow's own results on a picture drawn by
//! formula, recorded with opencv-python 5.0.0 and Pillow 13.0.0.

use image::{DynamicImage, GrayImage, Luma};
use strdiffusion::picture::published::{dithered_mask, resize_bilinear, truncate_to_rgb8};
use strdiffusion::picture::{FloatImage, Photo};

fn pattern() -> Photo {
    let gray = GrayImage::from_fn(12, 9, |x, y| Luma([((x * 37 + y * 53) % 256) as u8]));
    Photo::from_image(DynamicImage::ImageLuma8(gray)).unwrap()
}

#[test]
fn bilinear_resizing_has_opencvs_bits() {
    let gray = GrayImage::from_fn(90, 72, |x, y| Luma([((x * 37 + y * 53) % 256) as u8]));
    let photo = Photo::from_image(DynamicImage::ImageLuma8(gray)).unwrap();
    let small = resize_bilinear(&photo.to_rgb_f32(), 64, 48).unwrap();
    let bits: Vec<u32> = small.plane(1).iter().map(|v| v.to_bits()).collect();
    assert_eq!(
        bits[5 * 64..][..4],
        [0x3f22e6e8, 0x3f572324, 0x3e933b3c, 0x3e7a6a6b]
    );
    // FNV-1a over the 32-bit patterns of all values.
    let hash = bits.iter().fold(0xcbf29ce484222325u64, |h, &b| {
        (h ^ u64::from(b)).wrapping_mul(0x100000001b3)
    });
    assert_eq!(hash, 0xf019cc5a15e8acc6);
    assert!(resize_bilinear(&small, 0, 4).is_err());
}

#[test]
fn eight_bits_are_reached_by_truncation() {
    let values = FloatImage::from_vec(3, 1, 1, vec![0.999, 0.5, 1.0]).unwrap();
    assert_eq!(truncate_to_rgb8(&values).unwrap(), [254, 127, 255]);
}

#[test]
fn dithered_masks_are_pillows() {
    #[rustfmt::skip]
    let recorded = [
        1, 1, 1, 0, 1, 1, 1,
        1, 0, 0, 1, 0, 0, 1,
        0, 0, 1, 0, 1, 0, 1,
        1, 1, 1, 0, 1, 1, 1,
        1, 0, 0, 1, 1, 0, 0,
        0, 0, 1, 1, 0, 0, 1,
    ];
    assert_eq!(dithered_mask(&pattern(), 7, 6).unwrap().keep(), recorded);
}
