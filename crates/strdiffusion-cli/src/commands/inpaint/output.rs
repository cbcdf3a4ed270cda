//! Where one filled photograph goes: into a file, or to standard output.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Args, ValueEnum};
use strdiffusion::picture::{Mask, OutputFormat, Photo, check_output};

use super::Inpaint;
use super::sources::is_standard;
use crate::failure::user_error;

/// A format by its name.
#[derive(Clone, Copy, ValueEnum)]
pub enum FormatName {
    Png,
    Jpeg,
    Webp,
    Tiff,
    Bmp,
}

impl FormatName {
    fn format(self) -> OutputFormat {
        match self {
            Self::Png => OutputFormat::Png,
            Self::Jpeg => OutputFormat::Jpeg,
            Self::Webp => OutputFormat::WebP,
            Self::Tiff => OutputFormat::Tiff,
            Self::Bmp => OutputFormat::Bmp,
        }
    }
}

/// What is kept of a photograph's file.
#[derive(Args)]
pub struct Keeping {
    /// Write no EXIF, XMP, IPTC, resolution or text, and nothing of how it was filled; the colour
    /// profile stays
    #[arg(long)]
    pub strip: bool,
    /// Quality of JPEG, 1 to 100 [default: that of the photograph's JPEG, else 95]
    #[arg(long, value_name = "Q", value_parser = clap::value_parser!(u8).range(1..=100))]
    quality: Option<u8>,
}

impl Keeping {
    /// A photograph with what is kept.
    pub fn of(&self, photo: Photo) -> Photo {
        let photo = match self.strip {
            true => photo.stripped(),
            false => photo,
        };
        match self.quality {
            Some(quality) => photo.with_jpeg_quality(quality),
            None => photo,
        }
    }
}

/// An output that was checked.
pub struct Output {
    path: PathBuf,
    format: OutputFormat,
}

impl Output {
    /// Checks that something can be written there.
    ///
    /// # Errors
    /// If it cannot, or the options contradict it.
    pub fn new(args: &Inpaint, path: &Path) -> Result<Self> {
        let path = path.to_path_buf();
        if !is_standard(&path) {
            let format = check_output(&path)?;
            if args.format.is_some() {
                return Err(user_error(format!(
                    "{}: the extension decides the format of a file; --format is for -o -",
                    path.display()
                )));
            }
            return Ok(Self { path, format });
        }
        if args.json {
            return Err(user_error(
                "--json and the picture would both go to standard output; name a file with -o",
            ));
        }
        if std::io::stdout().is_terminal() {
            return Err(user_error(
                "-: standard output is a terminal; redirect it, or name a file with -o",
            ));
        }
        let format = args.format.unwrap_or(FormatName::Png).format();
        Ok(Self { path, format })
    }

    /// What goes to standard output has the photograph's format, unless another is asked for.
    ///
    /// # Errors
    /// If a quality is asked for that the format does not know.
    pub fn settle_format(&mut self, args: &Inpaint, photo: &Photo) -> Result<()> {
        if is_standard(&self.path) && args.format.is_none() {
            self.format = photo.format().unwrap_or(OutputFormat::Png);
        }
        if args.keeping.quality.is_some() && self.format != OutputFormat::Jpeg {
            return Err(user_error(format!(
                "{}: {} has no --quality; write a .jpg, or leave it out",
                self.name(),
                self.format.name()
            )));
        }
        Ok(())
    }

    pub fn format(&self) -> OutputFormat {
        self.format
    }

    /// The name in messages.
    pub fn name(&self) -> String {
        match is_standard(&self.path) {
            true => "standard output".into(),
            false => self.path.display().to_string(),
        }
    }

    /// Checks that the format holds the filled photograph.
    ///
    /// # Errors
    /// [`strdiffusion::picture::PictureError::CannotHold`].
    pub fn check(&self, photo: &Photo, hole: Option<&Mask>) -> Result<()> {
        Ok(photo.check_fits_format(Path::new(&self.name()), self.format, hole)?)
    }

    /// Writes a photograph, in a PNG with text.
    ///
    /// # Errors
    /// If it cannot be written; a file is whole or not there then.
    pub fn write(&self, photo: &Photo, text: &[(&str, String)]) -> Result<()> {
        if !is_standard(&self.path) {
            return Ok(photo.save_with_text(&self.path, text)?);
        }
        let bytes = match self.format {
            OutputFormat::Png => photo.encode_png_with_text(text)?,
            format => photo.encode(format)?,
        };
        let mut out = std::io::stdout().lock();
        let written = out.write_all(&bytes).and_then(|()| out.flush());
        written.map_err(|error| anyhow::anyhow!("standard output cannot be written ({error})"))
    }
}
