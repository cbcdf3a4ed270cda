//! `strdiffusion inpaint`: a photograph with its hole filled.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use serde_json::json;
use strdiffusion::device::DeviceName;
use strdiffusion::picture::{FloatImage, HolePolarity, Mask, Photo, check_output};
use strdiffusion::sampler::Evaluations;
use strdiffusion::structure::rgb_to_gray;
use strdiffusion::{Error, FillOptions, Inpainter, Scale};

use crate::default_model;
use crate::failure::user_error;
use crate::frames::Frames;
use crate::interrupt::Interrupt;
use crate::progress::Reporter;
use crate::sampler_options::SamplerChoice;

/// Fill the hole of a photograph
///
/// Known pixels come back bit for bit (in lossless formats). What the photograph holds inside the
/// hole is never read.
#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Inpaint {
    /// Photograph: PNG, JPEG, WebP, TIFF or BMP
    photo: PathBuf,
    /// Mask of the photograph's size [default: the photograph's transparent pixels are the hole]
    #[arg(short, long)]
    mask: Option<PathBuf>,
    /// Filled photograph; the extension decides the format
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
    /// Model folder [default: $STRDIFFUSION_MODEL, else models/default]
    #[arg(long)]
    model: Option<PathBuf>,
    /// Another seed gives another fill; the same seed gives the same one
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// auto, cpu, cuda[:i], vulkan[:i] or metal
    #[arg(long, default_value = "auto")]
    device: DeviceName,
    /// CPU: 3×3 convolutions with a third of the rounding error, slower
    #[arg(long)]
    precise: bool,
    /// Which pixels of the mask are the hole; gray is cut at one half
    #[arg(long, value_enum, default_value = "white", requires = "mask")]
    hole: Hole,
    /// Resize a mask of another size to the photograph's, each pixel from the nearest one
    #[arg(long, requires = "mask")]
    fit_mask: bool,
    /// Drawing of the photograph's size: bright lines are the edges that the hole shall have
    #[arg(long, value_name = "DRAWING")]
    structure: Option<PathBuf>,
    /// auto: large photographs hole by hole at the model's resolution; native: as a whole
    #[arg(long, value_enum, default_value = "auto")]
    scale: ScaleName,
    /// Folder for the texture and structure states along the way
    #[arg(long, value_name = "DIR")]
    frames: Option<PathBuf>,
    /// Progress and result as JSON, one object per line on stdout
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    sampler: SamplerChoice,
}

const EXAMPLES: &str = "Examples:
  strdiffusion inpaint photo.jpg --mask mask.png -o filled.png
  strdiffusion inpaint cutout.png -o filled.png           the transparent pixels are the hole
  strdiffusion inpaint photo.jpg --mask mask.png -o filled.png --seed 7 --frames steps/";

#[derive(Clone, Copy, ValueEnum)]
enum Hole {
    White,
    Black,
}

#[derive(Clone, Copy, ValueEnum)]
enum ScaleName {
    Auto,
    Native,
}

