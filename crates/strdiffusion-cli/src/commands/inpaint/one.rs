//! One photograph, filled once or several times.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use strdiffusion::picture::{Mask, Photo};
use strdiffusion::{Error, FillOptions, FillRequest, Filled, Progress};

use super::Inpaint;
use super::candidates::{Candidate, candidates};
use super::output::Output;
use super::sources::{Source, is_standard};
use super::studio::{Report, Studio};
use super::wishes::{WishFiles, Wishes};
use crate::failure::user_error;
use crate::frames::Frames;
use crate::interrupt::Interrupt;
use crate::progress::{Part, Reporter, merge};

/// Fills the photograph.
///
/// # Errors
/// If an input is at fault, or the user cancels.
pub fn run(args: &Inpaint, photo_path: &Path, output: &Path) -> Result<()> {
    let start = Instant::now();
    let reporter = match is_standard(output) {
        true => Reporter::beside_picture(),
        false => Reporter::new(args.json),
    };

    // All that can be wrong with the files is said before time is spent on the networks. Until
    // then nothing is written, so that Ctrl-C may end the program wherever it is.
    let wanted = candidates(output, args.seed, args.candidates)?;
    check_standard(args, output)?;
    let mut outputs: Vec<Output> = (wanted.iter())
        .map(|candidate| Output::new(args, &candidate.output))
        .collect::<Result<_>>()?;
    for candidate in &wanted {
        check_overwrites_no_input(args, &candidate.output)?;
    }
    let photo = args.limits.open(photo_path)?;
    let source = Source {
        photo: photo_path,
        mask: args.mask.as_deref(),
        hole: args.hole,
        fit_mask: args.fit_mask,
        borders: args.borders.options()?,
        extend: args.extend,
        keeping: &args.keeping,
        limits: &args.limits,
        reporter: &reporter,
    };
    let mask = source.read_mask(&photo)?;
    let margins = source.margins(&photo)?;
    let photo = source.prepare(photo)?;
    tracing::info!(photo = %photo_path.display(), "photograph and mask read");
    let files = WishFiles {
        drawing: args.structure.as_deref(),
        avoid: args.avoid.as_deref(),
    };
    let wishes = Wishes::read(files, args, &source, &margins, &photo)?;
    for output in &mut outputs {
        output.settle_format(args, &photo)?;
    }
    outputs[0].check(&photo, Some(&mask))?;
    for note in notes(&photo, &outputs[0]) {
        reporter.note(&note);
    }
    let interrupt = Interrupt::that_ends_at_once()?;
    let work = Work {
        args,
        reporter: &reporter,
        interrupt: &interrupt,
        start,
        photo,
        mask,
        outputs,
        wishes,
    };
    if work.mask.is_empty() {
        reporter.note(&source.why_empty());
        for (candidate, output) in wanted.iter().zip(&work.outputs) {
            interrupt.while_writing(|| output.write(&work.photo, &[]))?;
            work.say(candidate, None);
        }
        return Ok(());
    }
    let studio = Studio::open(args)?;
    let frames = frames(args, &wanted)?;
    let result = work.fill_all(&studio, &wanted, &frames);
    reporter.clear();
    result
}

/// What was converted or left out when the photograph was read, and what the output does not keep.
pub fn notes(photo: &Photo, output: &Output) -> Vec<String> {
    let read = photo
        .notes()
        .iter()
        .map(|note| format!("{}: {note}", photo.name()));
    let written = photo.losses(output.format());
    let written = written
        .iter()
        .map(|loss| format!("{}: {loss}", output.name()));
    read.chain(written).collect()
}

/// Standard input and output hold one file each.
fn check_standard(args: &Inpaint, output: &Path) -> Result<()> {
    let inputs = args.inputs();
    let from_input = inputs.filter(|path| is_standard(path));
    if from_input.count() > 1 {
        return Err(user_error(
            "-: standard input holds one file; name the others",
        ));
    }
    if is_standard(output) && args.candidates > 1 {
        return Err(user_error(
            "-: standard output holds one picture; name a file with -o for several candidates",
        ));
    }
    Ok(())
}

struct Work<'a> {
    args: &'a Inpaint,
    reporter: &'a Reporter,
    interrupt: &'a Interrupt,
    start: Instant,
    photo: Photo,
    mask: Mask,
    /// One for each candidate.
    outputs: Vec<Output>,
    wishes: Wishes,
}

