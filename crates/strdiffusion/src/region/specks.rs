//! Specks: holes so small that the photograph around them says it all. Dust comes by the thousand.

use super::holes::{Hole, find_holes};
use super::plan::Crop;
use crate::picture::Mask;

/// A hole is a speck up to this thickness and this width and height in pixels: a disc of 7 pixels,
/// or a few that touch. (Measured: up to here a network adds next to nothing to what patches of the
/// photograph bring; see docs/detail.md.)
const THICKEST: f64 = 3.0;
const LONGEST: usize = 16;
/// Specks whose first pixels lie in the same square of a grid of this side share a crop.
const CELL: usize = 64;

impl Hole {
    /// Whether the photograph around this hole is all that its fill needs.
    pub(crate) fn is_speck(&self) -> bool {
        self.thickness() <= THICKEST && self.bounds().longer_side() <= LONGEST
    }
}

/// The specks of a mask in crops at their own scale, and the mask without them: what networks fill
/// where detail is wanted. `unknown` marks as holes all pixels without a colour (see
/// [`Photo::unknown`](crate::picture::Photo::unknown)); a speck in the midst of those is none.
pub fn split_specks(mask: &Mask, unknown: &Mask) -> (Vec<Crop>, Mask) {
    let mut cells = std::collections::BTreeMap::<(usize, usize), Vec<Hole>>::new();
    let mut rest = mask.hard();
    for hole in find_holes(mask) {
        if !hole.is_speck() || !touches_known(&hole, unknown) {
            continue;
        }
        hole.close(&mut rest);
        let bounds = hole.bounds();
        let cell = (bounds.top / CELL, bounds.left / CELL);
        cells.entry(cell).or_default().push(hole);
    }
    let crops = cells.into_values().map(crop_of).collect();
    (crops, rest)
}

/// Whether a pixel beside or above or below one of the hole's is known.
fn touches_known(hole: &Hole, unknown: &Mask) -> bool {
    let is_known =
        |x: usize, y: usize| x < unknown.width() && y < unknown.height() && !unknown.is_hole(x, y);
    hole.runs().iter().any(|run| {
        is_known(run.start.wrapping_sub(1), run.y)
            || is_known(run.end, run.y)
            || (run.start..run.end)
                .any(|x| is_known(x, run.y.wrapping_sub(1)) || is_known(x, run.y + 1))
    })
}

/// The smallest crop around some holes.
fn crop_of(holes: Vec<Hole>) -> Crop {
    let bounds = holes.iter().map(Hole::bounds).reduce(super::Bounds::union);
    let [x, y, width, height] = bounds.map_or([0; 4], |b| {
        [b.left, b.top, b.right - b.left, b.bottom - b.top]
    });
    Crop {
        x,
        y,
        width,
        height,
        model_width: width,
        model_height: height,
        holes,
    }
}
