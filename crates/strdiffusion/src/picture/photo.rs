//! A photograph in its own bit depth and colour type.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use image::DynamicImage;

use super::metadata::Metadata;
use super::output::{OutputFormat, check_output, write_atomically};
use super::samples::{Placement, blend, check_finite, check_kind, fill, make_opaque, strided};
use super::{FloatImage, Limits, Mask, PictureError};

/// A photograph: pixels as the file holds them (8 or 16 bit; gray or RGB; with or without alpha),
/// upright (EXIF orientation applied), with what the file says beside them: ICC profile, EXIF, XMP,
/// IPTC, resolution and the text of a PNG. Alpha is straight: colours are not multiplied by it.
#[derive(Clone, Debug)]
pub struct Photo {
    pub(super) image: DynamicImage,
    pub(super) metadata: Metadata,
    pub(super) notes: Vec<String>,
    pub(super) path: Option<PathBuf>,
}

impl Photo {
    /// Takes a picture of the `image` crate.
    ///
    /// # Errors
    /// [`PictureError::Unsupported`] for floating-point pixels,
    /// [`PictureError::EmptySize`] where a side is zero.
    pub fn from_image(image: DynamicImage) -> Result<Self, PictureError> {
        check_kind(&image).map_err(|what| PictureError::Unsupported {
            path: PathBuf::from("the picture"),
            what,
        })?;
        if image.width() == 0 || image.height() == 0 {
            return Err(PictureError::EmptySize {
                width: image.width() as usize,
                height: image.height() as usize,
            });
        }
        Ok(Self::of_pixels(image))
    }

    /// Pixels alone, of a kind that was checked.
    fn of_pixels(image: DynamicImage) -> Self {
        Self {
            image,
            metadata: Metadata::default(),
            notes: vec![],
            path: None,
        }
    }

    /// An 8-bit photograph of a planar picture: RGB of three channels, gray of one. Values are
    /// clamped to [0, 1] and rounded.
    ///
    /// # Errors
    /// [`PictureError::Channels`] for another number of channels, [`PictureError::NotFinite`],
    /// [`PictureError::EmptySize`], [`PictureError::TooLarge`].
    pub fn from_float_image(picture: &FloatImage) -> Result<Self, PictureError> {
        let (w, h) = (picture.width(), picture.height());
        if w == 0 || h == 0 {
            return Err(PictureError::EmptySize {
                width: w,
                height: h,
            });
        }
        let (width, height) = (
            u32::try_from(w).unwrap_or(u32::MAX),
            u32::try_from(h).unwrap_or(u32::MAX),
        );
        Limits {
            max_side: i32::MAX as u32,
            max_pixels: u64::MAX,
        }
        .check(Path::new("the picture"), width, height)?;
        let blank = match picture.channels() {
            1 => DynamicImage::new_luma8(width, height),
            3 => DynamicImage::new_rgb8(width, height),
            found => return Err(PictureError::Channels { found }),
        };
        let hole = Mask::from_keep(w, h, vec![0; w * h])?;
        Self::from_image(blank)?.composite(picture, &hole)
    }

    /// Pixels in a row.
    pub fn width(&self) -> usize {
        self.image.width() as usize
    }

    /// Number of rows.
    pub fn height(&self) -> usize {
        self.image.height() as usize
    }

    /// The pixels in their own bit depth and colour type.
    pub fn image(&self) -> &DynamicImage {
        &self.image
    }

    /// The colour profile, of the colour model of the pixels. It is written back with the
    /// photograph, except to BMP.
    pub fn icc_profile(&self) -> Option<&[u8]> {
        self.metadata.icc.as_deref()
    }

    /// EXIF as a TIFF structure, for the upright photograph: its orientation is 1, and it holds no
    /// thumbnail. A photograph from a TIFF file has here what its tags said.
    pub fn exif(&self) -> Option<&[u8]> {
        self.metadata.exif.as_deref()
    }

