//! A term of texture training that asks whether a fill *looks like* the truth: the sliced Wasserstein
//! distance between the hole's patches of both, over a Laplacian pyramid, as
//! `metrics::sliced_wasserstein` measures it. Beyond the paper, and off unless it
//! has a weight.
//!
//! As a loss of textures: Heitz et al., *A Sliced Wasserstein Loss for Neural Texture Synthesis*, CVPR
//! 2021, there of a classifier's features. Along a direction two sets of equal size are apart by the
//! mean distance of their sorted values, so each patch of the fill has one value of the truth to go
//! to, and needs no critic to find it.

use std::f32::consts::{PI, TAU};

use burn::tensor::{DType, Tensor, TensorData};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::metrics::patch_scales::{PATCH, SMALLEST_LEVEL, SWD_BANDS, TAPS, halved_hole};
use crate::objectives::{judged, pictures_at};
use crate::ops;
use crate::picture::distance::squared_distances;
use crate::weights::host_values;

/// Settings of the term.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PatchTraining {
    /// Weight of the distance in the texture's loss; 0 = none.
    pub weight: f64,
    /// Random directions of each step.
    pub directions: usize,
    /// The share of them that are waves of one colour, of any wavelength from two pixels on; the others
    /// are noise, as the metric's are. What noise says of a patch is mostly how much it varies, not how
    /// finely: waves tell a fine grid from texture.
    pub wave_share: f64,
    /// Side of the squares, in pixels of a level, within which patches are compared; none: in the
    /// whole hole. Texture then belongs where the truth has it, not anywhere in the hole. Where the
    /// squares begin is drawn for each step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub square: Option<usize>,
    /// Each distance is divided by the truth's own spread in its set plus this; none: all count alike.
    /// What would not show in a wall of bricks stains a sky.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub least_spread: Option<f64>,
    /// A patch whose centre is more than this many pixels from the nearest known one is compared with the
    /// truth's in its own place alone; none: no patch is. So far in, nothing says what is there, and a
    /// fill that must look like something makes fragments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub depth: Option<usize>,
    /// Only pictures at this timestep or an earlier one are judged; none: all. Estimates at T, of
    /// which a sampler's first step consists, then stay as near to the truth as they were, and it is
    /// later steps that make them look like it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latest_time: Option<usize>,
}

impl Default for PatchTraining {
    fn default() -> Self {
        Self {
            weight: 0.0,
            directions: 16,
            wave_share: 0.5,
            square: None,
            least_spread: None,
            depth: None,
            latest_time: None,
        }
    }
}

