//! Batches made on background threads, in an order that does not depend on them.

use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

use burn::tensor::{DType, Device, Tensor, TensorData};

use super::data::{Dataset, Sample};
use super::stage::Stage;
use crate::error::{Result, TrainingError};
use crate::objectives::{Batch, pictures_at};

/// Batches that each thread may have ready.
const AHEAD: usize = 2;

/// The pictures of successive steps.
pub struct Loader {
    /// Thread i makes the steps that are i modulo the number of threads.
    channels: Vec<Receiver<Result<Vec<Sample>>>>,
    threads: Vec<JoinHandle<()>>,
    next: usize,
}

impl Loader {
    /// Starts making the pictures `share` of each batch of `batch`, from step `first` on.
    pub fn start(
        dataset: Arc<Dataset>,
        stage: Stage,
        first: usize,
        batch: usize,
        share: Range<usize>,
        threads: usize,
    ) -> Self {
        let mut loader = Self {
            channels: vec![],
            threads: vec![],
            next: 0,
        };
        for thread in 0..threads {
            let (sender, receiver) = sync_channel(AHEAD);
            let (dataset, share) = (dataset.clone(), share.clone());
            loader.channels.push(receiver);
            loader.threads.push(std::thread::spawn(move || {
                for step in (first + thread..).step_by(threads) {
                    let numbers = share.clone().map(|place| (step * batch + place) as u64);
                    let samples: Result<Vec<Sample>> = numbers
                        .map(|number| dataset.sample(stage, number))
                        .collect();
                    // The receiver is gone when the stage is over.
                    if sender.send(samples).is_err() {
                        return;
                    }
                }
            }));
        }
        loader
    }

    /// The pictures of the next step.
    ///
    /// # Errors
    /// If a photograph or mask has become unreadable.
    pub fn next_samples(&mut self) -> Result<Vec<Sample>> {
        let channel = &self.channels[self.next % self.channels.len()];
        self.next += 1;
        channel
            .recv()
            .unwrap_or_else(|_| Err(TrainingError::ReaderDied.into()))
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.channels.clear();
        for thread in self.threads.drain(..) {
            // A panic there was reported where the batch was asked for.
            let _ = thread.join();
        }
    }
}

/// A batch on a device, with its timesteps and noise.
pub struct DeviceBatch {
    /// Pictures.
    pub batch: Batch,
    /// Timestep of each picture.
    pub times: Vec<usize>,
    /// Noise of the texture, `[b, 3, h, w]`.
    pub noise: Tensor<4>,
    /// Noise of the structure, `[b, 1, h, w]`.
    pub structure_noise: Tensor<4>,
    /// Each picture's [`Sample::guidance_draw`].
    pub guidance_draws: Vec<f64>,
}

impl DeviceBatch {
    /// Moves pictures of `side` × `side` to a device.
    pub fn new(samples: &[Sample], side: usize, device: &Device) -> Self {
        let tensor = |channels: usize, plane: fn(&Sample) -> &[f32]| {
            let values: Vec<f32> = samples.iter().flat_map(plane).copied().collect();
            let data = TensorData::new(values, [samples.len(), channels, side, side]);
            Tensor::from_data(data, device)
        };
        Self {
            batch: Batch {
                image: tensor(3, |s| &s.image),
                mu: tensor(3, |s| &s.mu),
                gray: tensor(1, |s| &s.gray),
                edges: tensor(1, |s| &s.edges),
                mask: tensor(1, |s| &s.mask),
            },
            times: samples.iter().map(|s| s.time).collect(),
            noise: tensor(3, |s| &s.noise),
            structure_noise: tensor(1, |s| &s.structure_noise),
            guidance_draws: samples.iter().map(|s| s.guidance_draw).collect(),
        }
    }

    /// Some of the pictures, by their places, apart from any gradient.
    pub fn without_gradient(&self, pictures: &[usize]) -> Self {
        let pick = |x: &Tensor<4>| {
            let x = if x.is_autodiff() {
                x.clone().inner()
            } else {
                x.clone()
            };
            pictures_at(&x, pictures)
        };
        Self {
            batch: Batch {
                image: pick(&self.batch.image),
                mu: pick(&self.batch.mu),
                gray: pick(&self.batch.gray),
                edges: pick(&self.batch.edges),
                mask: pick(&self.batch.mask),
            },
            times: pictures.iter().map(|&i| self.times[i]).collect(),
            noise: pick(&self.noise),
            structure_noise: pick(&self.structure_noise),
            guidance_draws: pictures.iter().map(|&i| self.guidance_draws[i]).collect(),
        }
    }

    /// The same pictures at another timestep, with other noise.
    pub fn at(self, time: usize) -> Self {
        // Noise turned upside down is as good as drawn anew, and leaves the run's random streams as
        // they are.
        let turned = |noise: Tensor<4>| noise.flip([2, 3]);
        Self {
            times: vec![time; self.times.len()],
            noise: turned(self.noise),
            structure_noise: turned(self.structure_noise),
            ..self
        }
    }

    /// The same batch in another precision.
    pub fn cast(self, dtype: DType) -> Self {
        Self {
            batch: Batch {
                image: self.batch.image.cast(dtype),
                mu: self.batch.mu.cast(dtype),
                gray: self.batch.gray.cast(dtype),
                edges: self.batch.edges.cast(dtype),
                mask: self.batch.mask.cast(dtype),
            },
            times: self.times,
            noise: self.noise.cast(dtype),
            structure_noise: self.structure_noise.cast(dtype),
            guidance_draws: self.guidance_draws,
        }
    }
}