    /// XMP, as XML; for the upright photograph and without thumbnails, as [`Self::exif`].
    pub fn xmp(&self) -> Option<&[u8]> {
        self.metadata.xmp.as_deref()
    }

    /// Records of IPTC's Information Interchange Model.
    pub fn iptc(&self) -> Option<&[u8]> {
        self.metadata.iptc.as_deref()
    }

    /// Pixels per inch, across and down, where the file states them.
    pub fn pixels_per_inch(&self) -> Option<[f64; 2]> {
        let resolution = self.metadata.resolution?;
        resolution.per_metre().map(|_| resolution.per_inch())
    }

    /// Keywords and texts of a PNG, less XMP and IPTC.
    pub fn text(&self) -> &[(String, String)] {
        &self.metadata.text
    }

    /// What a user should know of how the file was read: what was left out or converted, each in a
    /// clause such as "it holds 2 pages, of which only number 1 is used".
    /// [`Self::losses`] says what writing leaves out.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The file that it was read from, if from one.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// The photograph in words, for messages: its file's path where it has one.
    pub fn name(&self) -> String {
        self.path
            .as_ref()
            .map_or_else(|| "the photograph".into(), |p| p.display().to_string())
    }

    /// Whether there is one colour channel only.
    pub fn is_gray(&self) -> bool {
        !self.image.color().has_color()
    }

    /// Bits per channel: 8 or 16.
    pub fn bit_depth(&self) -> u32 {
        u32::from(
            self.image.color().bits_per_pixel() / u16::from(self.image.color().channel_count()),
        )
    }

    /// Alpha of every pixel in [0, 1], row by row; none where there is no alpha channel.
    pub fn alpha(&self) -> Option<Vec<f32>> {
        let channels = usize::from(self.image.color().channel_count());
        self.image.color().has_alpha().then(|| {
            let last = channels - 1;
            match self.bit_depth() {
                8 => strided(self.image.as_bytes(), channels, last),
                _ => strided(&self.samples16(), channels, last),
            }
        })
    }

    /// The colours as a planar picture `[3, height, width]` in [0, 1]. Gray fills all three
    /// channels; alpha is left out.
    pub fn to_rgb_f32(&self) -> FloatImage {
        let channels = usize::from(self.image.color().channel_count());
        let plane = |c: usize| match self.bit_depth() {
            8 => strided(self.image.as_bytes(), channels, c),
            _ => strided(&self.samples16(), channels, c),
        };
        let mut data = plane(0);
        if self.is_gray() {
            data.extend_from_within(..);
            data.extend_from_within(..self.width() * self.height());
        } else {
            data.extend(plane(1));
            data.extend(plane(2));
        }
        FloatImage::from_vec(3, self.width(), self.height(), data).expect("three full planes")
    }

    /// The 16-bit samples, interleaved; empty for an 8-bit photograph.
    pub(super) fn samples16(&self) -> Vec<u16> {
        match &self.image {
            DynamicImage::ImageLuma16(i) => i.as_raw().clone(),
            DynamicImage::ImageLumaA16(i) => i.as_raw().clone(),
            DynamicImage::ImageRgb16(i) => i.as_raw().clone(),
            DynamicImage::ImageRgba16(i) => i.as_raw().clone(),
            _ => Vec::new(),
        }
    }

    /// This photograph with the hole's pixels taken from `result`, a planar picture
    /// `[3 or 1, height, width]` in [0, 1], rounded to the photograph's own bit depth (beyond
    /// [0, 1] clamped). A gray photograph takes the result's luma. Filled pixels keep their alpha,
    /// except where the hole is the photograph's transparency ([`Mask::from_alpha`]): there they
    /// become opaque. Every known pixel stays bit for bit.
    ///
    /// # Errors
    /// [`PictureError::SizeMismatch`], [`PictureError::Channels`], and
    /// [`PictureError::NotFinite`] where the result holds NaN or infinity in the hole.
    pub fn composite(&self, result: &FloatImage, mask: &Mask) -> Result<Self, PictureError> {
        mask.check_size(self.width(), self.height(), &self.name())?;
        let mut out = self.clone();
        out.paste_hole(0, 0, result, mask)?;
        out.open_hole(mask);
        Ok(out)
    }

