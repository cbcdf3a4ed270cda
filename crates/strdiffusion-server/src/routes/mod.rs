//! Which path does what.

mod health;
mod inpaint;
mod jobs;
mod metrics;
mod models;
mod preview;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tower_http::catch_panic::CatchPanicLayer;

use crate::app::App;
use crate::error::{ApiError, Code};
use crate::foreign::{iopaint, openai, webui};
use crate::{drain, foreign, openapi, page, security};

/// Every method and path that the server knows.
pub const ROUTES: [(&str, &str); 24] = [
    ("POST", "/v1/inpaint"),
    ("POST", "/v1/jobs"),
    ("GET", "/v1/jobs/{id}"),
    ("DELETE", "/v1/jobs/{id}"),
    ("GET", "/v1/jobs/{id}/events"),
    ("GET", "/v1/jobs/{id}/candidates/{n}"),
    ("POST", "/v1/preview"),
    ("GET", "/v1/models"),
    ("GET", "/healthz"),
    ("GET", "/metrics"),
    ("GET", "/openapi.json"),
    ("GET", "/"),
    ("GET", "/assets/{file}"),
    ("GET", "/offline.js"),
    ("POST", "/api/v1/inpaint"),
    ("GET", "/api/v1/server-config"),
    ("GET", "/api/v1/model"),
    ("POST", "/api/v1/model"),
    ("POST", "/sdapi/v1/img2img"),
    ("GET", "/sdapi/v1/options"),
    ("POST", "/sdapi/v1/options"),
    ("GET", "/sdapi/v1/sd-models"),
    ("GET", "/sdapi/v1/progress"),
    ("POST", "/v1/images/edits"),
];

/// The path of [`ROUTES`] that a request's path belongs to.
pub fn template_of(path: &str) -> Option<&'static str> {
    ROUTES
        .iter()
        .map(|(_, template)| *template)
        .find(|template| {
            let (mut parts, mut wanted) = (path.split('/'), template.split('/'));
            loop {
                match (parts.next(), wanted.next()) {
                    (None, None) => return true,
                    (Some(part), Some(want)) if part == want => {}
                    (Some(part), Some(want)) if want.starts_with('{') && !part.is_empty() => {}
                    _ => return false,
                }
            }
        })
}

/// All routes, and what guards them.
pub(crate) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/v1/inpaint", post(inpaint::inpaint))
        .route("/v1/jobs", post(jobs::submit_job))
        .route("/v1/jobs/{id}", get(jobs::job).delete(jobs::delete))
        .route("/v1/jobs/{id}/events", get(jobs::events))
        .route("/v1/jobs/{id}/candidates/{n}", get(jobs::candidate))
        .route("/v1/preview", post(preview::preview))
        .route("/v1/models", get(models::models))
        .route("/healthz", get(health::health))
        .route("/metrics", get(metrics::metrics))
        .route("/openapi.json", get(openapi::document))
        .route("/", get(page::index))
        .route("/assets/{file}", get(page::asset))
        .route("/offline.js", get(page::offline))
        .route("/api/v1/inpaint", post(iopaint::inpaint))
        .route("/api/v1/server-config", get(iopaint::server_config))
        .route("/api/v1/model", get(iopaint::model).post(iopaint::switch))
        .route("/sdapi/v1/img2img", post(webui::img2img))
        .route(
            "/sdapi/v1/options",
            get(webui::options).post(webui::set_options),
        )
        .route("/sdapi/v1/sd-models", get(webui::models))
        .route("/sdapi/v1/progress", get(webui::progress))
        .route("/v1/images/edits", post(openai::edit))
        .fallback(|| async { ApiError::not_found("there is nothing at this path") })
        .method_not_allowed_fallback(|| async {
            ApiError::new(
                Code::MethodNotAllowed,
                "this path does not take this method; see /openapi.json",
            )
        })
        .layer(DefaultBodyLimit::max(app.limits.body_bytes))
        .layer(from_fn_with_state(Arc::clone(&app), security::guard))
        .layer(from_fn_with_state(Arc::clone(&app), drain::drain_refused))
        .layer(CatchPanicLayer::custom(|_| {
            ApiError::internal().into_response()
        }))
        .layer(from_fn(foreign::translate_refusals))
        .layer(from_fn(security::add_headers))
        .layer(from_fn_with_state(Arc::clone(&app), observe))
        .with_state(app)
}

/// Counts and logs a request: its path alone, since what follows may hold the token.
async fn observe(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let route = template_of(request.uri().path()).unwrap_or("other");
    let method = request.method().clone();
    let response = next.run(request).await;
    let status = response.status().as_u16();
    app.metrics.request(method.as_str(), route, status);
    tracing::debug!(%method, route, status, "answered");
    response
}
