//! Pictures that the tests make.

use std::fs;
use std::path::Path;

use image::DynamicImage;
use strdiffusion::picture::{FloatImage, Limits, Mask, Photo, PictureError};

pub const W: u32 = 13;
pub const H: u32 = 9;

/// A value that differs at every pixel and channel and uses all 16 bits.
pub fn value(x: u32, y: u32, c: u32) -> u16 {
    (x.wrapping_mul(7919) ^ y.wrapping_mul(104_729) ^ c.wrapping_mul(15_485)) as u16
}

/// All eight pixel kinds.
pub fn pictures() -> Vec<DynamicImage> {
    let mut all = Vec::new();
    for channels in 1..=4u32 {
        let samples: Vec<u16> = (0..W * H * channels)
            .map(|i| value(i / channels % W, i / channels / W, i % channels))
            .collect();
        let low: Vec<u8> = samples.iter().map(|&v| (v >> 8) as u8).collect();
        all.push(match channels {
            1 => DynamicImage::ImageLuma8(image::ImageBuffer::from_raw(W, H, low).unwrap()),
            2 => DynamicImage::ImageLumaA8(image::ImageBuffer::from_raw(W, H, low).unwrap()),
            3 => DynamicImage::ImageRgb8(image::ImageBuffer::from_raw(W, H, low).unwrap()),
            _ => DynamicImage::ImageRgba8(image::ImageBuffer::from_raw(W, H, low).unwrap()),
        });
        all.push(match channels {
            1 => DynamicImage::ImageLuma16(image::ImageBuffer::from_raw(W, H, samples).unwrap()),
            2 => DynamicImage::ImageLumaA16(image::ImageBuffer::from_raw(W, H, samples).unwrap()),
            3 => DynamicImage::ImageRgb16(image::ImageBuffer::from_raw(W, H, samples).unwrap()),
            _ => DynamicImage::ImageRgba16(image::ImageBuffer::from_raw(W, H, samples).unwrap()),
        });
    }
    all
}

/// A hole of 4×3 pixels at column 5, row 2.
pub fn box_mask() -> Mask {
    let keep = (0..W * H)
        .map(|i| u8::from(!((5..9).contains(&(i % W)) && (2..5).contains(&(i / W)))))
        .collect();
    Mask::from_keep(W as usize, H as usize, keep).unwrap()
}

pub fn rgb_result(r: f32, g: f32, b: f32) -> FloatImage {
    let mut result = FloatImage::filled(3, W as usize, H as usize, r);
    let size = (W * H) as usize;
    result.data_mut()[size..2 * size].fill(g);
    result.data_mut()[2 * size..].fill(b);
    result
}

pub fn files_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// A file's bytes as a photograph.
pub fn read(bytes: &[u8], name: &str) -> Result<Photo, PictureError> {
    Photo::from_bytes(bytes, name, &Limits::default())
}
