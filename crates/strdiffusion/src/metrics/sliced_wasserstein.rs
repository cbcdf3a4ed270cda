//! Sliced Wasserstein distance between the patches of two pictures, scale by scale (Karras, Aila,
//! Laine, Lehtinen: *Progressive Growing of GANs*, ICLR 2018, section 5).
//!
//! Asks whether a fill *looks like* the truth, not whether it *is* the truth: the 7 × 7 patches of
//! the hole are compared as two sets, wherever in the hole each patch lies. A soft fill lacks the
//! truth's patches at the fine levels, though its PSNR may be high.
//!
//! Both pictures become Laplacian pyramids: up to [`SWD_BANDS`] bands of details and the low-pass
//! rest, filtered with [1 4 6 4 1]/16 per axis and mirrored at the border, every level at least
//! [`SMALLEST_LEVEL`] pixels wide and high. At a level, every pixel of the hole is the centre of one
//! patch with all channels; beyond the border the level is mirrored, so that even a hole of one
//! pixel has a patch. A pixel of the next level is in the hole where one of its 2 × 2 pixels is. Of
//! more than [`MOST_PATCHES`] patches as many are drawn, one from each of equally long runs of the
//! hole's pixels in row order, at the same places of both pictures. The patches are projected onto
//! [`DIRECTIONS`] random unit vectors; along each, the Wasserstein-1 distance of two sets of equal
//! size is the mean absolute difference of their sorted values. The level's score is the mean over
//! the directions, times 1000.
//!
//! Karras et al. bring each set's channels to mean 0 and deviation 1 first. Here values stay in
//! 0..=1: normalised apart, a fill without contrast or of another colour would pass for the truth.
//! So scores depend on the truth's own contrast: compare methods on the same holes.
//!
//! Directions and places come from fixed streams of random numbers: the same pictures have the same
//! score, for any number of threads.

pub use super::patch_scales::SWD_BANDS;
use super::patch_scales::{PATCH, SMALLEST_LEVEL, halved_hole};
use super::planes::{MetricError, Planes, is_hole};
use super::pyramid::{Level, mirrored};
use nalgebra::DMatrix;
use rayon::prelude::*;
use std::f64::consts::TAU;

/// The smallest side of a picture: one band, and a rest of `SMALLEST_LEVEL` pixels.
pub const SWD_SMALLEST_SIDE: usize = 2 * SMALLEST_LEVEL - 1;
const RADIUS: usize = PATCH / 2;
const MOST_PATCHES: usize = 4096;
const DIRECTIONS: usize = 128;
/// Patches that are projected together: so many stay in a processor's cache.
const BLOCK: usize = 64;
const DIRECTIONS_SEED: u64 = 1;
const PLACES_SEED: u64 = 2;
/// As in the paper's tables.
const SCALE: f64 = 1000.0;

/// The sliced Wasserstein distance of a hole from its truth, times 1000; 0 for equal pictures.
#[derive(Debug, Clone, PartialEq)]
pub struct SlicedWasserstein {
    /// Of each band of details, the finest first: 1 to [`SWD_BANDS`] values.
    pub bands: Vec<f64>,
    /// Of the low-pass rest: colours and large shapes.
    pub low: f64,
}

impl SlicedWasserstein {
    /// Mean over the bands and the rest, each counting once.
    pub fn mean(&self) -> f64 {
        (self.bands.iter().sum::<f64>() + self.low) / (self.bands.len() + 1) as f64
    }
}

/// The sliced Wasserstein distance between the hole's patches of `truth` and of `result`.
///
/// `keep` is the mask plane of height × width: 1 = keep, 0 = hole. `None` when the mask has no hole.
/// Where a hole has few patches, the score is that of few patches: closer to a difference of
/// pixels than to one of looks.
///
/// # Errors
/// [`MetricError::Shape`] or [`MetricError::Mask`] when the sizes differ, [`MetricError::TooSmall`]
/// when a side has fewer than [`SWD_SMALLEST_SIDE`] pixels.
pub fn sliced_wasserstein(
    truth: &Planes<'_>,
    result: &Planes<'_>,
    keep: &[f32],
) -> Result<Option<SlicedWasserstein>, MetricError> {
    truth.check_same_shape(result)?;
    truth.check_mask(keep)?;
    truth.check_smallest_side("SWD", SWD_SMALLEST_SIDE)?;
    let mut hole: Vec<bool> = keep.iter().map(|&k| is_hole(k)).collect();
    if !hole.contains(&true) {
        return Ok(None);
    }
    let (channels, mut height, mut width) = truth.shape();
    let directions = directions(PATCH * PATCH * channels);
    let (mut a, mut b) = (Level::of(truth), Level::of(result));
    let mut bands = Vec::new();
    while bands.len() < SWD_BANDS && height.min(width).div_ceil(2) >= SMALLEST_LEVEL {
        let (coarse_a, coarse_b) = (a.split_off_coarse(), b.split_off_coarse());
        bands.push(distance(&a, &b, &hole, &directions));
        hole = halved_hole(&hole, height, width);
        (a, b) = (coarse_a, coarse_b);
        (height, width) = (a.height, a.width);
    }
    let low = distance(&a, &b, &hole, &directions);
    Ok(Some(SlicedWasserstein { bands, low }))
}

