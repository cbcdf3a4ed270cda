//! Photographs and masks as training pictures.
//!
//! A picture is a pure function of the seed, the stage and its number in the run: nothing depends
//! on threads, on what came before, or on where a run was interrupted.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::config::TrainConfig;
use super::stage::Stage;
use crate::conditions::hide_hole;
use crate::error::{Result, TrainingError};
use crate::masks::MaskGenerator;
use crate::picture::{Filter, FloatImage, HolePolarity, Mask, Photo};
use crate::structure::{Canny, EdgeSource, edge_map, rgb_to_gray};

/// A random stream for one purpose: `words` are mixed into the seed.
pub fn stream(seed: u64, words: &[u64]) -> ChaCha8Rng {
    let mixed = words.iter().fold(seed, |state, &word| {
        // splitmix64's finaliser, so that neighbouring numbers give unrelated streams.
        let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15).wrapping_add(word);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    });
    ChaCha8Rng::seed_from_u64(mixed)
}

/// 8-bit RGB of a photograph, planar.
struct Decoded {
    width: usize,
    height: usize,
    rgb: Vec<u8>,
}

/// Photographs and masks, and how pictures are made of them.
pub struct Dataset {
    config: TrainConfig,
    photos: Vec<PathBuf>,
    masks: Option<Vec<PathBuf>>,
    polarity: HolePolarity,
    cache: Mutex<Cache>,
}

#[derive(Default)]
struct Cache {
    pictures: HashMap<PathBuf, Arc<Decoded>>,
    bytes: usize,
}

/// One training picture, planar.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// RGB.
    pub image: Vec<f32>,
    /// What its texture reverts to, RGB.
    pub mu: Vec<f32>,
    /// What the structure process begins with.
    pub gray: Vec<f32>,
    /// What it reverts to.
    pub edges: Vec<f32>,
    /// 1 = known.
    pub mask: Vec<f32>,
    /// Timestep, 1..=T.
    pub time: usize,
    /// Uniform in 0..1: the structure network guides this picture where its share is above.
    pub guidance_draw: f64,
    /// N(0, 1), three channels.
    pub noise: Vec<f32>,
    /// N(0, 1), one channel.
    pub structure_noise: Vec<f32>,
}

impl Dataset {
    /// Decodes every photograph once, to find those that do not decode, and keeps as many as the
    /// cache holds.
    ///
    /// # Errors
    /// If no photograph is left, or a mask folder is empty.
    pub fn new(
        config: &TrainConfig,
        photos: &[PathBuf],
        masks: Option<(Vec<PathBuf>, HolePolarity)>,
    ) -> Result<(Self, Vec<(PathBuf, String)>)> {
        let (masks, polarity) = match masks {
            Some((masks, polarity)) => (Some(masks), polarity),
            None => (None, HolePolarity::White),
        };
        if masks.as_ref().is_some_and(Vec::is_empty) {
            return Err(TrainingError::NoMasks.into());
        }
        let mut dataset = Self {
            config: config.clone(),
            photos: photos.to_vec(),
            masks,
            polarity,
            cache: Mutex::default(),
        };
        use rayon::prelude::*;
        let tried: Vec<(PathBuf, Option<String>)> = photos
            .par_iter()
            .map(|path| {
                let problem = dataset.decode(path).err().map(|error| error.to_string());
                (path.clone(), problem)
            })
            .collect();
        let mut skipped = vec![];
        dataset.photos.clear();
        for (path, problem) in tried {
            match problem {
                None => dataset.photos.push(path),
                Some(problem) => skipped.push((path, problem)),
            }
        }
        if dataset.photos.is_empty() {
            let tried = skipped.len();
            return Err(TrainingError::NoPhotographs { tried }.into());
        }
        Ok((dataset, skipped))
    }

