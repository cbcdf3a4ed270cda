//! The wait for a job whose results are the answer to the request.

use std::sync::Arc;

use axum::http::{HeaderName, HeaderValue};

use crate::app::App;
use crate::candidate::Candidate;
use crate::error::ApiError;
use crate::job::Job;

/// The header that says what was left out or converted of the photograph; empty where nothing was.
pub(crate) const NOTES: HeaderName = HeaderName::from_static("x-strdiffusion-notes");

/// All candidates of a job, as soon as they are complete. A client that goes away meanwhile
/// cancels the job.
pub(crate) async fn results(app: &App, job: &Job) -> Result<Vec<Arc<Candidate>>, ApiError> {
    let waiter = Waiter { app, job };
    job.wait().await;
    drop(waiter);
    let complete: Option<Vec<_>> = (0..job.seeds.len()).map(|n| job.fetch(n)).collect();
    complete.ok_or_else(|| job.error().unwrap_or_else(ApiError::internal))
}

/// Sentences or words on one line, in the characters that a header may have.
pub(crate) fn in_a_header<T: AsRef<str>>(parts: &[T], between: &str) -> HeaderValue {
    let parts: Vec<&str> = parts.iter().map(AsRef::as_ref).collect();
    let mut line = parts.join(between);
    line.retain(|c| (' '..='~').contains(&c));
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
