//! Filling and scoring what is not finished yet.

use super::error::write_file;
use super::folder::sha256_hex;
use super::picture::open_mask;
use super::score::Scores;
use super::{
    EvaluationError, Fill, FillError, FillRequest, Filled, Mask, MaskSource, Metric, Pair, Pairing,
    Picture, Row, RunFolder, Scorer, Settings,
};
use crate::metrics::SlicedWasserstein;
use serde::Serialize;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

/// Makes a mask of width × height pixels from a seed; the reason where it cannot.
pub type MakeMask<'a> = dyn FnMut(u32, u32, u64) -> Result<Mask, String> + 'a;

/// A picture without scores, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// The pair's name.
    pub id: String,
    /// A one-line reason.
    pub reason: String,
}

/// Where an evaluation stands, after each picture.
#[derive(Debug)]
pub struct Progress<'a> {
    /// The picture that is done now.
    pub id: &'a str,
    /// Pictures that are done, with and without success.
    pub done: usize,
    /// Pictures in all.
    pub total: usize,
    /// Those of `done` that an earlier run had finished.
    pub resumed: usize,
    /// Expected time to the end: the remaining pictures times this run's mean; `None` before the
    /// first picture of this run.
    pub remaining: Option<Duration>,
}

/// What an evaluation ended with.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// All finished rows, in the pairs' order.
    pub rows: Vec<Row>,
    /// Pictures without scores; a later run tries them again.
    pub failures: Vec<Failure>,
    /// Rows that an earlier run had finished.
    pub resumed: usize,
    /// Whether the caller stopped before the last picture.
    pub stopped: bool,
}