    /// A dataset of photographs that are known to decode.
    pub fn of_decodable(
        config: &TrainConfig,
        photos: Vec<PathBuf>,
        masks: Option<(Vec<PathBuf>, HolePolarity)>,
    ) -> Self {
        let (masks, polarity) = match masks {
            Some((masks, polarity)) => (Some(masks), polarity),
            None => (None, HolePolarity::White),
        };
        Self {
            config: config.clone(),
            photos,
            masks,
            polarity,
            cache: Mutex::default(),
        }
    }

    /// The photographs.
    pub fn into_photos(self) -> Vec<PathBuf> {
        self.photos
    }

    /// A photograph.
    pub fn photo(&self, index: usize) -> &Path {
        &self.photos[index]
    }

    /// Number of photographs.
    pub fn len(&self) -> usize {
        self.photos.len()
    }

    /// Whether there are none (there always is one).
    pub fn is_empty(&self) -> bool {
        self.photos.is_empty()
    }

    fn decode(&self, path: &Path) -> Result<Arc<Decoded>> {
        let lock = || self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(decoded) = lock().pictures.get(path) {
            return Ok(decoded.clone());
        }
        let picture = Photo::open(path)?.to_rgb_f32();
        let decoded = Arc::new(Decoded {
            width: picture.width(),
            height: picture.height(),
            rgb: picture
                .data()
                .iter()
                .map(|v| (v * 255.0).round() as u8)
                .collect(),
        });
        let mut cache = lock();
        if cache.bytes + decoded.rgb.len() <= self.config.data.cache_mib << 20 {
            cache.bytes += decoded.rgb.len();
            cache.pictures.insert(path.to_path_buf(), decoded.clone());
        }
        Ok(decoded)
    }

    /// Picture number `number` of a stage. Each photograph is seen once before any is seen again.
    ///
    /// # Errors
    /// If a photograph or mask has become unreadable since the start.
    pub fn sample(&self, stage: Stage, number: u64) -> Result<Sample> {
        let word = stage as u64;
        let seed = self.config.run.seed;
        let count = self.photos.len() as u64;
        let mut order: Vec<usize> = (0..self.photos.len()).collect();
        order.shuffle(&mut stream(seed, &[word, 1, number / count]));
        let photo = &self.photos[order[(number % count) as usize]];
        self.sample_of(photo, stage, &mut stream(seed, &[word, 2, number]))
    }

    /// Picture of a given photograph, at a timestep of the stage.
    ///
    /// # Errors
    /// As [`sample`](Self::sample).
    pub fn sample_of(&self, photo: &Path, stage: Stage, rng: &mut ChaCha8Rng) -> Result<Sample> {
        let side = self.config.data.resolution;
        let image = self.crop(&*self.decode(photo)?, rng)?;
        let mask = self.mask(rng)?;
        let networks = &self.config.networks;
        let known = hide_hole(&image, &mask);
        let mu = networks.conditioning.texture_mu(&known, &mask);
        let (gray, edges) = networks.structure_process.ends(
            || gray_values(&image),
            || gray_values(&mu),
            || {
                let truth = self.canny().edges(&rgb_to_gray(&image)?, None)?;
                Ok(truth.into_iter().map(f32::from).collect())
            },
            || self.edges(&image, &mask, rng),
        );
        let normal = |rng: &mut ChaCha8Rng, channels: usize| -> Vec<f32> {
            (0..channels * side * side)
                .map(|_| StandardNormal.sample(rng))
                .collect()
        };
        Ok(Sample {
            image: image.into_vec(),
            mu: mu.into_vec(),
            gray: gray?,
            edges: edges?,
            mask: mask.keep().iter().map(|&keep| f32::from(keep)).collect(),
            time: self.time(stage, rng),
            noise: normal(rng, 3),
            structure_noise: normal(rng, 1),
            guidance_draw: rng.random(),
        })
    }

