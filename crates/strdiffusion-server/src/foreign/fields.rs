//! The body of a foreign request: JSON whose pictures are base64.

use axum::body::Body;
use axum::extract::Request;
use axum::http::header;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tokio::time::timeout;

use super::says_something;
use crate::app::App;
use crate::config::ServerLimits;
use crate::error::{ApiError, Code};
use crate::multipart::{has_kind, stalled, too_large};
use crate::submit::{Room, expected_length, in_time};

/// Copies of a body that are in memory while its pictures are decoded: its fields, and their bytes.
const COPIES: usize = 2;

/// A request's fields, and the room that they take.
pub(super) async fn read<T: DeserializeOwned>(
    app: &App,
    request: Request,
) -> Result<(T, Room<'_>), ApiError> {
    let length = expected_length(app, &request)?;
    let room = app.uploads.reserve(COPIES * length).await?;
    let body = in_time(app, body_of(request, &app.limits)).await?;
    let fields = serde_json::from_slice(&body).map_err(|error| {
        ApiError::new(
            Code::BadForm,
            format!("the body cannot be read ({error}); send one JSON object"),
        )
    })?;
    Ok((fields, room))
}

async fn body_of(request: Request, limits: &ServerLimits) -> Result<Bytes, ApiError> {
    let says_kind = request.headers().contains_key(header::CONTENT_TYPE);
    if says_kind && !has_kind(&request, "application/json") {
        return Err(ApiError::new(
            Code::UnsupportedMediaType,
            "the body must be JSON; send the header Content-Type: application/json",
        ));
    }
    let mut chunks = Body::into_data_stream(request.into_body());
    let mut body = BytesMut::new();
    loop {
        let chunk = timeout(limits.upload_idle, chunks.next()).await;
        match chunk.map_err(|_| stalled())? {
            None => return Ok(body.freeze()),
            Some(Ok(chunk)) if body.len() + chunk.len() <= limits.body_bytes => {
                body.extend_from_slice(&chunk);
            }
            Some(Ok(_)) => return Err(too_large(limits)),
            Some(Err(error)) => {
                return Err(ApiError::new(
                    Code::BadForm,
                    format!("the body cannot be read ({error}); send all of it"),
                ));
            }
        }
    }
}

/// The names of fields that ask for something.
pub(super) fn names(fields: &Map<String, Value>) -> Vec<String> {
    let asking = fields.iter().filter(|(_, value)| says_something(value));
    asking.map(|(name, _)| name.clone()).collect()
}
