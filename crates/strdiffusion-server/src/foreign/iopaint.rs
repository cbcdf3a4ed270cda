//! What clients of IOPaint ask for.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Wish, current_card, current_model, fields, picture, seed_of, switch_model};
use crate::app::App;
use crate::error::{ApiError, Code};
use crate::models::ModelCard;
use crate::multipart::Form;
use crate::submit::Purpose;

const SEED: HeaderName = HeaderName::from_static("x-seed");

/// The body of `POST /api/v1/inpaint`.
#[derive(Deserialize)]
struct Inpaint {
    image: Option<String>,
    mask: Option<String>,
    sd_seed: Option<i64>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// `POST /api/v1/inpaint`: fills a hole and answers with the picture.
pub(crate) async fn inpaint(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response, ApiError> {
    let (body, room): (Inpaint, _) = fields::read(&app, request).await?;
    let image = body.image.unwrap_or_default();
    let mask = body.mask.as_deref();
    let wish = Wish {
        form: Form {
            image: Some(picture(&image, "image", Code::BadImage)?),
            mask: mask
                .map(|mask| picture(mask, "mask", Code::BadMask))
                .transpose()?,
            ..Form::default()
        },
        seed: seed_of(body.sd_seed)?,
        candidates: 1,
        model: current_model(&app),
        feather: 0,
        ignored: fields::names(&body.rest),
    };
    let filled = wish.fulfil(&app, room, Purpose::Answer).await?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("image/png")),
        (SEED, HeaderValue::from(filled.job.seeds[0])),
    ];
    let png = filled.candidates[0].png.clone();
    Ok((headers, filled.headers(), png).into_response())
}

/// `GET /api/v1/server-config`
pub(crate) async fn server_config(State(app): State<Arc<App>>) -> Json<Value> {
    let models: Vec<Value> = app.models.iter().map(about).collect();
    Json(json!({
        "plugins": [],
        "modelInfos": models,
        "removeBGModel": "",
        "removeBGModels": [],
        "realesrganModel": "",
        "realesrganModels": [],
        "interactiveSegModel": "",
        "interactiveSegModels": [],
        "enableFileManager": false,
        "enableAutoSaving": false,
        "enableControlnet": false,
        "controlnetMethod": null,
        "disableModelSwitch": false,
        "isDesktop": false,
        "samplers": [],
    }))
}

/// `GET /api/v1/model`
pub(crate) async fn model(State(app): State<Arc<App>>) -> Json<Value> {
    Json(about(current_card(&app)))
}

/// The body of `POST /api/v1/model`.
#[derive(Deserialize)]
struct Switch {
    name: String,
}

/// `POST /api/v1/model`
pub(crate) async fn switch(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Json<Value>, ApiError> {
    let (body, _room): (Switch, _) = fields::read(&app, request).await?;
    switch_model(&app, &body.name)?;
    Ok(Json(about(current_card(&app))))
}

/// A model as IOPaint describes those that need no prompt.
fn about(model: &ModelCard) -> Value {
    json!({
        "name": model.name,
        "path": model.name,
        "model_type": "inpaint",
        "is_single_file_diffusers": false,
        "need_prompt": false,
        "controlnets": [],
        "brushnets": [],
        "support_strength": false,
        "support_outpainting": false,
        "support_lcm_lora": false,
        "support_controlnet": false,
        "support_brushnet": false,
        "support_powerpaint_v2": false,
    })
}
