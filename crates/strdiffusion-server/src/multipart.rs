//! The parts of a request's form, read within limits of size, memory and time.

use axum::extract::multipart::{Field, Multipart, MultipartError};
use axum::extract::{FromRequest, Request};
use axum::http::{StatusCode, header};
use bytes::{Bytes, BytesMut};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::config::ServerLimits;
use crate::error::{ApiError, Code};

/// The parts of a form, as they were sent.
#[derive(Debug, Default)]
pub(crate) struct Form {
    pub image: Option<Bytes>,
    pub mask: Option<Bytes>,
    pub structure: Option<Bytes>,
    pub settings: Option<Bytes>,
}

/// The memory that uploads share: bodies that do not fit in it together wait for each other.
pub(crate) struct UploadMemory {
    /// One permit for each KiB.
    free: Semaphore,
    all: u32,
}

const KIB: usize = 1024;

impl UploadMemory {
    pub fn new(limits: &ServerLimits) -> Self {
        let kib = limits.upload_bytes.max(limits.body_bytes).div_ceil(KIB);
        let all = u32::try_from(kib).unwrap_or(u32::MAX);
        Self {
            free: Semaphore::new(all as usize),
            all,
        }
    }

    /// Waits until `bytes` are free.
    pub async fn reserve(&self, bytes: usize) -> Result<SemaphorePermit<'_>, ApiError> {
        let kib = u32::try_from(bytes.div_ceil(KIB)).unwrap_or(self.all);
        let permit = self.free.acquire_many(kib.min(self.all)).await;
        permit.map_err(|_| ApiError::internal())
    }
}

/// The length that a body announces; the most that it may have where it announces none.
///
/// # Errors
/// If it announces more than that.
pub(crate) fn announced_length(
    request: &Request,
    limits: &ServerLimits,
) -> Result<usize, ApiError> {
    let announced = request.headers().get(header::CONTENT_LENGTH);
    let length = announced
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok())
        .map_or(limits.body_bytes, |n| {
            usize::try_from(n).unwrap_or(usize::MAX)
        });
    if length > limits.body_bytes {
        return Err(too_large(limits));
    }
    Ok(length)
}

impl Form {
    /// Reads a `multipart/form-data` body.
    pub async fn read(request: Request, limits: &ServerLimits) -> Result<Self, ApiError> {
        let is_form = request
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| {
                let kind = value.split(';').next().unwrap_or_default();
                kind.trim().eq_ignore_ascii_case("multipart/form-data")
            });
        if !is_form {
            return Err(ApiError::new(
                Code::UnsupportedMediaType,
                "the body must be multipart/form-data with the parts image and mask, for example \
                 curl -F image=@photo.jpg -F mask=@mask.png",
            ));
        }
        let mut parts = Multipart::from_request(request, &())
            .await
            .map_err(|rejection| ApiError::new(Code::BadForm, rejection.body_text()))?;
        let mut form = Self::default();
        loop {
            let next = timeout(limits.upload_idle, parts.next_field()).await;
            let next = next.map_err(|_| stalled())?;
            let Some(field) = next.map_err(|error| broken(&error, limits))? else {
                return Ok(form);
            };
            let name = field.name().unwrap_or_default().to_owned();
            let slot = match name.as_str() {
                "image" => &mut form.image,
                "mask" => &mut form.mask,
                "structure" => &mut form.structure,
                "settings" => &mut form.settings,
                _ => {
                    return Err(ApiError::new(
                        Code::BadForm,
                        format!(
                            "the form has a part named {name:?}; use image, mask, structure and \
                             settings"
                        ),
                    ));
                }
            };
            if slot.is_some() {
                return Err(ApiError::new(
                    Code::BadForm,
                    format!("the form has two parts named {name}; send each once"),
                ));
            }
            *slot = Some(read_part(field, limits).await?);
        }
    }
}

async fn read_part(mut field: Field<'_>, limits: &ServerLimits) -> Result<Bytes, ApiError> {
    let mut bytes = BytesMut::new();
    loop {
        let chunk = timeout(limits.upload_idle, field.chunk()).await;
        match chunk.map_err(|_| stalled())? {
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) => return Ok(bytes.freeze()),
            Err(error) => return Err(broken(&error, limits)),
        }
    }
}

fn broken(error: &MultipartError, limits: &ServerLimits) -> ApiError {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return too_large(limits);
    }
    ApiError::new(
        Code::BadForm,
        format!("the form cannot be read ({error}); send multipart/form-data, whole"),
    )
}

/// The refusal of an upload that takes too long.
pub(crate) fn stalled() -> ApiError {
    ApiError::new(
        Code::UploadTimeout,
        "the upload stalled and was given up; try again",
    )
}

fn too_large(limits: &ServerLimits) -> ApiError {
    let limit = limits.body_bytes as f64 / f64::from(1 << 20);
    ApiError::new(
        Code::TooLarge,
        format!(
            "the body is over the limit of {limit:.1} MiB; send smaller files, or start the \
             server with a larger --max-body-mib"
        ),
    )
}
