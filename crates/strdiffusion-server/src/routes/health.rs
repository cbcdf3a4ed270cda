//! `GET /healthz`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use crate::app::App;
use crate::error::ApiError;

/// Whether the server takes jobs.
pub(crate) async fn health(State(app): State<Arc<App>>) -> Result<Json<Value>, ApiError> {
    if app.is_shutting_down() {
        return Err(ApiError::shutting_down());
    }
    Ok(Json(json!({ "status": "ok" })))
}
