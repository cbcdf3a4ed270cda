//! A folder of photographs: batched, resumable, and not stopped by one that is broken.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use serde_json::{Value, json};
use strdiffusion::picture::{Mask, Photo, check_output};
use strdiffusion::{Error, FillRequest};

use super::Inpaint;
use super::candidates::{Candidate, candidates};
use super::listing::{Listing, Masks, in_words};
use super::one::notes;
use super::output::Output;
use super::sources::{Source, is_standard};
use super::studio::{Report, Studio};
use crate::failure::{text_of, user_error};
use crate::interrupt::Interrupt;
use crate::progress::{Part, Reporter, merge};
use crate::terminal;

/// Fills every photograph of a folder that is not filled yet.
///
/// # Errors
/// If the folders are at fault, photographs failed (after the rest is done), or the user cancels.
pub fn run(args: &Inpaint, images: &Path, out: &Path) -> Result<()> {
    let start = Instant::now();
    let interrupt = Interrupt::that_ends_at_once()?;
    let reporter = Reporter::new(args.json);
    let (photos, masks) = look_around(args, images, out, &reporter)?;
    let mut run = Run {
        args,
        reporter: &reporter,
        interrupt: &interrupt,
        masks,
        total: photos.len(),
        done: 0,
        copied: 0,
        there: 0,
        failures: vec![],
    };
    let items = run.missing(photos, out)?;
    let mut device = None;
    if !items.is_empty() {
        let studio = Studio::open(args)?;
        device = Some(studio.device());
        run.fill_all(&studio, batches(&studio, items));
    }
    reporter.clear();
    let seconds = start.elapsed().as_secs_f64();
    let on = device.map_or_else(String::new, |device| format!(" on {device}"));
    run.sum_up(seconds, &on);
    run.into_result()
}

/// Finds the photographs and masks, and checks the folders before any work.
fn look_around(
    args: &Inpaint,
    images: &Path,
    out: &Path,
    reporter: &Reporter,
) -> Result<(Vec<PathBuf>, Option<Masks>)> {
    let listing = Listing::of(images)?;
    if listing.pictures.is_empty() {
        return Err(user_error(format!(
            "{}: there are no photographs in this folder; use PNG, JPEG, WebP, TIFF or BMP",
            images.display()
        )));
    }
    let same = |a: &Path, b: &Path| {
        let (a, b) = (a.canonicalize(), b.canonicalize());
        a.is_ok_and(|a| b.is_ok_and(|b| a == b))
    };
    if args.mask.as_deref().is_some_and(is_standard) {
        return Err(user_error(
            "--mask -: standard input can be read once; name a mask file",
        ));
    }
    if args.masks.as_ref().is_some_and(|masks| same(masks, images)) {
        return Err(user_error(
            "--masks and --images name one folder; keep the masks in another one",
        ));
    }
    let masks = args.masks.as_deref().map(Masks::of).transpose()?;
    if same(out, images) || args.masks.as_ref().is_some_and(|masks| same(out, masks)) {
        return Err(user_error(format!(
            "{}: the filled photographs need another folder than the photographs and the masks",
            out.display()
        )));
    }
    std::fs::create_dir_all(out).map_err(|error| {
        user_error(format!(
            "{}: this folder cannot be made ({error}); choose another place",
            out.display()
        ))
    })?;
    check_output(&out.join("photo.png"))?;
    if !listing.others.is_empty() {
        let files = in_words(&listing.others);
        reporter.note(&format!("{files}: no picture by its name, left alone"));
    }
    if !listing.no_files.is_empty() {
        let files = in_words(&listing.no_files);
        reporter.note(&format!("{files}: no regular file, left alone"));
    }
    if let Some(masks) = &masks {
        let lonely = masks.without(&listing.pictures);
        if !lonely.is_empty() {
            let files = in_words(&lonely);
            reporter.note(&format!("{files}: a mask without a photograph, left alone"));
        }
    }
    Ok((listing.pictures, masks))
}

/// A photograph with outputs to be made.
struct Item {
    path: PathBuf,
    wanted: Vec<Candidate>,
}

