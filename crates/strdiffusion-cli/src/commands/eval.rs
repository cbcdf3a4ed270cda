//! `strdiffusion eval`: how good a model's fills, or any method's, are.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::ops::{ControlFlow, RangeInclusive};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, Parser, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use strdiffusion::Device;
use strdiffusion::device::DeviceName;
use strdiffusion::evaluation::perceptual::{
    InceptionFeatures, LearnedDistance, LpipsBackbone, WeightsError, WeightsFolder, fid_of_run,
};
use strdiffusion::evaluation::{
    Buckets, EvaluationError, FidReport, Fill, FinishedPictures, GeneratedMasks, Metric, ModelFill,
    Outcome, Pairing, PairingOptions, PerceptualDistance, ReportInput, RunFolder, Scorer, Settings,
    Summary, evaluate, parse_metrics, peak_resident_bytes, write_inputs, write_report,
};
use strdiffusion::model::Model;
use strdiffusion::sampling::Sampler;

use super::masks::parse_ratio;
use crate::arithmetic::Arithmetic;
use crate::failure::user_error;
use crate::interrupt::Interrupt;
use crate::model_source::ModelSource;
use crate::sampler_options::SamplerChoice;
use crate::terminal;

/// Score a model, or finished pictures of any method, against the truth
///
/// REPORT gets report.html (one file), results.json and results.csv. The same command goes on
/// where an interrupted one stopped.
#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Eval {
    /// Model folder, or ORG/NAME[@REVISION] on the hub [default: $STRDIFFUSION_MODEL, else the
    /// one inside]
    #[arg(long, conflicts_with = "results")]
    model: Option<PathBuf>,
    /// Score the finished pictures in this folder instead of a model: ID.png for each id of
    /// REPORT/pairs.csv; a timings.csv beside them (id, seconds) is read
    #[arg(
        long,
        value_name = "DIR",
        conflicts_with_all = [
            "sampler", "steps", "u_max", "u_min", "jump", "re", "no_resampling", "reference",
            "precise", "half",
        ]
    )]
    results: Option<PathBuf>,
    /// What the report calls the method [default: the folder's name]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Folder of photographs: the truth
    #[arg(long, value_name = "DIR")]
    images: PathBuf,
    /// Folder of masks, white = hole; each image meets the mask of its name, else a pairing fixed
    /// by the seed
    #[arg(long, value_name = "DIR", required_unless_present = "ratio")]
    masks: Option<PathBuf>,
    /// Generate masks whose hole has this share of the picture, from-to
    #[arg(long, value_name = "A-B", conflicts_with = "masks", value_parser = parse_ratio)]
    ratio: Option<RangeInclusive<f64>>,
    /// Pair every image with one mask of every bucket, whatever the names
    #[arg(long, requires = "masks")]
    every_bucket: bool,
    /// Folder of the report
    #[arg(long, value_name = "OUT")]
    report: PathBuf,
    /// Only the first N images in name order
    #[arg(short, long)]
    n: Option<usize>,
    /// Seed of the pairing, of generated masks and of the model's noise
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Hole ratios of the tables, in percent
    #[arg(long, default_value = "10-20,20-30,30-40,40-50")]
    buckets: String,
    /// psnr, ssim, ms-ssim, swd, gradient, lpips, fid
    #[arg(long, default_value = "psnr,ssim,ms-ssim,swd,gradient,lpips,fid")]
    metrics: String,
    /// Centre-crop and resize the photographs to squares of this side [default: the model's
    /// training resolution; with --results the photographs stay as they are]
    #[arg(long)]
    size: Option<u32>,
    /// auto, cpu, cuda[:i], vulkan[:i] or metal
    #[arg(long, default_value = "auto")]
    device: DeviceName,
    #[command(flatten)]
    arithmetic: Arithmetic,
    /// Folder with the weights of LPIPS and FID [default: the user's cache folder]
    #[arg(long, value_name = "DIR")]
    weights: Option<PathBuf>,
    /// Download missing weights of LPIPS and FID, once
    #[arg(long)]
    download: bool,
    /// Network of LPIPS
    #[arg(long, value_enum, default_value = "alex")]
    lpips_net: LpipsNetName,
    /// Write the pairs and the exact pictures and masks that are scored, and stop
    #[arg(long)]
    pairs_only: bool,
    #[command(flatten)]
    sampler: SamplerChoice,
}

/// The options without the program around them.
#[derive(Parser)]
struct EvalAlone {
    #[command(flatten)]
    eval: Eval,
}

const EXAMPLES: &str = "Examples:
  strdiffusion eval --images photos --masks masks --report report
  strdiffusion eval --model M --steps 10 --images photos --ratio 0.1-0.5 --report report
  strdiffusion eval --results filled --images photos --masks masks --report report";

