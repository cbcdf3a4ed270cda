//! `/v1/jobs`

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use strdiffusion::Detail;
use uuid::Uuid;

use super::inpaint::SEED;
use crate::app::App;
use crate::error::{ApiError, Code};
use crate::events::stream_of;
use crate::job::{Job, JobView};
use crate::submit::{Purpose, submit};

/// What a path holds in the places that vary; nothing that can be read is no such job.
type Segments<T> = Result<Path<T>, PathRejection>;

/// `POST /v1/jobs`
pub(crate) async fn submit_job(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response, ApiError> {
    let job = submit(&app, request, Purpose::Job).await?;
    let location = [(header::LOCATION, format!("/v1/jobs/{}", job.id))];
    Ok((StatusCode::ACCEPTED, location, Json(job.view())).into_response())
}

/// `GET /v1/jobs/{id}`
pub(crate) async fn job(
    State(app): State<Arc<App>>,
    path: Segments<String>,
) -> Result<Json<JobView>, ApiError> {
    Ok(Json(find(&app, path.ok().map(|Path(id)| id))?.view()))
}

/// `GET /v1/jobs/{id}/events`
pub(crate) async fn events(
    State(app): State<Arc<App>>,
    path: Segments<String>,
) -> Result<Response, ApiError> {
    let job = find(&app, path.ok().map(|Path(id)| id))?;
    Ok(stream_of(job).into_response())
}

/// What may be asked of a candidate.
#[derive(Deserialize)]
pub(crate) struct Wishes {
    /// Another share of its detail, in the words of [`Detail`].
    detail: Option<String>,
}

impl Wishes {
    fn detail(query: Result<Query<Self>, QueryRejection>) -> Result<Option<Detail>, ApiError> {
        let bad = |text: String| ApiError::new(Code::BadSettings, text);
        let Query(wishes) = query.map_err(|error| bad(format!("the query: {error}")))?;
        let detail = wishes.detail.map(|word| word.parse()).transpose();
        detail.map_err(|error: strdiffusion::detail::UnknownDetail| bad(error.to_string()))
    }
}

/// `GET /v1/jobs/{id}/candidates/{n}`
pub(crate) async fn candidate(
    State(app): State<Arc<App>>,
    path: Segments<(String, String)>,
    query: Result<Query<Wishes>, QueryRejection>,
) -> Result<Response, ApiError> {
    let detail = Wishes::detail(query)?;
    let (id, number) = path.ok().map(|Path(both)| both).unzip();
    let job = find(&app, id)?;
    let found = number
        .and_then(|n| n.parse::<usize>().ok())
        .and_then(|n| Some((n, job.fetch(n)?)));
    let Some((number, candidate)) = found else {
        return Err(ApiError::not_found(
            "the job has no such candidate, or it is not complete yet",
        ));
    };
    app.fetched.notify_waiters();
    let png = match detail {
        None => candidate.png.clone(),
        Some(detail) => {
            let permit = app.decoding_permit().await?;
            let limits = app.limits.picture();
            let draw = move || {
                let _held = permit; // until the work is done, whether or not anyone waits
                candidate.with_detail(detail, &limits)
            };
            let drawn = tokio::task::spawn_blocking(draw).await;
            drawn.map_err(|_| ApiError::internal())??
        }
    };
    let seed = job.seeds[number];
    let name = format!("inline; filename=\"strdiffusion-{seed}.png\"");
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("image/png")),
        (
            header::CACHE_CONTROL,
            HeaderValue::from_static("private, max-age=3600, immutable"),
        ),
        (SEED, HeaderValue::from(seed)),
        (
            header::CONTENT_DISPOSITION,
            name.parse().map_err(|_| ApiError::internal())?,
        ),
    ];
    Ok((headers, png).into_response())
}

/// `DELETE /v1/jobs/{id}`
pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    path: Segments<String>,
) -> Result<Json<JobView>, ApiError> {
    let job = find(&app, path.ok().map(|Path(id)| id))?;
    if job.state().is_end() {
        app.store.forget(job.id);
    } else {
        app.cancel(&job);
    }
    Ok(Json(job.view()))
}

fn find(app: &App, id: Option<String>) -> Result<Arc<Job>, ApiError> {
    app.store.sweep();
    id.and_then(|id| Uuid::parse_str(&id).ok())
        .and_then(|id| app.store.get(id))
        .ok_or_else(|| ApiError::not_found("there is no such job, or it has been forgotten"))
}
