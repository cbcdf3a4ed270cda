//! Validation: the same pictures, masks and noise every time.

use burn::tensor::{Device, Tensor};

use super::config::TrainConfig;
use super::data::{Dataset, Sample, stream};
use super::loader::DeviceBatch;
use super::stage::Stage;
use crate::conditions::Conditions;
use crate::error::Result;
use crate::metrics::{Planes, finite_psnr, psnr_hole, ssim};
use crate::model::Model;
use crate::objectives::Objective;
use crate::picture::{FloatImage, Photo};
use crate::sampling::{FastSampler, SeededBatch, unwatched};
use crate::weights::host_values;

/// Pictures that are filled together.
const BATCH: usize = 8;

/// Fixed pictures to validate on.
pub struct ValidationSet {
    samples: Vec<Sample>,
    side: usize,
    sampler: FastSampler,
}

/// What a validation found: means over the pictures.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    /// The stage's loss.
    pub loss: f64,
    /// PSNR in the hole, dB; of the grayscale for the structure, `None` for the discriminator.
    pub psnr: Option<f64>,
    /// SSIM in the hole.
    pub ssim: Option<f64>,
}

impl Scores {
    /// What decides which checkpoint is best: higher is better.
    pub fn merit(&self) -> f64 {
        self.psnr.unwrap_or(-self.loss)
    }
}

impl ValidationSet {
    /// One picture of each photograph of `dataset`, cropped, masked and noised by the seed.
    ///
    /// # Errors
    /// If a photograph has become unreadable.
    pub fn new(dataset: &Dataset, stage: Stage, config: &TrainConfig) -> Result<Self> {
        let (seed, side) = (config.run.seed, config.data.resolution);
        let samples = (0..dataset.len())
            .map(|i| {
                let rng = &mut stream(seed, &[3, i as u64]);
                dataset.sample_of(dataset.photo(i), stage, rng)
            })
            .collect::<Result<_>>()?;
        let sampler = FastSampler {
            steps: config.validation.sampler_steps,
            ..config.sampler()
        };
        Ok(Self {
            samples,
            side,
            sampler,
        })
    }

    /// Whether there is nothing to validate on.
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// Mean of a loss over the pictures.
    pub fn loss(&self, device: &Device, loss: impl Fn(&DeviceBatch) -> Tensor<1>) -> f64 {
        let mut sum = 0.0;
        for part in self.samples.chunks(BATCH) {
            let value = host_values(loss(&DeviceBatch::new(part, self.side, device)))[0];
            sum += f64::from(value) * part.len() as f64;
        }
        sum / self.samples.len() as f64
    }

    /// Structure: its loss, and the sampled grayscale against the truth.
    ///
    /// # Errors
    /// If sampling fails.
    pub fn structure(&self, model: &Model, objective: &Objective) -> Result<(Scores, Photo)> {
        let loss = self.loss(&model.device, |b| {
            let noise = b.structure_noise.clone();
            objective.structure_loss(&model.structure, &b.batch, &b.times, noise)
        });
        let mut rows = Rows::new(self.side);
        for (part, batch) in self.parts(model) {
            let sampled = batch?.sample_structure(&self.sampler)?;
            rows.add(
                part,
                1,
                &host_values(sampled.clone()),
                &host_values(sampled),
            )?;
        }
        rows.finish(loss)
    }

    /// Texture: its loss, and filled pictures against the truth.
    ///
    /// # Errors
    /// If sampling fails.
    pub fn texture(&self, model: &Model, objective: &Objective) -> Result<(Scores, Photo)> {
        let loss = self.loss(&model.device, |b| {
            objective.texture_loss(
                &model.texture,
                &b.batch,
                &b.times,
                b.noise.clone(),
                b.structure_noise.clone(),
            )
        });
        let mut rows = Rows::new(self.side);
        for (part, batch) in self.parts(model) {
            let mut batch = batch?;
            let sampled = batch.sample(&self.sampler.into(), &mut unwatched)?;
            let texture = sampled.composite(batch.conditions());
            let structure = host_values(sampled.structure);
            rows.add(part, 3, &structure, &host_values(texture))?;
        }
        rows.finish(loss)
    }