/// Fills and scores every pair that the folder does not hold yet.
///
/// Each finished picture is on disk before the next begins. A pair whose picture cannot be read or
/// filled becomes a [`Failure`]. A finished pair is scored again from its saved picture, not filled
/// again, when LPIPS has become available since; one whose picture, mask or finished result has
/// changed is done again. `progress` is called after each pair and may stop the run.
///
/// # Errors
/// [`EvaluationError::Fill`] when the method cannot go on, [`EvaluationError::File`] when results
/// cannot be written.
pub fn evaluate(
    folder: &mut RunFolder,
    settings: &Settings,
    pairing: &Pairing,
    fill: &mut dyn Fill,
    scorer: &mut Scorer<'_>,
    make_mask: &mut MakeMask<'_>,
    progress: &mut dyn FnMut(&Progress<'_>) -> ControlFlow<()>,
) -> Result<Outcome, EvaluationError> {
    let start = Instant::now();
    let (mut resumed, mut stopped) = (0, false);
    let mut failures = Vec::new();
    for (index, pair) in pairing.pairs.iter().enumerate() {
        // Before the picture is read: changed in between, it is done again next time.
        let origin = origin(pairing, pair, fill);
        let is_current = |row: &Row| match (&row.origin, &origin) {
            // Recorded before rows told their origin, by a method that the settings describe.
            (None, _) => fill.origin(&pair.id).is_none(),
            (before, now) => before == now,
        };
        let finished = folder.intact_row(&pair.id).cloned().filter(is_current);
        if finished.is_none() {
            folder.forget(&pair.id);
        }
        if finished
            .as_ref()
            .is_some_and(|row| is_complete(row, scorer))
        {
            resumed += 1;
        } else {
            let work = || -> Result<Row, EvaluationError> {
                let (truth, mask) = prepared_pair(pairing, pair, settings.size, make_mask)?;
                match finished {
                    Some(row) => rescore(folder, row, &truth, &mask, scorer),
                    None => fill_and_score(folder, settings, pair, &truth, &mask, fill, scorer),
                }
            };
            match work() {
                Ok(row) => folder.append(Row { origin, ..row })?,
                Err(EvaluationError::Cancelled) => {
                    stopped = true;
                    break;
                }
                Err(error) => failures.push(Failure {
                    id: pair.id.clone(),
                    reason: reason_to_go_on(error)?,
                }),
            }
        }
        let (done, total) = (index + 1, pairing.pairs.len());
        let fresh = done - resumed;
        let remaining = (fresh > 0).then(|| start.elapsed() / fresh as u32 * (total - done) as u32);
        let standing = Progress {
            id: &pair.id,
            done,
            total,
            resumed,
            remaining,
        };
        if progress(&standing).is_break() {
            stopped = done < total;
            break;
        }
    }
    Ok(Outcome {
        rows: folder.rows(pairing),
        failures,
        resumed,
        stopped,
    })
}

/// Writes `pairs.csv`, `inputs/ID.png` and `masks/ID.png` (white = hole): exactly the pictures that
/// the evaluation scores, for methods that run elsewhere.
///
/// # Errors
/// When a picture cannot be read, a mask cannot be made, or a file cannot be written.
pub fn write_inputs(
    folder: &Path,
    settings: &Settings,
    pairing: &Pairing,
    make_mask: &mut MakeMask<'_>,
) -> Result<(), EvaluationError> {
    for folder in ["inputs", "masks"].map(|name| folder.join(name)) {
        std::fs::create_dir_all(&folder).map_err(EvaluationError::file("create", &folder))?;
    }
    write_file(&folder.join("pairs.csv"), pairing.to_csv().as_bytes())?;
    for pair in &pairing.pairs {
        let (truth, mask) = prepared_pair(pairing, pair, settings.size, make_mask)?;
        let name = format!("{}.png", pair.id);
        let file = folder.join("inputs").join(&name);
        write_file(&file, &truth.png()?)?;
        mask.save(folder.join("masks").join(&name))?;
    }
    Ok(())
}

/// A pair's picture and mask as an evaluation scores them.
///
/// # Errors
/// When the picture cannot be read, or the mask cannot be made.
pub fn prepared_pair(
    pairing: &Pairing,
    pair: &Pair,
    size: Option<u32>,
    make_mask: &mut MakeMask<'_>,
) -> Result<(Picture, Mask), EvaluationError> {
    let truth = Picture::open(&pairing.images.join(&pair.image))?.prepared(size);
    let mask = prepare_mask(pairing, pair, &truth, make_mask)?;
    Ok((truth, mask))
}

/// What a pair's row depends on beside the settings: SHA-256 over the files of picture and mask and
/// the method's own [`Fill::origin`]; `None` where a file cannot be read.
fn origin(pairing: &Pairing, pair: &Pair, fill: &dyn Fill) -> Option<String> {
    let hash = |file: &Path| std::fs::read(file).ok().map(|bytes| sha256_hex(&bytes));
    let mut all = hash(&pairing.images.join(&pair.image))?;
    if let (MaskSource::File(file), Some(folder)) = (&pair.mask, &pairing.masks) {
        all += &hash(&folder.join(file))?;
    }
    all += &fill.origin(&pair.id).unwrap_or_default();
    Some(sha256_hex(all.as_bytes()))
}

fn is_complete(row: &Row, scorer: &Scorer<'_>) -> bool {
    let lpips_possible = scorer.lpips.is_some() && scorer.metrics.contains(&Metric::Lpips);
    row.lpips.is_some() || !lpips_possible
}

/// The reason of an error that concerns one picture only; other errors end the run.
fn reason_to_go_on(error: EvaluationError) -> Result<String, EvaluationError> {
    match error {
        EvaluationError::Score { reason, .. } => Ok(reason),
        EvaluationError::Picture(_) => Ok(error.to_string()),
        _ => Err(error),
    }
}

fn prepare_mask(
    pairing: &Pairing,
    pair: &Pair,
    truth: &Picture,
    make_mask: &mut MakeMask<'_>,
) -> Result<Mask, EvaluationError> {
    let (width, height) = (truth.width(), truth.height());
    match (&pair.mask, &pairing.masks) {
        (MaskSource::File(file), Some(folder)) => {
            let mask = open_mask(&folder.join(file))?;
            Ok(mask.fit_to(width as usize, height as usize)?)
        }
        _ => {
            let made = make_mask(width, height, pair.seed).and_then(|mask| {
                let fits = (mask.width(), mask.height()) == (width as usize, height as usize);
                let wrong = || format!("the generated mask is not {width}×{height}");
                if fits { Ok(mask) } else { Err(wrong()) }
            });
            made.map_err(|reason| EvaluationError::Fill {
                id: pair.id.clone(),
                reason: format!("no mask: {reason}"),
            })
        }
    }
}

fn fill_and_score(
    folder: &RunFolder,
    settings: &Settings,
    pair: &Pair,
    truth: &Picture,
    mask: &Mask,
    fill: &mut dyn Fill,
    scorer: &mut Scorer<'_>,
) -> Result<Row, EvaluationError> {
    let request = FillRequest {
        id: &pair.id,
        masked: &truth.masked(mask),
        truth,
        mask,
        seed: pair.seed,
    };
    let filled = fill.fill(&request).map_err(|error| match error {
        FillError::Picture(reason) => EvaluationError::Score {
            id: pair.id.clone(),
            reason,
        },
        FillError::Cancelled => EvaluationError::Cancelled,
        FillError::Stop(reason) => EvaluationError::Fill {
            id: pair.id.clone(),
            reason,
        },
    })?;
    check_size(&pair.id, truth, &filled.picture)?;
    let scores = scorer.score(&pair.id, truth, &filled.picture, mask)?;
    let result_sha256 = folder.save_result(&pair.id, &filled.picture, mask)?;
    let hole_ratio = mask.hole_fraction();
    let Filled {
        seconds,
        network_evaluations,
        ..
    } = filled;
    let row = Row {
        id: pair.id.clone(),
        image: pair.image.clone(),
        mask: match &pair.mask {
            MaskSource::File(file) => file.clone(),
            MaskSource::Generated => "generated".to_owned(),
        },
        width: truth.width(),
        height: truth.height(),
        hole_ratio,
        bucket: settings.buckets.find(hole_ratio).map(|b| b.to_string()),
        psnr: None,
        ssim: None,
        psnr_hole: None,
        ssim_hole: None,
        ms_ssim: None,
        swd: None,
        swd_0: None,
        swd_1: None,
        swd_2: None,
        swd_3: None,
        swd_low: None,
        gradient_energy: None,
        gradient_spread: None,
        lpips: None,
        seconds,
        network_evaluations,
        result_sha256,
        origin: None,
    };
    Ok(with_scores(row, scores))
}

fn rescore(
    folder: &RunFolder,
    row: Row,
    truth: &Picture,
    mask: &Mask,
    scorer: &mut Scorer<'_>,
) -> Result<Row, EvaluationError> {
    let result = folder.result(&row.id)?;
    check_size(&row.id, truth, &result)?;
    let scores = scorer.score(&row.id, truth, &result, mask)?;
    Ok(with_scores(row, scores))
}

fn with_scores(row: Row, scores: Scores) -> Row {
    let band = |i: usize| scores.swd.as_ref()?.bands.get(i).copied();
    Row {
        psnr: scores.psnr,
        ssim: scores.ssim,
        psnr_hole: scores.psnr_hole,
        ssim_hole: scores.ssim_hole,
        ms_ssim: scores.ms_ssim,
        swd: scores.swd.as_ref().map(SlicedWasserstein::mean),
        swd_0: band(0),
        swd_1: band(1),
        swd_2: band(2),
        swd_3: band(3),
        swd_low: scores.swd.as_ref().map(|swd| swd.low),
        gradient_energy: scores.gradient.map(|ratios| ratios.energy),
        gradient_spread: scores.gradient.map(|ratios| ratios.spread),
        lpips: scores.lpips,
        ..row
    }
}

fn check_size(id: &str, truth: &Picture, result: &Picture) -> Result<(), EvaluationError> {
    let size = |p: &Picture| (p.width(), p.height());
    if size(truth) == size(result) {
        return Ok(());
    }
    Err(EvaluationError::Score {
        id: id.to_owned(),
        reason: format!(
            "the result is {}×{}, the picture {}×{}; results need the evaluated size",
            result.width(),
            result.height(),
            truth.width(),
            truth.height()
        ),
    })
}
