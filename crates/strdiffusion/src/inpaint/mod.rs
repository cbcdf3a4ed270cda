//! The front door: load a model, fill a hole, get a photograph.
//!
//! ```no_run
//! use std::ops::ControlFlow;
//! use strdiffusion::device::DeviceName;
//! use strdiffusion::picture::{HolePolarity, Mask, Photo};
//! use strdiffusion::{FillOptions, Inpainter};
//!
//! # fn main() -> strdiffusion::Result<()> {
//! let inpainter = Inpainter::load("models/default", &DeviceName::Auto.open()?)?;
//! let photo = Photo::open("photo.jpg")?;
//! let mask = Mask::open("mask.png", HolePolarity::White)?;
//! let options = FillOptions { seed: 7, ..FillOptions::default() };
//! let filled = inpainter.fill(&photo, &mask, &options, &mut |_| ControlFlow::Continue(()))?;
//! filled.photo.save("filled.png")?;
//! # Ok(())
//! # }
//! ```

mod batch;
mod hole_detail;
mod job;
mod mirror;
mod provenance;
mod request;

use std::ops::ControlFlow;
use std::path::Path;

use burn::tensor::{Device, Tensor};

use crate::error::Result;
use crate::model::{Model, ModelConfig};
use crate::picture::{FloatImage, Mask, Photo};
use crate::sampling::Event;
use crate::weights::host_values;
use job::Job;

pub use crate::region::Scale;
pub use hole_detail::{HoleDetail, set_detail};
pub use provenance::Provenance;
pub use request::{FillOptions, FillRequest, Filled};

/// Most pictures that pass through the networks together where no other limit was set.
const MOST_TOGETHER: usize = 8;
/// Pixels times channels of the first level that pass through the networks together where no
/// other limit was set: one picture of full-size networks (256×256, nf 64), which takes gigabytes.
const VALUES_TOGETHER: usize = 256 * 256 * 64;

/// The batch limit for networks of one size.
fn default_batch_limit(config: &ModelConfig) -> usize {
    let side = config.training_resolution;
    let values = side
        .saturating_mul(side)
        .saturating_mul(config.texture.width.max(config.structure.width));
    (VALUES_TOGETHER / values.max(1)).clamp(1, MOST_TOGETHER)
}

/// What happens while a photograph is filled.
#[derive(Debug)]
pub struct Progress<'a> {
    /// The region that is being filled, from 0.
    pub region: usize,
    /// Regions in all.
    pub regions: usize,
    /// What the sampler reports.
    pub event: &'a Event<'a>,
    /// Width and height of the region as the networks see it.
    size: [usize; 2],
}

impl Progress<'_> {
    /// Steps done and steps in all, over all regions; none for events other than a step.
    pub fn steps(&self) -> Option<(usize, usize)> {
        match self.event {
            Event::Step { done, total, .. } => {
                Some((self.region * total + done, self.regions * total))
            }
            _ => None,
        }
    }

    /// The states after a step, as pictures of the region: texture `[3, h, w]` and structure
    /// `[1, h, w]`, nominally in [0, 1]; none for events other than a step.
    pub fn states(&self) -> Option<(FloatImage, FloatImage)> {
        match self.event {
            Event::Step {
                texture, structure, ..
            } => {
                let [width, height] = self.size;
                let picture = |state: &Tensor<4>| picture_of(state, 0).crop(0, 0, width, height);
                Some((picture(texture), picture(structure)))
            }
            _ => None,
        }
    }
}

/// The caller's window into [`Inpainter::fill`]; [`ControlFlow::Break`] cancels.
pub type OnProgress<'a> = dyn FnMut(&Progress) -> ControlFlow<()> + 'a;

/// The caller's window into [`Inpainter::fill_batch`]: the request's number, and what happens to
/// it. [`ControlFlow::Break`] cancels this request.
pub type OnBatchProgress<'a> = dyn FnMut(usize, &Progress) -> ControlFlow<()> + 'a;

/// A model that is ready to fill photographs.
#[derive(Debug, Clone)]
pub struct Inpainter {
    model: Model,
    /// Shortest side of a picture that can pass through the networks.
    shortest_side: usize,
    batch_limit: usize,
}

