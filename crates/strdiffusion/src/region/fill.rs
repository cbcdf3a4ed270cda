//! From a crop to the model's input, and from its output back into the photograph.

use thiserror::Error;

use super::plan::{Crop, InvalidOptions, RegionOptions, plan};
use crate::blend::{Blend, blend, continued, even};
use crate::conditions::hide_hole;
use crate::picture::{Filter, FloatImage, Mask, Photo, PictureError};

/// An error of filling a photograph crop by crop.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FillError<E> {
    /// Options that no crop can follow.
    #[error(transparent)]
    Options(#[from] InvalidOptions),
    /// Sizes or values that do not fit.
    #[error(transparent)]
    Picture(#[from] PictureError),
    /// The model's own error.
    #[error("{0}")]
    Model(E),
}

impl Crop {
    /// What the model sees of this crop: the picture `[3, model_height, model_width]` and its
    /// mask. `mask` is the photograph's mask of what is unknown now (holes filled before are
    /// known). Every unknown pixel is zero; none has any influence on the rest, even when the
    /// crop is scaled down. A model pixel that touches an unknown one is unknown.
    ///
    /// # Errors
    /// [`PictureError::SizeMismatch`] where photograph and mask differ in size.
    pub fn model_input(
        &self,
        photo: &Photo,
        mask: &Mask,
    ) -> Result<(FloatImage, Mask), PictureError> {
        mask.check_size(photo.width(), photo.height(), &photo.name())?;
        let known = photo.crop_rgb_f32(self.x, self.y, self.width, self.height);
        let valid = mask.crop(self.x, self.y, self.width, self.height);
        let picture = known.resize_known(&valid, self.model_width, self.model_height)?;
        let small = valid.fit_covering(self.model_width, self.model_height)?;
        Ok((hide_hole(&picture, &small), small))
    }

    /// Sets the model's output for this crop into the photograph, at full resolution and without
    /// a seam, and marks its holes as known in `mask`.
    ///
    /// `output` is `[3 or 1, model_height, model_width]` in [0, 1]. It should be the model's own
    /// output everywhere, not composited with the known pixels (see [`blend`]).
    ///
    /// # Errors
    /// [`PictureError::SizeMismatch`], [`PictureError::Channels`], [`PictureError::NotFinite`];
    /// photograph and mask are unchanged then.
    pub fn paste(
        &self,
        photo: &mut Photo,
        mask: &mut Mask,
        output: &FloatImage,
        how: Blend,
    ) -> Result<(), PictureError> {
        self.paste_after(photo, mask, output, how, |_, _, _| {})
    }

    /// As [`Self::paste`] with a membrane, but that even surroundings go on evenly into their
    /// holes, whatever the model's output is.
    pub(crate) fn paste_evenly(
        &self,
        photo: &mut Photo,
        mask: &mut Mask,
        output: &FloatImage,
    ) -> Result<(), PictureError> {
        let spread = |known: &FloatImage, valid: &Mask, result: &mut FloatImage| {
            even::spread(known, valid, &self.holes, [self.x, self.y], result);
        };
        self.paste_after(photo, mask, output, Blend::Membrane, spread)
    }

    /// Fills the crop's holes with the membrane through the known pixels around them, and marks
    /// them as known in `mask`. For specks.
    ///
    /// # Errors
    /// [`PictureError::SizeMismatch`] where photograph and mask differ in size.
    pub(crate) fn paste_membrane(
        &self,
        photo: &mut Photo,
        mask: &mut Mask,
    ) -> Result<(), PictureError> {
        const MARGIN: usize = 4;
        mask.check_size(photo.width(), photo.height(), &photo.name())?;
        let (x, y) = (self.x.saturating_sub(MARGIN), self.y.saturating_sub(MARGIN));
        let width = (self.x + self.width + MARGIN).min(photo.width()) - x;
        let height = (self.y + self.height + MARGIN).min(photo.height()) - y;
        let valid = mask.crop(x, y, width, height);
        // What is in the hole is not read.
        let known = hide_hole(&photo.crop_rgb_f32(x, y, width, height), &valid);
        let fill = super::mask_of(&self.holes, [x, y], [width, height]);
        photo.paste_hole(x, y, &continued(&known, &valid), &fill)?;
        self.holes.iter().for_each(|hole| hole.close(mask));
        Ok(())
    }

    /// Pastes the output, at full resolution, after `change` has seen the known pixels and their
    /// mask.
    fn paste_after(
        &self,
        photo: &mut Photo,
        mask: &mut Mask,
        output: &FloatImage,
        how: Blend,
        change: impl Fn(&FloatImage, &Mask, &mut FloatImage),
    ) -> Result<(), PictureError> {
        mask.check_size(photo.width(), photo.height(), &photo.name())?;
        let expected = Mask::all_known(self.model_width, self.model_height);
        expected.check_size(output.width(), output.height(), "the model's output")?;
        if let Some(at) = output.data().iter().position(|v| !v.is_finite()) {
            let at = at % (output.width() * output.height());
            return Err(PictureError::NotFinite {
                x: at % output.width(),
                y: at / output.width(),
            });
        }
        let mut result = output.resize(self.width, self.height, Filter::Lanczos3);
        if result.channels() == 1 {
            result = result.repeat_channels(3);
        }
        let known = photo.crop_rgb_f32(self.x, self.y, self.width, self.height);
        let valid = mask.crop(self.x, self.y, self.width, self.height);
        let fill = self.fill_mask();
        change(&known, &valid, &mut result);
        blend(&known, &valid, &fill, &mut result, how)?;
        photo.paste_hole(self.x, self.y, &result, &fill)?;
        self.holes.iter().for_each(|hole| hole.close(mask));
        Ok(())
    }
}

/// Fills every hole of a photograph of any size. `model` is called once per crop with the crop,
/// the picture `[3, height, width]` (zero in the hole) and its mask, and returns its output of the
/// same size; see [`Crop::paste`] for what it should hold. Later crops see earlier fills as known.
///
/// A mask without a hole gives the photograph back and never calls the model.
///
/// # Errors
/// [`FillError::Options`]; [`FillError::Model`] as soon as the model fails, [`FillError::Picture`] where sizes do not fit
/// or the output is not finite.
pub fn fill_regions<E>(
    photo: &Photo,
    mask: &Mask,
    options: &RegionOptions,
    how: Blend,
    mut model: impl FnMut(&Crop, &FloatImage, &Mask) -> Result<FloatImage, E>,
) -> Result<Photo, FillError<E>> {
    mask.check_size(photo.width(), photo.height(), &photo.name())?;
    let mut filled = photo.clone();
    filled.open_hole(mask);
    let mut unknown = filled.unknown(mask)?;
    for crop in plan(mask, options)? {
        let (picture, small) = crop.model_input(&filled, &unknown)?;
        let output = model(&crop, &picture, &small).map_err(FillError::Model)?;
        crop.paste(&mut filled, &mut unknown, &output, how)?;
    }
    Ok(filled)
}
