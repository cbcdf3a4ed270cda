//! `strdiffusion inpaint`: photographs with their holes filled.

mod candidates;
mod folder;
mod list;
mod listing;
mod many;
mod mask_choice;
mod one;
mod output;
pub mod results;
pub mod shard;
mod sources;
mod studio;
mod wishes;

use std::num::NonZeroUsize;
use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueEnum};
use strdiffusion::Detail;
use strdiffusion::device::DeviceName;
use strdiffusion::picture::Extension;

use crate::arithmetic::Arithmetic;
use crate::failure::user_error;
use crate::sampler_options::SamplerChoice;
use mask_choice::MaskChoice;
use output::{FormatName, Keeping};
use shard::Shard;
use sources::{Hole, SizeLimits};

/// Fill the hole of a photograph, or of every photograph of a folder or list
///
/// Known pixels come back bit for bit (in lossless formats). What the photograph holds inside the
/// hole is never read. A PNG holds the seed, the settings and the model that filled it as text.
#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Inpaint {
    /// Photograph: PNG, JPEG, WebP, TIFF or BMP; - reads standard input
    #[arg(required_unless_present = "many", conflicts_with = "many")]
    photo: Option<PathBuf>,
    /// Mask of the photograph's size, or of all photographs of a folder [default: the photograph's
    /// transparent pixels are the hole]
    #[arg(short, long, group = "hole_source")]
    mask: Option<PathBuf>,
    /// Filled photograph; the extension decides the format; - writes to standard output
    #[arg(
        short,
        long,
        value_name = "OUT",
        required_unless_present = "many",
        conflicts_with = "many"
    )]
    output: Option<PathBuf>,
    /// Format of what goes to standard output [default: the photograph's]
    #[arg(long, value_enum, conflicts_with = "many")]
    format: Option<FormatName>,
    #[command(flatten)]
    keeping: Keeping,
    #[command(flatten)]
    limits: SizeLimits,
    /// Model folder, or ORG/NAME[@REVISION] on the hub [default: $STRDIFFUSION_MODEL, else the
    /// one inside]
    #[arg(long)]
    model: Option<PathBuf>,
    /// Another seed gives another fill; the same seed gives the same one
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Fill K times, with the seeds from --seed on, and write OUT-1.png, OUT-2.png and so on
    #[arg(
        short = 'n',
        long,
        value_name = "K",
        default_value_t = 1,
        value_parser = clap::value_parser!(u32).range(1..=10_000)
    )]
    candidates: u32,
    /// auto, cpu, cuda[:i], vulkan[:i] or metal
    #[arg(long, default_value = "auto")]
    device: DeviceName,
    #[command(flatten)]
    arithmetic: Arithmetic,
    /// Which pixels of the mask are the hole; gray is cut at one half of white, or at --threshold
    #[arg(long, value_enum, default_value = "white", requires = "hole_source")]
    hole: Hole,
    /// Resize a mask of another size to the photograph's; a pixel that touches the hole is hole
    #[arg(long, requires = "hole_source")]
    fit_mask: bool,
    #[command(flatten)]
    borders: MaskChoice,
    /// Continue the photograph beyond its sides: LEFT,TOP,RIGHT,BOTTOM, each in pixels or, as 25%, in
    /// percent of its size. What is new belongs to the hole, and no mask is needed
    #[arg(long, value_name = "L,T,R,B", help_heading = "Borders")]
    extend: Option<Extension>,
    /// Drawing of the photograph's size, extended: bright lines are the edges that the hole shall have
    #[arg(long, value_name = "DRAWING", conflicts_with = "many")]
    structure: Option<PathBuf>,
    /// Mask of the photograph's size: detail is never copied from where it is white
    #[arg(long, value_name = "MASK", conflicts_with = "many")]
    avoid: Option<PathBuf>,
    /// auto: large photographs hole by hole at the model's resolution; native: as a whole
    #[arg(long, value_enum, default_value = "auto")]
    scale: ScaleName,
    /// Detail from the photograph itself: auto (all), off, or a share from 0 to 1
    #[arg(long, default_value = "auto", value_name = "AUTO|OFF|NUMBER")]
    detail: Detail,
    /// Folder for the texture and structure states along the way; with several candidates each has
    /// a folder in it, named by its number
    #[arg(long, value_name = "DIR", conflicts_with = "many")]
    frames: Option<PathBuf>,
    /// Pictures that pass through the networks together at most; memory grows with it [default: up
    /// to 8, fewer for large networks]
    #[arg(long, value_name = "N")]
    batch: Option<NonZeroUsize>,
    /// Progress and results as JSON, one object per line on stdout
    #[arg(long)]
    json: bool,
    /// Folder whose photographs are filled instead of one; its subfolders are left alone
    #[arg(
        long,
        value_name = "DIR",
        requires = "out",
        group = "many",
        help_heading = "Folders and lists"
    )]
    images: Option<PathBuf>,
    /// Folder of masks, each named as its photograph but for the extension; a photograph without
    /// one needs transparent pixels
    #[arg(
        long,
        value_name = "DIR",
        requires = "images",
        group = "hole_source",
        help_heading = "Folders and lists"
    )]
    masks: Option<PathBuf>,
    /// Folder for the filled photographs, under their own names. What is there already is not done
    /// again, so an interrupted run goes on where it stopped
    #[arg(
        long,
        value_name = "DIR",
        requires = "images",
        help_heading = "Folders and lists"
    )]
    out: Option<PathBuf>,
    /// CSV whose first line names the columns photo and output and, where wanted, mask, seed,
    /// structure and avoid; - reads standard input. Folders for the outputs are made. What is there already
    /// is not done again
    #[arg(
        long,
        value_name = "CSV",
        groups = ["many", "hole_source"],
        help_heading = "Folders and lists"
    )]
    list: Option<PathBuf>,
    /// Only the photographs of shard I of N, from 0 to N - 1: each is in one, by its output's name
    #[arg(
        long,
        value_name = "I/N",
        default_value = "0/1",
        requires = "many",
        requires = "results",
        help_heading = "Folders and lists"
    )]
    shard: Shard,
    /// Folder for a file of what became of each photograph, one for each shard; `merge-results`
    /// joins them
    #[arg(
        long,
        value_name = "DIR",
        requires = "many",
        help_heading = "Folders and lists"
    )]
    results: Option<PathBuf>,
    #[command(flatten)]
    sampler: SamplerChoice,
}

