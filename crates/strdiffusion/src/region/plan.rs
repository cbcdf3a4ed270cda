//! Which crops of a photograph the model is shown.

use thiserror::Error;

use super::holes::{Bounds, Hole, find_holes, mask_of};
use crate::picture::Mask;

/// How crops are chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RegionOptions {
    /// Side of the pictures that the model works on, in pixels. At least 16.
    pub model_side: usize,
    /// A crop's side as a multiple of its holes' longer side. 1 = no context; at least 1.
    pub context: f64,
}

impl Default for RegionOptions {
    fn default() -> Self {
        Self {
            model_side: 256,
            context: 2.0,
        }
    }
}

/// Options that no crop can follow.
#[derive(Clone, Copy, Debug, PartialEq, Error)]
#[error(
    "model side {model_side} with context {context} cannot be planned; give a side of at least 16 and a context of at least 1"
)]
pub struct InvalidOptions {
    /// The model side that was given.
    pub model_side: usize,
    /// The context that was given.
    pub context: f64,
}

impl RegionOptions {
    fn check(&self) -> Result<(), InvalidOptions> {
        if self.model_side >= 16 && self.context >= 1.0 && self.context.is_finite() {
            return Ok(());
        }
        Err(InvalidOptions {
            model_side: self.model_side,
            context: self.context,
        })
    }

    /// Side of the crop around holes within these bounds, before it is fitted to the photograph.
    fn side(&self, bounds: Bounds) -> usize {
        let wanted = (bounds.longer_side() as f64 * self.context).ceil() as usize;
        wanted.max(self.model_side)
    }
}

/// At which scale the networks look at a photograph.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Scale {
    /// As a whole where it is no larger than the model's training resolution. A larger one hole
    /// by hole: on crops with context, at the training resolution, blended back without a seam.
    #[default]
    Auto,
    /// The whole photograph at its own size, and the plain composite: what the paper does. Time
    /// and memory grow with the photograph.
    Native,
}

impl Scale {
    /// Whether a model of a resolution sees a photograph of so many pixels as a whole.
    pub fn sees_whole(self, [width, height]: [usize; 2], resolution: usize) -> bool {
        self == Self::Native || width.max(height) <= resolution
    }
}

/// What the networks are shown of a photograph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Regions {
    /// The photograph as a whole, at its own scale.
    Whole,
    /// Crops at the model's resolution; none where there is no hole.
    Crops(Vec<Crop>),
}

impl Regions {
    /// Plans what a model of a resolution is shown of the photograph with this hole.
    ///
    /// # Errors
    /// As [`plan`].
    pub fn of(hole: &Mask, scale: Scale, resolution: usize) -> Result<Self, InvalidOptions> {
        if hole.is_empty() {
            return Ok(Self::Crops(vec![]));
        }
        if scale.sees_whole([hole.width(), hole.height()], resolution) {
            return Ok(Self::Whole);
        }
        let options = RegionOptions {
            model_side: resolution.max(16),
            ..RegionOptions::default()
        };
        plan(hole, &options).map(Self::Crops)
    }

    /// How many they are.
    pub fn count(&self) -> usize {
        match self {
            Self::Whole => 1,
            Self::Crops(crops) => crops.len(),
        }
    }
}

/// A part of a photograph to be filled in one go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crop {
    /// First column.
    pub x: usize,
    /// First row.
    pub y: usize,
    /// Width in the photograph, in pixels.
    pub width: usize,
    /// Height in the photograph, in pixels.
    pub height: usize,
    /// Width at which the model sees the crop.
    pub model_width: usize,
    /// Height at which the model sees the crop.
    pub model_height: usize,
    /// The holes to be filled from this crop, in the photograph's coordinates. Other holes may
    /// reach into the crop; they are filled from crops of their own.
    pub holes: Vec<Hole>,
}

impl Crop {
    /// Model pixels per photograph pixel along the longer side; at most 1.
    pub fn scale(&self) -> f64 {
        self.model_width.max(self.model_height) as f64 / self.width.max(self.height) as f64
    }

    /// Whether the model sees the photograph's own pixels.
    pub fn is_native(&self) -> bool {
        (self.width, self.height) == (self.model_width, self.model_height)
    }

    /// Whether two crops share a pixel. Crops that do not may be filled at the same time.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.x < other.x + other.width
            && other.x < self.x + self.width
            && self.y < other.y + other.height
            && other.y < self.y + self.height
    }

    /// The pixels to be filled from this crop as the hole of a mask of the crop's size.
    pub fn fill_mask(&self) -> Mask {
        mask_of(&self.holes, [self.x, self.y], [self.width, self.height])
    }
}

/// Shortest side, in model pixels, to which a crop is scaled down.
const MIN_MODEL_SIDE: usize = 32;
/// A hole thinner than this share of a crop's side is a stroke: cut up into such crops rather than scaled as
/// a whole.
const STROKE: f64 = 1.0 / 8.0;
/// … where the model sees it so many times finer then, unless it sees it at full resolution.
const GAIN: usize = 2;
/// How much coarser a group may be seen than its finer half would be alone.
const COARSENING: f64 = 1.25;