impl PatchTraining {
    /// Whether the term counts.
    pub fn is_on(&self) -> bool {
        self.weight > 0.0
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// Names the first that is out of range.
    pub fn validate(&self) -> Result<()> {
        let Self {
            weight,
            directions,
            wave_share,
            square,
            least_spread,
            depth,
            latest_time,
        } = self;
        if !(*weight >= 0.0 && weight.is_finite()) {
            return Err(Error::Config(format!(
                "patches.weight is {weight}: it must be at least 0"
            )));
        }
        if !(1..=1024).contains(directions) {
            return Err(Error::Config(format!(
                "patches.directions is {directions}: it must be 1 to 1024"
            )));
        }
        if !(0.0..=1.0).contains(wave_share) {
            return Err(Error::Config(format!(
                "patches.wave_share is {wave_share}: it must be 0 to 1"
            )));
        }
        if square.is_some_and(|side| !(4..=4096).contains(&side)) {
            return Err(Error::Config(format!(
                "patches.square is {}: it must be 4 to 4096",
                square.unwrap_or(0)
            )));
        }
        if let Some(least) = least_spread.filter(|least| !(*least > 0.0 && least.is_finite())) {
            return Err(Error::Config(format!(
                "patches.least_spread is {least}: it must be above 0"
            )));
        }
        if *depth == Some(0) {
            return Err(Error::Config(
                "patches.depth must be at least 1: no patch would be compared with others".into(),
            ));
        }
        if *latest_time == Some(0) {
            return Err(Error::Config(
                "patches.latest_time must be at least 1: no picture would be judged".into(),
            ));
        }
        Ok(())
    }

    /// What the term adds to a step's loss for the fills `filled` of the photographs `truth`, both
    /// `[b, 3, h, w]` in [0, 1], made at timesteps `times`; the mask is `[b, 1, h, w]`, 1 = known. None
    /// where the term has no weight, or none of the pictures is judged.
    pub fn loss(
        &self,
        [filled, truth]: [&Tensor<4>; 2],
        mask: &Tensor<4>,
        times: &[usize],
        random: &mut ChaCha8Rng,
    ) -> Option<Tensor<1>> {
        if !self.is_on() {
            return None;
        }
        let (judged, share) = judged(self.latest_time, times)?;
        let pick = |x: &Tensor<4>| pictures_at(x, &judged).cast(DType::F32);
        let directions = self.draw(filled.dims()[1], random);
        let sets = Sets {
            square: self.square,
            start: match self.square {
                Some(side) => [0; 2].map(|_| random.random_range(0..side)),
                None => [0; 2],
            },
            least_spread: self.least_spread,
            depth: self.depth.map(|depth| depth as f64),
        };
        let distance = distance([pick(filled), pick(truth)], pick(mask), directions, sets);
        Some((distance * (self.weight * share)).cast(filled.dtype()))
    }
}

impl PatchTraining {
    /// Unit vectors as a convolution's weights `[directions, channels, 7, 7]`, the waves first.
    fn draw(&self, channels: usize, random: &mut ChaCha8Rng) -> TensorData {
        let length = channels * PATCH * PATCH;
        let mut values = Vec::with_capacity(self.directions * length);
        let waves = (self.wave_share * self.directions as f64).round() as usize;
        for direction in 0..self.directions {
            let mut vector = match direction < waves {
                true => plane_wave(channels, random),
                false => (0..length).map(|_| StandardNormal.sample(random)).collect(),
            };
            let norm = vector.iter().map(|v| v * v).sum::<f32>().sqrt();
            vector.iter_mut().for_each(|value| *value /= norm);
            values.extend(vector);
        }
        TensorData::new(values, [self.directions, channels, PATCH, PATCH])
    }
}

/// A wave over a patch in a random direction, of random length, phase and colour, fading
/// towards the patch's border (Hann's window).
fn plane_wave(channels: usize, random: &mut ChaCha8Rng) -> Vec<f32> {
    let colour: Vec<f32> = (0..channels)
        .map(|_| StandardNormal.sample(random))
        .collect();
    let [pitch_y, pitch_x] = [0; 2].map(|_| PI * random.random_range(-1.0..=1.0f32));
    let phase = TAU * random.random::<f32>();
    let window = |i: usize| 0.5 - 0.5 * (TAU * (i + 1) as f32 / (PATCH + 1) as f32).cos();
    let mut values = Vec::with_capacity(channels * PATCH * PATCH);
    for colour in colour {
        for y in 0..PATCH {
            for x in 0..PATCH {
                let angle = pitch_y * y as f32 + pitch_x * x as f32 + phase;
                values.push(colour * window(y) * window(x) * angle.cos());
            }
        }
    }
    values
}

/// The mean of the distances at all levels, in the pictures' values.
fn distance(
    [mut filled, mut truth]: [Tensor<4>; 2],
    mask: Tensor<4>,
    directions: TensorData,
    mut sets: Sets,
) -> Tensor<1> {
    let [pictures, _, mut height, mut width] = filled.dims();
    let directions = Tensor::from_data(directions, &filled.device());
    let mut holes: Vec<Vec<bool>> = host_values(mask)
        .chunks_exact(height * width)
        .map(|known| known.iter().map(|&known| known < 0.5).collect())
        .collect();
    let mut levels: Vec<Tensor<1>> = vec![];
    let halves = |side: usize| side.is_multiple_of(2) && side / 2 >= SMALLEST_LEVEL;
    while levels.len() < SWD_BANDS && halves(height) && halves(width) {
        let coarse = [&filled, &truth].map(halved);
        let [low_filled, low_truth] = coarse.each_ref().map(doubled);
        let details = [filled - low_filled, truth - low_truth];
        levels.push(distance_of_level(details, &holes, &directions, sets));
        for hole in &mut holes {
            *hole = halved_hole(hole, height, width);
        }
        [filled, truth] = coarse;
        (height, width) = (height / 2, width / 2);
        sets.depth = sets.depth.map(|depth| depth / 2.0);
    }
    levels.push(distance_of_level(
        [filled, truth],
        &holes,
        &directions,
        sets,
    ));
    let count = (levels.len() * pictures) as f64;
    let sum = levels.into_iter().reduce(|a, b| a + b);
    sum.expect("a pyramid has a rest") / count
}

/// Sum over the pictures of the distance at one level.
fn distance_of_level(
    [filled, truth]: [Tensor<4>; 2],
    holes: &[Vec<bool>],
    directions: &Tensor<4>,
    sets: Sets,
) -> Tensor<1> {
    // Beyond the border there is nothing, in both alike.
    let project = |x| ops::conv2d(x, directions.clone(), None, 1, PATCH / 2);
    let (filled, truth) = (project(filled), project(truth));
    let [pictures, count, height, width] = filled.dims();
    let (goals, weights) = sets.goals(
        host_values(filled.clone().detach()),
        &host_values(truth),
        holes,
        width,
    );
    let planes = |values: Vec<f32>| {
        Tensor::from_data(
            TensorData::new(values, [pictures, count, height, width]),
            &filled.device(),
        )
    };
    let (goals, weights) = (planes(goals), planes(weights));
    let shares: Vec<f32> = holes
        .iter()
        .map(|hole| hole.iter().filter(|&&in_hole| in_hole).count())
        .map(|patches| 1.0 / (patches.max(1) * count) as f32)
        .collect();
    let shares = Tensor::from_data(TensorData::new(shares, [pictures, 1]), &filled.device());
    let apart = (filled - goals).abs() * weights;
    let each: Tensor<2> = apart.reshape([pictures, count * height * width]).sum_dim(1);
    (each * shares).sum()
}

/// Which patches are compared with one another.
///
/// Patches in even and odd rows and columns are sets of their own. A network that works on squares of
/// pixels could otherwise draw a fixed grid, whose ups and downs taken together vary as texture does;
/// taken apart each is an error of its own. So a level of the pyramid sees the grids of its own pitch.
#[derive(Clone, Copy, Default)]
struct Sets {
    /// [`PatchTraining::square`], and where the first square begins, to the left and above.
    square: Option<usize>,
    start: [usize; 2],
    /// [`PatchTraining::least_spread`].
    least_spread: Option<f64>,
    /// [`PatchTraining::depth`], in pixels of the level.
    depth: Option<f64>,
}

impl Sets {
    /// The places of each set, of those in the hole.
    fn of(&self, hole: &[bool], width: usize) -> Vec<Vec<usize>> {
        let [left, above] = self.start;
        let square = |v: usize| self.square.map_or(0, |side| v / side);
        let mut sets = std::collections::BTreeMap::<_, Vec<usize>>::new();
        for i in (0..hole.len()).filter(|&i| hole[i]) {
            let (x, y) = (i % width, i / width);
            let key = (square(y + above), square(x + left), y % 2, x % 2);
            sets.entry(key).or_default().push(i);
        }
        sets.into_values().collect()
    }

