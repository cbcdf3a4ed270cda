//! A loaded model with its settings: what both one photograph and a folder are filled with.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;
use serde_json::{Value, json};
use strdiffusion::device::DeviceName;
use strdiffusion::model::Model;
use strdiffusion::picture::{Extension, MaskOptions};
use strdiffusion::sampling::Sampler;
use strdiffusion::{Detail, FillOptions, Filled, Inpainter, Scale};

use super::output::Output;
use super::sources::is_standard;
use super::{Inpaint, ScaleName};
use crate::default_model;

/// Photographs that are filled together have no more pixels than this, if they are several: every
/// one is held in memory about three times.
const PIXELS_AT_ONCE: usize = 64_000_000;

/// A model that is ready.
pub struct Studio {
    pub inpainter: Inpainter,
    folder: PathBuf,
    device: DeviceName,
    sampler: Sampler,
    scale: Scale,
    detail: Detail,
    borders: MaskOptions,
    extend: Option<Extension>,
}

impl Studio {
    /// Loads the model that was asked for.
    ///
    /// # Errors
    /// If there is none, it cannot be read, or the settings do not fit.
    pub fn open(args: &Inpaint) -> Result<Self> {
        let folder = default_model::choose(args.model.clone())?;
        let (device, opened) = args.device.resolve()?;
        let model = Model::load(&folder, &opened)?;
        let precision = args.arithmetic.choose(&opened);
        let mut inpainter = Inpainter::from_model(model.with_precision(precision));
        if let Some(limit) = args.batch {
            inpainter = inpainter.with_batch_limit(limit.get());
        }
        tracing::info!(model = %folder.display(), device = %device, "model loaded");
        let sampler = args.sampler.apply(inpainter.model().config().sampling)?;
        Ok(Self {
            inpainter,
            folder,
            device,
            sampler,
            scale: match args.scale {
                ScaleName::Auto => Scale::Auto,
                ScaleName::Native => Scale::Native,
            },
            detail: args.detail,
            borders: args.borders.options()?,
            extend: args.extend,
        })
    }

    pub fn options(&self, seed: u64) -> FillOptions {
        FillOptions {
            seed,
            scale: self.scale,
            sampler: Some(self.sampler),
            detail: self.detail,
            ..FillOptions::default()
        }
    }

    pub fn device(&self) -> DeviceName {
        self.device
    }

    /// Width and height of a photograph of this size once it is extended.
    pub fn extended(&self, size: [usize; 2]) -> [usize; 2] {
        self.extend
            .map_or(size, |extension| extension.margins(size).around(size))
    }

    /// What photographs of this size have in common where they can be batched: their size where
    /// the model sees them whole, nothing where it sees crops.
    pub fn batch_key(&self, size: [usize; 2]) -> Option<[usize; 2]> {
        let resolution = self.inpainter.model().config().training_resolution;
        self.scale.sees_whole(size, resolution).then_some(size)
    }

    /// How many photographs of so many pixels are filled at once.
    pub fn at_once(&self, pixels: usize) -> usize {
        (PIXELS_AT_ONCE / pixels.max(1)).clamp(1, self.inpainter.batch_limit())
    }

    /// Writes a fill, and in a PNG what it was made with.
    ///
    /// # Errors
    /// If it cannot be written; nothing partial is left then.
    pub fn save(&self, filled: &Filled, options: &FillOptions, output: &Output) -> Result<()> {
        let name = self.folder.canonicalize();
        let name = name.as_deref().unwrap_or(&self.folder).file_name();
        let model = name.unwrap_or_default().to_string_lossy();
        let provenance = self
            .inpainter
            .provenance(&model, options)
            .with_mask(&self.borders);
        output.write(&filled.photo, &provenance.texts())
    }
}

/// One written output.
pub struct Report<'a> {
    pub output: &'a Path,
    pub seed: u64,
    /// Width and height.
    pub size: [usize; 2],
    /// What filled it, and how; none where there was no hole.
    pub filled: Option<(&'a Studio, &'a Filled)>,
    /// When its work began.
    pub start: Instant,
}

impl Report<'_> {
    pub fn to_text(&self) -> String {
        let [width, height] = self.size;
        let output = match is_standard(self.output) {
            true => "standard output".into(),
            false => self.output.display().to_string(),
        };
        let size = format!("{output}: {width}×{height} pixels");
        match self.filled {
            None => size,
            Some((studio, filled)) => format!(
                "{size}, {:.1} % filled in {:.1} s on {} (seed {})",
                100.0 * filled.hole_fraction,
                self.start.elapsed().as_secs_f64(),
                studio.device,
                self.seed
            ),
        }
    }

    pub fn to_json(&self) -> Value {
        let studio = self.filled.map(|(studio, _)| studio);
        let filled = self.filled.map(|(_, filled)| filled);
        json!({
            "event": "result",
            "output": self.output.display().to_string(),
            "seed": self.seed,
            "device": studio.map(|studio| studio.device.to_string()),
            "model": studio.map(|studio| studio.folder.display().to_string()),
            "width": self.size[0],
            "height": self.size[1],
            "hole_fraction": filled.map_or(0.0, |filled| filled.hole_fraction),
            "regions": filled.map_or(0, |filled| filled.regions),
            "seconds": self.start.elapsed().as_secs_f64(),
            "detail": filled.map(Filled::holes).unwrap_or_default(),
            "evaluations": filled.map(|filled| filled.evaluations).unwrap_or_default(),
        })
    }
}