impl Inpaint {
    pub fn run(self) -> Result<()> {
        let start = Instant::now();
        strdiffusion::ops::set_precise(self.precise);
        let interrupt = Interrupt::listen()?;
        let reporter = Reporter::new(self.json);

        // All that can be wrong with the files is said before time is spent on the networks.
        check_output(&self.output)?;
        self.check_overwrites_no_input()?;
        let photo = Photo::open(&self.photo)?;
        let mask = self.read_mask(&photo)?;
        self.check_mask(&mask)?;
        let drawn_edges = self.read_drawing(&photo)?;
        photo.check_fits(&self.output, Some(&mask))?;
        if photo.bit_depth() == 16 && !check_output(&self.output)?.holds_16_bit() {
            reporter.note(&format!(
                "{}: this format holds 8 bits, so the photo's 16 bits are rounded; .png and .tif \
                 keep them",
                self.output.display()
            ));
        }
        if mask.is_empty() {
            reporter.note(&self.why_empty());
            photo.save(&self.output)?;
            self.report(
                &reporter,
                &photo,
                &mask,
                None,
                Evaluations::default(),
                0,
                start,
            );
            return Ok(());
        }

        let folder = default_model::choose(self.model.clone())?;
        let (device_name, device) = self.device.resolve()?;
        let inpainter = Inpainter::load(&folder, &device)?;
        tracing::info!(model = %folder.display(), device = %device_name, "model loaded");
        let sampler = self.sampler.apply(inpainter.model().config.sampling)?;
        let frames = self.frames.as_deref().map(Frames::in_folder).transpose()?;
        let options = FillOptions {
            seed: self.seed,
            scale: match self.scale {
                ScaleName::Auto => Scale::Auto,
                ScaleName::Native => Scale::Native,
            },
            sampler: Some(sampler),
            drawn_edges,
            ..FillOptions::default()
        };

        let mut failed = None;
        let filled = inpainter.fill(&photo, &mask, &options, &mut |progress| {
            reporter.show(progress);
            tracing::debug!(event = ?progress.steps(), "progress");
            if let Some(frames) = &frames
                && let Err(error) = frames.write(progress)
            {
                failed = Some(error);
            }
            if failed.is_some() || interrupt.is_asked() {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        });
        reporter.clear();
        if let Some(error) = failed {
            return Err(error.into());
        }
        let filled = match filled {
            Err(Error::Cancelled) => {
                let context = format!("{} was not written", self.output.display());
                return Err(Error::Cancelled).context(context);
            }
            other => other?,
        };
        filled.photo.save(&self.output)?;
        let used = Some((folder.as_path(), device_name));
        self.report(
            &reporter,
            &photo,
            &mask,
            used,
            filled.evaluations,
            filled.regions,
            start,
        );
        Ok(())
    }

    /// The output's name must not be that of a file that the user still needs.
    fn check_overwrites_no_input(&self) -> Result<()> {
        let Ok(output) = self.output.canonicalize() else {
            return Ok(());
        };
        let inputs = [
            Some(&self.photo),
            self.mask.as_ref(),
            self.structure.as_ref(),
        ];
        for input in inputs.into_iter().flatten() {
            if input.canonicalize().is_ok_and(|input| input == output) {
                return Err(user_error(format!(
                    "{}: the output would overwrite an input; choose another name",
                    self.output.display()
                )));
            }
        }
        Ok(())
    }

    fn read_mask(&self, photo: &Photo) -> Result<Mask> {
        let Some(path) = &self.mask else {
            return Mask::from_alpha(photo).map_err(|_| {
                user_error(format!(
                    "{}: has no transparent pixels to take the hole from; name a mask with --mask",
                    self.photo.display()
                ))
            });
        };
        let polarity = match self.hole {
            Hole::White => HolePolarity::White,
            Hole::Black => HolePolarity::Black,
        };
        let mask = Mask::open(path, polarity)?;
        let (width, height) = (photo.width(), photo.height());
        if (mask.width(), mask.height()) == (width, height) {
            return Ok(mask);
        }
        if self.fit_mask {
            return Ok(mask.fit_to(width, height)?);
        }
        Err(user_error(format!(
            "{}: the mask is {}×{} pixels but {} is {width}×{height}; give both the same size, \
             or resize the mask with --fit-mask",
            path.display(),
            mask.width(),
            mask.height(),
            self.photo.display()
        )))
    }

    fn check_mask(&self, mask: &Mask) -> Result<()> {
        if !mask.is_full() {
            return Ok(());
        }
        Err(match (&self.mask, self.hole) {
            (None, _) => user_error(format!(
                "{}: every pixel is transparent, so nothing is known to fill the hole from",
                self.photo.display()
            )),
            (Some(path), Hole::White) => user_error(format!(
                "{}: the mask is white everywhere, so nothing is known to fill the hole from; \
                 paint the hole white and all else black, or use --hole black",
                path.display()
            )),
            (Some(path), Hole::Black) => user_error(format!(
                "{}: the mask is black everywhere, so nothing is known to fill the hole from; \
                 with --hole black all that is known must be white",
                path.display()
            )),
        })
    }

    fn why_empty(&self) -> String {
        let (file, why) = match (&self.mask, self.hole) {
            (None, _) => (
                &self.photo,
                "no pixel is transparent and no --mask was given",
            ),
            (Some(mask), Hole::White) => (mask, "no pixel of the mask is white"),
            (Some(mask), Hole::Black) => (mask, "no pixel of the mask is black"),
        };
        format!(
            "{}: {why}, so there is no hole and the photo stays as it is",
            file.display()
        )
    }

    fn read_drawing(&self, photo: &Photo) -> Result<Option<FloatImage>> {
        let Some(path) = &self.structure else {
            return Ok(None);
        };
        let drawing = Photo::open(path)?;
        if (drawing.width(), drawing.height()) != (photo.width(), photo.height()) {
            return Err(user_error(format!(
                "{}: the drawing is {}×{} pixels but {} is {}×{}; give both the same size",
                path.display(),
                drawing.width(),
                drawing.height(),
                self.photo.display(),
                photo.width(),
                photo.height()
            )));
        }
        let gray = rgb_to_gray(&drawing.to_rgb_f32())?.to_float_image();
        let (width, height) = (gray.width(), gray.height());
        let edges: Vec<f32> = gray
            .data()
            .iter()
            .map(|&v| if v >= 0.5 { 1.0 } else { 0.0 })
            .collect();
        if 2.0 * edges.iter().sum::<f32>() > edges.len() as f32 {
            return Err(user_error(format!(
                "{}: most of the drawing is bright, but bright means edge; draw white lines on \
                 black",
                path.display()
            )));
        }
        Ok(Some(FloatImage::from_vec(1, width, height, edges)?))
    }

    #[allow(
        clippy::too_many_arguments,
        reason = "one line of output needs all of them"
    )]
    fn report(
        &self,
        reporter: &Reporter,
        photo: &Photo,
        mask: &Mask,
        used: Option<(&Path, DeviceName)>,
        evaluations: Evaluations,
        regions: usize,
        start: Instant,
    ) {
        let seconds = start.elapsed().as_secs_f64();
        let (width, height) = (photo.width(), photo.height());
        let mut text = format!("{}: {width}×{height} pixels", self.output.display());
        if let Some((_, device)) = used {
            text += &format!(
                ", {:.1} % filled in {seconds:.1} s on {device} (seed {})",
                100.0 * mask.hole_fraction(),
                self.seed
            );
        }
        let result = json!({
            "event": "result",
            "output": self.output.display().to_string(),
            "seed": self.seed,
            "device": used.map(|(_, device)| device.to_string()),
            "model": used.map(|(model, _)| model.display().to_string()),
            "width": width,
            "height": height,
            "hole_fraction": mask.hole_fraction(),
            "regions": regions,
            "seconds": seconds,
            "evaluations": evaluations,
        });
        reporter.finish(&text, result);
    }
}
