//! From a photograph to windows, and back.

use rayon::prelude::*;

use super::pyramid::{Area, Cell, Pixel, WHITE};
use super::synthesis::{Synthesis, Window, synthesize};
use super::trust::Trust;
use super::{Confidence, Layer, Request, drawn};
use crate::blend::{Blend, blend, continued};
use crate::picture::{Filter, FloatImage, Mask, PictureError};
use crate::region::{Bounds, Crop, Hole, mask_of};

/// Where patches are taken from: as far around the hole as it is long, within these bounds.
const MARGIN: [usize; 2] = [64, 1024];
/// The same around specks, which have little to match.
const SPECK_MARGIN: usize = 40;
/// A window has no more pixels than this; its margin gives way first. Bounds the memory.
const MOST_PIXELS: usize = 6_000_000;
/// Pixels of a hole cut into parts that are worked on beyond the part itself, so that neighbours
/// agree.
const OVERLAP: usize = 24;
/// Detail begins at this multiple of the network's resolution where parts of a fill are trusted; not
/// much above it, for between what the network's pixels can show and where detail begins there is
/// nothing. At the other where the whole is, so that the fill seen at the network's resolution,
/// through any filter, stays what it was.
const FINER: [f64; 2] = [1.2, 1.8];
/// Known pixels that are to be avoided are joined without a seam where the fill differs from them by at
/// most this.
const ALIKE: f32 = 24.0 / 255.0;
/// Windows of fewer pixels than this are worked on side by side.
const SMALL: usize = 512 * 512;

/// The detail of every crop's holes, each from a window of its own; none for holes without a whole
/// known patch around. No window reads what another has made, so their order does not matter.
pub(super) fn refine(request: &Request) -> Result<Vec<Layer>, PictureError> {
    let places: Vec<Place> = request
        .crops
        .iter()
        .map(|crop| Place::of(crop, request))
        .collect();
    let one = |place: &Place| place.refine(request);
    let (small, large): (Vec<_>, Vec<_>) =
        (places.iter().enumerate()).partition(|(_, place)| place.window.len() < SMALL);
    let mut layers: Vec<(usize, Option<Layer>)> = small
        .into_par_iter()
        .map(|(i, place)| Ok((i, one(place)?)))
        .collect::<Result<_, PictureError>>()?;
    for (i, place) in large {
        layers.push((i, one(place)?));
    }
    layers.sort_by_key(|(i, _)| *i);
    Ok(layers.into_iter().filter_map(|(_, layer)| layer).collect())
}

/// Where a crop's holes lie, and the window around them; in pixels of the photograph.
struct Place<'a> {
    crop: &'a Crop,
    holes: Area,
    /// Nothing but dust, which no network has filled.
    has_specks: bool,
    window: Area,
}

impl<'a> Place<'a> {
    fn of(crop: &'a Crop, request: &Request) -> Self {
        let hole = request.hole;
        let bounds = crop.holes.iter().map(Hole::bounds).reduce(Bounds::union);
        let holes = bounds.map_or(
            Area {
                x: crop.x,
                y: crop.y,
                width: 0,
                height: 0,
            },
            |bounds| Area {
                x: bounds.left,
                y: bounds.top,
                width: bounds.right - bounds.left,
                height: bounds.bottom - bounds.top,
            },
        );
        let size = [hole.width(), hole.height()];
        let has_specks = crop.holes.iter().all(Hole::is_speck);
        let mut margin = match has_specks {
            true => SPECK_MARGIN,
            false => holes.width.max(holes.height).clamp(MARGIN[0], MARGIN[1]),
        };
        while margin > MARGIN[0] && holes.grown(margin, size).len() > MOST_PIXELS {
            margin = (margin * 4 / 5).max(MARGIN[0]);
        }
        let mut window = holes.grown(margin, size);
        if let Some(avoid) = request.avoid {
            // What may be copied can be far away.
            while !has_enough(&window, holes.len(), avoid, request) {
                margin *= 2;
                let larger = holes.grown(margin, size);
                if larger.len() > MOST_PIXELS || larger.len() == window.len() {
                    break;
                }
                window = larger;
            }
        }
        Self {
            crop,
            holes,
            has_specks,
            window,
        }
    }

