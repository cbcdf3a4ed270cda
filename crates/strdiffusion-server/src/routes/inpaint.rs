//! `POST /v1/inpaint`

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};

use crate::answer::{NOTES, in_a_header, results};
use crate::app::App;
use crate::error::ApiError;
use crate::submit::{Purpose, submit};

/// The header that names a picture's seed.
pub(super) const SEED: HeaderName = HeaderName::from_static("x-strdiffusion-seed");

/// Fills a hole and answers with the picture.
pub(crate) async fn inpaint(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response, ApiError> {
    let job = submit(&app, request, Purpose::Answer).await?;
    let candidates = results(&app, &job).await?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("image/png")),
        (SEED, HeaderValue::from(job.seeds[0])),
        (NOTES, in_a_header(&job.notes, "; ")),
    ];
    Ok((headers, candidates[0].png.clone()).into_response())
}