#[derive(Clone, Copy, ValueEnum)]
enum LpipsNetName {
    Alex,
    Vgg,
}

impl Eval {
    pub fn run(self) -> Result<()> {
        let interrupt = Interrupt::listen()?;
        self.run_watched(&|| interrupt.is_asked(), &mut |_, _| {
            ControlFlow::Continue(())
        })
    }

    /// The options, as on the command line after `eval`.
    ///
    /// # Errors
    /// If they cannot be, in one line.
    pub fn parse_options(options: impl IntoIterator<Item = OsString>) -> Result<Self> {
        let name = std::iter::once(OsString::from("eval"));
        let parsed = EvalAlone::try_parse_from(name.chain(options));
        let EvalAlone { eval } = parsed.map_err(|error| {
            let text = error.render().to_string();
            let said = text.split("\n\n").next().unwrap_or_default();
            user_error(said.trim_start_matches("error: "))
        })?;
        Ok(eval)
    }

    /// Scores until `is_asked` to stop or `on_progress`, which gets the pictures done and in all,
    /// breaks.
    ///
    /// # Errors
    /// If an input is at fault, or it was stopped.
    pub fn run_watched(
        self,
        is_asked: &dyn Fn() -> bool,
        on_progress: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
    ) -> Result<()> {
        let buckets: Buckets = self.buckets.parse().map_err(library)?;
        let metrics = parse_metrics(&self.metrics).map_err(library)?;
        let pairing = self.pairing(&buckets)?;
        let masks = match &self.ratio {
            Some(ratio) => {
                let masks = GeneratedMasks::with_ratio(ratio.clone());
                Some(masks.map_err(strdiffusion::Error::from)?)
            }
            None => None,
        };
        let mut settings = self.settings(buckets, metrics);
        if self.pairs_only {
            return self.write_pairs(&settings, &pairing, masks.as_ref());
        }

        let (device_name, device) = self.device.resolve()?;
        let model = self.load_model(&device)?;
        let mut from_model;
        let mut from_folder;
        let fill: &mut dyn Fill = match (&model, &self.results) {
            (Some((source, model)), _) => {
                let sampling = self.sampling(model)?;
                self.describe_model(&mut settings, source, model, sampling)?;
                settings.device = device_name.to_string();
                from_model = ModelFill::new(model, sampling, is_asked);
                &mut from_model
            }
            (None, Some(results)) => {
                from_folder = FinishedPictures::open(results).map_err(library)?;
                &mut from_folder
            }
            (None, None) => unreachable!("without results a model was loaded"),
        };
        // One run's LPIPS comes from one network.
        if settings.metrics.contains(&Metric::Lpips) {
            let net = match self.lpips_net {
                LpipsNetName::Alex => "AlexNet",
                LpipsNetName::Vgg => "VGG-16",
            };
            settings
                .method_settings
                .insert("LPIPS network".to_owned(), net.to_owned());
        }
        let mut folder = RunFolder::open(&self.report, &settings, &pairing).map_err(library)?;
        if folder.dropped_partial_row() {
            terminal::note("the last picture of the interrupted run is done again");
        }

        let weights = self.weights_folder();
        let mut not_computed = BTreeMap::new();
        let mut lpips = None;
        if settings.metrics.contains(&Metric::Lpips) {
            let net = match self.lpips_net {
                LpipsNetName::Alex => LpipsBackbone::Alex,
                LpipsNetName::Vgg => LpipsBackbone::Vgg,
            };
            match LearnedDistance::load(net, &weights, &device) {
                Ok(loaded) => lpips = Some(loaded),
                Err(error) => {
                    terminal::note(format!("LPIPS is not computed: {error}"));
                    not_computed.insert(Metric::Lpips, why_not(&error));
                }
            }
        }
        let lpips_weights = lpips.as_ref().map(|lpips| lpips.description().to_owned());
        let outcome = {
            let mut scorer = Scorer {
                metrics: settings.metrics.clone(),
                lpips: lpips
                    .as_mut()
                    .map(|lpips| lpips as &mut dyn PerceptualDistance),
            };
            let bar = bar(pairing.pairs.len() as u64);
            let outcome = evaluate(
                &mut folder,
                &settings,
                &pairing,
                fill,
                &mut scorer,
                &mut |width, height, seed| draw(masks.as_ref(), width, height, seed),
                &mut |progress| {
                    bar.set_position(progress.done as u64);
                    bar.set_message(eta(progress.remaining));
                    match on_progress(progress.done, progress.total) {
                        ControlFlow::Continue(()) => stop_if(is_asked()),
                        stop => stop,
                    }
                },
            );
            bar.finish_and_clear();
            outcome.map_err(library)?
        };
        let fid = self.fid(
            &settings, &folder, &pairing, &outcome, &weights, &device, is_asked,
        );
        if let FidReport::NotComputed { reason } = &fid {
            not_computed.insert(Metric::Fid, reason.clone());
        }

        // Told in the report, but no reason not to go on with a run: the weights may come later.
        let mut told = settings.clone();
        if let Some(weights) = lpips_weights {
            told.method_settings
                .insert("LPIPS weights".to_owned(), weights);
        }
        let input = ReportInput {
            settings: &told,
            pairing: &pairing,
            rows: &outcome.rows,
            failures: &outcome.failures,
            fid,
            not_computed,
            peak_memory_bytes: peak_resident_bytes(),
            gallery_bytes: ReportInput::GALLERY_BYTES,
        };
        write_report(&folder, &input).map_err(library)?;
        self.tell(&input, &outcome)
    }

