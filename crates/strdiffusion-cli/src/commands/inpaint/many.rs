//! Many photographs: batched, resumable, and not stopped by one that is broken.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use serde_json::{Value, json};
use strdiffusion::picture::{Mask, Photo, PictureError};
use strdiffusion::{Error, FillRequest, Filled};

use super::Inpaint;
use super::candidates::Candidate;
use super::one::notes;
use super::output::Output;
use super::results::Results;
use super::sources::Source;
use super::studio::{Report, Studio};
use super::wishes::{WishFiles, Wishes};
use crate::failure::{text_of, user_error};
use crate::interrupt::Interrupt;
use crate::progress::{Part, Reporter, merge};
use crate::terminal;

/// What is asked for one photograph, or why that cannot be told.
pub struct Row {
    /// What it is called in messages.
    pub name: String,
    pub item: Result<Item>,
}

/// A photograph with outputs to be made.
pub struct Item {
    pub path: PathBuf,
    pub hole: HoleFrom,
    /// Bright lines are the edges that the hole shall have.
    pub drawing: Option<PathBuf>,
    /// White is what detail is not copied from.
    pub avoid: Option<PathBuf>,
    pub wanted: Vec<Candidate>,
}

/// Where a photograph's hole comes from.
pub enum HoleFrom {
    /// A mask's file.
    Mask(PathBuf),
    /// Its transparent pixels; where it should have had a mask, the name of that without extension.
    Transparency(Option<PathBuf>),
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
        let size = studio.extended(size);
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
    wishes: Wishes,
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

/// A run over many photographs.
pub struct Run<'a> {
    args: &'a Inpaint,
    reporter: &'a Reporter,
    interrupt: Interrupt,
    /// Where it is written what became of them, if that is wanted.
    results: Option<Results>,
    start: Instant,
    /// Photographs in all, if that is known before the end.
    total: Option<usize>,
    /// Photographs so far.
    taken: usize,
    /// Photographs whose outputs were written, all of them filled.
    done: usize,
    /// Photographs without a hole, which were written as they are.
    copied: usize,
    /// Photographs whose outputs were there already.
    there: usize,
    /// Photographs that failed.
    failed: usize,
    /// Each with its reason, where they are told at the end.
    failures: Vec<(String, String)>,
    /// What ends the run at once.
    fatal: Option<anyhow::Error>,
}

impl<'a> Run<'a> {
    /// A run over no photograph yet.
    ///
    /// # Errors
    /// If the file of results cannot be used.
    pub fn new(args: &'a Inpaint, reporter: &'a Reporter) -> Result<Self> {
        args.borders.options()?;
        let interrupt = Interrupt::that_ends_at_once()?;
        let results = args.results.as_deref();
        let results = results.map(|folder| Results::open(folder, args.shard, reporter));
        Ok(Self {
            args,
            reporter,
            interrupt,
            results: results.transpose()?,
            start: Instant::now(),
            total: None,
            taken: 0,
            done: 0,
            copied: 0,
            there: 0,
            failed: 0,
            failures: vec![],
            fatal: None,
        })
    }

    /// Fills what is not filled yet, looking at `window` such photographs at a time, and says what
    /// became of all. Where there is a `total`, failures are told at the end, else as they come.
    ///
    /// # Errors
    /// If there is no model, photographs failed (after the rest is done), a disk is full, or the
    /// user cancels.
    pub fn fill(
        mut self,
        mut rows: impl Iterator<Item = Row>,
        total: Option<usize>,
        window: usize,
    ) -> Result<()> {
        self.total = total;
        self.record(&json!({"event": "started"}));
        let mut studio = None;
        loop {
            let items = self.next_missing(&mut rows, window);
            if items.is_empty() || self.is_over() {
                break;
            }
            let studio = match &studio {
                Some(studio) => studio,
                None => studio.insert(Studio::open(self.args)?),
            };
            self.fill_all(studio, batches(studio, items));
        }
        if !self.is_over() {
            self.record(&json!({"event": "finished", "photos": self.taken}));
        }
        self.reporter.clear();
        let on = studio.map_or_else(String::new, |studio| format!(" on {}", studio.device()));
        self.sum_up(&on);
        self.into_result()
    }

    fn is_over(&self) -> bool {
        self.interrupt.is_asked() || self.fatal.is_some()
    }

