//! From a form's bytes to a photograph, a mask and a person's wishes that fit together.

use bytes::Bytes;
use strdiffusion::Detail;
use strdiffusion::detail::avoided;
use strdiffusion::picture::{
    Extension, FloatImage, HolePolarity, Limit, Limits, Margins, Mask, MaskOptions, OutputFormat,
    Photo, PictureError,
};
use strdiffusion::region::{Regions, Scale, split_specks};
use strdiffusion::structure::drawn_edges;

use crate::error::{ApiError, Code};
use crate::multipart::Form;

/// How a request's pictures become what is filled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PictureSettings {
    pub borders: MaskOptions,
    pub extend: Option<Extension>,
    /// Keep nothing of what the photograph's file says beside its pixels.
    pub strip: bool,
}

impl PictureSettings {
    fn margins(&self, photo: &Photo, limits: &Limits) -> Result<Margins, ApiError> {
        self.extend.map_or(Ok(Margins::default()), |extension| {
            let margins = photo.margins(&extension, limits);
            margins.map_err(|error| refused(error, Code::BadSettings))
        })
    }
}

/// A request's pictures, checked.
#[derive(Debug)]
pub(crate) struct Pictures {
    pub photo: Photo,
    pub mask: Mask,
    /// How they came about.
    pub settings: PictureSettings,
    pub drawn_edges: Option<FloatImage>,
    /// What detail is not copied from, as holes.
    pub avoid: Option<Mask>,
}

impl Pictures {
    /// Decodes and checks. Takes long for large pictures: not for the async runtime.
    pub fn decode(
        form: &Form,
        settings: PictureSettings,
        limits: &Limits,
    ) -> Result<Self, ApiError> {
        let photo = read_photo(form, limits)?;
        let margins = settings.margins(&photo, limits)?;
        let mask = read_mask(form, &photo, &settings.borders, limits)?;
        let mask = with_borders(form, mask, &settings.borders, &margins)?;
        let avoid = read_avoided(form, &photo, &margins, limits)?;
        let photo = match margins.is_empty() {
            true => photo,
            false => photo.extended(&margins),
        };
        let photo = match settings.strip {
            true => photo.stripped(),
            false => photo,
        };
        let drawn_edges = match &form.structure {
            Some(drawing) => {
                let drawing = read(drawing, "structure", limits, Code::BadStructure)?;
                same_size(&photo, &drawing, "the drawn structure")?;
                let edges = drawn_edges(&drawing)
                    .map_err(|error| ApiError::new(Code::BadStructure, error.to_string()))?;
                Some(edges)
            }
            None => None,
        };
        Ok(Self {
            photo,
            mask,
            settings,
            drawn_edges,
            avoid,
        })
    }

    /// What a user should know of how the photograph was read and will be written.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = self.photo.notes().to_vec();
        notes.extend(self.photo.losses(OutputFormat::Png));
        notes.extend(self.settings.borders.note());
        notes
    }

    /// Memory that they take, in bytes.
    pub fn bytes(&self) -> usize {
        let drawn = self.drawn_edges.as_ref().map_or(0, |d| 4 * d.data().len());
        let weights = self.mask.weights().map_or(0, |weights| 2 * weights.len());
        let avoid = self.avoid.as_ref().map_or(0, |avoid| avoid.keep().len());
        self.photo.image().as_bytes().len() + self.mask.keep().len() + weights + drawn + avoid
    }

    /// Width and height of each region as a model of this resolution will see them. Jobs of the
    /// same regions can share batches. Specks are no regions where detail fills them.
    pub fn regions(&self, resolution: usize, detail: Detail) -> Vec<(usize, usize)> {
        let hole = match (detail, self.photo.unknown(&self.mask)) {
            (Detail::Auto | Detail::Strength(_), Ok(unknown)) => {
                split_specks(&self.mask, &unknown).1
            }
            _ => self.mask.clone(),
        };
        match Regions::of(&hole, Scale::Auto, resolution) {
            Ok(Regions::Whole) => vec![(self.photo.width(), self.photo.height())],
            Ok(Regions::Crops(crops)) => crops
                .iter()
                .map(|crop| (crop.model_width, crop.model_height))
                .collect(),
            Err(_) => vec![],
        }
    }
}

