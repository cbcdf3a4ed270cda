//! The published code's own preprocessing, by name, for comparing with published numbers.
//!
//! It squashes pictures to a fixed size without antialiasing, truncates to 8 bits where rounding
//! is meant, and dithers gray mask values. The library's defaults do none of this
//! ([`FloatImage::resize`], [`Mask::open`]).

use rayon::prelude::*;

use crate::picture::{FloatImage, Mask, Photo, PictureError};

/// Bilinear resize of a planar picture without antialiasing, in f32, as OpenCV's `resize` does by
/// default: pixel centres at half-integers, coordinates rounded to f32, then fused
/// a + w (b − a) along the rows and down the columns. At 256×256, the published size, these are
/// the bits of OpenCV 5 on x86-64; where source / target is no dyadic number its coordinates round
/// differently, by up to 2e-5 in the result.
///
/// # Errors
/// [`PictureError::EmptySize`] where a side is zero on either end.
pub fn resize_bilinear(
    picture: &FloatImage,
    width: usize,
    height: usize,
) -> Result<FloatImage, PictureError> {
    for (width, height) in [(width, height), (picture.width(), picture.height())] {
        if width == 0 || height == 0 {
            return Err(PictureError::EmptySize { width, height });
        }
    }
    let columns = taps(picture.width(), width);
    let rows = taps(picture.height(), height);
    let mut data = vec![0f32; picture.channels() * width * height];
    for (c, plane) in data.chunks_mut(width * height).enumerate() {
        let source = picture.plane(c);
        let row = |y: usize| &source[y * picture.width()..(y + 1) * picture.width()];
        plane
            .par_chunks_mut(width)
            .zip(&rows)
            .for_each(|(out, &(y0, y1, wy))| {
                let (upper, lower) = (row(y0), row(y1));
                for (v, &(x0, x1, wx)) in out.iter_mut().zip(&columns) {
                    let along = |row: &[f32]| (row[x1] - row[x0]).mul_add(wx, row[x0]);
                    let (above, below) = (along(upper), along(lower));
                    *v = (below - above).mul_add(wy, above);
                }
            });
    }
    FloatImage::from_vec(picture.channels(), width, height, data)
}

/// For each target pixel: the two source pixels and the second one's weight.
fn taps(source: usize, target: usize) -> Vec<(usize, usize, f32)> {
    let scale = source as f64 / target as f64;
    (0..target)
        .map(|i| {
            let at = ((i as f64 + 0.5) * scale - 0.5) as f32;
            let first = at.floor();
            if first < 0.0 {
                (0, 0, 0.0)
            } else if first as usize >= source - 1 {
                (source - 1, source - 1, 0.0)
            } else {
                let first_index = first as usize;
                (first_index, first_index + 1, at - first)
            }
        })
        .collect()
}

/// 8-bit interleaved RGB of a planar picture by truncation: trunc(255 v) in f32.
///
/// # Errors
/// [`PictureError::Channels`] where the picture has not three channels.
pub fn truncate_to_rgb8(picture: &FloatImage) -> Result<Vec<u8>, PictureError> {
    if picture.channels() != 3 {
        return Err(PictureError::Channels {
            found: picture.channels(),
        });
    }
    let planes = [picture.plane(0), picture.plane(1), picture.plane(2)];
    Ok((0..picture.width() * picture.height())
        .flat_map(|i| planes.map(|p| (p[i] * 255.0) as u8))
        .collect())
}

/// The published code's keep mask of a mask file (white = hole): Pillow's `convert("1")`, which
/// dithers (Floyd and Steinberg, 1976), then the nearest pixel at `width`×`height`.
///
/// # Errors
/// [`PictureError::EmptySize`] where a side is zero.
pub fn dithered_mask(photo: &Photo, width: usize, height: usize) -> Result<Mask, PictureError> {
    if width == 0 || height == 0 {
        return Err(PictureError::EmptySize { width, height });
    }
    let (w, h) = (photo.width(), photo.height());
    let white = dither(&gray8(photo), w);
    let (columns, rows) = (nearest(w, width), nearest(h, height));
    let keep = rows
        .iter()
        .flat_map(|&y| columns.iter().map(move |&x| (x, y)))
        .map(|(x, y)| u8::from(!white[y * w + x]))
        .collect();
    Mask::from_keep(width, height, keep)
}

/// Gray levels 0 to 255 as Pillow's dithering sees them: integer luma weights of ITU-R BT.601.
/// Alpha is ignored; 16-bit samples keep their upper byte.
fn gray8(photo: &Photo) -> Vec<u8> {
    let image = photo.image();
    let channels = usize::from(image.color().channel_count());
    let gray = |p: &[u32]| match channels {
        1 | 2 => p[0] as u8,
        _ => ((p[0] * 299 + p[1] * 587 + p[2] * 114) / 1000) as u8,
    };
    let bytes: Vec<u32> = match photo.bit_depth() {
        8 => image.as_bytes().iter().map(|&v| u32::from(v)).collect(),
        _ => image
            .as_bytes()
            .chunks_exact(2)
            .map(|p| u32::from(u16::from_ne_bytes([p[0], p[1]]) >> 8))
            .collect(),
    };
    bytes.chunks_exact(channels).map(gray).collect()
}

/// Floyd–Steinberg dithering in sixteenths, left to right in every row, quotients rounded towards
/// zero and intermediate levels clamped to 0..255. True = white.
fn dither(gray: &[u8], width: usize) -> Vec<bool> {
    // Error carried down into each column of the next row, shifted by one: [0] is column -1.
    let mut carried = vec![0i32; width + 2];
    let mut white = Vec::with_capacity(gray.len());
    for row in gray.chunks_exact(width) {
        let mut next = vec![0i32; width + 2];
        let mut ahead = 0;
        for (x, &v) in row.iter().enumerate() {
            let level = (i32::from(v) + (ahead + carried[x + 1]) / 16).clamp(0, 255);
            let is_white = level > 128;
            white.push(is_white);
            let error = level - if is_white { 255 } else { 0 };
            ahead = 7 * error;
            next[x] += 3 * error;
            next[x + 1] += 5 * error;
            next[x + 2] += error;
        }
        carried = next;
    }
    white
}

/// Source index of each target pixel, with the coordinate summed step by step as Pillow does.
fn nearest(source: usize, target: usize) -> Vec<usize> {
    let scale = source as f64 / target as f64;
    let mut at = scale * 0.5;
    (0..target)
        .map(|_| {
            let index = (at as usize).min(source - 1);
            at += scale;
            index
        })
        .collect()
}