/// Photographs that are opened at once, and how many fills of them run together.
struct Batch {
    items: Vec<Item>,
    at_once: usize,
}

impl Batch {
    fn fills(&self) -> usize {
        self.items.iter().map(|item| item.wanted.len()).sum()
    }

    fn parts(&self) -> usize {
        self.fills().div_ceil(self.at_once)
    }
}

/// Photographs that the networks see at one size come together, as many as fit.
fn batches(studio: &Studio, items: Vec<Item>) -> Vec<Batch> {
    let mut groups: Vec<(Option<[usize; 2]>, Vec<Batch>)> = vec![];
    for item in items {
        // What is wrong with an unreadable file is said when it is opened.
        let size = Photo::size_of_file(&item.path).unwrap_or([0, 0]);
        let key = studio.batch_key(size);
        let at_once = studio.at_once(size[0] * size[1]);
        let batches = match groups.iter_mut().find(|(other, _)| *other == key) {
            Some((_, batches)) => batches,
            None => {
                groups.push((key, vec![]));
                &mut groups.last_mut().expect("it was just pushed").1
            }
        };
        match batches.last_mut() {
            Some(batch) if batch.fills() + item.wanted.len() <= batch.at_once.min(at_once) => {
                batch.at_once = batch.at_once.min(at_once);
                batch.items.push(item);
            }
            _ => batches.push(Batch {
                items: vec![item],
                at_once,
            }),
        }
    }
    groups
        .into_iter()
        .flat_map(|(_, batches)| batches)
        .collect()
}

/// A photograph in memory, until its last candidate takes it.
struct Opened {
    item: Item,
    source: Option<(Photo, Mask)>,
    left: usize,
}

impl Opened {
    fn take(&mut self) -> Option<(Photo, Mask)> {
        self.left = self.left.saturating_sub(1);
        match self.left {
            0 => self.source.take(),
            _ => self.source.clone(),
        }
    }
}

struct Run<'a> {
    args: &'a Inpaint,
    reporter: &'a Reporter,
    interrupt: &'a Interrupt,
    masks: Option<Masks>,
    /// Photographs in all.
    total: usize,
    /// Photographs whose outputs were written, all of them filled.
    done: usize,
    /// Photographs without a hole, which were written as they are.
    copied: usize,
    /// Photographs whose outputs were there already.
    there: usize,
    /// Photographs that failed, each with its reason.
    failures: Vec<(PathBuf, String)>,
}