    /// A random square of the photograph at the run's resolution.
    fn crop(&self, photo: &Decoded, rng: &mut ChaCha8Rng) -> Result<FloatImage> {
        let data = &self.config.data;
        let [from, to] = data.crop_scale;
        let shorter = photo.width.min(photo.height);
        let share = rng.random_range(from..=to);
        let side = ((shorter as f64 * share).round() as usize).clamp(1, shorter);
        let x = rng.random_range(0..=photo.width - side);
        let y = rng.random_range(0..=photo.height - side);
        let area = photo.width * photo.height;
        let mut values = Vec::with_capacity(3 * side * side);
        for channel in 0..3 {
            for row in y..y + side {
                let start = channel * area + row * photo.width + x;
                values.extend(
                    photo.rgb[start..start + side]
                        .iter()
                        .map(|&v| f32::from(v) / 255.0),
                );
            }
        }
        let crop = FloatImage::from_vec(3, side, side, values)?;
        let crop = crop.resize(data.resolution, data.resolution, Filter::Triangle);
        let mirror = data.flip && rng.random();
        let turns = if data.rotate {
            rng.random_range(0..4)
        } else {
            0
        };
        Ok(turned(crop, mirror, turns))
    }

    fn time(&self, stage: Stage, rng: &mut ChaCha8Rng) -> usize {
        let times = &self.config.stage(stage).times;
        if !times.is_empty() {
            return times[rng.random_range(0..times.len())];
        }
        let last = self.config.sde.steps;
        let bias = self.config.run.time_bias;
        if bias == 1.0 {
            return rng.random_range(2..=last);
        }
        let late = rng.random::<f64>().powf(bias.recip());
        2 + (((last - 1) as f64 * late) as usize).min(last - 2)
    }

    fn canny(&self) -> Canny {
        Canny::with_sigma(self.config.edges.sigma)
    }

    fn mask(&self, rng: &mut ChaCha8Rng) -> Result<Mask> {
        let side = self.config.data.resolution;
        match &self.masks {
            Some(masks) => {
                let path = &masks[rng.random_range(0..masks.len())];
                Ok(Mask::open(path, self.polarity)?.fit_to(side, side)?)
            }
            None => {
                let [from, to] = self.config.masks.ratio;
                let kinds = self.config.masks.shapes.clone();
                Ok(MaskGenerator {
                    ratio: from..=to,
                    kinds,
                }
                .generate(side, side, rng)?)
            }
        }
    }

    /// Edges as a user's photograph gives them: of the known region, with some of the hole's own
    /// left as hints now and then.
    fn edges(&self, image: &FloatImage, mask: &Mask, rng: &mut ChaCha8Rng) -> Result<Vec<f32>> {
        let canny = self.canny();
        let known = rgb_to_gray(&hide_hole(image, mask))?;
        let mut edges = edge_map(&known, mask, EdgeSource::KnownRegion, &canny)?.into_vec();
        if rng.random_bool(self.config.edges.hint_probability) {
            let (width, height) = (image.width(), image.height());
            let [from, to] = self.config.edges.hint_ratio;
            let shown = MaskGenerator::with_ratio(from..=to)?.generate(width, height, rng)?;
            let truth = canny.edges(&rgb_to_gray(image)?, None)?;
            for (i, edge) in edges.iter_mut().enumerate() {
                let hint = mask.keep()[i] == 0 && shown.keep()[i] == 0;
                if hint && truth[i] == 1 {
                    *edge = 1.0;
                }
            }
        }
        Ok(edges)
    }
}

fn gray_values(picture: &FloatImage) -> Result<Vec<f32>> {
    Ok(rgb_to_gray(picture)?.to_float_image().into_vec())
}

/// Mirrors left to right, then turns by quarter turns.
fn turned(picture: FloatImage, mirror: bool, turns: usize) -> FloatImage {
    if !mirror && turns == 0 {
        return picture;
    }
    let side = picture.width();
    let mut out = picture.clone();
    for channel in 0..picture.channels() {
        let plane = picture.plane(channel);
        let start = channel * side * side;
        for y in 0..side {
            for x in 0..side {
                let (mut sx, mut sy) = (x, y);
                for _ in 0..turns {
                    (sx, sy) = (sy, side - 1 - sx);
                }
                if mirror {
                    sx = side - 1 - sx;
                }
                out.data_mut()[start + y * side + x] = plane[sy * side + sx];
            }
        }
    }
    out
}