    fn refine(&self, request: &Request) -> Result<Option<Layer>, PictureError> {
        let photo = request.photo;
        let Area {
            x,
            y,
            width,
            height,
        } = self.window;
        let own = self.holes.grown(OVERLAP, [photo.width(), photo.height()]);
        let is_void = |x, y| request.void.is_some_and(|void| void.is_hole(x, y));
        let is_avoided = |x, y| request.avoid.is_some_and(|avoid| avoid.is_hole(x, y));
        let cells: Vec<Cell> = (0..self.window.len())
            .map(|i| {
                let (x, y) = (x + i % width, y + i / width);
                match request.hole.is_hole(x, y) {
                    true if own.contains(x, y) => Cell::Hole,
                    false if !is_void(x, y) && is_avoided(x, y) => Cell::Avoided,
                    false if !is_void(x, y) => Cell::Known,
                    _ => Cell::Unknown,
                }
            })
            .collect();
        let mut picture = photo.crop_rgb_f32(x, y, width, height);
        if let Some(void) = request.void {
            // Its colours are nobody's; what is around goes on there.
            let void = void.crop(x, y, width, height);
            let outside = request.hole.crop(x, y, width, height);
            let void = void.keep().iter().zip(outside.keep());
            let void = void.map(|(&void, &hole)| void.max(1 - hole)).collect();
            picture = continued(&picture, &Mask::from_keep(width, height, void)?);
        }
        let mut pixels = pixels_of(&picture);
        let mut scale = (1.0 / self.crop.scale()) as f32;
        let mut trust = match self.has_specks {
            true => None,
            false => Trust::of(&picture, &cells, scale),
        };
        drop(picture);
        let mut is_drawn = false;
        if let Some(drawn) = request.drawn {
            let lines = drawn.crop(x, y, width, height);
            let is_line: Vec<bool> = lines.data().iter().map(|&v| v > 0.5).collect();
            is_drawn = drawn::obey(&mut pixels, &cells, &is_line, width);
            if is_drawn {
                // The lines are as fine as the photograph, and a person knows better.
                scale = 1.0;
                trust = None;
            }
        }
        let (trusted, whole) =
            (trust.as_ref()).map_or((0.0, 0.0), |trust| (trust.mean, trust.whole));
        let window = Window {
            width,
            height,
            pixels,
            cells,
            scale,
            is_drawn,
            trust,
        };
        // Every window draws from a stream of its own.
        let seed = request.seed ^ ((self.holes.y as u64) << 32 | self.holes.x as u64);
        let Some(found) = synthesize(window, seed) else {
            return Ok(None);
        };
        let area = found.level.area;
        let there = Area {
            x: x + area.x,
            y: y + area.y,
            ..area
        };
        let soft = photo.crop_rgb_f32(there.x, there.y, there.width, there.height);
        let mut sharp = finish(&soft, &found)?;
        if trusted > 0.0 {
            let finer = FINER[0] + f64::from(whole) * (FINER[1] - FINER[0]);
            let scale = finer * self.crop.scale();
            let seen = |length: usize| {
                let seen = (length as f64 * scale).round() as usize;
                seen.clamp(1, length)
            };
            let seen = [seen(there.width), seen(there.height)];
            keep_low_frequencies(&soft, &found, seen, &mut sharp);
        }
        let part = Area {
            x: self.holes.x - there.x,
            y: self.holes.y - there.y,
            ..self.holes
        };
        Ok(Some(Layer {
            x: self.holes.x,
            y: self.holes.y,
            // Over the holes' bounds.
            hole: mask_of(
                &self.crop.holes,
                [self.holes.x, self.holes.y],
                [self.holes.width, self.holes.height],
            ),
            soft: soft.crop(part.x, part.y, part.width, part.height),
            sharp: sharp.crop(part.x, part.y, part.width, part.height),
            confidence: Confidence::of(found.misfit, trusted),
        }))
    }
}

/// Whether a window has as many pixels that may be copied as `wanted`.
fn has_enough(window: &Area, wanted: usize, avoid: &Mask, request: &Request) -> bool {
    let no_sources = [Some(request.hole), request.void, Some(avoid)];
    let may_be_copied = |i: usize| {
        let (x, y) = (window.x + i % window.width, window.y + i / window.width);
        !(no_sources.iter().flatten()).any(|mask| mask.is_hole(x, y))
    };
    let found = (0..window.len()).filter(|&i| may_be_copied(i));
    found.take(wanted).count() == wanted
}