/// The distance at one level, times [`SCALE`].
fn distance(a: &Level, b: &Level, hole: &[bool], directions: &DMatrix<f64>) -> f64 {
    let centres = centres(hole);
    let (a, b) = (
        projected(a, &centres, directions),
        projected(b, &centres, directions),
    );
    let distances: Vec<f64> = (0..DIRECTIONS)
        .into_par_iter()
        .map(|direction| {
            let (a, b) = (sorted(&a, direction), sorted(&b, direction));
            a.iter().zip(&b).map(|(x, y)| (x - y).abs()).sum()
        })
        .collect();
    SCALE * distances.iter().sum::<f64>() / (centres.len() * DIRECTIONS) as f64
}

/// Every pixel of the hole, or [`MOST_PATCHES`] of them spread over it.
fn centres(hole: &[bool]) -> Vec<usize> {
    let all: Vec<usize> = (0..hole.len()).filter(|&i| hole[i]).collect();
    if all.len() <= MOST_PATCHES {
        return all;
    }
    let mut random = SplitMix64(PLACES_SEED);
    let run = all.len() as f64 / MOST_PATCHES as f64;
    (0..MOST_PATCHES)
        .map(|i| all[((i as f64 + random.uniform()) * run) as usize])
        .collect()
}

/// The patches' projections in blocks: one row for each centre, one column for each direction.
fn projected(level: &Level, centres: &[usize], directions: &DMatrix<f64>) -> Vec<DMatrix<f64>> {
    let blocks = centres.par_chunks(BLOCK);
    blocks
        .map(|centres| patches(level, centres) * directions)
        .collect()
}

/// All projections onto one direction, in ascending order.
fn sorted(blocks: &[DMatrix<f64>], direction: usize) -> Vec<f64> {
    let mut values = Vec::new();
    for block in blocks {
        values.extend(block.column(direction).iter());
    }
    values.sort_unstable_by(f64::total_cmp);
    values
}

/// A row for each centre: its patch, row by row, pixel by pixel, channel by channel.
fn patches(level: &Level, centres: &[usize]) -> DMatrix<f64> {
    let near = |position: usize, shift: usize, len: usize| {
        mirrored((position + shift) as isize - RADIUS as isize, len)
    };
    let mut values = Vec::with_capacity(centres.len() * PATCH * PATCH * level.planes.len());
    for dy in 0..PATCH {
        for dx in 0..PATCH {
            let places = centres.iter().map(|centre| {
                let y = near(centre / level.width, dy, level.height);
                y * level.width + near(centre % level.width, dx, level.width)
            });
            let places: Vec<usize> = places.collect();
            for plane in &level.planes {
                values.extend(places.iter().map(|&place| plane[place]));
            }
        }
    }
    let length = values.len() / centres.len();
    DMatrix::from_vec(centres.len(), length, values)
}

/// Unit vectors of `length` values as columns: normal numbers (Box and Muller 1958), normalised.
fn directions(length: usize) -> DMatrix<f64> {
    let mut random = SplitMix64(DIRECTIONS_SEED);
    let mut normals = Vec::with_capacity(length * DIRECTIONS + 1);
    while normals.len() < length * DIRECTIONS {
        let radius = (-2.0 * random.uniform().ln()).sqrt();
        let (sin, cos) = (TAU * random.uniform()).sin_cos();
        normals.extend([radius * cos, radius * sin]);
    }
    normals.truncate(length * DIRECTIONS);
    let mut directions = DMatrix::from_vec(length, DIRECTIONS, normals);
    for mut direction in directions.column_iter_mut() {
        direction.normalize_mut();
    }
    directions
}

/// The generator of Steele, Lea and Flood (2014): a few lines in any language, so that the score
/// can be computed elsewhere.
struct SplitMix64(u64);

impl SplitMix64 {
    /// The middle of one of 2⁵³ equal parts of 0..1.
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        ((z >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }
}
