//! What the bytes of a request pass through, without a server around them: for fuzz targets, and no
//! part of the API.

use axum::body::Body;
use axum::extract::Request;
use axum::http::header;
use strdiffusion::sampling::{PaperSampler, Sampler};

use crate::config::ServerLimits;
use crate::decode::Pictures;
use crate::error::{ApiError, Code};
use crate::models::{Defaults, ModelCard};
use crate::multipart::Form;
use crate::settings::Settings;

/// Side of the pictures that the networks would work on.
const RESOLUTION: usize = 64;

/// Reads a body as a form, its settings, and its pictures up to the regions that would be filled.
///
/// # Errors
/// What the request would be refused with.
pub async fn request(kind: &str, body: Vec<u8>, limits: &ServerLimits) -> Result<(), Code> {
    let request = Request::post("/v1/jobs")
        .header(header::CONTENT_TYPE, kind)
        .body(Body::from(body))
        .map_err(|_| Code::UnsupportedMediaType)?;
    let read = async {
        let form = Form::read(request, limits).await?;
        let settings = Settings::parse(form.settings.as_deref())?;
        let pictures = Pictures::decode(&form, &settings.hole()?, &limits.picture())?;
        pictures.regions(RESOLUTION, settings.detail()?);
        pictures.notes();
        Ok::<_, ApiError>(())
    };
    read.await.map_err(|error| error.code)
}

/// Reads a request's settings, up to the sampler that they choose.
///
/// # Errors
/// As [`request`].
pub fn settings(json: &[u8]) -> Result<(), Code> {
    let sampling = Sampler::from(PaperSampler::default());
    let card = ModelCard {
        name: "default".into(),
        resolution: RESOLUTION,
        timesteps: 100,
        sampling,
        licence: String::new(),
        device: String::new(),
        defaults: Defaults::of(&sampling, 100),
    };
    let read = || {
        let settings = Settings::parse(Some(json))?;
        settings.detail()?;
        settings.hole()?;
        settings.seeds();
        settings.model(std::slice::from_ref(&card))?;
        settings.sampler(&card)?;
        Ok::<_, ApiError>(())
    };
    read().map_err(|error| error.code)
}