/// A planar picture in [0, 1] as pixels.
pub(super) fn pixels_of(picture: &FloatImage) -> Vec<Pixel> {
    let [r, g, b] = [0, 1, 2].map(|c| picture.plane(c));
    let number = |v: f32| (v.clamp(0.0, 1.0) * WHITE + 0.5) as i16;
    (0..picture.width() * picture.height())
        .map(|i| [number(r[i]), number(g[i]), number(b[i]), 0])
        .collect()
}

/// The votes over the level's area, joined to the known pixels without a seam; where there are
/// none, `soft`.
fn finish(soft: &FloatImage, found: &Synthesis) -> Result<FloatImage, PictureError> {
    let (level, area) = (&found.level, &found.level.area);
    let mut result = soft.clone();
    for (i, vote) in found
        .votes
        .iter()
        .enumerate()
        .filter(|(_, vote)| vote[3] > 0.0)
    {
        for (c, colour) in vote[..3].iter().enumerate() {
            result.data_mut()[c * area.len() + i] = colour / 255.0;
        }
    }
    // Where what is avoided looks like the fill, both are one thing; elsewhere an edge is an edge.
    let is_alike = |i: usize| {
        let difference =
            |c: usize| (result.data()[c * area.len() + i] - soft.data()[c * area.len() + i]).abs();
        (0..3).all(|c| difference(c) <= ALIKE)
    };
    let mask = |keeps: &dyn Fn(usize, Cell) -> bool| {
        let cell = |i: usize| level.cells[area.outer(i, level.width)];
        let keep = (0..area.len()).map(|i| u8::from(keeps(i, cell(i))));
        Mask::from_keep(area.width, area.height, keep.collect())
    };
    let valid = mask(&|i, cell| match cell {
        Cell::Avoided => is_alike(i),
        cell => cell == Cell::Known,
    })?;
    let hole = mask(&|_, cell| cell != Cell::Hole)?;
    blend(soft, &valid, &hole, &mut result, Blend::Membrane)?;
    Ok(result)
}

/// Gives a trusted fill's low frequencies back, as far as the network could see: at `seen` width
/// and height the result shall be what the fill was (back projection; Irani and Peleg, "Improving
/// resolution by image registration", 1991). Known pixels do not change.
fn keep_low_frequencies(
    soft: &FloatImage,
    found: &Synthesis,
    [width, height]: [usize; 2],
    sharp: &mut FloatImage,
) {
    const TIMES: usize = 8;
    let (level, area) = (&found.level, &found.level.area);
    for _ in 0..TIMES {
        let mut lost = soft.clone();
        for (lost, sharp) in lost.data_mut().iter_mut().zip(sharp.data()) {
            // Resizing clamps to [0, 1]; a difference fits when halved and moved to the middle.
            *lost = 0.5 + 0.5 * (*lost - sharp);
        }
        let lost = lost.resize(width, height, Filter::Lanczos3).resize(
            area.width,
            area.height,
            Filter::Lanczos3,
        );
        for (i, value) in sharp.data_mut().iter_mut().enumerate() {
            if level.cells[area.outer(i % area.len(), level.width)] == Cell::Hole {
                *value += level.trust[i % area.len()] * 2.0 * (lost.data()[i] - 0.5);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::Photo;
    use crate::region::at_own_scale;

    #[test]
    fn what_may_be_copied_can_be_far_away() {
        let (width, height) = (900, 100);
        let mask = |is_hole: fn(usize, usize) -> bool| {
            let keep = (0..width * height).map(|i| u8::from(!is_hole(i % width, i / width)));
            Mask::from_keep(width, height, keep.collect()).unwrap()
        };
        let hole = mask(|x, y| x < 40 && (30..70).contains(&y));
        let avoid = mask(|x, _| x < 600);
        let photo = Photo::from_float_image(&FloatImage::filled(3, width, height, 0.0)).unwrap();
        let crops = at_own_scale(&hole);
        let window = |avoid| {
            let request = Request {
                photo: &photo,
                hole: &hole,
                void: None,
                avoid,
                crops: &crops,
                drawn: None,
                seed: 0,
            };
            Place::of(&crops[0], &request).window
        };
        assert_eq!(window(None).width, 40 + MARGIN[0]);
        let larger = window(Some(&avoid));
        assert!(larger.width >= 600 + 16, "{}", larger.width);
        // What is avoided elsewhere changes nothing.
        let elsewhere = mask(|x, _| x > 800);
        assert_eq!(window(Some(&elsewhere)).width, 40 + MARGIN[0]);
    }
}