    fn parts<'a>(
        &'a self,
        model: &'a Model,
    ) -> impl Iterator<Item = (&'a [Sample], Result<SeededBatch<'a>>)> {
        self.samples
            .chunks(BATCH)
            .enumerate()
            .map(|(number, part)| {
                let batch = DeviceBatch::new(part, self.side, &model.device).batch;
                let known = batch.gray * batch.mask.clone();
                let conditioning = model.config.conditioning;
                let conditions =
                    Conditions::of(conditioning, batch.mask, batch.mu, known, batch.edges);
                let seeds: Vec<u64> = (0..part.len())
                    .map(|i| (number * BATCH + i) as u64)
                    .collect();
                (part, SeededBatch::of(model, conditions, &seeds))
            })
    }
}

/// Scores and the picture grid, a row for each picture: masked input, structure, result, truth.
struct Rows {
    side: usize,
    pixels: Vec<[f32; 3]>,
    scores: Vec<(f64, f64)>,
}

/// Rows that the grid shows.
const SHOWN: usize = 8;

impl Rows {
    fn new(side: usize) -> Self {
        Self {
            side,
            pixels: vec![],
            scores: vec![],
        }
    }

    /// `results` hold `channels` planes a picture: 1 to compare grayscale, 3 colour.
    fn add(
        &mut self,
        samples: &[Sample],
        channels: usize,
        structures: &[f32],
        results: &[f32],
    ) -> Result<()> {
        let (side, area) = (self.side, self.side * self.side);
        for (i, sample) in samples.iter().enumerate() {
            let structure = &structures[i * area..(i + 1) * area];
            let result: Vec<f32> = results[i * channels * area..(i + 1) * channels * area]
                .iter()
                .map(|v| v.clamp(0.0, 1.0))
                .collect();
            let truth = if channels == 1 {
                &sample.gray
            } else {
                &sample.image
            };
            let planes = |data| Planes::new(data, channels, side, side);
            let (truth_planes, result_planes) = (planes(truth)?, planes(&result)?);
            let psnr = psnr_hole(&truth_planes, &result_planes, &sample.mask)?;
            let ssim = ssim(&truth_planes, &result_planes, Some(&sample.mask))?.hole;
            self.scores.push((finite_psnr(psnr), ssim.unwrap_or(1.0)));
            if self.scores.len() > SHOWN {
                continue;
            }
            let colour = |data: &[f32], p: usize| -> [f32; 3] {
                let planes = data.len() / area;
                std::array::from_fn(|c| data[c.min(planes - 1) * area + p])
            };
            for y in 0..side {
                let row = y * side..(y + 1) * side;
                for panel in 0..4 {
                    self.pixels.extend(row.clone().map(|p| match panel {
                        0 if sample.mask[p] == 0.0 => [0.5; 3],
                        0 => colour(&sample.image, p),
                        1 => [structure[p]; 3],
                        2 => colour(&result, p),
                        _ => colour(truth, p),
                    }));
                }
            }
        }
        Ok(())
    }

    fn finish(self, loss: f64) -> Result<(Scores, Photo)> {
        let count = self.scores.len() as f64;
        let mean = |part: fn(&(f64, f64)) -> f64| self.scores.iter().map(part).sum::<f64>() / count;
        let scores = Scores {
            loss,
            psnr: Some(mean(|s| s.0)),
            ssim: Some(mean(|s| s.1)),
        };
        let (width, height) = (4 * self.side, self.side * self.scores.len().min(SHOWN));
        let planar: Vec<f32> = (0..3)
            .flat_map(|c| self.pixels.iter().map(move |p| p[c].clamp(0.0, 1.0)))
            .collect();
        let grid = Photo::from_float_image(&FloatImage::from_vec(3, width, height, planar)?)?;
        Ok((scores, grid))
    }
}
