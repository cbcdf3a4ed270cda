//! The APIs of other programs, so that their clients fill holes here: IOPaint, the Stable Diffusion
//! web UI and `OpenAI`'s edits of images. Each only says in its own words what the server does anyway.

mod dialect;
mod fields;
pub(crate) mod iopaint;
pub(crate) mod openai;
pub(crate) mod webui;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::http::{HeaderName, HeaderValue};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::answer::{NOTES, in_a_header, results};
use crate::app::App;
use crate::candidate::Candidate;
use crate::error::{ApiError, Code};
use crate::job::Job;
use crate::models::{self, ModelCard};
use crate::multipart::Form;
use crate::submit::{Purpose, Room, submit_form};

pub(crate) use dialect::translate_refusals;

/// The header that names what a request asked for and nothing here can do; empty where all was done.
const IGNORED: HeaderName = HeaderName::from_static("x-strdiffusion-ignored");

/// Ignored fields that are named, and characters of a name.
const MOST_NAMED: usize = 64;
const LONGEST_NAME: usize = 64;

/// What a foreign request asks for, in our own words.
struct Wish {
    form: Form,
    seed: u64,
    candidates: usize,
    /// Index of the model.
    model: usize,
    /// Pixels around the hole that are blended.
    feather: u64,
    /// Fields without a meaning here.
    ignored: Vec<String>,
}

/// A wish that was fulfilled.
struct Fulfilled {
    job: Arc<Job>,
    candidates: Vec<Arc<Candidate>>,
    ignored: Vec<String>,
}

impl Wish {
    /// Fills, by the same queue and limits as all others.
    async fn fulfil(
        mut self,
        app: &Arc<App>,
        room: Room<'_>,
        purpose: Purpose,
    ) -> Result<Fulfilled, ApiError> {
        let settings = json!({
            "seed": self.seed,
            "candidates": self.candidates,
            "model": app.models[self.model].name,
            "feather": self.feather,
        });
        self.form.settings = Some(settings.to_string().into());
        self.ignored.truncate(MOST_NAMED);
        for name in &mut self.ignored {
            *name = name.chars().take(LONGEST_NAME).collect();
        }
        let job = submit_form(app, self.form, room, purpose).await?;
        Ok(Fulfilled {
            candidates: results(app, &job).await?,
            job,
            ignored: self.ignored,
        })
    }
}

impl Fulfilled {
    /// Headers that say what was not done.
    fn headers(&self) -> [(HeaderName, HeaderValue); 2] {
        [
            (NOTES, in_a_header(&self.job.notes, "; ")),
            (IGNORED, in_a_header(&self.ignored, ", ")),
        ]
    }

    /// The pictures as base64 of their PNG.
    fn pictures(&self) -> impl Iterator<Item = String> {
        self.candidates.iter().map(|c| STANDARD.encode(&c.png))
    }
}

/// A picture from base64, as a data URL or bare.
fn picture(text: &str, name: &str, code: Code) -> Result<bytes::Bytes, ApiError> {
    let bare = match text.strip_prefix("data:") {
        Some(url) => url.split_once(";base64,").map_or("", |(_, bytes)| bytes),
        None => text,
    };
    let decoded = STANDARD.decode(bare.trim()).map_err(|error| {
        ApiError::new(
            code,
            format!("{name} is no base64 ({error}); send the file's bytes as base64 or a data URL"),
        )
    })?;
    Ok(decoded.into())
}

/// The seed that is asked for; -1 asks for any.
fn seed_of(seed: Option<i64>) -> Result<u64, ApiError> {
    match seed {
        Some(-1) => Ok(u64::from(Uuid::new_v4().as_fields().0)),
        seed => u64::try_from(seed.unwrap_or(0)).map_err(|_| {
            ApiError::new(
                Code::BadSettings,
                "the seed is negative; send -1 for any, or one from 0",
            )
        }),
    }
}

/// The model that clients have switched to.
fn current_model(app: &App) -> usize {
    app.switched_model.load(Ordering::Relaxed)
}

fn current_card(app: &App) -> &ModelCard {
    &app.models[current_model(app)]
}

fn find_model(app: &App, name: &str) -> Result<usize, ApiError> {
    models::find(&app.models, name).map_err(|error| ApiError::new(Code::BadSettings, error))
}

/// Switches the model for all foreign requests that name none, as those programs do.
fn switch_model(app: &App, name: &str) -> Result<(), ApiError> {
    app.switched_model
        .store(find_model(app, name)?, Ordering::Relaxed);
    Ok(())
}

/// Whether a field asks for something.
fn says_something(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        Value::Bool(true) | Value::Number(_) => true,
    }
}
