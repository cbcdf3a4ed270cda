//! What a request can be refused with, as `{"error": {"code", "message"}}`.

use std::sync::Arc;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;

/// Every reason for which a request is refused or a job fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The body is not what `multipart/form-data` should be.
    BadForm,
    /// The photograph is missing, damaged, or of a format that is not read.
    BadImage,
    /// As [`Self::BadImage`], of the mask.
    BadMask,
    /// As [`Self::BadImage`], of the drawn structure; also where most of it is bright.
    BadStructure,
    /// As [`Self::BadImage`], of the mask of what to avoid; also where it leaves nothing.
    BadAvoid,
    /// The settings are not JSON, unknown, or out of range.
    BadSettings,
    /// A mask or drawing is of another size than the photograph.
    SizeMismatch,
    /// There is nothing to fill.
    NoHole,
    /// Nothing is known to fill from.
    FullMask,
    /// The token is missing or wrong.
    Unauthorized,
    /// The request names another host, or comes from another site's page.
    Forbidden,
    /// No such path, job or candidate.
    NotFound,
    /// The path does not take this method.
    MethodNotAllowed,
    /// The upload stalled.
    UploadTimeout,
    /// The body or a picture is over a limit.
    TooLarge,
    /// The body is not `multipart/form-data`.
    UnsupportedMediaType,
    /// As many jobs wait as may.
    QueueFull,
    /// The server is about to end.
    ShuttingDown,
    /// The job was cancelled before it was done.
    Cancelled,
    /// A mistake of the program.
    Internal,
}

impl Code {
    /// All of them.
    pub const ALL: [Self; 20] = [
        Self::BadForm,
        Self::BadImage,
        Self::BadMask,
        Self::BadStructure,
        Self::BadAvoid,
        Self::BadSettings,
        Self::SizeMismatch,
        Self::NoHole,
        Self::FullMask,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::UploadTimeout,
        Self::TooLarge,
        Self::UnsupportedMediaType,
        Self::QueueFull,
        Self::ShuttingDown,
        Self::Cancelled,
        Self::Internal,
    ];

    /// The HTTP status that goes with it.
    pub fn status(self) -> StatusCode {
        match self {
            Self::BadForm
            | Self::BadImage
            | Self::BadMask
            | Self::BadStructure
            | Self::BadAvoid
            | Self::BadSettings
            | Self::SizeMismatch
            | Self::NoHole
            | Self::FullMask => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::UploadTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::QueueFull => StatusCode::TOO_MANY_REQUESTS,
            Self::ShuttingDown | Self::Cancelled => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// One refusal: a code for programs, a sentence for people.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ApiError {
    pub code: Code,
    pub message: String,
    /// Seconds after which another try may succeed.
    #[serde(skip)]
    pub retry_after: Option<u64>,
}

impl ApiError {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            retry_after: None,
        }
    }

    pub fn internal() -> Self {
        Self::new(
            Code::Internal,
            "the program made a mistake; the server's log says where, please report it",
        )
    }

    pub fn shutting_down() -> Self {
        Self {
            retry_after: Some(10),
            ..Self::new(
                Code::ShuttingDown,
                "the server is shutting down; try again once it has been started anew",
            )
        }
    }

    pub fn not_found(what: &str) -> Self {
        Self::new(Code::NotFound, format!("{what}; see /openapi.json"))
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.code.status(), Json(json!({ "error": &self }))).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.code == Code::Unauthorized {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        // For those who say it in other words.
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}
