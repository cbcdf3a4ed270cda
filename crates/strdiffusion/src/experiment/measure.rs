//! Quality and cost of a model with a sampler, in the hole, against the truth.

use std::ops::{ControlFlow, RangeInclusive};
use std::path::Path;
use std::time::Instant;

use burn::tensor::{Tensor, TensorData};

use crate::conditions::Task;
use crate::error::{Error, Result};
use crate::evaluation::{Pairing, PairingOptions, prepared_pair};
use crate::metrics::{Planes, finite_psnr, psnr_hole, ssim};
use crate::model::Model;
use crate::picture::{FloatImage, Mask};
use crate::sampling::{Evaluations, Event, FastSampler, Sampler, SeededBatch};
use crate::structure::batch_luma;
use crate::structure::rgb_to_gray;
use crate::weights::host_values;

/// Pictures that pass through the networks together.
pub(super) const BATCH: usize = 10;

/// A picture whose truth is known, and its hole.
#[derive(Debug, Clone)]
pub struct Case {
    /// RGB, `[3, side, side]` in [0, 1].
    pub truth: FloatImage,
    /// 1 = known.
    pub mask: Mask,
}

/// Pairs photographs with irregular masks, as an evaluation does, and takes the first `count` whose
/// hole covers a share in `ratio`, cropped and scaled to `side` × `side`.
///
/// # Errors
/// If a folder or picture cannot be read, or too few masks have such a hole.
pub fn cases(
    images: &Path,
    masks: &Path,
    side: usize,
    count: usize,
    ratio: RangeInclusive<f64>,
) -> Result<Vec<Case>> {
    let pairing = Pairing::from_folders(images, masks, &PairingOptions::default())?;
    let no_generator = &mut |_, _, _| Err("a mask file was expected".to_owned());
    let mut cases = vec![];
    for pair in &pairing.pairs {
        let (truth, mask) = prepared_pair(&pairing, pair, Some(side as u32), no_generator)?;
        if ratio.contains(&mask.hole_fraction()) {
            let truth = FloatImage::from_vec(3, side, side, truth.planar())?;
            cases.push(Case { truth, mask });
        }
        if cases.len() == count {
            return Ok(cases);
        }
    }
    Err(Error::Config(format!(
        "only {} of {} photographs meet a mask whose hole covers {} to {} of the picture, but \
         {count} pictures were asked for; ask for fewer",
        cases.len(),
        pairing.pairs.len(),
        ratio.start(),
        ratio.end()
    )))
}

/// What a sampler achieved, means over pictures.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Measured {
    /// Pictures.
    pub pictures: usize,
    /// In the hole, dB.
    pub psnr: f64,
    /// In the hole.
    pub ssim: f64,
    /// For each picture, in batches of up to ten.
    pub seconds: f64,
    /// Of each network, for a batch.
    pub evaluations: Evaluations,
}

/// What leads the texture.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Leader {
    /// The structure network's structure.
    #[default]
    Own,
    /// The truth's grayscale.
    Truth,
    /// Nothing that the texture network does not know: the grayscale of its μ.
    None,
}

/// Settings of a measurement.
#[derive(Debug, Clone, Copy, Default)]
pub struct Protocol {
    /// Picture i draws its noise from `seed` + i.
    pub seed: u64,
    /// Draw the truth's own edges into the hole, as a person would who knows what was there.
    pub draw_true_edges: bool,
    /// What leads the texture; others than its own structure go with few-step samplers.
    pub leader: Leader,
}

impl Protocol {
    /// The measurement once more, number `number`, with noise of its own: from `number` · 2³² on.
    pub fn repetition(number: u64) -> Self {
        Self {
            seed: number << 32,
            ..Self::default()
        }
    }
}

/// Called with the pictures of a batch and each event of their sampling.
pub type Watch<'a> = dyn FnMut(&[Case], &Event) -> ControlFlow<()> + 'a;

/// Fills every picture and compares it with the truth.
///
/// # Errors
/// As [`SeededBatch::sample`]; and if another structure than its own shall lead the paper's procedure.
pub fn measure(
    model: &Model,
    sampler: &Sampler,
    cases: &[Case],
    protocol: Protocol,
    watch: &mut Watch,
) -> Result<Measured> {
    let mut sums = Measured::default();
    let start = Instant::now();
    let mut batches = 0;
    for (number, batch) in cases.chunks(BATCH).enumerate() {
        let mut seeded = prepared(model, batch, number, protocol)?;
        let on_event = &mut |event: &Event| watch(batch, event);
        let given = match protocol.leader {
            Leader::Own => None,
            Leader::Truth => Some(true_structures(batch, model)?),
            Leader::None => Some(batch_luma(seeded.conditions().texture.clone())),
        };
        let sampled = match &given {
            None => seeded.sample(sampler, on_event)?,
            Some(structure) => seeded.sample_led_by(structure, sampler, on_event)?,
        };
        for quality in scores(batch, &sampled.composite(seeded.conditions()))? {
            sums.add(quality);
        }
        batches += 1;
        sums.evaluations.texture += sampled.evaluations.texture;
        sums.evaluations.structure += sampled.evaluations.structure;
        sums.evaluations.discriminator += sampled.evaluations.discriminator;
    }
    let count = cases.len() as f64;
    let each = |total: usize| total.div_ceil(batches.max(1));
    Ok(Measured {
        pictures: cases.len(),
        psnr: sums.psnr / count,
        ssim: sums.ssim / count,
        seconds: start.elapsed().as_secs_f64() / count,
        evaluations: Evaluations {
            texture: each(sums.evaluations.texture),
            structure: each(sums.evaluations.structure),
            discriminator: each(sums.evaluations.discriminator),
        },
    })
}