    /// What the networks do not know: the hole, and every pixel that is more transparent than
    /// opaque. What colour a file holds there means nothing.
    ///
    /// # Errors
    /// [`PictureError::SizeMismatch`].
    pub fn unknown(&self, hole: &Mask) -> Result<Mask, PictureError> {
        hole.check_size(self.width(), self.height(), &self.name())?;
        let Some(alpha) = self.alpha() else {
            return Ok(hole.clone());
        };
        let known = hole.keep().iter().zip(alpha);
        let known = known.map(|(&keep, alpha)| keep & u8::from(alpha >= 0.5));
        Mask::from_keep(self.width(), self.height(), known.collect())
    }

    /// Makes the hole opaque where it is the photograph's transparency.
    pub(crate) fn open_hole(&mut self, hole: &Mask) {
        if !hole.is_transparency() {
            return;
        }
        match &mut self.image {
            DynamicImage::ImageLumaA8(i) => make_opaque(i.as_mut(), 2, hole),
            DynamicImage::ImageRgba8(i) => make_opaque(i.as_mut(), 4, hole),
            DynamicImage::ImageLumaA16(i) => make_opaque(i.as_mut(), 2, hole),
            DynamicImage::ImageRgba16(i) => make_opaque(i.as_mut(), 4, hole),
            _ => {}
        }
    }

    /// The colours of a part of the photograph, as [`Self::to_rgb_f32`] gives them for all of it.
    ///
    /// # Panics
    /// If the part reaches beyond the photograph.
    pub fn crop_rgb_f32(&self, x: usize, y: usize, width: usize, height: usize) -> FloatImage {
        assert!(x + width <= self.width() && y + height <= self.height());
        let part = (self.image).crop_imm(x as u32, y as u32, width as u32, height as u32);
        Self::of_pixels(part).to_rgb_f32()
    }

    /// Writes the hole's pixels of a `result` of `mask`'s size at column `x`, row `y`, as
    /// [`Self::composite`] does, but for alpha, which stays. On an error nothing changes.
    pub(crate) fn paste_hole(
        &mut self,
        x: usize,
        y: usize,
        result: &FloatImage,
        mask: &Mask,
    ) -> Result<(), PictureError> {
        mask.check_size(result.width(), result.height(), "the result")?;
        if result.channels() != 1 && result.channels() != 3 {
            return Err(PictureError::Channels {
                found: result.channels(),
            });
        }
        check_finite(result, mask)?;
        let at = Placement {
            offset: y * self.width() + x,
            stride: self.width(),
        };
        match &mut self.image {
            DynamicImage::ImageLuma8(i) => fill(i.as_mut(), 1, at, result, mask),
            DynamicImage::ImageLumaA8(i) => fill(i.as_mut(), 2, at, result, mask),
            DynamicImage::ImageRgb8(i) => fill(i.as_mut(), 3, at, result, mask),
            DynamicImage::ImageRgba8(i) => fill(i.as_mut(), 4, at, result, mask),
            DynamicImage::ImageLuma16(i) => fill(i.as_mut(), 1, at, result, mask),
            DynamicImage::ImageLumaA16(i) => fill(i.as_mut(), 2, at, result, mask),
            DynamicImage::ImageRgb16(i) => fill(i.as_mut(), 3, at, result, mask),
            DynamicImage::ImageRgba16(i) => fill(i.as_mut(), 4, at, result, mask),
            _ => unreachable!("other kinds are refused when a photograph is made"),
        }
        Ok(())
    }