/// The crops that fill every hole of a mask, each hole pixel from exactly one, in reading order.
///
/// Each crop is a square of side max(model, context · holes), cut off where the photograph ends
/// and shifted to lie inside it. Where that is more than the model's side, the model sees it
/// scaled down. Near holes share a crop as long as that costs little resolution. Long thin holes
/// (scratches, wires, writing, strokes of a brush) are cut into parts, whose crops are eight times as
/// long as the hole is thick, or the model's side.
///
/// # Errors
/// [`InvalidOptions`].
pub fn plan(mask: &Mask, options: &RegionOptions) -> Result<Vec<Crop>, InvalidOptions> {
    options.check()?;
    let longest = mask.width().max(mask.height());
    let mut groups: Vec<Group> = Vec::new();
    for hole in find_holes(mask) {
        // Of the smallest crop in which the hole is a stroke, and of the one around all of it.
        let side = ((hole.thickness() / STROKE) as usize).max(options.model_side);
        let whole = options.side(hole.bounds()).min(longest);
        let gain = if side == options.model_side { 1 } else { GAIN };
        if whole > gain * side {
            let cell = (side as f64 / options.context) as usize;
            for part in hole.split(cell.max(8)) {
                add(&mut groups, Group::of(part, side), options);
            }
        } else {
            add(&mut groups, Group::of(hole, options.model_side), options);
        }
    }
    merge(&mut groups, options);
    let mut crops: Vec<Crop> = groups
        .into_iter()
        .map(|g| crop_around(g, mask.width(), mask.height(), options))
        .collect();
    crops.sort_by_key(|c| c.holes[0].runs().first().map(|r| (r.y, r.start)));
    Ok(crops)
}

/// Crops for every hole of a photograph that the model has seen as a whole, at its own scale. Near
/// holes share a crop.
pub fn at_own_scale(mask: &Mask) -> Vec<Crop> {
    const SIDE: usize = 1024;
    let options = RegionOptions {
        model_side: SIDE,
        ..RegionOptions::default()
    };
    let mut crops = plan(mask, &options).expect("these options can be followed");
    for crop in &mut crops {
        (crop.model_width, crop.model_height) = (crop.width, crop.height);
    }
    crops
}

/// Holes that share a crop.
struct Group {
    holes: Vec<Hole>,
    bounds: Bounds,
    /// Side of their crop at least.
    least: usize,
}

impl Group {
    fn of(hole: Hole, least: usize) -> Self {
        Self {
            bounds: hole.bounds(),
            holes: vec![hole],
            least,
        }
    }

    /// Side of the crop, before it is fitted to the photograph.
    fn side(&self, options: &RegionOptions) -> usize {
        options.side(self.bounds).max(self.least)
    }

    /// The bounds of two groups in one, if they may share a crop.
    fn common(&self, other: &Self, options: &RegionOptions) -> Option<Bounds> {
        let union = self.bounds.union(other.bounds);
        let finer = self.side(options).min(other.side(options));
        let allowed = if finer == options.model_side {
            // Full resolution is not given up for company.
            finer
        } else {
            (finer as f64 * COARSENING) as usize
        };
        let side = options.side(union).max(self.least).max(other.least);
        (side <= allowed).then_some(union)
    }

    /// Takes another one's holes; `bounds` are those of both.
    fn join(&mut self, other: Self, bounds: Bounds) {
        self.holes.extend(other.holes);
        self.least = self.least.max(other.least);
        self.bounds = bounds;
    }
}

fn add(groups: &mut Vec<Group>, new: Group, options: &RegionOptions) {
    for group in groups.iter_mut() {
        if let Some(bounds) = group.common(&new, options) {
            group.join(new, bounds);
            return;
        }
    }
    groups.push(new);
}

fn merge(groups: &mut Vec<Group>, options: &RegionOptions) {
    let mut i = 0;
    while i < groups.len() {
        let partner = (i + 1..groups.len())
            .find_map(|j| groups[i].common(&groups[j], options).map(|b| (j, b)));
        match partner {
            Some((j, bounds)) => {
                let other = groups.swap_remove(j);
                groups[i].join(other, bounds);
                // Larger now, so earlier groups may fit.
                i = 0;
            }
            None => i += 1,
        }
    }
}

fn crop_around(mut group: Group, width: usize, height: usize, options: &RegionOptions) -> Crop {
    let side = group.side(options);
    // Centred on the holes, then shifted to lie inside the photograph.
    let place = |first: usize, last: usize, available: usize| {
        let length = side.min(available);
        let start = ((first + last) / 2).saturating_sub(length / 2);
        (start.min(available - length), length)
    };
    let (x, crop_width) = place(group.bounds.left, group.bounds.right, width);
    let (y, crop_height) = place(group.bounds.top, group.bounds.bottom, height);
    let scale = (options.model_side as f64 / crop_width.max(crop_height) as f64).min(1.0);
    let model = |length: usize| {
        let scaled = (length as f64 * scale).round() as usize;
        scaled.max(length.min(MIN_MODEL_SIDE))
    };
    group
        .holes
        .sort_by_key(|h| h.runs().first().map(|r| (r.y, r.start)));
    Crop {
        x,
        y,
        width: crop_width,
        height: crop_height,
        model_width: model(crop_width),
        model_height: model(crop_height),
        holes: group.holes,
    }
}
