//! How far the networks' fill can be trusted.
//!
//! A network that knows what belongs into a hole draws it as sharp as what is around; one that does
//! not leaves it soft. So the fill's finest contrast is compared with what known pixels of its
//! colour have: at the networks' own resolution, where both went through the same scaling.

use super::contrast::sharpness;
use super::pyramid::{Cell, Level, low_pass};
use super::window::pixels_of;
use crate::picture::{Filter, FloatImage};

/// Trust begins where the fill has this share of the expected contrast, and is full at the other.
/// (A hundred photographs at 128 pixels, holes of 2 to 60 %: the truth 0.88 at the twentieth, 0.97
/// in the middle; our networks 0.27 in the middle, 0.64 at most; the smudge where a drawn roof ends
/// 0.42.)
const TRUST: [f32; 2] = [0.65, 0.8];
/// σ of the low-pass whose colours tell which known pixels are alike, in pixels of the network.
const REACH: f32 = 1.5;
/// Where less contrast than this is expected, in steps of 1/255 over three channels twice, the
/// share says nothing.
const SMOOTH: f32 = 1.5;
/// Nor in thin holes, where known neighbours lend their contrast; in pixels of the photograph.
const THICK: [f32; 2] = [8.0, 16.0];

/// Trust in the fill of the hole among `cells`, 0 to 1. `picture` is the window with its fill, and
/// `scale` the size of a network's pixel in pixels of it.
pub(super) fn trust(picture: &FloatImage, cells: &[Cell], scale: f32) -> f32 {
    let seen = |length: usize| ((length as f32 / scale).round() as usize).max(1);
    let (width, height) = (seen(picture.width()), seen(picture.height()));
    let pixels = pixels_of(&picture.resize(width, height, Filter::Lanczos3));
    let cells = shrunk(cells, [picture.width(), picture.height()], [width, height]);
    let mut level = Level::new(width, height, pixels, cells);
    let thick = ramp(scale * level.thickness(), THICK);
    if thick == 0.0 || !level.is_useful() {
        return 0.0;
    }
    level.guide = low_pass(&level.pixels, [width, height], REACH);
    let found = sharpness(&level);
    ramp(found.share, TRUST) * ramp(found.expected, [SMOOTH, 2.0 * SMOOTH]) * thick
}

/// What is known of pixels that cover several: the least of it.
fn shrunk(
    cells: &[Cell],
    [width, height]: [usize; 2],
    [small_width, small_height]: [usize; 2],
) -> Vec<Cell> {
    let mut small = vec![Cell::Known; small_width * small_height];
    for (i, &cell) in cells
        .iter()
        .enumerate()
        .filter(|&(_, &cell)| cell != Cell::Known)
    {
        // The same for every pixel of a row and column, and none is left out.
        let (x, y) = (
            i % width * small_width / width,
            i / width * small_height / height,
        );
        let place = &mut small[y * small_width + x];
        if *place != Cell::Hole {
            *place = cell;
        }
    }
    small
}

/// 0 up to `from`, 1 from `to` on, straight between.
pub(super) fn ramp(value: f32, [from, to]: [f32; 2]) -> f32 {
    ((value - from) / (to - from)).clamp(0.0, 1.0)
}
