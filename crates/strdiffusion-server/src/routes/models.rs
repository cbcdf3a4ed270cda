//! `GET /v1/models`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use crate::app::App;

/// What there is to fill with.
pub(crate) async fn models(State(app): State<Arc<App>>) -> Json<Value> {
    Json(json!({ "models": app.models }))
}
