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

/// An asset of the folder `page`.
macro_rules! asset {
    ($name:literal, $kind:expr) => {
        Asset {
            name: $name,
            kind: $kind,
            bytes: include_bytes!(concat!("../page/", $name)),
        }
    };
}

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const VECTORS: &str = "image/svg+xml";

const MANIFEST: &str = "application/manifest+json";

const INDEX: Asset = asset!("index.html", HTML);

/// What keeps the page at hand while the server is not there. It may answer for the folder that it
/// lies in, so it lies beside the page.
const OFFLINE: Asset = asset!("offline.js", SCRIPT);

/// Everything below `/assets/`.
const ASSETS: [Asset; 39] = [
    asset!("album.js", SCRIPT),
    asset!("announce.js", SCRIPT),
    asset!("api.js", SCRIPT),
    asset!("app.js", SCRIPT),
    asset!("app.webmanifest", MANIFEST),
    asset!("canvas-view.js", SCRIPT),
    asset!("compare.js", SCRIPT),
    asset!("crc32.js", SCRIPT),
    asset!("detail.js", SCRIPT),
    asset!("dom.js", SCRIPT),
    asset!("example.js", SCRIPT),
    asset!("extend.js", SCRIPT),
    asset!("files.js", SCRIPT),
    asset!("fill.js", SCRIPT),
    asset!("flood.js", SCRIPT),
    asset!("growth.js", SCRIPT),
    asset!("history.js", SCRIPT),
    asset!("icon.svg", VECTORS),
    asset!("install.js", SCRIPT),
    asset!("keyboard-brush.js", SCRIPT),
    asset!("mask.js", SCRIPT),
    asset!("outline.js", SCRIPT),
    asset!("painting.js", SCRIPT),
    asset!("photo.js", SCRIPT),
    asset!("png.js", SCRIPT),
    asset!("pointer.js", SCRIPT),
    asset!("progress.js", SCRIPT),
    asset!("replay.js", SCRIPT),
    asset!("results.js", SCRIPT),
    asset!("select.js", SCRIPT),
    asset!("settings.js", SCRIPT),
    asset!("shortcuts.js", SCRIPT),
    asset!("stroke.js", SCRIPT),
    asset!("style.css", STYLE),
    asset!("theme.js", SCRIPT),
    asset!("token.js", SCRIPT),
    asset!("tools.js", SCRIPT),
    asset!("viewport.js", SCRIPT),
    asset!("zip.js", SCRIPT),
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

/// `GET /offline.js`
pub(crate) async fn offline() -> Response {
    (&OFFLINE).into_response()
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