    fn pairing(&self, buckets: &Buckets) -> Result<Pairing> {
        let options = PairingOptions {
            seed: self.seed,
            limit: self.n,
            per_bucket: self.every_bucket.then(|| buckets.clone()),
        };
        let pairing = match &self.masks {
            Some(masks) => Pairing::from_folders(&self.images, masks, &options),
            None => Pairing::with_generated_masks(&self.images, &options),
        };
        let pairing = pairing.map_err(library)?;
        if pairing.pairs.is_empty() {
            return Err(user_error("--n 0 leaves no image to score; give 1 or more"));
        }
        Ok(pairing)
    }

    /// Settings of finished pictures; a model changes them.
    fn settings(&self, buckets: Buckets, metrics: Vec<Metric>) -> Settings {
        let results = self.results.as_deref().unwrap_or(Path::new("no method"));
        Settings {
            method: self.name.clone().unwrap_or_else(|| name_of(results)),
            method_settings: BTreeMap::from([(
                "Results".to_owned(),
                results.display().to_string(),
            )]),
            device: "unknown: the pictures were finished before".to_owned(),
            images: self.images.display().to_string(),
            masks: match (&self.masks, &self.ratio) {
                (Some(masks), _) => masks.display().to_string(),
                (None, Some(ratio)) => {
                    format!(
                        "generated, hole {} to {} of the picture",
                        ratio.start(),
                        ratio.end()
                    )
                }
                (None, None) => String::new(),
            },
            seed: self.seed,
            limit: self.n,
            size: self.size,
            buckets,
            metrics,
        }
    }

    fn write_pairs(
        &self,
        settings: &Settings,
        pairing: &Pairing,
        masks: Option<&GeneratedMasks>,
    ) -> Result<()> {
        let make = &mut |width, height, seed| draw(masks, width, height, seed);
        write_inputs(&self.report, settings, pairing, make).map_err(library)?;
        terminal::report(format!(
            "{} pairs written to {}: pairs.csv, inputs and masks",
            pairing.pairs.len(),
            self.report.display()
        ));
        Ok(())
    }

    fn load_model(&self, device: &Device) -> Result<Option<(ModelSource, Model)>> {
        if self.results.is_some() {
            return Ok(None);
        }
        let source = ModelSource::choose(self.model.clone())?;
        let model = source.load(device)?;
        let model = model.with_precision(self.arithmetic.choose(device));
        Ok(Some((source, model)))
    }

    fn sampling(&self, model: &Model) -> Result<Sampler> {
        let sampler = self.sampler.apply(model.config().sampling)?;
        if let Sampler::Fast(fast) = &sampler {
            // Whether the model's schedule has that many steps is known before anything is filled.
            fast.grid.timesteps(model.sde(), fast.steps)?;
        }
        Ok(sampler)
    }

    fn describe_model(
        &self,
        settings: &mut Settings,
        source: &ModelSource,
        model: &Model,
        sampling: Sampler,
    ) -> Result<()> {
        settings.method = self.name.clone().unwrap_or_else(|| source.name());
        settings.size = Some(
            self.size
                .unwrap_or(model.config().training_resolution as u32),
        );
        let sampler = serde_json::to_string(&sampling).unwrap_or_default();
        settings.method_settings = BTreeMap::from([
            ("Model".to_owned(), source.to_string()),
            ("Model (SHA-256)".to_owned(), source.sha256()?),
            ("Sampler".to_owned(), sampler),
        ]);
        Ok(())
    }

