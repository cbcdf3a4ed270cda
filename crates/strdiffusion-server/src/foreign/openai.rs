//! What clients of `OpenAI`'s edits of images ask for.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde_json::{Value, json};
use strdiffusion::picture::HolePolarity;

use super::{Fulfilled, Wish, current_model, find_model};
use crate::app::App;
use crate::config::ServerLimits;
use crate::error::{ApiError, Code};
use crate::multipart::{Form, Parts};
use crate::submit::{Purpose, expected_length, in_time};

/// How pictures are answered with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum ResponseFormat {
    #[default]
    Base64,
    /// Where they can be fetched for a while.
    Url,
}

/// The parts of `POST /v1/images/edits`.
#[derive(Default)]
struct Edit {
    form: Form,
    count: Option<usize>,
    model: Option<String>,
    format: ResponseFormat,
    ignored: Vec<String>,
}

impl Edit {
    async fn read(request: Request, limits: &ServerLimits) -> Result<Self, ApiError> {
        let mut parts = Parts::of(request, limits).await?;
        let mut edit = Self::default();
        edit.form.polarity = HolePolarity::Transparent;
        while let Some((name, part)) = parts.next().await? {
            match name.as_str() {
                "image" | "image[]" => part.read_once("image", &mut edit.form.image).await?,
                "mask" => part.read_once("mask", &mut edit.form.mask).await?,
                _ => edit.set(&name, &part.read().await?)?,
            }
        }
        Ok(edit)
    }

    fn set(&mut self, name: &str, value: &Bytes) -> Result<(), ApiError> {
        let text = str::from_utf8(value).unwrap_or_default();
        let bad = |what: &str| {
            let message = format!("{name} is {text:?}; {what}");
            Err(ApiError::new(Code::BadSettings, message))
        };
        match (name, text) {
            ("n", _) => match text.parse() {
                Ok(count) => self.count = Some(count),
                Err(_) => return bad("it must be a whole number from 1"),
            },
            ("response_format", "b64_json") => self.format = ResponseFormat::Base64,
            ("response_format", "url") => self.format = ResponseFormat::Url,
            ("response_format", _) => return bad("it must be b64_json or url"),
            ("stream", "true") => return bad("answers come whole; leave it out"),
            ("model", _) => self.model = Some(text.to_owned()),
            // What it asks for is done in any case.
            ("stream" | "output_format" | "size", "" | "false" | "png" | "auto") => {}
            _ if !value.is_empty() => self.ignored.push(name.to_owned()),
            _ => {}
        }
        Ok(())
    }

    fn wish(mut self, app: &App) -> Wish {
        let named = self.model.as_deref().map(|name| find_model(app, name));
        if matches!(named, Some(Err(_))) {
            // Clients must name one of OpenAI's.
            self.ignored.push("model".into());
        }
        Wish {
            form: self.form,
            seed: 0,
            candidates: self.count.unwrap_or(1),
            model: named.and_then(Result::ok).unwrap_or(current_model(app)),
            feather: 0,
            ignored: self.ignored,
        }
    }
}

/// `POST /v1/images/edits`: fills what is transparent in the mask, or in the photograph.
pub(crate) async fn edit(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response, ApiError> {
    let host = host_of(request.headers());
    let length = expected_length(&app, &request)?;
    let room = app.uploads.reserve(length).await?;
    let edit = in_time(&app, Edit::read(request, &app.limits)).await?;
    let format = edit.format;
    let purpose = match format {
        ResponseFormat::Base64 => Purpose::Answers,
        ResponseFormat::Url => Purpose::Job,
    };
    let filled = edit.wish(&app).fulfil(&app, room, purpose).await?;
    let data: Vec<Value> = match format {
        ResponseFormat::Base64 => filled
            .pictures()
            .map(|picture| json!({ "b64_json": picture }))
            .collect(),
        ResponseFormat::Url => urls(&filled, &host),
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let answer = json!({
        "created": now.map_or(0, |time| time.as_secs()),
        "data": data,
        "output_format": "png",
        "size": format!("{}x{}", filled.job.width, filled.job.height),
    });
    Ok((filled.headers(), Json(answer)).into_response())
}

fn host_of(headers: &HeaderMap) -> String {
    let host = headers.get(header::HOST).and_then(|h| h.to_str().ok());
    host.unwrap_or("localhost").to_owned()
}

fn urls(filled: &Fulfilled, host: &str) -> Vec<Value> {
    let id = filled.job.id;
    let url = |n| json!({ "url": format!("http://{host}/v1/jobs/{id}/candidates/{n}") });
    (0..filled.candidates.len()).map(url).collect()
}
