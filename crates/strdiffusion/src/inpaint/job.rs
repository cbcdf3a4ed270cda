//! One photograph on its way: its regions, what the networks see of each, and how their fill comes
//! back.

use super::mirror::{mirror, mirror_mask};
use super::request::{FillOptions, Filled};
use crate::blend::{Blend, blend, even};
use crate::conditions::Task;
use crate::detail::{self, Detail};
use crate::error::{Error, Result};
use crate::model::{EdgeConfig, ModelConfig};
use crate::picture::{FloatImage, Mask, Photo, PictureError};
use crate::region::{self, Crop, Regions, Scale};
use crate::sampling::{Evaluations, Sampler};

/// A photograph that is being filled, region after region. Later regions see earlier fills as
/// known.
pub(super) struct Job<'a> {
    options: &'a FillOptions,
    /// The photograph as it came, for what a soft mask leaves of it.
    original: &'a Photo,
    filled: Filled,
    hole: &'a Mask,
    /// The hole that the networks fill: all but the specks.
    networks_hole: Mask,
    /// Specks, which the photograph around them fills.
    specks: Vec<Crop>,
    /// What the networks do not know yet: the part of the hole that is not filled, and transparent
    /// pixels.
    unknown: Mask,
    regions: Regions,
}

/// What must agree for pictures to pass through the networks together.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Fit {
    pub sampler: Sampler,
    pub edges: EdgeConfig,
    /// Width and height that the networks see.
    pub size: [usize; 2],
}

impl<'a> Job<'a> {
    /// Checks the request and plans its regions.
    pub fn new(
        model: &ModelConfig,
        photo: &'a Photo,
        mask: &'a Mask,
        options: &'a FillOptions,
    ) -> Result<Self> {
        let (width, height) = (photo.width(), photo.height());
        mask.check_size(width, height, &photo.name())?;
        if let Some(drawn) = &options.drawn_edges {
            if drawn.channels() != 1 {
                let channels = drawn.channels();
                let text = format!("the drawn structure has {channels} channels; give it one");
                return Err(Error::Size(text));
            }
            let size = [drawn.width(), drawn.height()];
            check_size("the drawn structure", size, [width, height])?;
        }
        if let Some(avoid) = &options.avoid {
            let size = [avoid.width(), avoid.height()];
            check_size("the mask of what to avoid", size, [width, height])?;
        }
        if mask.is_full() {
            return Err(Error::FullMask);
        }
        let mut filled = photo.clone();
        filled.open_hole(mask);
        check_alpha(&filled, mask)?;
        let mut unknown = filled.unknown(mask)?;
        if !mask.is_empty() && unknown.is_full() {
            return Err(PictureError::NothingKnown { name: photo.name() }.into());
        }
        let (specks, networks_hole) = match strength(options) {
            Some(_) => region::split_specks(mask, &unknown),
            None => (vec![], mask.hard()),
        };
        for crop in &specks {
            crop.paste_membrane(&mut filled, &mut unknown)?;
        }
        let resolution = model.training_resolution;
        let regions = Regions::of(&networks_hole, options.scale, resolution)
            .map_err(|error| Error::Config(error.to_string()))?;
        if !mask.is_empty()
            && let Some(sampler) = &options.sampler
        {
            sampler.validate()?;
        }
        Ok(Self {
            options,
            original: photo,
            filled: Filled {
                photo: filled,
                hole_fraction: mask.hole_fraction(),
                regions: regions.count(),
                evaluations: Evaluations::default(),
                layers: vec![],
            },
            hole: mask,
            networks_hole,
            specks,
            unknown,
            regions,
        })
    }

    pub fn regions(&self) -> usize {
        self.filled.regions
    }

    /// Width and height of a region at the model's scale.
    pub fn size(&self, region: usize) -> [usize; 2] {
        match &self.regions {
            Regions::Whole => [self.filled.photo.width(), self.filled.photo.height()],
            Regions::Crops(crops) => [crops[region].model_width, crops[region].model_height],
        }
    }

    /// With which others a region may pass through the networks.
    pub fn fit(&self, config: &ModelConfig, shortest_side: usize, region: usize) -> Fit {
        Fit {
            sampler: self.options.sampler.unwrap_or(config.sampling),
            edges: self.options.edges.unwrap_or(config.edges),
            size: self.size(region).map(|s| s.max(shortest_side)),
        }
    }

    /// Each region draws from a stream of its own, so its fill does not depend on how many draws
    /// the regions before it took. The first has the caller's seed.
    pub fn seed(&self, region: usize) -> u64 {
        const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15; // 2^64 / φ, odd: no two regions share a seed
        let seed = self.options.seed;
        seed.wrapping_add(GOLDEN.wrapping_mul(region as u64))
    }

    /// What the networks see of a region, extended by its mirror image to `width` × `height`.
    pub fn task(&self, region: usize, [width, height]: [usize; 2]) -> Result<Task> {
        let drawn = self.options.drawn_edges.as_ref();
        let (image, mask, drawn) = match &self.regions {
            Regions::Whole => {
                let image = self.filled.photo.to_rgb_f32();
                (image, self.unknown.clone(), drawn.cloned())
            }
            Regions::Crops(crops) => {
                let crop = &crops[region];
                let (image, mask) = crop.model_input(&self.filled.photo, &self.unknown)?;
                let drawn = drawn.map(|drawn| edges_within(drawn, crop)).transpose()?;
                (image, mask, drawn)
            }
        };
        Ok(Task {
            image: mirror(&image, width, height),
            mask: mirror_mask(&mask, width, height)?,
            drawn_edges: drawn.map(|drawn| mirror(&drawn, width, height)),
        })
    }