const EXAMPLES: &str = "Examples:
  strdiffusion inpaint photo.jpg --mask mask.png -o filled.png
  strdiffusion inpaint cutout.png -o filled.png           the transparent pixels are the hole
  strdiffusion inpaint photo.jpg --mask mask.png -o filled.png --seed 7 --frames steps/
  strdiffusion inpaint photo.jpg --mask mask.png -o filled.png -n 4
                                                          filled-1.png to filled-4.png
  strdiffusion inpaint photo.jpg --mask tight.png -o filled.png --grow 6 --feather 4
  strdiffusion inpaint photo.jpg --mask mask.png -o filled.png --avoid people.png
                                                          no detail is copied from people
  strdiffusion inpaint photo.jpg --extend 0,0,25%,0 -o wider.jpg
  strdiffusion inpaint --images photos/ --masks masks/ --out filled/
  strdiffusion inpaint --images scans/ --mask logo.png --out filled/   one mask for all
  strdiffusion inpaint --list pairs.csv --shard 2/8 --results results/
  convert photo.png jpg:- | strdiffusion inpaint - --mask mask.png -o - > filled.jpg";

#[derive(Clone, Copy, ValueEnum)]
enum ScaleName {
    Auto,
    Native,
}

impl Inpaint {
    /// The files that one photograph is filled from.
    fn inputs(&self) -> impl Iterator<Item = &PathBuf> {
        let files = [&self.photo, &self.mask, &self.structure, &self.avoid];
        files.into_iter().flatten()
    }

    pub fn run(self) -> Result<()> {
        if let Some(list) = &self.list {
            return list::run(&self, list);
        }
        match (&self.photo, &self.output, &self.images, &self.out) {
            (Some(photo), Some(output), None, _) => one::run(&self, photo, output),
            (_, _, Some(images), Some(out)) => folder::run(&self, images, out),
            _ => Err(user_error(
                "name a photograph and an output with -o, folders with --images and --out, or a \
                 list with --list",
            )),
        }
    }
}