impl Work<'_> {
    fn options(&self, studio: &Studio, candidate: &Candidate) -> FillOptions {
        self.wishes.added_to(studio.options(candidate.seed))
    }

    /// Fills and writes all candidates, as many at once as memory allows.
    fn fill_all(&self, studio: &Studio, wanted: &[Candidate], frames: &[Frames]) -> Result<()> {
        let at_once = studio.at_once(self.photo.width() * self.photo.height());
        let parts: Vec<&[Candidate]> = wanted.chunks(at_once).collect();
        for (number, part) in parts.iter().enumerate() {
            let filled = self.fill(studio, part, [number, parts.len()], frames)?;
            tracing::info!("filled");
            let mut unwritten = None;
            for (candidate, filled) in part.iter().zip(filled) {
                match filled {
                    Ok(filled) => {
                        let options = self.options(studio, candidate);
                        let output = &self.outputs[candidate.number as usize - 1];
                        let save = || studio.save(&filled, &options, output);
                        self.interrupt.while_writing(save)?;
                        tracing::info!(output = %candidate.output.display(), "written");
                        self.say(candidate, Some((studio, &filled)));
                    }
                    Err(Error::Cancelled) => unwritten = unwritten.or(Some(candidate)),
                    Err(error) => return Err(error.into()),
                }
            }
            if let Some(candidate) = unwritten {
                let context = format!("{} was not written", candidate.output.display());
                return Err(Error::Cancelled).context(context);
            }
        }
        Ok(())
    }

    /// Fills some of the candidates together, showing what happens.
    fn fill(
        &self,
        studio: &Studio,
        part: &[Candidate],
        [number, count]: [usize; 2],
        frames: &[Frames],
    ) -> Result<Vec<strdiffusion::Result<Filled>>> {
        let shown = Part {
            number,
            count,
            text: match (self.args.candidates, part) {
                (1, _) => String::new(),
                (all, [one]) => format!("candidate {} of {all}", one.number),
                (all, [first, .., last]) => {
                    format!("candidates {} to {} of {all}", first.number, last.number)
                }
                (_, []) => return Ok(vec![]),
            },
        };
        let mut failed = None;
        let mut on_progress = |which: usize, progress: &Progress| {
            let candidate = &part[which];
            self.reporter.show(progress, &shown, &self.tags(candidate));
            tracing::debug!(seed = candidate.seed, event = ?progress.steps(), "progress");
            if let Some(frames) = frames.get(candidate.number as usize - 1)
                && let Err(error) = self.interrupt.while_writing(|| frames.write(progress))
            {
                failed = Some(error);
            }
            if failed.is_some() || self.interrupt.is_asked() {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        };
        let filled = if let [only] = part {
            // No copy of a photograph that may be large.
            let options = self.options(studio, only);
            let mut on_progress = |progress: &Progress| on_progress(0, progress);
            let inpainter = &studio.inpainter;
            vec![inpainter.fill(&self.photo, &self.mask, &options, &mut on_progress)]
        } else {
            let requests: Vec<FillRequest> = part
                .iter()
                .map(|candidate| FillRequest {
                    photo: self.photo.clone(),
                    mask: self.mask.clone(),
                    options: self.options(studio, candidate),
                })
                .collect();
            studio.inpainter.fill_batch(&requests, &mut on_progress)
        };
        match failed {
            Some(error) => Err(error.into()),
            None => Ok(filled),
        }
    }

    /// Says that a candidate is written.
    fn say(&self, candidate: &Candidate, filled: Option<(&Studio, &Filled)>) {
        let report = Report {
            output: &candidate.output,
            seed: candidate.seed,
            size: [self.photo.width(), self.photo.height()],
            filled,
            start: self.start,
        };
        let mut line = report.to_json();
        merge(&mut line, &self.tags(candidate));
        self.reporter.say(&report.to_text(), line);
    }

    /// What a program is told of the candidate that a line is about.
    fn tags(&self, candidate: &Candidate) -> Value {
        match self.args.candidates {
            1 => json!({}),
            _ => json!({"candidate": candidate.number}),
        }
    }
}

/// The folders for the states along the way: one for a single candidate, else one for each, named
/// by its number.
fn frames(args: &Inpaint, wanted: &[Candidate]) -> Result<Vec<Frames>> {
    let Some(folder) = &args.frames else {
        return Ok(vec![]);
    };
    if wanted.len() == 1 {
        return Ok(vec![Frames::in_folder(folder)?]);
    }
    let frames = wanted
        .iter()
        .map(|candidate| Frames::in_folder(&folder.join(candidate.number.to_string())));
    Ok(frames.collect::<strdiffusion::Result<_>>()?)
}

/// The output's name must not be that of a file that the user still needs.
fn check_overwrites_no_input(args: &Inpaint, output: &Path) -> Result<()> {
    let Ok(there) = output.canonicalize() else {
        return Ok(());
    };
    let inputs = args.inputs();
    for input in inputs {
        if input.canonicalize().is_ok_and(|input| input == there) {
            return Err(user_error(format!(
                "{}: the output would overwrite an input; choose another name",
                output.display()
            )));
        }
    }
    Ok(())
}