impl Run<'_> {
    /// The photographs whose outputs are not all there.
    fn missing(&mut self, photos: Vec<PathBuf>, out: &Path) -> Result<Vec<Item>> {
        let mut items = vec![];
        for path in photos {
            let output = out.join(path.file_name().unwrap_or_default());
            let mut wanted = candidates(&output, self.args.seed, self.args.candidates)?;
            wanted.retain(|candidate| !candidate.output.is_file());
            if wanted.is_empty() {
                self.there += 1;
            } else {
                items.push(Item { path, wanted });
            }
        }
        Ok(items)
    }

    fn fill_all(&mut self, studio: &Studio, batches: Vec<Batch>) {
        let parts: usize = batches.iter().map(Batch::parts).sum();
        let mut part = 0;
        for batch in batches {
            if self.interrupt.is_asked() {
                return;
            }
            let number = part;
            part += batch.parts();
            self.fill_batch(studio, batch, [number, parts]);
        }
    }

    fn fill_batch(&mut self, studio: &Studio, batch: Batch, [first, parts]: [usize; 2]) {
        let start = Instant::now();
        let at_once = batch.at_once;
        let mut opened = vec![];
        for item in batch.items {
            match self.open(&item) {
                Ok(Some(source)) => opened.push(Opened {
                    left: item.wanted.len(),
                    source: Some(source),
                    item,
                }),
                Ok(None) => self.copied += 1,
                Err(error) => self.fail(&item.path, text_of(&error)),
            }
        }
        let fills: Vec<(usize, Candidate)> = (opened.iter().enumerate())
            .flat_map(|(which, opened)| {
                let wanted = opened.item.wanted.iter();
                wanted.map(move |candidate| (which, candidate.clone()))
            })
            .collect();
        let mut written = vec![0; opened.len()];
        for (number, fills) in fills.chunks(at_once).enumerate() {
            let requests: Vec<FillRequest> = fills
                .iter()
                .filter_map(|(which, candidate)| {
                    let (photo, mask) = opened[*which].take()?;
                    Some(FillRequest {
                        photo,
                        mask,
                        options: studio.options(candidate.seed),
                    })
                })
                .collect();
            let shown = Part {
                number: first + number,
                count: parts,
                text: self.in_words(opened.len()),
            };
            // The bar follows the photograph with the most regions.
            let mut longest = 0;
            let results = studio
                .inpainter
                .fill_batch(&requests, &mut |which, progress| {
                    let (photo, candidate) = &fills[which];
                    longest = longest.max(progress.regions);
                    if self.args.json || progress.regions == longest {
                        let tags = self.tags(&opened[*photo].item.path, candidate);
                        self.reporter.show(progress, &shown, &tags);
                    }
                    match self.interrupt.is_asked() {
                        true => ControlFlow::Break(()),
                        false => ControlFlow::Continue(()),
                    }
                });
            for ((result, request), (which, candidate)) in
                results.into_iter().zip(requests).zip(fills)
            {
                let path = &opened[*which].item.path;
                let saved = result.map_err(anyhow::Error::from).and_then(|filled| {
                    let save = || {
                        let output = Output::new(self.args, &candidate.output)?;
                        studio.save(&filled, &request.options, &output)
                    };
                    self.interrupt.while_writing(save)?;
                    self.say(
                        path,
                        candidate,
                        &filled.photo,
                        Some((studio, &filled)),
                        start,
                    );
                    Ok(())
                });
                match saved {
                    Ok(()) => written[*which] += 1,
                    Err(error) if matches!(error.downcast_ref(), Some(Error::Cancelled)) => {}
                    // Said once, however many of its candidates fail.
                    Err(_) if self.failures.last().is_some_and(|(last, _)| last == path) => {}
                    Err(error) => self.fail(path, text_of(&error)),
                }
            }
            if self.interrupt.is_asked() {
                break;
            }
        }
        let is_done = |(opened, written): (&Opened, usize)| opened.item.wanted.len() == written;
        self.done += opened
            .iter()
            .zip(written)
            .filter(|pair| is_done(*pair))
            .count();
    }

    /// A photograph and its hole; none where there is no hole and the outputs are written.
    fn open(&self, item: &Item) -> Result<Option<(Photo, Mask)>> {
        let outputs: Vec<Output> = self.interrupt.while_writing(|| {
            let outputs = item
                .wanted
                .iter()
                .map(|candidate| Output::new(self.args, &candidate.output));
            outputs.collect::<Result<_>>()
        })?;
        let photo = self.args.limits.open(&item.path)?;
        let mask = match (&self.masks, &self.args.mask) {
            (Some(masks), _) => masks.of_photo(&item.path)?,
            (None, one) => one.as_deref(),
        };
        let source = Source {
            photo: &item.path,
            mask,
            hole: self.args.hole,
            fit_mask: self.args.fit_mask,
            limits: &self.args.limits,
            reporter: self.reporter,
        };
        let hole = match mask {
            Some(_) => source.read_mask(&photo)?,
            None => self.read_transparency(&source, &photo)?,
        };
        outputs[0].check(&photo, Some(&hole))?;
        for note in notes(&photo, &outputs[0]) {
            self.reporter.note(&note);
        }
        if !hole.is_empty() {
            return Ok(Some((photo, hole)));
        }
        self.reporter.note(&source.why_empty());
        for (candidate, output) in item.wanted.iter().zip(&outputs) {
            self.interrupt.while_writing(|| output.write(&photo, &[]))?;
            self.say(&item.path, candidate, &photo, None, Instant::now());
        }
        Ok(None)
    }

    fn read_transparency(&self, source: &Source, photo: &Photo) -> Result<Mask> {
        if Mask::from_alpha(photo).is_ok_and(|mask| !mask.is_empty()) {
            return source.read_mask(photo);
        }
        let path = source.photo;
        Err(user_error(match &self.args.masks {
            None => format!(
                "{}: no pixel is transparent; name a folder of masks with --masks, or one mask for \
                 all with --mask",
                path.display()
            ),
            Some(masks) => format!(
                "{}: it has no mask {}.* and no transparent pixels",
                path.display(),
                masks.join(path.file_stem().unwrap_or_default()).display()
            ),
        }))
    }

    fn in_words(&self, photos: usize) -> String {
        let before = self.done + self.copied + self.there + self.failures.len();
        match photos {
            1 => format!("photo {} of {}", before + 1, self.total),
            _ => format!(
                "photos {} to {} of {}",
                before + 1,
                before + photos,
                self.total
            ),
        }
    }

    fn say(
        &self,
        input: &Path,
        candidate: &Candidate,
        photo: &Photo,
        filled: Option<(&Studio, &strdiffusion::Filled)>,
        start: Instant,
    ) {
        let report = Report {
            output: &candidate.output,
            seed: candidate.seed,
            size: [photo.width(), photo.height()],
            filled,
            start,
        };
        let mut line = report.to_json();
        merge(&mut line, &self.tags(input, candidate));
        self.reporter.say(&report.to_text(), line);
    }

    /// What a program is told of the photograph that a line is about.
    fn tags(&self, input: &Path, candidate: &Candidate) -> Value {
        match self.args.candidates {
            1 => json!({"input": input.display().to_string()}),
            _ => json!({
                "input": input.display().to_string(),
                "candidate": candidate.number,
            }),
        }
    }

    fn fail(&mut self, path: &Path, reason: String) {
        let name = path.display().to_string();
        if self.args.json {
            terminal::say(json!({"event": "failed", "input": name, "error": reason}));
        }
        self.failures.push((path.to_path_buf(), reason));
    }

    /// Says what became of the photographs.
    fn sum_up(&self, seconds: f64, on: &str) {
        if self.args.json {
            let failures = self.failures.iter().map(
                |(path, reason)| json!({"input": path.display().to_string(), "error": reason}),
            );
            terminal::say(json!({
                "event": "summary",
                "photos": self.total,
                "filled": self.done,
                "copied": self.copied,
                "there_already": self.there,
                "failed": self.failures.len(),
                "failures": failures.collect::<Vec<_>>(),
                "cancelled": self.interrupt.is_asked() && self.unfinished() > 0,
                "seconds": seconds,
            }));
            return;
        }
        for (path, reason) in &self.failures {
            // Most reasons begin with the file that is at fault.
            let name = path.display().to_string();
            match reason.contains(&name) {
                true => terminal::failure(reason),
                false => terminal::failure(format!("{name}: {reason}")),
            }
        }
        let mut text = format!(
            "{} of {} photographs filled in {seconds:.1} s{on}",
            self.done, self.total
        );
        if self.copied > 0 {
            text += &format!(", {} without a hole were copied", self.copied);
        }
        if self.there > 0 {
            text += &format!(", {} were there already", self.there);
        }
        if !self.failures.is_empty() {
            text += &format!(", {} failed", self.failures.len());
        }
        terminal::say(text);
    }

    /// Photographs that have not been dealt with.
    fn unfinished(&self) -> usize {
        self.total - self.done - self.copied - self.there - self.failures.len()
    }

    fn into_result(self) -> Result<()> {
        if self.unfinished() > 0 {
            return Err(Error::Cancelled).context(format!(
                "{} of {} photographs are not filled yet; the same command again goes on from here",
                self.unfinished(),
                self.total
            ));
        }
        match self.failures.len() {
            0 => Ok(()),
            failed => Err(anyhow!(
                "{failed} of {} photographs failed; put them right and run the same command again, \
                 which does only what is missing",
                self.total
            )),
        }
    }
}
