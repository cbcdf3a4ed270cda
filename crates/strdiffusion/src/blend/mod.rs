//! Setting a fill into a photograph without a seam.
//!
//! A model's fill may differ from the surrounding photograph in brightness or tint. The difference
//! known − fill is measured on the hole's border and spread smoothly over the hole: the membrane
//! of Pérez, Gangnet and Blake, "Poisson Image Editing", SIGGRAPH 2003 (Laplace's equation with
//! the border difference as boundary values). Adding it makes the fill meet its surroundings
//! exactly and keeps its texture. Known pixels are never touched.

pub(crate) mod even;
mod membrane;

use rayon::prelude::*;

use crate::picture::{FloatImage, Mask, PictureError};
pub(crate) use membrane::{Cell, solve};

/// How a fill is joined to the known pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Blend {
    /// The border difference, spread over the whole hole as a membrane (the default).
    #[default]
    Membrane,
    /// The membrane, faded out to nothing `radius` pixels into the hole: the middle keeps the
    /// model's own colours.
    Feather {
        /// Pixels from the border to where the fill is unchanged.
        radius: usize,
    },
    /// The fill as it is.
    Off,
}

/// Joins the fill in `result` to its surroundings, in place.
///
/// `known` and `result` are planar pictures of one size and channel count. `fill` marks the pixels
/// to be filled as its hole. `valid` marks with keep where `known` holds true pixels; a pixel that
/// is neither valid nor filled (part of another hole) takes no part. `result` must hold the
/// model's **own** output in a one-pixel ring around the hole, too: where the known pixels are
/// pasted over it already there is no difference left to measure, and nothing changes.
///
/// Only pixels of `fill`'s hole change. Filled areas that touch no valid pixel stay as they are.
/// `known` is not read where `valid` has a hole.
///
/// # Errors
/// [`PictureError::SizeMismatch`] or [`PictureError::Channels`] where shapes differ.
pub fn blend(
    known: &FloatImage,
    valid: &Mask,
    fill: &Mask,
    result: &mut FloatImage,
    how: Blend,
) -> Result<(), PictureError> {
    fill.check_size(known.width(), known.height(), "the photograph")?;
    fill.check_size(valid.width(), valid.height(), "the validity mask")?;
    fill.check_size(result.width(), result.height(), "the result")?;
    if known.channels() != result.channels() {
        return Err(PictureError::Channels {
            found: result.channels(),
        });
    }
    let Some(window) = Window::around_hole(fill).filter(|_| how != Blend::Off) else {
        return Ok(());
    };
    let cells = window.cells(valid, fill);
    let strength = match how {
        Blend::Feather { radius } => Some(fade(&cells, window.width, radius)),
        _ => None,
    };
    let size = known.width() * known.height();
    result
        .data_mut()
        .par_chunks_mut(size)
        .zip(known.data().par_chunks(size))
        .for_each(|(result, known)| {
            let at = |i: usize| window.outer_index(i, fill.width());
            let mut correction: Vec<f32> = cells
                .iter()
                .enumerate()
                .map(|(i, cell)| match cell {
                    Cell::Fixed => known[at(i)] - result[at(i)],
                    Cell::Free | Cell::Outside => 0.0,
                })
                .collect();
            solve(&cells, &mut correction, window.width);
            for (i, &c) in correction.iter().enumerate() {
                if cells[i] == Cell::Free {
                    result[at(i)] += c * strength.as_ref().map_or(1.0, |s| s[i]);
                }
            }
        });
    Ok(())
}

/// The part of a picture that holds the hole and a ring of one pixel around it.
struct Window {
    x: usize,
    y: usize,
    width: usize,
    height: usize,
}

impl Window {
    fn around_hole(fill: &Mask) -> Option<Self> {
        let [left, top, right, bottom] = fill.hole_rectangle()?;
        let (x, y) = (left.saturating_sub(1), top.saturating_sub(1));
        Some(Self {
            x,
            y,
            width: (right + 1).min(fill.width()) - x,
            height: (bottom + 1).min(fill.height()) - y,
        })
    }

    /// Index in the whole picture of the window's pixel `i`.
    fn outer_index(&self, i: usize, outer_width: usize) -> usize {
        (self.y + i / self.width) * outer_width + self.x + i % self.width
    }

    /// Hole pixels are free, valid pixels beside them fixed, all others outside.
    fn cells(&self, valid: &Mask, fill: &Mask) -> Vec<Cell> {
        let free = |x: usize, y: usize| {
            x < self.width && y < self.height && fill.is_hole(self.x + x, self.y + y)
        };
        (0..self.width * self.height)
            .map(|i| {
                let (x, y) = (i % self.width, i / self.width);
                if free(x, y) {
                    Cell::Free
                } else if !valid.is_hole(self.x + x, self.y + y)
                    && (free(x + 1, y)
                        || free(x, y + 1)
                        || free(x.wrapping_sub(1), y)
                        || free(x, y.wrapping_sub(1)))
                {
                    Cell::Fixed
                } else {
                    Cell::Outside
                }
            })
            .collect()
    }
}

/// The picture with its hole filled by the membrane through the known pixels around it. A picture
/// without a known pixel stays as it is.
///
/// `picture` and `mask` must be of one size.
pub fn continued(picture: &FloatImage, mask: &Mask) -> FloatImage {
    let mut continued = picture.clone();
    let (width, area) = (picture.width(), picture.width() * picture.height());
    let cells: Vec<Cell> = mask
        .keep()
        .iter()
        .map(|&keep| match keep {
            0 => Cell::Free,
            _ => Cell::Fixed,
        })
        .collect();
    for plane in continued.data_mut().chunks_mut(area) {
        solve(&cells, plane, width);
    }
    continued
}

/// Share of the correction at each free cell: 1 at the border, smoothly 0 from `radius` on.
/// Distance is counted in steps to the four neighbours.
fn fade(cells: &[Cell], width: usize, radius: usize) -> Vec<f32> {
    let mut strength = vec![0.0; cells.len()];
    let mut seen: Vec<bool> = cells.iter().map(|&c| c != Cell::Free).collect();
    let mut ring: Vec<usize> = (0..cells.len())
        .filter(|&i| cells[i] == Cell::Fixed)
        .collect();
    for step in 0..radius {
        let t = 1.0 - step as f32 / radius as f32;
        let share = t * t * (3.0 - 2.0 * t);
        let mut next = Vec::new();
        for i in ring {
            let x = i % width;
            let neighbours = [
                (x > 0).then(|| i - 1),
                (x + 1 < width).then_some(i + 1),
                i.checked_sub(width),
                Some(i + width).filter(|&j| j < cells.len()),
            ];
            for j in neighbours.into_iter().flatten() {
                if !seen[j] {
                    seen[j] = true;
                    strength[j] = share;
                    next.push(j);
                }
            }
        }
        ring = next;
    }
    strength
}
