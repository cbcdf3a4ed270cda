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

use std::ops::ControlFlow;
use std::path::Path;

use burn::tensor::{Device, Tensor};

use crate::blend::Blend;
use crate::conditions::Task;
use crate::error::{Error, Result};
use crate::model::{EdgeConfig, Model};
use crate::noise::SeededNoise;
use crate::picture::{FloatImage, Mask, Photo};
use crate::region::{self, Crop, RegionOptions};
use crate::sampler::{Conditions, Evaluations, Event};
use crate::sampling::Sampler;
use crate::weights::host_values;

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

/// What a caller may choose.
#[derive(Debug, Clone, Default)]
pub struct FillOptions {
    /// The same seed gives the same picture.
    pub seed: u64,
    /// At which scale the networks look.
    pub scale: Scale,
    /// Settings of the sampler; none: the model's own.
    pub sampler: Option<Sampler>,
    /// How edges are found; none: as the model says. Only with [`Scale::Native`] is there
    /// anything in the hole for [`FullImage`](crate::structure::EdgeSource::FullImage) to read.
    pub edges: Option<EdgeConfig>,
    /// Edges that a person wants inside the hole, `[1, height, width]` of the photograph's size;
    /// 1 = edge. Outside the hole it is not read.
    pub drawn_edges: Option<FloatImage>,
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
                let picture = |state: &Tensor<4>| picture_of(state).crop(0, 0, width, height);
                Some((picture(texture), picture(structure)))
            }
            _ => None,
        }
    }
}

/// The caller's window into [`Inpainter::fill`]; [`ControlFlow::Break`] cancels.
pub type OnProgress<'a> = dyn FnMut(&Progress) -> ControlFlow<()> + 'a;

/// One of several photographs to be filled together.
#[derive(Debug, Clone)]
pub struct FillRequest {
    /// The photograph.
    pub photo: Photo,
    /// Its mask.
    pub mask: Mask,
    /// What was asked for.
    pub options: FillOptions,
}

/// A filled photograph.
#[derive(Debug, Clone)]
pub struct Filled {
    /// The photograph in its own bit depth and colour type. Known pixels are as they were, bit
    /// for bit.
    pub photo: Photo,
    /// Share of pixels that were filled, 0 to 1.
    pub hole_fraction: f64,
    /// Regions that were filled one after the other; 0 where there was no hole.
    pub regions: usize,
    /// Network evaluations, all regions together.
    pub evaluations: Evaluations,
}

/// A model that is ready to fill photographs.
#[derive(Debug, Clone)]
pub struct Inpainter {
    model: Model,
    /// Shortest side of a picture that can pass through the networks.
    shortest_side: usize,
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
            model,
            shortest_side: shortest_side.expect("a large picture always passes"),
        }
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Fills the hole of a photograph of any size.
    ///
    /// What the photograph holds in the hole is not read, and known pixels stay bit for bit. A
    /// mask without a hole gives the photograph back. A photograph that is too small for the
    /// networks is extended by its mirror image while they run.
    ///
    /// # Errors
    /// [`Error::FullMask`]; if mask or drawing are of another size than the photograph, settings
    /// are out of range, the networks' output is not finite, or the callback breaks
    /// ([`Error::Cancelled`]).
    pub fn fill(
        &self,
        photo: &Photo,
        mask: &Mask,
        options: &FillOptions,
        on_progress: &mut OnProgress,
    ) -> Result<Filled> {
        let (width, height) = (photo.width(), photo.height());
        mask.check_size(width, height, &photo.name())?;
        if let Some(drawn) = &options.drawn_edges {
            check_drawing(drawn, width, height)?;
        }
        if mask.is_full() {
            return Err(Error::FullMask);
        }
        let mut filled = Filled {
            photo: photo.clone(),
            hole_fraction: mask.hole_fraction(),
            regions: 0,
            evaluations: Evaluations::default(),
        };
        if mask.is_empty() {
            return Ok(filled);
        }
        let resolution = self.model.config.training_resolution;
        if options.scale == Scale::Native || width.max(height) <= resolution {
            let task = Task {
                image: photo.to_rgb_f32(),
                mask: mask.clone(),
                drawn_edges: options.drawn_edges.clone(),
            };
            filled.regions = 1;
            let texture = self.run(&task, options, [0, 1], &mut filled.evaluations, on_progress)?;
            filled.photo = photo.composite(&texture, mask)?;
        } else {
            self.fill_regions(mask, options, &mut filled, on_progress)?;
        }
        Ok(filled)
    }

    /// Fills several photographs; those that can share a batch are run together.
    pub fn fill_batch(
        &self,
        requests: &[FillRequest],
        on_progress: &mut dyn FnMut(usize, &Progress) -> ControlFlow<()>,
    ) -> Vec<Result<Filled>> {
        let fill = |(i, r): (usize, &FillRequest)| {
            self.fill(&r.photo, &r.mask, &r.options, &mut |p| on_progress(i, p))
        };
        requests.iter().enumerate().map(fill).collect()
    }

    /// Fills hole by hole. Later regions see earlier fills as known.
    fn fill_regions(
        &self,
        mask: &Mask,
        options: &FillOptions,
        filled: &mut Filled,
        on_progress: &mut OnProgress,
    ) -> Result<()> {
        let regions = RegionOptions {
            model_side: self.model.config.training_resolution.max(16),
            ..RegionOptions::default()
        };
        let crops =
            region::plan(mask, &regions).map_err(|error| Error::Config(error.to_string()))?;
        filled.regions = crops.len();
        let mut unknown = mask.clone();
        for (number, crop) in crops.iter().enumerate() {
            let (image, mask) = crop.model_input(&filled.photo, &unknown)?;
            let drawn_edges = options
                .drawn_edges
                .as_ref()
                .map(|drawn| edges_within(drawn, crop));
            let task = Task {
                image,
                mask,
                drawn_edges: drawn_edges.transpose()?,
            };
            let place = [number, crops.len()];
            let texture = self.run(&task, options, place, &mut filled.evaluations, on_progress)?;
            crop.paste(&mut filled.photo, &mut unknown, &texture, Blend::Membrane)?;
        }
        Ok(())
    }

    /// The networks' own texture of a picture, `[3, h, w]`, not composited.
    fn run(
        &self,
        task: &Task,
        options: &FillOptions,
        [region, regions]: [usize; 2],
        evaluations: &mut Evaluations,
        on_progress: &mut OnProgress,
    ) -> Result<FloatImage> {
        let model = &self.model;
        let (width, height) = (task.image.width(), task.image.height());
        let (wide, high) = (
            width.max(self.shortest_side),
            height.max(self.shortest_side),
        );
        let task = Task {
            image: mirror(&task.image, wide, high),
            mask: mirror_mask(&task.mask, wide, high)?,
            drawn_edges: task
                .drawn_edges
                .as_ref()
                .map(|drawn| mirror(drawn, wide, high)),
        };
        let edges = options.edges.unwrap_or(model.config.edges);
        let conditions = Conditions::new(&[task], &edges, &model.device)?;
        let sampler = options.sampler.unwrap_or(model.config.sampling);
        let mut noise = SeededNoise::new(&[seed_of_region(options.seed, region)]);
        let sampled = sampler.sample(model, &conditions, &mut noise, &mut |event| {
            on_progress(&Progress {
                region,
                regions,
                event,
                size: [width, height],
            })
        })?;
        evaluations.texture += sampled.evaluations.texture;
        evaluations.structure += sampled.evaluations.structure;
        evaluations.discriminator += sampled.evaluations.discriminator;
        Ok(picture_of(&sampled.texture).crop(0, 0, width, height))
    }
}