    fn weights_folder(&self) -> WeightsFolder {
        let cache = || {
            let base = dirs::cache_dir().unwrap_or_else(std::env::temp_dir);
            base.join("strdiffusion").join("metrics")
        };
        WeightsFolder {
            path: self.weights.clone().unwrap_or_else(cache),
            download: self.download,
        }
    }

    #[allow(clippy::too_many_arguments, reason = "FID looks at the whole run")]
    fn fid(
        &self,
        settings: &Settings,
        folder: &RunFolder,
        pairing: &Pairing,
        outcome: &Outcome,
        weights: &WeightsFolder,
        device: &Device,
        is_asked: &dyn Fn() -> bool,
    ) -> FidReport {
        if !settings.metrics.contains(&Metric::Fid) {
            return FidReport::NotRequested;
        }
        let network = match InceptionFeatures::load(weights, device) {
            Ok(network) => network,
            Err(error) => {
                terminal::note(format!("FID is not computed: {error}"));
                let reason = why_not(&error);
                return FidReport::NotComputed { reason };
            }
        };
        if outcome.stopped {
            let reason = "the evaluation was stopped before the last picture".to_owned();
            return FidReport::NotComputed { reason };
        }
        let bar = bar(outcome.rows.len() as u64);
        bar.set_message("features for FID");
        let fid = fid_of_run(
            &network,
            folder,
            pairing,
            &outcome.rows,
            settings.size,
            &mut || {
                bar.inc(1);
                stop_if(is_asked())
            },
        );
        bar.finish_and_clear();
        fid
    }

    fn tell(&self, input: &ReportInput<'_>, outcome: &Outcome) -> Result<()> {
        let summary = Summary::new(&outcome.rows, &input.settings.buckets);
        for group in summary.buckets.iter().chain([&summary.overall]) {
            let mut line = format!("hole {:>6}: {:>5} pictures", group.label, group.n);
            for (name, statistic, decimals) in [
                ("PSNR", &group.psnr, 2),
                ("in the hole", &group.psnr_hole, 2),
                ("SSIM", &group.ssim, 4),
                ("in the hole", &group.ssim_hole, 4),
                ("MS-SSIM", &group.ms_ssim, 4),
                ("SWD", &group.swd, 2),
                ("gradient spread", &group.gradient_spread, 2),
                ("LPIPS", &group.lpips, 4),
            ] {
                if let Some(mean) = statistic.mean {
                    line += &format!(", {name} {mean:.decimals$}");
                }
            }
            terminal::report(line);
        }
        if let FidReport::Computed { value, n, .. } = &input.fid {
            terminal::report(format!("FID {value:.3} of {n} pictures"));
        }
        if let Some(warning) = input.fid.warning() {
            terminal::note(warning);
        }
        for failure in &outcome.failures {
            terminal::note(format!("{} has no scores: {}", failure.id, failure.reason));
        }
        let report = self.report.join("report.html");
        if outcome.stopped {
            let context = format!(
                "{} of {} pictures are scored in {}; the same command goes on",
                outcome.rows.len(),
                input.pairing.pairs.len(),
                self.report.display()
            );
            return Err(strdiffusion::Error::Cancelled).context(context);
        }
        terminal::report(report.display());
        if outcome.rows.is_empty() {
            return Err(user_error(
                "no picture could be scored; the notes above say why",
            ));
        }
        Ok(())
    }
}

/// An evaluation's error as the library's, which knows whose fault it is.
fn library(error: EvaluationError) -> strdiffusion::Error {
    error.into()
}

/// Why a learned metric is not in the report, without paths where that is all there is to say.
fn why_not(error: &WeightsError) -> String {
    match error {
        WeightsError::Missing { .. } | WeightsError::Download { .. } => {
            "weights missing".to_owned()
        }
        other => other.to_string(),
    }
}

fn draw(
    masks: Option<&GeneratedMasks>,
    width: u32,
    height: u32,
    seed: u64,
) -> Result<strdiffusion::picture::Mask, String> {
    match masks {
        Some(masks) => masks.draw(width, height, seed),
        None => Err("masks come from files".to_owned()),
    }
}

fn name_of(folder: &Path) -> String {
    let whole = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let name = whole
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    name.unwrap_or_else(|| folder.display().to_string())
}

fn bar(length: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len}, {elapsed} gone, {msg}");
    terminal::bar(length).with_style(style.expect("the template is fixed"))
}

fn eta(remaining: Option<Duration>) -> String {
    match remaining {
        Some(time) => format!("{} to go", indicatif::HumanDuration(time)),
        None => "nothing to do again so far".to_owned(),
    }
}

fn stop_if(asked: bool) -> ControlFlow<()> {
    if asked {
        ControlFlow::Break(())
    } else {
        ControlFlow::Continue(())
    }
}
