//! What clients of the Stable Diffusion web UI ask for.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use strdiffusion::picture::HolePolarity;

use super::{
    Fulfilled, Wish, current_card, current_model, fields, find_model, picture, seed_of,
    switch_model,
};
use crate::app::App;
use crate::error::{ApiError, Code};
use crate::multipart::Form;
use crate::submit::Purpose;

/// The option that names the model.
const MODEL: &str = "sd_model_checkpoint";

/// The body of `POST /sdapi/v1/img2img`.
#[derive(Deserialize)]
struct Img2Img {
    #[serde(default)]
    init_images: Vec<String>,
    mask: Option<String>,
    /// Pixels; there a blur over as many, here a blend.
    mask_blur: Option<u64>,
    /// 0 or 1: black is the hole.
    inpainting_mask_invert: Option<u8>,
    seed: Option<i64>,
    batch_size: Option<usize>,
    n_iter: Option<usize>,
    #[serde(default)]
    override_settings: Map<String, Value>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl Img2Img {
    fn wish(&self, app: &App) -> Result<Wish, ApiError> {
        let [image] = &self.init_images[..] else {
            return Err(ApiError::new(
                Code::BadImage,
                format!(
                    "init_images has {} pictures; send the photograph alone",
                    self.init_images.len()
                ),
            ));
        };
        let mask = self.mask.as_deref();
        let model = match self.override_settings.get(MODEL) {
            Some(Value::String(name)) => find_model(app, name)?,
            _ => current_model(app),
        };
        let is_inverted = self
            .inpainting_mask_invert
            .is_some_and(|invert| invert != 0);
        Ok(Wish {
            form: Form {
                image: Some(picture(image, "init_images[0]", Code::BadImage)?),
                mask: mask
                    .map(|mask| picture(mask, "mask", Code::BadMask))
                    .transpose()?,
                polarity: match is_inverted {
                    true => HolePolarity::Black,
                    false => HolePolarity::White,
                },
                ..Form::default()
            },
            seed: seed_of(self.seed)?,
            // Whether so many can be had is for our own settings to say.
            candidates: (self.batch_size.unwrap_or(1)).saturating_mul(self.n_iter.unwrap_or(1)),
            model,
            feather: self.mask_blur.unwrap_or(0),
            ignored: fields::names(&self.rest),
        })
    }
}

/// `POST /sdapi/v1/img2img`: fills a hole; each picture of the answer is base64 of a PNG.
pub(crate) async fn img2img(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response, ApiError> {
    let (body, room): (Img2Img, _) = fields::read(&app, request).await?;
    let wish = body.wish(&app)?;
    let Img2Img { rest, .. } = body;
    let filled = wish.fulfil(&app, room, Purpose::Answers).await?;
    let answer = json!({
        "images": filled.pictures().collect::<Vec<_>>(),
        "info": info(&filled, &rest).to_string(),
        "parameters": rest,
    });
    Ok((filled.headers(), Json(answer)).into_response())
}

/// How the pictures were made; clients read it as JSON within JSON.
fn info(filled: &Fulfilled, rest: &Map<String, Value>) -> Value {
    let Fulfilled { job, ignored, .. } = filled;
    let prompt = rest.get("prompt").cloned().unwrap_or_else(|| json!(""));
    let text = |seed: &u64| format!("Seed: {seed}, Size: {}x{}", job.width, job.height);
    json!({
        "prompt": prompt,
        "all_prompts": vec![prompt.clone(); job.seeds.len()],
        "seed": job.seeds[0],
        "all_seeds": job.seeds,
        "width": job.width,
        "height": job.height,
        "infotexts": job.seeds.iter().map(text).collect::<Vec<_>>(),
        "ignored": ignored,
    })
}

/// `GET /sdapi/v1/options`
pub(crate) async fn options(State(app): State<Arc<App>>) -> Json<Value> {
    Json(json!({ MODEL: current_card(&app).name, "samples_format": "png" }))
}

/// `POST /sdapi/v1/options`: switches the model; other options mean nothing here.
pub(crate) async fn set_options(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Json<Value>, ApiError> {
    let (body, _room): (Map<String, Value>, _) = fields::read(&app, request).await?;
    if let Some(name) = body.get(MODEL) {
        let name = name.as_str().ok_or_else(|| {
            ApiError::new(Code::BadSettings, format!("{MODEL} must be a model's name"))
        })?;
        switch_model(&app, name)?;
    }
    Ok(Json(Value::Null))
}

/// `GET /sdapi/v1/sd-models`
pub(crate) async fn models(State(app): State<Arc<App>>) -> Json<Value> {
    let models = app.models.iter().map(|model| {
        json!({
            "title": model.name,
            "model_name": model.name,
            "hash": null,
            "sha256": null,
            "filename": model.name,
            "config": null,
        })
    });
    Json(models.collect())
}

/// `GET /sdapi/v1/progress`: of what runs now, whoever asked for it.
pub(crate) async fn progress(State(app): State<Arc<App>>) -> Json<Value> {
    let jobs: Vec<_> = app.running.jobs().iter().map(|job| job.view()).collect();
    let (done, total) = jobs.iter().fold((0, 0), |(done, total), job| {
        (done + job.step, total + job.total)
    });
    let left = jobs.iter().filter_map(|job| job.eta_seconds);
    Json(json!({
        "progress": if total > 0 { done as f64 / total as f64 } else { 0.0 },
        "eta_relative": left.fold(0.0, f64::max),
        "state": {
            "skipped": false,
            "interrupted": false,
            "job": if jobs.is_empty() { "" } else { "inpaint" },
            "job_count": jobs.len(),
            "job_no": 0,
            "sampling_step": done,
            "sampling_steps": total,
        },
        "current_image": null,
        "textinfo": null,
    }))
}