    /// Where a known pixel is as near as [`Self::depth`] asks. At a coarse level it is at least a pixel.
    fn near(&self, hole: &[bool], width: usize) -> Vec<bool> {
        let Some(depth) = self.depth.map(|depth| depth.max(1.0)) else {
            return vec![true; hole.len()];
        };
        let known: Vec<bool> = hole.iter().map(|in_hole| !in_hole).collect();
        squared_distances(width, &known, depth.ceil() as u32)
            .into_iter()
            .map(|squared| f64::from(squared) <= depth * depth)
            .collect()
    }

    /// For each projection of the fill's patches onto a direction, the truth's of the same rank in its
    /// set, and what a difference counts; where a patch's centre is not in the hole, the projection
    /// itself.
    fn goals(
        &self,
        mut filled: Vec<f32>,
        truth: &[f32],
        holes: &[Vec<bool>],
        width: usize,
    ) -> (Vec<f32>, Vec<f32>) {
        let pixels = holes[0].len();
        let count = filled.len() / (pixels * holes.len());
        let sets: Vec<_> = holes.iter().map(|hole| self.of(hole, width)).collect();
        let near: Vec<_> = holes.iter().map(|hole| self.near(hole, width)).collect();
        let mut weights = vec![1.0; filled.len()];
        filled
            .par_chunks_exact_mut(pixels)
            .zip(weights.par_chunks_exact_mut(pixels))
            .zip(truth.par_chunks_exact(pixels))
            .enumerate()
            .for_each(|(plane, ((filled, weights), truth))| {
                let is_near = &near[plane / count];
                for places in &sets[plane / count] {
                    let all: Vec<f32> = places.iter().map(|&i| truth[i]).collect();
                    let weight = self.least_spread.map_or(1.0, |least| {
                        (1.0 / (f64::from(spread(&all)) + least)) as f32
                    });
                    let (mut ranked, deep): (Vec<usize>, Vec<usize>) =
                        places.iter().partition(|&&i| is_near[i]);
                    let mut values: Vec<f32> = ranked.iter().map(|&i| truth[i]).collect();
                    values.sort_unstable_by(f32::total_cmp);
                    ranked.sort_by(|&a, &b| filled[a].total_cmp(&filled[b]));
                    for (place, value) in ranked.into_iter().zip(values) {
                        filled[place] = value;
                    }
                    for place in deep {
                        filled[place] = truth[place];
                    }
                    for &place in places {
                        weights[place] = weight;
                    }
                }
            });
        (filled, weights)
    }
}

/// Mean distance from the mean.
fn spread(values: &[f32]) -> f32 {
    let mean = values.iter().sum::<f32>() / values.len() as f32;
    values.iter().map(|v| (v - mean).abs()).sum::<f32>() / values.len() as f32
}

/// The pyramid's filter, times `gain`.
fn filter(gain: f64, like: &Tensor<4>) -> Tensor<4> {
    let values: Vec<f32> = TAPS
        .iter()
        .flat_map(|row| TAPS.map(|column| (row * column * gain) as f32))
        .collect();
    let shape = [1, 1, TAPS.len(), TAPS.len()];
    Tensor::from_data(TensorData::new(values, shape), &like.device())
}

/// Each channel as a picture of its own, filtered.
fn filtered(x: Tensor<4>, gain: f64, stride: usize) -> Tensor<4> {
    let [pictures, channels, height, width] = x.dims();
    let weight = filter(gain, &x);
    let planes = x.reshape([pictures * channels, 1, height, width]);
    let planes = ops::conv2d(planes, weight, None, stride, TAPS.len() / 2);
    let [_, _, height, width] = planes.dims();
    planes.reshape([pictures, channels, height, width])
}

/// The next level.
fn halved(x: &Tensor<4>) -> Tensor<4> {
    filtered(x.clone(), 1.0, 2)
}

/// Zeros between the values, then the filter times two along each axis.
fn doubled(x: &Tensor<4>) -> Tensor<4> {
    let [pictures, channels, height, width] = x.dims();
    let values = x.clone().reshape([pictures * channels, 1, height, width]);
    let zeros = values.zeros_like();
    let spread = Tensor::cat(vec![values, zeros.clone(), zeros.clone(), zeros], 1);
    let spread = ops::pixel_shuffle(spread, 2);
    filtered(
        spread.reshape([pictures, channels, 2 * height, 2 * width]),
        4.0,
        1,
    )
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;
    #[cfg(feature = "eval")]
    use crate::metrics::{Planes, sliced_wasserstein};

    const SIDE: usize = 32;

    fn picture(device: &Device, value: impl Fn(usize) -> f32) -> Tensor<4> {
        let values: Vec<f32> = (0..3 * SIDE * SIDE).map(value).collect();
        Tensor::from_data(TensorData::new(values, [1, 3, SIDE, SIDE]), device)
    }

    fn is_known(i: usize) -> bool {
        let (y, x) = (i / SIDE % SIDE, i % SIDE);
        !((10..22).contains(&y) && (12..25).contains(&x))
    }

    fn wave(i: usize) -> f32 {
        (i * 37 % 101) as f32 / 101.0
    }

    fn mask(device: &Device) -> Tensor<4> {
        let values = (0..SIDE * SIDE).map(|i| f32::from(is_known(i))).collect();
        Tensor::from_data(
            TensorData::new::<f32, _>(values, [1, 1, SIDE, SIDE]),
            device,
        )
    }

    fn settings() -> PatchTraining {
        PatchTraining {
            weight: 1.0,
            directions: 512,
            wave_share: 0.0,
            ..PatchTraining::default()
        }
    }

    fn loss(settings: &PatchTraining, filled: &Tensor<4>, truth: &Tensor<4>) -> Tensor<1> {
        let random = &mut ChaCha8Rng::seed_from_u64(3);
        let mask = mask(&filled.device());
        (settings.loss([filled, truth], &mask, &[50], random)).unwrap()
    }

    /// Expected: the metric, which takes other directions, mirrors the picture at its border, and has
    /// the patches of all rows and columns as one set.
    #[cfg(feature = "eval")]
    #[test]
    fn the_term_is_what_evaluation_measures() {
        let device = Device::flex();
        let truth = picture(&device, wave);
        for contrast in [0.0, 0.5] {
            let soft = |i| {
                if is_known(i) {
                    wave(i)
                } else {
                    0.4 + contrast * (wave(i) - 0.5)
                }
            };
            let filled = picture(&device, soft);
            let ours = host_values(loss(&settings(), &filled, &truth))[0];
            let [a, b] = [&truth, &filled].map(|x| host_values(x.clone()));
            let planes = |x| Planes::new(x, 3, SIDE, SIDE).unwrap();
            let keep: Vec<f32> = (0..SIDE * SIDE).map(|i| f32::from(is_known(i))).collect();
            let measured = sliced_wasserstein(&planes(&a), &planes(&b), &keep);
            let measured = measured.unwrap().unwrap().mean() as f32 / 1000.0;
            // Sets of a quarter of the size lie a bit farther apart.
            let ratio = ours / measured;
            assert!((0.97..1.15).contains(&ratio), "{ours} {measured}");
        }
    }

    /// Where a patch is does not count, and a fill that is the truth costs nothing.
    #[test]
    fn the_truths_own_patches_cost_nothing_wherever_they_are() {
        let device = Device::flex();
        let truth = picture(&device, wave);
        assert_eq!(host_values(loss(&settings(), &truth, &truth))[0], 0.0);
        // The finest band alone, of two fills whose patches are the same ones.
        let stripes = |shift: usize| picture(&device, move |i| f32::from((i + shift) % 4 < 2));
        let stripes = [0, 2].map(stripes);
        let hole: Vec<bool> = (0..SIDE * SIDE)
            .map(|i| (8..24).contains(&(i / SIDE)) && (8..24).contains(&(i % SIDE)))
            .collect();
        let random = &mut ChaCha8Rng::seed_from_u64(3);
        let directions = Tensor::from_data(settings().draw(3, random), &device);
        let apart = distance_of_level(stripes, &[hole], &directions, Sets::default());
        assert!(host_values(apart)[0] < 1e-6);
    }

    /// A grid whose sign changes from place to place, so that it is no constant error, of the deviation
    /// that the truth's texture has, is dearer than other such texture.
    #[test]
    fn a_grid_does_not_pass_for_texture() {
        let device = Device::flex();
        let settings = PatchTraining {
            wave_share: 1.0,
            ..settings()
        };
        let truth = picture(&device, |i| 0.5 + 0.2 * sign(i * 7919 % 31 > 14));
        let fill = |is_bright: fn(usize) -> bool| {
            let value = |i| 0.5 + 0.2 * sign(is_bright(i));
            host_values(loss(&settings, &picture(&device, value), &truth))[0]
        };
        let grid = fill(|i| (i + i / 5) % 2 == 0);
        let texture = fill(|i| i * 104_729 % 37 > 17);
        assert!(grid > 1.5 * texture, "{grid} {texture}");
    }

    /// The left half of the hole is flat in the truth, the right half is rough: the same roughness on
    /// the wrong side passes for the truth's in the whole hole, not within squares.
    #[test]
    fn texture_belongs_where_the_truth_has_it() {
        let device = Device::flex();
        let rough = |is_here: fn(usize) -> bool| {
            picture(&device, move |i| {
                0.5 + 0.2 * sign(i * 7919 % 31 > 14) * f32::from(is_here(i % SIDE))
            })
        };
        let truth = rough(|x| x >= 18);
        let swapped = rough(|x| x < 18);
        let hole: Vec<bool> = (0..SIDE * SIDE)
            .map(|i| (8..24).contains(&(i / SIDE)) && (10..26).contains(&(i % SIDE)))
            .collect();
        let random = &mut ChaCha8Rng::seed_from_u64(3);
        let directions = Tensor::from_data(settings().draw(3, random), &device);
        let apart = |sets| {
            let pictures = [swapped.clone(), truth.clone()];
            host_values(distance_of_level(
                pictures,
                std::slice::from_ref(&hole),
                &directions,
                sets,
            ))[0]
        };
        let anywhere = apart(Sets::default());
        let there = apart(Sets {
            square: Some(8),
            start: [6, 0],
            ..Sets::default()
        });
        assert!(there > 3.0 * anywhere, "{there} {anywhere}");
    }

    /// Expected: the same error, divided by the truth's mean distance from its mean plus the least.
    #[test]
    fn an_error_counts_by_what_the_truth_varies() {
        let truth = [0.2, 0.4, 0.2, 0.4];
        let filled = vec![0.5; 4];
        let sets = Sets {
            least_spread: Some(0.1),
            ..Sets::default()
        };
        // One row of four in the hole: even and odd columns are two sets, which do not vary.
        let (goals, weights) = sets.goals(filled.clone(), &truth, &[vec![true; 4]], 4);
        assert_eq!(goals, truth);
        assert!(
            weights.iter().all(|w| (w - 10.0).abs() < 1e-4),
            "{weights:?}"
        );
        // One column of four: even rows have 0.2 and 0.4, odd ones 0 and 0.2, each 0.1 from their mean.
        let truth = [0.2, 0.0, 0.4, 0.2];
        let (_, weights) = sets.goals(filled, &truth, &[vec![true; 4]], 1);
        assert!(
            weights.iter().all(|w| (w - 5.0).abs() < 1e-4),
            "{weights:?}"
        );
    }

    /// In a row of eight in the hole, the fill is the truth in another order: near the border that costs
    /// nothing, farther in what is in another place does.
    #[test]
    fn in_the_middle_of_a_hole_each_patch_has_its_place() {
        let hole: Vec<bool> = (0..10).map(|x| (1..9).contains(&x)).collect();
        let truth = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.0];
        let filled = [0.0, 0.3, 0.4, 0.1, 0.2, 0.7, 0.8, 0.5, 0.6, 0.0];
        let goals = |filled: [f32; 10], depth| {
            let sets = Sets {
                depth,
                ..Sets::default()
            };
            let hole = std::slice::from_ref(&hole);
            sets.goals(filled.to_vec(), &truth, hole, 10).0
        };
        assert_eq!(goals(filled, None), filled);
        // Columns 1 and 2 are at most 2 pixels from column 0, 7 and 8 from column 9. Of these, odd
        // columns have 0.1 and 0.7 in the truth, even ones 0.2 and 0.8.
        assert_eq!(goals(filled, Some(2.0)), truth);
        let swapped = [0.0, 0.7, 0.8, 0.9, 0.9, 0.9, 0.9, 0.1, 0.2, 0.0];
        assert_eq!(
            goals(swapped, Some(2.0)),
            [0.0, 0.7, 0.8, 0.3, 0.4, 0.5, 0.6, 0.1, 0.2, 0.0]
        );
    }