    /// The next photographs whose outputs are not all there, at most so many.
    fn next_missing(&mut self, rows: &mut impl Iterator<Item = Row>, window: usize) -> Vec<Item> {
        let mut items = vec![];
        while items.len() < window
            && !self.is_over()
            && let Some(Row { name, item }) = rows.next()
        {
            self.taken += 1;
            match item.and_then(|item| check_overwrites_no_input(&item).map(|()| item)) {
                Ok(mut item) => {
                    let (there, wanted) = (item.wanted.drain(..))
                        .partition(|candidate: &Candidate| candidate.output.is_file());
                    item.wanted = wanted;
                    self.find_there(&item, &there);
                    if !item.wanted.is_empty() {
                        items.push(item);
                    }
                }
                Err(error) => self.fail(&name, None, text_of(&error)),
            }
        }
        items
    }

    /// Counts a photograph whose outputs are there, and records those that no run told of: it was
    /// killed before it could, or wrote no results.
    fn find_there(&mut self, item: &Item, there: &[Candidate]) {
        self.there += usize::from(item.wanted.is_empty());
        for Candidate { output, .. } in there {
            if self
                .results
                .as_ref()
                .is_some_and(|results| !results.tells_of(output))
            {
                self.record(&json!({
                    "event": "there_already",
                    "input": item.path.display().to_string(),
                    "output": output.display().to_string(),
                }));
            }
        }
    }

    fn record(&mut self, line: &Value) {
        if let Some(results) = &mut self.results
            && let Err(error) = results.add(line)
        {
            self.fatal.get_or_insert(error);
        }
    }

    fn fill_all(&mut self, studio: &Studio, batches: Vec<Batch>) {
        let parts: usize = batches.iter().map(Batch::parts).sum();
        let mut part = 0;
        for batch in batches {
            if self.is_over() {
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
                Ok(Some((source, wishes))) => opened.push(Opened {
                    left: item.wanted.len(),
                    source: Some(source),
                    wishes,
                    item,
                }),
                Ok(None) => self.copied += 1,
                Err(error) => self.fail_item(&item, error),
            }
        }
        let fills: Vec<(usize, Candidate)> = (opened.iter().enumerate())
            .flat_map(|(which, opened)| {
                let wanted = opened.item.wanted.iter();
                wanted.map(move |candidate| (which, candidate.clone()))
            })
            .collect();
        let mut written = vec![0; opened.len()];
        let mut failed = vec![false; opened.len()];
        for (number, fills) in fills.chunks(at_once).enumerate() {
            let shown = Part {
                number: first + number,
                count: parts,
                text: self.in_words(opened.len()),
            };
            let requests = requests(studio, &mut opened, fills);
            let results = self.fill_requests(studio, &requests, &opened, fills, &shown);
            for ((result, request), (which, candidate)) in
                results.into_iter().zip(requests).zip(fills)
            {
                let item = &opened[*which].item;
                let saved = result.map_err(anyhow::Error::from).and_then(|filled| {
                    let save = || {
                        let output = Output::new(self.args, &candidate.output)?;
                        studio.save(&filled, &request.options, &output)
                    };
                    self.interrupt.while_writing(save)?;
                    Ok(filled)
                });
                match saved {
                    Ok(filled) => {
                        written[*which] += 1;
                        let by = Some((studio, &filled));
                        self.say(&item.path, candidate, &filled.photo, by, start);
                    }
                    Err(error) if matches!(error.downcast_ref(), Some(Error::Cancelled)) => {}
                    // Said once, however many of its candidates fail.
                    Err(_) if failed[*which] => {}
                    Err(error) => {
                        failed[*which] = true;
                        self.fail_item(item, error);
                    }
                }
            }
            if self.is_over() {
                break;
            }
        }
        let is_done = |(opened, written): (&Opened, usize)| opened.item.wanted.len() == written;
        let pairs = opened.iter().zip(written);
        self.done += pairs.filter(|pair| is_done(*pair)).count();
    }

    /// Fills a batch, showing what happens.
    fn fill_requests(
        &self,
        studio: &Studio,
        requests: &[FillRequest],
        opened: &[Opened],
        fills: &[(usize, Candidate)],
        shown: &Part,
    ) -> Vec<strdiffusion::Result<Filled>> {
        // The bar follows the photograph with the most regions.
        let mut longest = 0;
        let mut on_progress = |which: usize, progress: &strdiffusion::Progress| {
            let (photo, candidate) = &fills[which];
            longest = longest.max(progress.regions);
            if self.args.json || progress.regions == longest {
                let tags = self.tags(&opened[*photo].item.path, candidate);
                self.reporter.show(progress, shown, &tags);
            }
            self.interrupt.flow()
        };
        studio.inpainter.fill_batch(requests, &mut on_progress)
    }

