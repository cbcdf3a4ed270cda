//! The page's files, embedded in the program.

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};

use crate::error::ApiError;

/// A file of the page.
struct Asset {
    name: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
}

const INDEX: Asset = Asset {
    name: "index.html",
    kind: "text/html; charset=utf-8",
    bytes: include_bytes!("../page/index.html"),
};

/// Everything below `/assets/`.
const ASSETS: [Asset; 2] = [
    Asset {
        name: "app.js",
        kind: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../page/app.js"),
    },
    Asset {
        name: "style.css",
        kind: "text/css; charset=utf-8",
        bytes: include_bytes!("../page/style.css"),
    },
];

impl IntoResponse for &'static Asset {
    fn into_response(self) -> Response {
        // The program may be exchanged for a newer one at any time.
        let headers = [
            (header::CONTENT_TYPE, HeaderValue::from_static(self.kind)),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        ];
        (headers, self.bytes).into_response()
    }
}

/// `GET /`
pub(crate) async fn index() -> Response {
    (&INDEX).into_response()
}

/// `GET /assets/{file}`
pub(crate) async fn asset(path: Result<Path<String>, PathRejection>) -> Response {
    let asset = path
        .ok()
        .and_then(|Path(name)| ASSETS.iter().find(|a| a.name == name));
    match asset {
        Some(asset) => asset.into_response(),
        None => ApiError::not_found("the page has no such file").into_response(),
    }
}
