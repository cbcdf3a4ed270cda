//! Detail from the photograph itself: sharp fills at the photograph's own resolution.
//!
//! The networks decide what goes where, at their own resolution; the photograph supplies what it
//! looks like. [`refine`] takes a photograph with soft fills and looks, for every patch of a hole,
//! for a patch of the known surroundings that fits: guided exemplar synthesis, coarse to fine.
//!
//! | file | idea | after |
//! | --- | --- | --- |
//! | `window` | a window of the photograph for each hole | |
//! | `drawn` | what a person has drawn into the hole | |
//! | `pyramid` | the window at several scales | |
//! | `guide` | the network's fill from afar | Zhang et al., ECCV 2022 |
//! | `trust` | how far that fill can be trusted | |
//! | `contrast` | the contrast that belongs into the hole, expected and given back | |
//! | `energy` | how well a patch serves | Wexler et al., PAMI 2007; Darabi et al., SIGGRAPH 2012 |
//! | `field` | the best patch for each place, found by PatchMatch | Barnes et al., SIGGRAPH 2009 |
//! | `vote` | from patches to pixels | Wexler et al. |
//! | `offsets` | where the photograph repeats itself | He and Sun, ECCV 2012 |
//! | `montage` | the hole from few large pieces, at those offsets | Pritch et al., ICCV 2009; He and Sun |
//! | `cut` | the least costly choice between two labels | Dinic, 1970 |
//! | `synthesis` | all of it, coarse to fine | |
//!
//! Known pixels never change, and nothing that the photograph held in a hole is read. The same
//! photograph, fill and seed give the same bytes on any number of threads and any instruction set.

mod contrast;
mod cut;
mod drawn;
mod energy;
mod field;
mod guide;
mod montage;
mod offsets;
mod pyramid;
mod synthesis;
mod trust;
mod vote;
mod window;

use std::fmt;
use std::str::FromStr;

use crate::picture::{FloatImage, Mask, Photo, PictureError};
use crate::region::Crop;

/// How much detail a fill gets from the photograph.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Detail {
    /// All, but for the paper's procedure on a whole photograph
    /// ([`Scale::Native`](crate::Scale::Native)), which is left as it is.
    #[default]
    Auto,
    /// None: the networks' own fill.
    Off,
    /// This share, above 0 and at most 1: between the networks' fill and the detailed one.
    Strength(f32),
}

/// A word that says nothing about detail.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("detail is auto, off or a number from 0 (none) to 1 (all), not {0:?}")]
pub struct UnknownDetail(String);

impl FromStr for Detail {
    type Err = UnknownDetail;

    fn from_str(text: &str) -> Result<Self, UnknownDetail> {
        match text {
            "auto" => Ok(Self::Auto),
            "off" => Ok(Self::Off),
            number => match number.parse() {
                Ok(0.0) => Ok(Self::Off),
                Ok(strength) if strength > 0.0 && strength <= 1.0 => Ok(Self::Strength(strength)),
                _ => Err(UnknownDetail(number.into())),
            },
        }
    }
}

impl fmt::Display for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Off => f.write_str("off"),
            Self::Strength(strength) => strength.fmt(f),
        }
    }
}

/// How well the photograph's patches served in a hole.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Confidence {
    /// From 0, nothing like it in the photograph, to 1, all of it there. It ranks fills; it is no
    /// probability.
    pub fit: f32,
    /// How far the networks' own fill was trusted, 0 to 1, on the mean over the hole: what they drew
    /// with contrast stays.
    pub trust: f32,
}

impl Confidence {
    fn of(misfit: f32, trust: f32) -> Self {
        // A misfit at which a fill is as likely to look wrong as right.
        const HALF: f32 = 600.0;
        Self {
            fit: HALF / (HALF + misfit),
            trust,
        }
    }
}

/// The detail of one region's holes.
#[derive(Clone, Debug)]
pub struct Layer {
    /// Column of its upper left pixel in the photograph.
    pub x: usize,
    /// Row of that pixel.
    pub y: usize,
    /// The region's hole, within the smallest rectangle around it.
    pub hole: Mask,
    /// The fill without detail, `[3, height, width]` in [0, 1].
    pub soft: FloatImage,
    /// The fill with detail, alike.
    pub sharp: FloatImage,
    /// How well it went.
    pub confidence: Confidence,
}