    /// A photograph, its hole and what is wished; none where there is no hole and the outputs are
    /// written.
    fn open(&mut self, item: &Item) -> Result<Option<((Photo, Mask), Wishes)>> {
        let photo = self.args.limits.open(&item.path)?;
        let source = Source {
            photo: &item.path,
            mask: match &item.hole {
                HoleFrom::Mask(mask) => Some(mask),
                HoleFrom::Transparency(_) => None,
            },
            hole: self.args.hole,
            fit_mask: self.args.fit_mask,
            borders: self.args.borders.options()?,
            extend: self.args.extend,
            keeping: &self.args.keeping,
            limits: &self.args.limits,
            reporter: self.reporter,
        };
        if let HoleFrom::Transparency(missing) = &item.hole
            && source.margins(&photo)?.is_empty()
        {
            check_transparency(&photo, missing.as_deref())?;
        }
        let hole = source.read_mask(&photo)?;
        let margins = source.margins(&photo)?;
        let photo = source.prepare(photo)?;
        let files = WishFiles {
            drawing: item.drawing.as_deref(),
            avoid: item.avoid.as_deref(),
        };
        let wishes = Wishes::read(files, self.args, &source, &margins, &photo)?;
        let outputs: Vec<Output> = self.interrupt.while_writing(|| {
            let outputs = item.wanted.iter().map(|candidate| {
                make_folder_of(&candidate.output)?;
                Output::new(self.args, &candidate.output)
            });
            outputs.collect::<Result<_>>()
        })?;
        outputs[0].check(&photo, Some(&hole))?;
        for note in notes(&photo, &outputs[0]) {
            self.reporter.note(&note);
        }
        if !hole.is_empty() {
            return Ok(Some(((photo, hole), wishes)));
        }
        self.reporter.note(&source.why_empty());
        for (candidate, output) in item.wanted.iter().zip(&outputs) {
            self.interrupt.while_writing(|| output.write(&photo, &[]))?;
            self.say(&item.path, candidate, &photo, None, Instant::now());
        }
        Ok(None)
    }

    fn in_words(&self, photos: usize) -> String {
        let before = self.done + self.copied + self.there + self.failed;
        let of = self
            .total
            .map_or_else(String::new, |total| format!(" of {total}"));
        match photos {
            1 => format!("photo {}{of}", before + 1),
            _ => format!("photos {} to {}{of}", before + 1, before + photos),
        }
    }

