//! The parts of a request's form, read within limits of size, memory and time.

use axum::extract::multipart::{Field, Multipart, MultipartError};
use axum::extract::{FromRequest, Request};
use axum::http::{StatusCode, header};
use bytes::{Bytes, BytesMut};
use strdiffusion::picture::HolePolarity;
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
    pub avoid: Option<Bytes>,
    pub settings: Option<Bytes>,
    /// What the hole looks like in the mask.
    pub polarity: HolePolarity,
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

/// The parts of a `multipart/form-data` body, one after the other.
pub(crate) struct Parts<'a> {
    body: Multipart,
    limits: &'a ServerLimits,
}

impl<'a> Parts<'a> {
    /// Those of a request.
    pub async fn of(request: Request, limits: &'a ServerLimits) -> Result<Self, ApiError> {
        if !has_kind(&request, "multipart/form-data") {
            return Err(ApiError::new(
                Code::UnsupportedMediaType,
                "the body must be multipart/form-data with the parts image and mask, for example \
                 curl -F image=@photo.jpg -F mask=@mask.png",
            ));
        }
        let body = Multipart::from_request(request, &()).await;
        let body = body.map_err(|r| ApiError::new(Code::BadForm, r.body_text()))?;
        Ok(Self { body, limits })
    }

    /// The next one's name and what reads it.
    pub async fn next(&mut self) -> Result<Option<(String, Part<'_>)>, ApiError> {
        let Self { body, limits } = self;
        let next = timeout(limits.upload_idle, body.next_field()).await;
        let next = next.map_err(|_| stalled())?;
        let field = next.map_err(|error| broken(&error, limits))?;
        Ok(field.map(|field| {
            let name = field.name().unwrap_or_default().to_owned();
            (name, Part { field, limits })
        }))
    }
}

/// Whether a request says that its body is of this kind.
pub(crate) fn has_kind(request: &Request, wanted: &str) -> bool {
    let kind = request.headers().get(header::CONTENT_TYPE);
    kind.and_then(|value| value.to_str().ok())
        .is_some_and(|value| {
            let kind = value.split(';').next().unwrap_or_default();
            kind.trim().eq_ignore_ascii_case(wanted)
        })
}

impl Form {
    /// Reads a `multipart/form-data` body.
    pub async fn read(request: Request, limits: &ServerLimits) -> Result<Self, ApiError> {
        let mut parts = Parts::of(request, limits).await?;
        let mut form = Self::default();
        while let Some((name, part)) = parts.next().await? {
            let slot = match name.as_str() {
                "image" => &mut form.image,
                "mask" => &mut form.mask,
                "structure" => &mut form.structure,
                "avoid" => &mut form.avoid,
                "settings" => &mut form.settings,
                _ => {
                    return Err(ApiError::new(
                        Code::BadForm,
                        format!(
                            "the form has a part named {name:?}; use image, mask, structure, avoid \
                             and settings"
                        ),
                    ));
                }
            };
            part.read_once(&name, slot).await?;
        }
        Ok(form)
    }
}

/// A part that has not been read yet.
pub(crate) struct Part<'a> {
    field: Field<'a>,
    limits: &'a ServerLimits,
}

impl Part<'_> {
    /// Its bytes.
    pub async fn read(mut self) -> Result<Bytes, ApiError> {
        let mut bytes = BytesMut::new();
        loop {
            let chunk = timeout(self.limits.upload_idle, self.field.chunk()).await;
            match chunk.map_err(|_| stalled())? {
                Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
                Ok(None) => return Ok(bytes.freeze()),
                Err(error) => return Err(broken(&error, self.limits)),
            }
        }
    }

    /// Its bytes, where none of this name came before.
    pub async fn read_once(self, name: &str, slot: &mut Option<Bytes>) -> Result<(), ApiError> {
        if slot.is_some() {
            return Err(ApiError::new(
                Code::BadForm,
                format!("the form has two parts named {name}; send each once"),
            ));
        }
        *slot = Some(self.read().await?);
        Ok(())
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

pub(crate) fn too_large(limits: &ServerLimits) -> ApiError {
    let limit = limits.body_bytes as f64 / f64::from(1 << 20);
    ApiError::new(
        Code::TooLarge,
        format!(
            "the body is over the limit of {limit:.1} MiB; send smaller files, or start the \
             server with a larger --max-body-mib"
        ),
    )
}