/// Decodes the photograph. Takes long for large ones: not for the async runtime.
pub(crate) fn read_photo(form: &Form, limits: &Limits) -> Result<Photo, ApiError> {
    let image = form.image.as_ref().ok_or_else(|| {
        ApiError::new(
            Code::BadImage,
            "the form has no part named image; send the photograph",
        )
    })?;
    read(image, "image", limits, Code::BadImage)
}

/// The mask, of the photograph's size, as it was sent. Without one, and without an alpha channel, it
/// has no hole.
fn read_mask(
    form: &Form,
    photo: &Photo,
    borders: &MaskOptions,
    limits: &Limits,
) -> Result<Mask, ApiError> {
    let Some(mask) = &form.mask else {
        let mask = Mask::from_alpha_with(photo, borders);
        return Ok(mask.unwrap_or_else(|_| Mask::all_known(photo.width(), photo.height())));
    };
    let mask = read(mask, "mask", limits, Code::BadMask)?;
    same_size(photo, &mask, "the mask")?;
    Mask::from_photo_with(&mask, form.polarity, borders)
        .map_err(|error| ApiError::new(Code::BadMask, error.to_string()))
}

/// What detail is not copied from, of the extended photograph's size.
fn read_avoided(
    form: &Form,
    photo: &Photo,
    margins: &Margins,
    limits: &Limits,
) -> Result<Option<Mask>, ApiError> {
    let Some(picture) = &form.avoid else {
        return Ok(None);
    };
    let picture = read(picture, "avoid", limits, Code::BadAvoid)?;
    same_size(photo, &picture, "the mask of what to avoid")?;
    let avoided =
        avoided(&picture).map_err(|error| ApiError::new(Code::BadAvoid, error.to_string()))?;
    Ok(Some(avoided.extended(margins)))
}

/// The hole that a mask becomes, of the extended photograph's size.
fn with_borders(
    form: &Form,
    mask: Mask,
    borders: &MaskOptions,
    margins: &Margins,
) -> Result<Mask, ApiError> {
    if mask.is_empty() && margins.is_empty() {
        let why = match (&form.mask, form.polarity) {
            (Some(_), HolePolarity::Transparent) => {
                "no pixel of the mask is transparent; make the hole transparent"
            }
            (Some(_), HolePolarity::Black) => "no pixel of the mask is black; paint the hole black",
            (Some(_), _) => "no pixel of the mask is white; paint the hole white",
            (None, _) => {
                "no mask was sent and the image has no transparent pixels; send a mask in which the \
                 hole is white"
            }
        };
        return Err(ApiError::new(Code::NoHole, why));
    }
    if mask.is_full() {
        return Err(ApiError::new(
            Code::FullMask,
            "the hole covers the whole picture, so nothing is known to fill it from; leave some of it",
        ));
    }
    borders.apply_extended(mask, margins).map_err(|error| {
        let code = match error {
            PictureError::HoleCovers { .. } => Code::FullMask,
            PictureError::HoleVanishes { .. } => Code::NoHole,
            _ => Code::BadSettings,
        };
        ApiError::new(code, error.to_string())
    })
}

fn read(bytes: &Bytes, name: &str, limits: &Limits, code: Code) -> Result<Photo, ApiError> {
    Photo::from_bytes(bytes, name, limits).map_err(|error| refused(error, code))
}

/// What is wrong with a picture: that it is too large, with the option that allows it, or else under
/// this code.
fn refused(error: PictureError, code: Code) -> ApiError {
    let PictureError::TooLarge { limit, .. } = error else {
        return ApiError::new(code, error.to_string());
    };
    let option = match limit {
        Limit::Side(_) => "--max-side",
        Limit::Pixels(_) => "--max-megapixels",
    };
    let message = format!("{error}, or start the server with a larger {option}");
    ApiError::new(Code::TooLarge, message)
}

fn same_size(photo: &Photo, other: &Photo, what: &str) -> Result<(), ApiError> {
    let size = (photo.width(), photo.height());
    if size == (other.width(), other.height()) {
        return Ok(());
    }
    Err(ApiError::new(
        Code::SizeMismatch,
        format!(
            "{what} is {}x{} pixels but the image is {}x{}; give both the same size",
            other.width(),
            other.height(),
            size.0,
            size.1
        ),
    ))
}