    /// Sets a region's fill into the photograph. `texture` is the networks' own output, perhaps
    /// with mirror images at the right and below.
    pub fn take(
        &mut self,
        region: usize,
        texture: &FloatImage,
        evaluations: Evaluations,
    ) -> Result<()> {
        let [width, height] = self.size(region);
        let mut texture = texture.crop(0, 0, width, height);
        if matches!(self.regions, Regions::Whole) && self.options.scale == Scale::Auto {
            self.go_on_evenly(&mut texture)?;
        }
        match &self.regions {
            Regions::Whole => {
                (self.filled.photo).paste_hole(0, 0, &texture, &self.networks_hole)?;
            }
            Regions::Crops(crops) => {
                crops[region].paste_evenly(&mut self.filled.photo, &mut self.unknown, &texture)?
            }
        }
        let total = &mut self.filled.evaluations;
        total.texture += evaluations.texture;
        total.structure += evaluations.structure;
        total.discriminator += evaluations.discriminator;
        Ok(())
    }

    /// Holes with even surroundings in a photograph that was seen as a whole. (A crop sees to its
    /// own.)
    fn go_on_evenly(&self, texture: &mut FloatImage) -> Result<()> {
        let known = self.filled.photo.to_rgb_f32();
        let holes = region::find_holes(&self.networks_hole);
        let even = even::spread(&known, &self.unknown, &holes, [0, 0], texture);
        if even.is_empty() {
            return Ok(());
        }
        let fill = region::mask_of(even, [0, 0], [known.width(), known.height()]);
        blend(&known, &self.unknown, &fill, texture, Blend::Membrane)?;
        Ok(())
    }

    /// The filled photograph, with its detail, blended with the original where the mask is soft.
    pub fn finish(mut self) -> Result<Filled> {
        let strength = strength(self.options);
        if strength.is_some() {
            self.filled.layers = self.detail()?;
        }
        let filled = &mut self.filled;
        filled.photo.blend_with(self.original, self.hole);
        for layer in &mut filled.layers {
            layer.blend_with(self.original, self.hole);
            layer.paste(&mut filled.photo, strength.unwrap_or(0.0))?;
        }
        Ok(self.filled)
    }

    /// The detail that the photograph around the holes has for them.
    fn detail(&mut self) -> Result<Vec<detail::Layer>> {
        let mut crops = match std::mem::replace(&mut self.regions, Regions::Whole) {
            Regions::Crops(crops) => crops,
            Regions::Whole => region::at_own_scale(&self.networks_hole),
        };
        crops.append(&mut self.specks);
        let photo = &self.filled.photo;
        let void = void(photo, self.hole)?;
        Ok(detail::refine(&detail::Request {
            photo,
            hole: self.hole,
            void: void.as_ref(),
            avoid: self.options.avoid.as_ref(),
            crops: &crops,
            drawn: self.options.drawn_edges.as_ref(),
            seed: self.options.seed,
        })?)
    }
}

/// The share of detail that a fill gets; none where the networks' own fill is wanted.
fn strength(options: &FillOptions) -> Option<f32> {
    match options.detail {
        Detail::Off => None,
        Detail::Auto if options.scale == Scale::Native => None,
        Detail::Auto => Some(1.0),
        Detail::Strength(strength) => Some(strength),
    }
}

/// Pixels outside the hole whose colour means nothing, as holes of a mask; none where there are
/// none.
fn void(photo: &Photo, hole: &Mask) -> Result<Option<Mask>> {
    let unknown = photo.unknown(hole)?;
    let meant = (unknown.keep().iter().zip(hole.keep()))
        .map(|(&known, &keep)| known.max(1 - keep))
        .collect();
    let void = Mask::from_keep(hole.width(), hole.height(), meant)?;
    Ok((!void.is_empty()).then_some(void))
}

/// Refuses a hole that nobody would see, filled or not.
fn check_alpha(photo: &Photo, hole: &Mask) -> Result<()> {
    let Some(alpha) = photo.alpha().filter(|_| !hole.is_empty()) else {
        return Ok(());
    };
    let mut of_hole = alpha
        .iter()
        .zip(hole.keep())
        .filter(|&(_, &keep)| keep == 0);
    match of_hole.all(|(&alpha, _)| alpha == 0.0) {
        true => Err(PictureError::InvisibleHole { name: photo.name() }.into()),
        false => Ok(()),
    }
}

fn check_size(what: &str, size: [usize; 2], of_photo: [usize; 2]) -> Result<()> {
    if size == of_photo {
        return Ok(());
    }
    let ([width, height], [photo_width, photo_height]) = (size, of_photo);
    Err(Error::Size(format!(
        "{what} is {width}×{height} pixels but the photograph is {photo_width}×{photo_height}; \
         give both the same size"
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
