//! `POST /v1/inpaint`

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};

use crate::app::App;
use crate::error::ApiError;
use crate::job::Job;
use crate::submit::{Purpose, submit};

/// The header that names a picture's seed.
pub(super) const SEED: HeaderName = HeaderName::from_static("x-strdiffusion-seed");

/// The header that says what was left out or converted of the photograph; empty where nothing was.
const NOTES: HeaderName = HeaderName::from_static("x-strdiffusion-notes");

/// Fills a hole and answers with the picture.
pub(crate) async fn inpaint(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response, ApiError> {
    let job = submit(&app, request, Purpose::Answer).await?;
    let waiter = Waiter {
        app: &app,
        job: &job,
    };
    job.wait().await;
    drop(waiter);
    let Some(candidate) = job.fetch(0) else {
        return Err(job.error().unwrap_or_else(ApiError::internal));
    };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("image/png")),
        (SEED, HeaderValue::from(job.seeds[0])),
        (NOTES, in_a_header(&job.notes)),
    ];
    Ok((headers, candidate.png.clone()).into_response())
}

/// Notes on one line, in the characters that a header may have.
fn in_a_header(notes: &[String]) -> HeaderValue {
    let line: String = notes
        .join("; ")
        .chars()
        .filter(|c| (' '..='~').contains(c))
        .collect();
    HeaderValue::from_str(&line).unwrap_or(HeaderValue::from_static(""))
}

/// Cancels the job when the client goes away: its request is dropped then.
struct Waiter<'a> {
    app: &'a App,
    job: &'a Job,
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        // Nothing happens where the job has ended.
        self.app.cancel(self.job);
    }
}