/// Samples every picture's structure alone, and compares it with the truth's grayscale; nothing is
/// counted or timed.
///
/// # Errors
/// As [`SeededBatch::sample_structure`].
pub fn measure_structure(
    model: &Model,
    sampler: &FastSampler,
    cases: &[Case],
    protocol: Protocol,
) -> Result<Measured> {
    let mut sums = Measured::default();
    for (number, batch) in cases.chunks(BATCH).enumerate() {
        let sampled = prepared(model, batch, number, protocol)?.sample_structure(sampler)?;
        let (truths, values) = (true_structures(batch, model)?, host_values(sampled));
        let truths = host_values(truths);
        let area = values.len() / batch.len();
        for (case, at) in batch.iter().zip((0..values.len()).step_by(area)) {
            let one = at..at + area;
            sums.add(score(case, &truths[one.clone()], &values[one])?);
        }
    }
    let count = cases.len() as f64;
    Ok(Measured {
        pictures: cases.len(),
        psnr: sums.psnr / count,
        ssim: sums.ssim / count,
        ..sums
    })
}

impl Measured {
    fn add(&mut self, (psnr, ssim): (f64, f64)) {
        self.psnr += psnr;
        self.ssim += ssim;
    }
}

/// Conditions and noise of a batch.
pub(super) fn prepared<'a>(
    model: &'a Model,
    batch: &[Case],
    number: usize,
    protocol: Protocol,
) -> Result<SeededBatch<'a>> {
    let tasks = batch
        .iter()
        .map(|case| task(case, model, protocol))
        .collect::<Result<Vec<_>>>()?;
    let first = protocol.seed + (number * BATCH) as u64;
    let seeds: Vec<u64> = (first..first + batch.len() as u64).collect();
    SeededBatch::new(model, &tasks, &model.config.edges, &seeds)
}

/// The truths, `[b, 3, h, w]`.
pub(super) fn truths(batch: &[Case], model: &Model) -> Tensor<4> {
    let each = batch.iter().map(|case| {
        let (width, height) = (case.truth.width(), case.truth.height());
        let data = TensorData::new(case.truth.data().to_vec(), [1, 3, height, width]);
        Tensor::from_data(data, &model.device)
    });
    Tensor::cat(each.collect(), 0)
}

/// The truths' grayscale, `[b, 1, h, w]`.
pub(super) fn true_structures(batch: &[Case], model: &Model) -> Result<Tensor<4>> {
    let truths = batch.iter().map(|case| {
        let (width, height) = (case.truth.width(), case.truth.height());
        let values = rgb_to_gray(&case.truth)?.to_float_image().into_vec();
        let data = TensorData::new(values, [1, 1, height, width]);
        Ok(Tensor::from_data(data, &model.device))
    });
    Ok(Tensor::cat(truths.collect::<Result<_>>()?, 0))
}

fn task(case: &Case, model: &Model, protocol: Protocol) -> Result<Task> {
    let drawn_edges = match protocol.draw_true_edges {
        false => None,
        true => {
            let (width, height) = (case.truth.width(), case.truth.height());
            let gray = rgb_to_gray(&case.truth)?;
            let edges = model.config.edges.canny.edges(&gray, None)?;
            let edges = edges.into_iter().map(f32::from).collect();
            Some(FloatImage::from_vec(1, width, height, edges)?)
        }
    };
    Ok(Task {
        image: case.truth.clone(),
        mask: case.mask.clone(),
        drawn_edges,
    })
}

/// PSNR and SSIM in each case's hole of the fills `[b, 3, h, w]`.
pub(super) fn scores(batch: &[Case], filled: &Tensor<4>) -> Result<Vec<(f64, f64)>> {
    let values = host_values(filled.clone());
    let each = values.chunks(values.len() / batch.len());
    let pairs = batch.iter().zip(each);
    pairs
        .map(|(case, values)| score(case, case.truth.data(), values))
        .collect()
}

/// PSNR and SSIM in the case's hole of planar values, rounded to the 8 bits of a picture file.
fn score(case: &Case, truth: &[f32], values: &[f32]) -> Result<(f64, f64)> {
    let (width, height) = (case.truth.width(), case.truth.height());
    let channels = truth.len() / (width * height);
    if !values.iter().all(|value| value.is_finite()) {
        return Err(Error::Config(
            "the model's output holds values that are no numbers".into(),
        ));
    }
    let rounded = |v: &f32| (v.clamp(0.0, 1.0) * 255.0).round() / 255.0;
    let result: Vec<f32> = values.iter().map(rounded).collect();
    let keep: Vec<f32> = case.mask.keep().iter().map(|&k| f32::from(k)).collect();
    let truth = Planes::new(truth, channels, height, width)?;
    let result = Planes::new(&result, channels, height, width)?;
    // A perfect hole counts as 60 dB, so that the mean stays finite.
    let psnr = finite_psnr(psnr_hole(&truth, &result, &keep)?);
    Ok((
        psnr,
        ssim(&truth, &result, Some(&keep))?.hole.unwrap_or(1.0),
    ))
}
