//! Edges that a person drew.

use crate::picture::{FloatImage, Mask, Photo, PictureError};

/// A drawing's lines as edges, one channel, values 0 or 1. Bright means edge (at least half of the
/// range, colours by their luma); transparent pixels are none, whatever their colour, so that a
/// layer of a drawing program can be taken as it is.
///
/// # Errors
/// [`PictureError::BrightDrawing`] where most of it is bright, so that black lines on white are not
/// taken for the opposite; [`PictureError::TooDark`] where nothing of it is.
pub fn drawn_edges(drawing: &Photo) -> Result<FloatImage, PictureError> {
    let lines = Mask::of_white(drawing)?;
    if lines.hole_fraction() > 0.5 {
        return Err(PictureError::BrightDrawing {
            name: drawing
                .path()
                .map_or_else(|| "structure".into(), |path| path.display().to_string()),
        });
    }
    let edges = lines.keep().iter().map(|&blank| f32::from(1 - blank));
    FloatImage::from_vec(1, lines.width(), lines.height(), edges.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{DynamicImage, Rgba, RgbaImage};

    fn drawing(pixels: [[u8; 4]; 4]) -> Photo {
        let image = RgbaImage::from_fn(2, 2, |x, y| Rgba(pixels[(2 * y + x) as usize]));
        Photo::from_image(DynamicImage::ImageRgba8(image)).unwrap()
    }

    #[test]
    fn opaque_bright_pixels_are_edges() {
        let white = [255; 4];
        let (black, clear) = ([0, 0, 0, 255], [255, 255, 255, 0]);
        let edges = drawn_edges(&drawing([white, black, clear, black])).unwrap();
        assert_eq!(edges.data(), [1.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn black_lines_on_white_are_refused() {
        let white = [255; 4];
        let refused = drawn_edges(&drawing([white, white, white, [0, 0, 0, 255]]));
        let text = refused.unwrap_err().to_string();
        assert!(text.contains("draw white lines on black"), "{text}");
    }
}
