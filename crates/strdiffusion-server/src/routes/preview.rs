//! `POST /v1/preview`

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use strdiffusion::picture::OutputFormat;

use crate::app::App;
use crate::decode::read_photo;
use crate::error::{ApiError, Code};
use crate::multipart::{Form, announced_length};
use crate::submit::in_time;

/// A photograph upright and as PNG, for browsers that cannot read its format.
pub(crate) async fn preview(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response, ApiError> {
    let length = announced_length(&request, &app.limits)?;
    let room = app.uploads.reserve(length).await?;
    let form = in_time(&app, Form::read(request, &app.limits)).await?;
    let limits = app.limits.picture();
    let permit = app.decoding_permit().await?;
    let convert = move || {
        let _held = permit; // until the work is done, whether or not anyone waits
        read_photo(&form, &limits)?
            .encode(OutputFormat::Png)
            .map_err(|error| ApiError::new(Code::BadImage, error.to_string()))
    };
    let png = tokio::task::spawn_blocking(convert).await;
    drop(room);
    let png = png.map_err(|_| ApiError::internal())??;
    let kind = [(header::CONTENT_TYPE, HeaderValue::from_static("image/png"))];
    Ok((kind, png).into_response())
}