impl Layer {
    /// Sets the fill into a photograph with a share of its detail, 0 to 1.
    ///
    /// # Errors
    /// If the layer reaches beyond the photograph.
    pub(crate) fn paste(&self, photo: &mut Photo, strength: f32) -> Result<(), PictureError> {
        let mut mixed = self.soft.clone();
        for (soft, sharp) in mixed.data_mut().iter_mut().zip(self.sharp.data()) {
            *soft += strength * (sharp - *soft);
        }
        photo.paste_hole(self.x, self.y, &mixed, &self.hole)
    }

    /// Blends both fills with the photograph that was filled, where the mask is soft.
    ///
    /// # Panics
    /// If the layer reaches beyond photograph or mask.
    pub(crate) fn blend_with(&mut self, original: &Photo, mask: &Mask) {
        let (width, height) = (self.hole.width(), self.hole.height());
        let part = mask.crop(self.x, self.y, width, height);
        let Some(weights) = part.weights() else {
            return;
        };
        let original = original.crop_rgb_f32(self.x, self.y, width, height);
        let shares = weights
            .iter()
            .map(|&w| f32::from(w) / f32::from(u16::MAX))
            .cycle();
        let pairs = self.soft.data_mut().iter_mut().zip(self.sharp.data_mut());
        for (((soft, sharp), &before), share) in pairs.zip(original.data()).zip(shares) {
            *soft = before + share * (*soft - before);
            *sharp = before + share * (*sharp - before);
        }
    }
}

/// The pixels that detail is not to be copied from, as holes: those of a picture that are white (at
/// least half of the range, colours by their luma). Transparent ones are not, whatever their colour,
/// so that a layer of a drawing program can be taken as it is.
///
/// # Errors
/// [`PictureError::AllAvoided`] where nothing is left; [`PictureError::TooDark`] where nothing is
/// white, though not all is black.
pub fn avoided(picture: &Photo) -> Result<Mask, PictureError> {
    let avoided = Mask::of_white(picture)?;
    match avoided.is_full() {
        true => Err(PictureError::AllAvoided {
            name: picture
                .path()
                .map_or_else(|| "avoid".into(), |path| path.display().to_string()),
        }),
        false => Ok(avoided),
    }
}

/// What [`refine`] works on.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The photograph, with soft fills in its holes.
    pub photo: &'a Photo,
    /// The holes.
    pub hole: &'a Mask,
    /// Pixels whose colour means nothing, as holes: transparent ones. Never a source, never filled.
    pub void: Option<&'a Mask>,
    /// Pixels that are not to be copied, as holes. They are compared with like any known pixel, but
    /// never a source.
    pub avoid: Option<&'a Mask>,
    /// The holes' regions; a crop's scale says how far the network could see. Holes of different
    /// crops are disjoint.
    pub crops: &'a [Crop],
    /// Lines that a person wants in the holes, `[1, height, width]`, above one half: colours change
    /// there.
    pub drawn: Option<&'a FloatImage>,
    /// Another seed gives other detail; the same seed the same, bit for bit.
    pub seed: u64,
}

/// Looks for the detail of every crop's holes in the photograph around them. Crops without a
/// source, a whole known patch of 7×7 pixels that may be copied, have no layer.
///
/// # Errors
/// [`PictureError::SizeMismatch`] where photograph, masks and lines differ in size.
pub fn refine(request: &Request) -> Result<Vec<Layer>, PictureError> {
    let (width, height) = (request.photo.width(), request.photo.height());
    let name = request.photo.name();
    request.hole.check_size(width, height, &name)?;
    for mask in [request.void, request.avoid].into_iter().flatten() {
        mask.check_size(width, height, &name)?;
    }
    if let Some(drawn) = request.drawn {
        Mask::all_known(drawn.width(), drawn.height()).check_size(width, height, &name)?;
    }
    window::refine(request)
}