impl Inpainter {
    /// Reads a model folder.
    ///
    /// # Errors
    /// As [`Model::load`].
    pub fn load(folder: impl AsRef<Path>, device: &Device) -> Result<Self> {
        Ok(Self::from_model(Model::load(folder.as_ref(), device)?))
    }

    /// Takes a model that is loaded already.
    pub fn from_model(model: Model) -> Self {
        let shortest_side = (1..).find(|&side| model.check_size(side, side).is_ok());
        Self {
            batch_limit: default_batch_limit(&model.config),
            model,
            shortest_side: shortest_side.expect("a large picture always passes"),
        }
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The same inpainter with another bound on the pictures that pass through the networks
    /// together: at most `limit` of the model's training resolution, fewer of larger ones, and
    /// always at least one. Memory grows with it; results do not change. Unless set, up to 8,
    /// fewer for large networks.
    #[must_use]
    pub fn with_batch_limit(self, limit: usize) -> Self {
        Self {
            batch_limit: limit.max(1),
            ..self
        }
    }

    /// The bound on the pictures that pass through the networks together.
    pub fn batch_limit(&self) -> usize {
        self.batch_limit
    }

    /// How many pictures of this size make a batch.
    fn pictures_in_batch(&self, [width, height]: [usize; 2]) -> usize {
        let resolution = self.model.config.training_resolution;
        let pixels = self
            .batch_limit
            .saturating_mul(resolution.saturating_mul(resolution));
        (pixels / (width * height).max(1)).clamp(1, self.batch_limit)
    }

    /// Fills the hole of a photograph of any size.
    ///
    /// What the photograph holds in the hole is not read, but where a mask is soft to be blended with
    /// the fill, and known pixels stay bit for bit. A mask without a hole gives the photograph back. A photograph that is too small for the
    /// networks is extended by its mirror image while they run.
    ///
    /// # Errors
    /// [`Error::FullMask`](crate::Error::FullMask); if mask or drawing are of another size than
    /// the photograph, settings are out of range, the networks' output is not finite, or the
    /// callback breaks ([`Error::Cancelled`](crate::Error::Cancelled)).
    pub fn fill(
        &self,
        photo: &Photo,
        mask: &Mask,
        options: &FillOptions,
        on_progress: &mut OnProgress,
    ) -> Result<Filled> {
        let job = Job::new(&self.model.config, photo, mask, options);
        let mut on_progress = |_: usize, progress: &Progress| on_progress(progress);
        let mut results = batch::fill_all(self, vec![job], &mut on_progress);
        results.pop().expect("one job has one result")
    }

    /// Fills several photographs, with one result for each request, in the order of the requests.
    ///
    /// Pictures whose settings agree pass through the networks together where what the networks
    /// see of them has the same size: photographs of one size, or crops of large photographs of
    /// any size. The first regions of all requests are filled first, then the second ones, and so
    /// on. Each picture's noise comes from its own seed, so its fill is the one that
    /// [`Self::fill`] gives, whatever it is batched with: bit for bit on the CPU, while other
    /// devices may round differently in batches of another size.
    ///
    /// An invalid request fails alone. `on_progress` is called with the request's number and its
    /// own events, as if it were alone; [`ControlFlow::Break`] cancels that request and no other.
    /// The batch that it is in goes on without telling of it, until all of its requests are
    /// cancelled.
    ///
    /// Every request's photograph is held twice while it is filled. Memory for the networks is
    /// bounded by [`Self::with_batch_limit`].
    ///
    /// # Errors
    /// Each result as [`Self::fill`].
    pub fn fill_batch(
        &self,
        requests: &[FillRequest],
        on_progress: &mut OnBatchProgress,
    ) -> Vec<Result<Filled>> {
        let jobs = requests
            .iter()
            .map(|request| {
                Job::new(
                    &self.model.config,
                    &request.photo,
                    &request.mask,
                    &request.options,
                )
            })
            .collect();
        batch::fill_all(self, jobs, on_progress)
    }
}

/// One picture of a batch.
fn picture_of(state: &Tensor<4>, picture: usize) -> FloatImage {
    let [_, channels, height, width] = state.dims();
    let values = host_values(state.clone().narrow(0, picture, 1));
    FloatImage::from_vec(channels, width, height, values).expect("the tensor's own shape")
}
