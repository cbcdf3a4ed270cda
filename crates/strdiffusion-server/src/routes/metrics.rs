//! `GET /metrics`

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;

use crate::app::App;

const KIND: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The counts, for Prometheus.
pub(crate) async fn metrics(State(app): State<Arc<App>>) -> impl IntoResponse {
    app.store.sweep();
    ([(header::CONTENT_TYPE, KIND)], app.metrics.text())
}
