//! How a fill's progress is shown: a bar for people, lines of JSON for programs.

use std::fmt::Write;

use indicatif::{HumanDuration, ProgressBar, ProgressState, ProgressStyle};
use serde_json::{Value, json};
use strdiffusion::Progress;
use strdiffusion::sampling::{Event, Phase};

use crate::terminal;

/// Work that is shown as one of several equal parts.
pub struct Part {
    /// From 0.
    pub number: usize,
    pub count: usize,
    /// What it is, for people; may be empty.
    pub text: String,
}

/// Who reads the progress.
pub enum Reporter {
    /// A person at a terminal (nothing is shown where stderr is none).
    Bar(ProgressBar),
    /// As [`Self::Bar`], where the picture itself goes to stdout.
    BesidePicture(ProgressBar),
    /// A program that reads stdout.
    Json,
}

impl Reporter {
    /// A reporter of one kind or the other.
    pub fn new(json: bool) -> Self {
        if json {
            return Self::Json;
        }
        Self::Bar(bar())
    }

    /// A reporter that leaves stdout to the picture.
    pub fn beside_picture() -> Self {
        Self::BesidePicture(bar())
    }

    /// Shows an event of a part of the work. A program is told the fields of `tags`, too.
    pub fn show(&self, progress: &Progress, part: &Part, tags: &Value) {
        match self {
            Self::Json => {
                let mut line = event_as_json(progress);
                merge(&mut line, tags);
                terminal::say(line);
            }
            Self::Bar(bar) | Self::BesidePicture(bar) => {
                if let Some((done, total)) = progress.steps() {
                    bar.set_length((part.count * total) as u64);
                    bar.set_position((part.number * total + done) as u64);
                }
                let phase = phase(progress);
                bar.set_message(match part.text.as_str() {
                    "" => phase,
                    text => format!("{text}: {phase}"),
                });
            }
        }
    }

    /// Says something that is no error.
    pub fn note(&self, text: &str) {
        match self {
            Self::Json => terminal::say(json!({"event": "note", "message": text})),
            Self::Bar(bar) | Self::BesidePicture(bar) => bar.suspend(|| terminal::note(text)),
        }
    }

    /// Says, for people, what failed while the rest goes on.
    pub fn fail(&self, text: &str) {
        match self {
            Self::Json => {}
            Self::Bar(bar) | Self::BesidePicture(bar) => bar.suspend(|| terminal::failure(text)),
        }
    }

    /// Prints a result: text for people, an object for programs.
    pub fn say(&self, text: &str, result: Value) {
        match self {
            Self::Json => terminal::say(result),
            Self::Bar(bar) => bar.suspend(|| terminal::report(text)),
            Self::BesidePicture(bar) => bar.suspend(|| terminal::note(text)),
        }
    }

    /// Takes the bar away, before an error is printed.
    pub fn clear(&self) {
        if let Self::Bar(bar) | Self::BesidePicture(bar) = self {
            bar.finish_and_clear();
        }
    }
}

fn bar() -> ProgressBar {
    let style = "{bar:30} step {pos}/{len}, {elapsed} gone, {left} to go, {msg}";
    let style = ProgressStyle::with_template(style).expect("the template is fixed");
    let style = style.with_key("left", |state: &ProgressState, out: &mut dyn Write| {
        // Before the first step is done there is nothing to reckon from.
        let _ = match state.pos() {
            0 => write!(out, "?"),
            _ => write!(out, "{:#}", HumanDuration(state.eta())),
        };
    });
    terminal::bar(0).with_style(style)
}

/// Adds the fields of another object to a line.
pub fn merge(line: &mut Value, fields: &Value) {
    for (key, value) in fields.as_object().into_iter().flatten() {
        line[key] = value.clone();
    }
}

/// What is being done, in a few words.
fn phase(progress: &Progress) -> String {
    let doing = match progress.event {
        Event::Step {
            phase: Phase::Early,
            ..
        } => "structure and texture".to_string(),
        Event::Step {
            phase: Phase::Late, ..
        } => "texture".to_string(),
        Event::Resampled { round, .. } => format!("resampling, round {round}"),
        _ => "choosing between structures".to_string(),
    };
    match progress.regions {
        1 => doing,
        regions => format!("region {} of {regions}: {doing}", progress.region + 1),
    }
}

fn event_as_json(progress: &Progress) -> Value {
    let mut line = match progress.event {
        Event::Step {
            t,
            phase,
            evaluations,
            ..
        } => {
            let (done, total) = progress.steps().unwrap_or_default();
            json!({
                "event": "step", "t": t, "done": done, "total": total, "phase": phase,
                "evaluations": evaluations,
            })
        }
        Event::Scored { t, round, scores } => {
            json!({"event": "scored", "t": t, "round": round, "score": scores.first()})
        }
        Event::Resampled {
            t, round, verdict, ..
        } => {
            json!({"event": "resampled", "t": t, "round": round, "verdict": verdict})
        }
        other => json!({"event": "other", "text": format!("{other:?}")}),
    };
    line["region"] = (progress.region + 1).into();
    line["regions"] = progress.regions.into();
    line
}
