//! Pictures that are too small for the networks go on as their own mirror images.

use crate::error::Result;
use crate::picture::{FloatImage, Mask};

/// The source index of each index of a row that goes on as its own mirror image.
fn mirrored(length: usize, longer: usize) -> impl Iterator<Item = usize> + Clone {
    (0..longer).map(move |i| {
        let i = i % (2 * length);
        if i < length { i } else { 2 * length - 1 - i }
    })
}

/// The picture at the upper left of a larger one that its mirror images fill.
pub(super) fn mirror(picture: &FloatImage, width: usize, height: usize) -> FloatImage {
    let (channels, narrow, low) = (picture.channels(), picture.width(), picture.height());
    if [narrow, low] == [width, height] {
        return picture.clone();
    }
    let mut data = Vec::with_capacity(channels * width * height);
    for plane in (0..channels).map(|c| picture.plane(c)) {
        for y in mirrored(low, height) {
            data.extend(mirrored(narrow, width).map(|x| plane[y * narrow + x]));
        }
    }
    FloatImage::from_vec(channels, width, height, data).expect("every row was filled")
}

/// As [`mirror`].
pub(super) fn mirror_mask(mask: &Mask, width: usize, height: usize) -> Result<Mask> {
    let (narrow, low) = (mask.width(), mask.height());
    let keep = mirrored(low, height)
        .flat_map(|y| mirrored(narrow, width).map(move |x| mask.keep()[y * narrow + x]))
        .collect();
    Ok(Mask::from_keep(width, height, keep)?)
}
