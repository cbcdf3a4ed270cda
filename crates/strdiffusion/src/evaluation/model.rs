//! A StrDiffusion model as the method under evaluation, and masks drawn for it.

use super::{EvaluationError, Fill, FillError, FillRequest, Filled, Picture};
use crate::Error;
use crate::conditions::Task;
use crate::masks::{MaskError, MaskGenerator};
use crate::model::{FILES, Model, ModelFiles};
use crate::picture::Mask;
use crate::sampling::{OnEvent, Sampler, SeededBatch};
use crate::structure::EdgeSource;
use crate::text::hex;
use crate::weights::host_values;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};
use std::ops::{ControlFlow, RangeInclusive};
use std::path::Path;
use std::time::Instant;

/// Fills pictures with a model, each as a whole: no crops, no blending but the plain composite.
pub struct ModelFill<'a> {
    model: &'a Model,
    sampling: Sampler,
    is_cancelled: &'a dyn Fn() -> bool,
}

impl<'a> ModelFill<'a> {
    /// Fills with `model`; `is_cancelled` is asked between network evaluations.
    pub fn new(model: &'a Model, sampling: Sampler, is_cancelled: &'a dyn Fn() -> bool) -> Self {
        Self {
            model,
            sampling,
            is_cancelled,
        }
    }

    /// Planar values of the composited result, and the network evaluations it took.
    fn sampled(&self, request: &FillRequest<'_>) -> crate::Result<(Vec<f32>, u64)> {
        let model = self.model;
        // Published evaluations of models with such edges read them from the whole picture.
        let seen = match model.config.edges.source {
            EdgeSource::FullImage => request.truth,
            EdgeSource::KnownRegion => request.masked,
        };
        let task = Task {
            image: seen.to_float_image()?,
            mask: request.mask.clone(),
            drawn_edges: None,
        };
        let mut batch = SeededBatch::new(model, &[task], &model.config.edges, &[request.seed])?;
        let on_event: &mut OnEvent = &mut |_| match (self.is_cancelled)() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        };
        let sampled = batch.sample(&self.sampling, on_event)?;
        let counts = sampled.evaluations;
        let evaluations = counts.texture + counts.structure + counts.discriminator;
        let values = host_values(sampled.composite(batch.conditions()));
        Ok((values, evaluations as u64))
    }
}

impl Fill for ModelFill<'_> {
    fn fill(&mut self, request: &FillRequest<'_>) -> Result<Filled, FillError> {
        let (width, height) = (request.masked.width(), request.masked.height());
        if request.mask.is_full() {
            return Err(FillError::Picture(Error::FullMask.to_string()));
        }
        // The model says itself which sizes pass through its networks.
        self.model
            .check_size(height as usize, width as usize)
            .map_err(|error| FillError::Picture(error.to_string()))?;
        let start = Instant::now();
        let (values, evaluations) = self.sampled(request).map_err(|error| match error {
            Error::Cancelled => FillError::Cancelled,
            error => FillError::Stop(error.to_string()),
        })?;
        let seconds = start.elapsed().as_secs_f64();
        let picture = Picture::from_planar(&values, width, height).ok_or_else(|| {
            FillError::Picture("the model's output holds values that are not numbers".to_owned())
        })?;
        Ok(Filled {
            picture,
            seconds: Some(seconds),
            network_evaluations: Some(evaluations),
        })
    }
}

/// SHA-256 over a model folder's configuration and weights, in hexadecimal.
///
/// # Errors
/// [`EvaluationError::File`] when one of the files cannot be read.
pub fn model_sha256(folder: &Path) -> Result<String, EvaluationError> {
    let mut hasher = Sha256::new();
    for name in FILES {
        let file = folder.join(name);
        let bytes = std::fs::read(&file).map_err(EvaluationError::file("read", &file))?;
        add_file(&mut hasher, &bytes);
    }
    Ok(hex(&hasher.finalize()))
}

/// As [`model_sha256`], of files in memory: those of a folder have its number.
pub fn model_files_sha256(files: &ModelFiles) -> String {
    let mut hasher = Sha256::new();
    for bytes in files.contents() {
        add_file(&mut hasher, bytes);
    }
    hex(&hasher.finalize())
}

/// The file's own hash, so that bytes cannot move from one file to the next unseen.
fn add_file(hasher: &mut Sha256, bytes: &[u8]) {
    hasher.update(Sha256::digest(bytes));
}

/// Draws a mask for each picture from the picture's own seed.
#[derive(Debug, Clone)]
pub struct GeneratedMasks(MaskGenerator);

impl GeneratedMasks {
    /// Masks whose hole's share of the picture lies in `ratio` (0..=1).
    ///
    /// # Errors
    /// [`MaskError::Ratio`] where the range does not lie within 0 to 1.
    pub fn with_ratio(ratio: RangeInclusive<f64>) -> Result<Self, MaskError> {
        MaskGenerator::with_ratio(ratio).map(Self)
    }

    /// The mask of `width` × `height` pixels that `seed` gives.
    ///
    /// # Errors
    /// A one-line reason where the size is too small.
    pub fn draw(&self, width: u32, height: u32, seed: u64) -> Result<Mask, String> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        self.0
            .generate(width as usize, height as usize, &mut rng)
            .map_err(|error| error.to_string())
    }
}
