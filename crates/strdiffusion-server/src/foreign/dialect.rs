//! Refusals in the words that each client shows to its user.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::Response;
use serde_json::{Value, json};

use crate::error::{ApiError, Code};

/// How a refusal is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    /// `detail` and `errors`, as IOPaint and the web UI have it.
    Detail,
    /// `error.message` and `error.type`, as `OpenAI` has it.
    OpenAi,
}

impl Dialect {
    fn of_path(path: &str) -> Option<Self> {
        if path.starts_with("/api/v1/") || path.starts_with("/sdapi/") {
            Some(Self::Detail)
        } else if path.starts_with("/v1/images/") {
            Some(Self::OpenAi)
        } else {
            None
        }
    }

    fn tell(self, refusal: &ApiError) -> Value {
        let ApiError { code, message, .. } = refusal;
        match self {
            Self::Detail => json!({
                "error": code,
                "detail": message,
                "body": "",
                "errors": message,
            }),
            Self::OpenAi => json!({ "error": {
                "message": message,
                "type": kind_of(*code),
                "param": null,
                "code": code,
            }}),
        }
    }
}

fn kind_of(code: Code) -> &'static str {
    match code.status() {
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
        status if status.is_server_error() => "server_error",
        _ => "invalid_request_error",
    }
}

/// Tells a refusal in the words of the API that was asked.
pub(crate) async fn translate_refusals(request: Request, next: Next) -> Response {
    let dialect = Dialect::of_path(request.uri().path());
    let response = next.run(request).await;
    let refusal = response.extensions().get::<Arc<ApiError>>().cloned();
    let (Some(dialect), Some(refusal)) = (dialect, refusal) else {
        return response;
    };
    let (head, _) = response.into_parts();
    Response::from_parts(head, Body::from(dialect.tell(&refusal).to_string()))
}