    fn sign(positive: bool) -> f32 {
        if positive { 1.0 } else { -1.0 }
    }

    /// Expected: central differences of the term itself.
    #[test]
    fn the_terms_gradient_is_its_slope() {
        let device = Device::flex();
        let training = device.clone().autodiff();
        let start = |i| {
            if is_known(i) {
                wave(i)
            } else {
                0.2 + 0.3 * wave(i * 7)
            }
        };
        let filled = picture(&training, start).require_grad();
        let gradients = loss(&settings(), &filled, &picture(&training, wave)).backward();
        let ours = host_values(filled.grad(&gradients).unwrap());
        let truth = picture(&device, wave);
        for place in [15 * SIDE + 18, SIDE * SIDE + 11 * SIDE + 13] {
            let step = 2e-3;
            let at = |by: f32| {
                let moved = |i| start(i) + if i == place { by } else { 0.0 };
                host_values(loss(&settings(), &picture(&device, moved), &truth))[0]
            };
            let slope = (at(step) - at(-step)) / (2.0 * step);
            let ours = ours[place];
            assert!((ours - slope).abs() < 0.1 * slope.abs(), "{ours} {slope}");
        }
    }

    /// Expected: the loss of the second picture alone, as its share of two.
    #[test]
    fn pictures_at_later_timesteps_are_not_judged() {
        let device = Device::flex();
        let (truth, filled) = (picture(&device, wave), picture(&device, |i| wave(i * 7)));
        let alone = host_values(loss(&settings(), &filled, &truth))[0];
        let twice = |x: &Tensor<4>| Tensor::cat(vec![x.clone(), x.clone()], 0);
        let settings = PatchTraining {
            latest_time: Some(50),
            ..settings()
        };
        let of = |times: &[usize]| {
            let random = &mut ChaCha8Rng::seed_from_u64(3);
            let pictures = [&twice(&filled), &twice(&truth)];
            settings.loss(pictures, &twice(&mask(&device)), times, random)
        };
        let one = host_values(of(&[100, 50]).unwrap())[0];
        assert!((one - alone / 2.0).abs() < 1e-6, "{one} {alone}");
        assert!(of(&[100, 51]).is_none());
    }
}