    /// Blends a fill with the photograph that was filled, where the mask is soft.
    ///
    /// # Panics
    /// If `original` or `mask` are of another size.
    pub(crate) fn blend_with(&mut self, original: &Self, mask: &Mask) {
        let Some(weights) = mask.weights() else {
            return;
        };
        assert_eq!(original.image.as_bytes().len(), self.image.as_bytes().len());
        assert_eq!(weights.len(), self.width() * self.height());
        use DynamicImage as D;
        match (&mut self.image, &original.image) {
            (D::ImageLuma8(i), D::ImageLuma8(o)) => blend(i.as_mut(), o.as_raw(), 1, weights),
            (D::ImageLumaA8(i), D::ImageLumaA8(o)) => blend(i.as_mut(), o.as_raw(), 2, weights),
            (D::ImageRgb8(i), D::ImageRgb8(o)) => blend(i.as_mut(), o.as_raw(), 3, weights),
            (D::ImageRgba8(i), D::ImageRgba8(o)) => blend(i.as_mut(), o.as_raw(), 4, weights),
            (D::ImageLuma16(i), D::ImageLuma16(o)) => blend(i.as_mut(), o.as_raw(), 1, weights),
            (D::ImageLumaA16(i), D::ImageLumaA16(o)) => blend(i.as_mut(), o.as_raw(), 2, weights),
            (D::ImageRgb16(i), D::ImageRgb16(o)) => blend(i.as_mut(), o.as_raw(), 3, weights),
            (D::ImageRgba16(i), D::ImageRgba16(o)) => blend(i.as_mut(), o.as_raw(), 4, weights),
            _ => unreachable!("a fill is of its photograph's kind"),
        }
    }

    /// Checks that the file named `path` could hold this photograph once the hole is filled: the
    /// format's size limit, and transparency that the fill leaves. For calling before long work,
    /// after [`check_output`].
    ///
    /// # Errors
    /// [`PictureError::UnknownExtension`] or [`PictureError::CannotHold`].
    pub fn check_fits(&self, path: &Path, mask: Option<&Mask>) -> Result<(), PictureError> {
        self.check_fits_format(path, super::output_format(path)?, mask)
    }

    /// As [`Self::check_fits`], for a format that no extension names; `path` stands for the output
    /// in errors.
    ///
    /// # Errors
    /// [`PictureError::CannotHold`].
    pub fn check_fits_format(
        &self,
        path: &Path,
        format: OutputFormat,
        mask: Option<&Mask>,
    ) -> Result<(), PictureError> {
        let cannot = |what: String| PictureError::CannotHold {
            path: path.to_path_buf(),
            format: format.name(),
            what,
        };
        if self.width().max(self.height()) > format.max_side() {
            return Err(cannot(format!("{}x{} pixels", self.width(), self.height())));
        }
        if !format.holds_alpha()
            && let Some(alpha) = self.alpha()
        {
            let opened = mask.filter(|mask| mask.is_transparency());
            let filled = |i: usize| opened.is_some_and(|m| m.keep().get(i) == Some(&0));
            if alpha
                .iter()
                .enumerate()
                .any(|(i, &a)| a < 1.0 && !filled(i))
            {
                return Err(cannot("the photograph's transparent pixels".into()));
            }
        }
        Ok(())
    }

    /// Writes the photograph, in the format that the extension names, in one step: the file is
    /// whole or not there. Formats without 16 bits get 8, rounded; JPEG drops an alpha channel
    /// that is opaque everywhere and refuses any other.
    ///
    /// # Errors
    /// [`PictureError::UnknownExtension`], [`PictureError::CannotHold`], [`PictureError::Write`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), PictureError> {
        let path = path.as_ref();
        let format = check_output(path)?;
        self.check_fits(path, None)?;
        write_atomically(path, |file| self.encode_to(file, path, format))
    }

    /// The photograph as a file's bytes.
    ///
    /// # Errors
    /// As [`Self::save`].
    pub fn encode(&self, format: OutputFormat) -> Result<Vec<u8>, PictureError> {
        let name = PathBuf::from("the result");
        self.check_fits_format(&name, format, None)?;
        let mut bytes = Cursor::new(Vec::new());
        self.encode_to(&mut bytes, &name, format)?;
        Ok(bytes.into_inner())
    }
}
