//! `strdiffusion masks`: random masks as PNG files.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use strdiffusion::masks::{MaskGenerator, ShapeKind, write_masks};

use crate::terminal::report;

/// Write random masks, white = hole
#[derive(Args)]
pub struct Masks {
    /// Share of the picture that is hole, from-to
    #[arg(long, default_value = "0.1-0.5", value_parser = parse_ratio)]
    ratio: RangeInclusive<f64>,
    /// Shapes to draw, with commas: stroke, ellipse, rectangle, object, scratch, text
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "stroke,ellipse,rectangle",
        value_parser = parse_kind
    )]
    shapes: Vec<ShapeKind>,
    /// Number of masks
    #[arg(long, default_value_t = 100)]
    count: usize,
    /// Side of the square masks in pixels
    #[arg(long, default_value_t = 256)]
    size: usize,
    /// The same seed gives the same masks
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Folder for mask_00000.png and so on; masks that are there are not overwritten
    #[arg(short, long)]
    out: PathBuf,
}

impl Masks {
    pub fn run(self) -> Result<()> {
        let size = (self.size, self.size);
        let generator = MaskGenerator {
            ratio: self.ratio,
            kinds: self.shapes,
        };
        let written = write_masks(self.count, size, self.seed, &generator, &self.out)
            .map_err(strdiffusion::Error::from)?;
        report(format!(
            "{} masks written to {}",
            written.len(),
            self.out.display()
        ));
        Ok(())
    }
}

/// Reads `0.1-0.5`.
pub fn parse_ratio(text: &str) -> Result<RangeInclusive<f64>, String> {
    let wrong = || format!("{text:?} is no range of shares: write it as 0.1-0.5");
    let (from, to) = text.split_once('-').ok_or_else(wrong)?;
    let (from, to): (f64, f64) = (
        from.parse().map_err(|_| wrong())?,
        to.parse().map_err(|_| wrong())?,
    );
    if (0.0..=1.0).contains(&from) && (from..=1.0).contains(&to) {
        Ok(from..=to)
    } else {
        Err(wrong())
    }
}

fn parse_kind(text: &str) -> Result<ShapeKind, String> {
    let known = ShapeKind::ALL.into_iter().find(|kind| kind.name() == text);
    known.ok_or_else(|| {
        let names = ShapeKind::ALL.map(ShapeKind::name).join(", ");
        format!("{text:?} is no shape; there are {names}")
    })
}