/// Each region draws from a stream of its own, so its fill does not depend on how many draws the
/// regions before it took. The first has the caller's seed.
fn seed_of_region(seed: u64, region: usize) -> u64 {
    const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15; // 2^64 / φ, odd: no two regions share a seed
    seed.wrapping_add(GOLDEN.wrapping_mul(region as u64))
}

/// The first picture of a batch.
fn picture_of(state: &Tensor<4>) -> FloatImage {
    let [_, channels, height, width] = state.dims();
    let values = host_values(state.clone().narrow(0, 0, 1));
    FloatImage::from_vec(channels, width, height, values).expect("the tensor's own shape")
}

fn check_drawing(drawn: &FloatImage, width: usize, height: usize) -> Result<()> {
    if [drawn.channels(), drawn.width(), drawn.height()] == [1, width, height] {
        return Ok(());
    }
    Err(Error::Size(format!(
        "the drawn structure is {}×{} pixels but the photograph is {width}×{height}; give both \
         the same size",
        drawn.width(),
        drawn.height()
    )))
}

/// The part of a drawing that a crop's model sees. A line stays a line however much the crop is
/// scaled down.
fn edges_within(drawn: &FloatImage, crop: &Crop) -> Result<FloatImage> {
    let part = drawn.crop(crop.x, crop.y, crop.width, crop.height);
    if crop.is_native() {
        return Ok(part);
    }
    let blank = part
        .data()
        .iter()
        .map(|&edge| u8::from(edge < 0.5))
        .collect();
    let lines = Mask::from_keep(crop.width, crop.height, blank)?
        .fit_covering(crop.model_width, crop.model_height)?;
    let edges = lines
        .keep()
        .iter()
        .map(|&blank| f32::from(1 - blank))
        .collect();
    Ok(FloatImage::from_vec(
        1,
        crop.model_width,
        crop.model_height,
        edges,
    )?)
}

/// The source index of each index of a row that goes on as its own mirror image.
fn mirrored(length: usize, longer: usize) -> impl Iterator<Item = usize> + Clone {
    (0..longer).map(move |i| {
        let i = i % (2 * length);
        if i < length { i } else { 2 * length - 1 - i }
    })
}

/// The picture at the upper left of a larger one that its mirror images fill.
fn mirror(picture: &FloatImage, width: usize, height: usize) -> FloatImage {
    let (channels, narrow, low) = (picture.channels(), picture.width(), picture.height());
    if [narrow, low] == [width, height] {
        return picture.clone();
    }
    let mut data = Vec::with_capacity(channels * width * height);
    for plane in (0..channels).map(|c| picture.plane(c)) {
        for y in mirrored(low, height) {
            data.extend(mirrored(narrow, width).map(|x| plane[y * narrow + x]));
        }
    }
    FloatImage::from_vec(channels, width, height, data).expect("every row was filled")
}

/// As [`mirror`].
fn mirror_mask(mask: &Mask, width: usize, height: usize) -> Result<Mask> {
    let (narrow, low) = (mask.width(), mask.height());
    let keep = mirrored(low, height)
        .flat_map(|y| mirrored(narrow, width).map(move |x| mask.keep()[y * narrow + x]))
        .collect();
    Ok(Mask::from_keep(width, height, keep)?)
}