    fn say(
        &mut self,
        input: &Path,
        candidate: &Candidate,
        photo: &Photo,
        filled: Option<(&Studio, &Filled)>,
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
        self.record(&line);
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

    fn fail_item(&mut self, item: &Item, error: anyhow::Error) {
        if is_disk_full(&error) {
            let advice =
                "make room and run the same command again, which does only what is missing";
            self.fatal
                .get_or_insert(anyhow!("{}; {advice}", text_of(&error)));
            return;
        }
        let output = item
            .wanted
            .first()
            .map(|candidate| candidate.output.as_path());
        self.fail(&item.path.display().to_string(), output, text_of(&error));
    }

    /// Tells that a photograph failed.
    fn fail(&mut self, name: &str, output: Option<&Path>, reason: String) {
        self.failed += 1;
        let mut line = json!({"event": "failed", "input": name, "error": reason});
        if let Some(output) = output {
            line["output"] = output.display().to_string().into();
        }
        self.record(&line);
        if self.args.json {
            terminal::say(line);
        }
        match self.total {
            // There may be too many to keep.
            None => self.reporter.fail(&failure(name, &reason)),
            Some(_) => self.failures.push((name.to_string(), reason)),
        }
    }

    /// Says what became of the photographs.
    fn sum_up(&self, on: &str) {
        let seconds = self.start.elapsed().as_secs_f64();
        let total = self.total.unwrap_or(self.taken);
        if self.args.json {
            let failures = (self.failures.iter())
                .map(|(name, reason)| json!({"input": name, "error": reason}));
            terminal::say(json!({
                "event": "summary",
                "photos": total,
                "filled": self.done,
                "copied": self.copied,
                "there_already": self.there,
                "failed": self.failed,
                "failures": failures.collect::<Vec<_>>(),
                "cancelled": self.is_over() && self.is_unfinished(),
                "seconds": seconds,
            }));
            return;
        }
        for (name, reason) in &self.failures {
            terminal::failure(failure(name, reason));
        }
        let mut text = format!(
            "{} of {total} photographs filled in {seconds:.1} s{on}",
            self.done
        );
        if self.copied > 0 {
            text += &format!(", {} without a hole were copied", self.copied);
        }
        if self.there > 0 {
            text += &format!(", {} were there already", self.there);
        }
        if self.failed > 0 {
            text += &format!(", {} failed", self.failed);
        }
        terminal::report(text);
    }

    /// Whether photographs have not been dealt with. Where there is no total the run was stopped
    /// before the end of the list was seen.
    fn is_unfinished(&self) -> bool {
        self.total.is_none_or(|total| self.dealt_with() < total)
    }

    fn dealt_with(&self) -> usize {
        self.done + self.copied + self.there + self.failed
    }

    fn into_result(self) -> Result<()> {
        if let Some(error) = self.fatal {
            return Err(error);
        }
        if self.interrupt.is_asked() && self.is_unfinished() {
            let what = match self.total {
                Some(total) => format!(
                    "{} of {total} photographs are not filled yet",
                    total - self.dealt_with()
                ),
                None => "the list is not done".into(),
            };
            return Err(Error::Cancelled)
                .context(format!("{what}; the same command again goes on from here"));
        }
        match self.failed {
            0 => Ok(()),
            failed => Err(anyhow!(
                "{failed} of {} photographs failed; put them right and run the same command again, \
                 which does only what is missing",
                self.taken
            )),
        }
    }
}

/// The requests of some fills, with the photographs that they are of.
fn requests(
    studio: &Studio,
    opened: &mut [Opened],
    fills: &[(usize, Candidate)],
) -> Vec<FillRequest> {
    let request = |(which, candidate): &(usize, Candidate)| {
        let (photo, mask) = opened[*which].take()?;
        Some(FillRequest {
            photo,
            mask,
            options: opened[*which]
                .wishes
                .added_to(studio.options(candidate.seed)),
        })
    };
    fills.iter().filter_map(request).collect()
}

/// Refuses a photograph without a mask that has no transparent pixels. `missing` is what a mask would
/// be called.
fn check_transparency(photo: &Photo, missing: Option<&Path>) -> Result<()> {
    if Mask::from_alpha(photo).is_ok_and(|mask| !mask.is_empty()) {
        return Ok(());
    }
    let path = photo.name();
    Err(user_error(match missing {
        None => format!(
            "{path}: no pixel is transparent; name a folder of masks with --masks, one mask for all \
             with --mask, or masks in a list"
        ),
        Some(mask) => format!(
            "{path}: it has no mask {}.* and no transparent pixels",
            mask.display()
        ),
    }))
}

/// No output may take the place of a file that it is made from.
fn check_overwrites_no_input(item: &Item) -> Result<()> {
    let mask = match &item.hole {
        HoleFrom::Mask(mask) => Some(mask),
        HoleFrom::Transparency(_) => None,
    };
    let (drawing, avoid) = (item.drawing.as_ref(), item.avoid.as_ref());
    let inputs = [Some(&item.path), mask, drawing, avoid];
    for Candidate { output, .. } in &item.wanted {
        let Ok(there) = output.canonicalize() else {
            continue;
        };
        let is_there = |input: &&PathBuf| input.canonicalize().is_ok_and(|input| input == there);
        if inputs.iter().flatten().any(is_there) {
            return Err(user_error(format!(
                "{}: the output would overwrite an input; choose another name",
                output.display()
            )));
        }
    }
    Ok(())
}

fn make_folder_of(output: &Path) -> Result<()> {
    let folder = output.parent().unwrap_or(Path::new(""));
    std::fs::create_dir_all(folder).map_err(|source| {
        let path = folder.to_path_buf();
        Error::Io { path, source }.into()
    })
}

/// Whether every other photograph would fail like this one.
fn is_disk_full(error: &anyhow::Error) -> bool {
    let is_full =
        |kind: ErrorKind| matches!(kind, ErrorKind::StorageFull | ErrorKind::QuotaExceeded);
    let of_picture = |error: &PictureError| match error {
        PictureError::Write { kind, .. } => kind.is_some_and(is_full),
        _ => false,
    };
    match error.downcast_ref() {
        Some(Error::Picture(error)) => of_picture(error),
        Some(Error::Io { source, .. }) => is_full(source.kind()),
        _ => error.downcast_ref().is_some_and(of_picture),
    }
}

/// A failure in one line; most reasons begin with the file that is at fault.
fn failure(name: &str, reason: &str) -> String {
    match reason.contains(name) {
        true => reason.to_string(),
        false => format!("{name}: {reason}"),
    }
}
