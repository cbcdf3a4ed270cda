//! Who may ask: the token, the host's name, and what browsers are told.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use subtle::ConstantTimeEq;

use crate::app::App;
use crate::error::{ApiError, Code};

/// Scripts and styles from here alone; pictures also as data and as what the page has in memory.
const CONTENT_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
                              img-src 'self' data: blob:; connect-src 'self'; \
                              manifest-src 'self'; base-uri 'none'; form-action 'none'; \
                              frame-ancestors 'none'";

/// What needs the token begins with one of these.
const GUARDED: [&str; 4] = ["/v1/", "/api/", "/sdapi/", "/metrics"];

/// Headers on every answer.
const HEADERS: [(HeaderName, &str); 4] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    // A link may hold the token.
    (header::REFERRER_POLICY, "no-referrer"),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
];

/// Adds the headers that keep browsers from doing more than the page needs.
pub(crate) async fn add_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in HEADERS {
        let value = HeaderValue::from_static(value);
        response.headers_mut().insert(name, value);
    }
    response
        .headers_mut()
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Refuses requests that must not be answered.
pub(crate) async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    match check(&app, &request) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

fn check(app: &App, request: &Request) -> Result<(), ApiError> {
    let host = request
        .headers()
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .or_else(|| request.uri().authority().map(|a| a.as_str()));
    if app.local_only && !host.is_some_and(is_this_machine) {
        // Another site's name may be made to point at this machine, and its page then reads
        // whatever is served here.
        return Err(ApiError::new(
            Code::Forbidden,
            "the server answers only to localhost and 127.0.0.1; use one of these in the address",
        ));
    }
    let Some(token) = &app.token else {
        return check_origin(request.headers(), host);
    };
    let path = request.uri().path();
    let is_open = !GUARDED.iter().any(|start| path.starts_with(start));
    if is_open || sent_tokens(request).any(|sent| is_same(&sent, token)) {
        return Ok(());
    }
    Err(ApiError::new(
        Code::Unauthorized,
        "the token is missing or wrong; send the header Authorization: Bearer TOKEN",
    ))
}

/// Another site's page may send forms here unasked. Browsers say where they come from. (Where a
/// token is needed such a page does not have it.)
fn check_origin(headers: &HeaderMap, host: Option<&str>) -> Result<(), ApiError> {
    let Some(origin) = headers.get(header::ORIGIN) else {
        return Ok(());
    };
    let origin = origin.to_str().ok().and_then(|o| o.split_once("://"));
    if origin.map(|(_, from)| from) == host {
        return Ok(());
    }
    Err(ApiError::new(
        Code::Forbidden,
        "the request comes from another site's page; open the server's own page",
    ))
}

fn is_this_machine(host: &str) -> bool {
    let Ok(uri) = host.parse::<Uri>() else {
        return false;
    };
    let Some(name) = uri.host() else {
        return false;
    };
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || address.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[derive(Deserialize)]
struct TokenQuery {
    token: Option<String>,
}

/// The tokens in the header and in the address.
fn sent_tokens(request: &Request) -> impl Iterator<Item = String> {
    let header = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok()?.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim().to_owned());
    let query = Query::<TokenQuery>::try_from_uri(request.uri());
    let query = query.ok().and_then(|Query(query)| query.token);
    header.into_iter().chain(query)
}

/// In a time that does not tell how much of the token was right.
fn is_same(sent: &str, token: &str) -> bool {
    sent.as_bytes().ct_eq(token.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::is_this_machine;

    #[test]
    fn only_names_of_this_machine_are_this_machine() {
        for host in [
            "localhost",
            "localhost:7860",
            "127.0.0.1:1",
            "[::1]:7860",
            "[::1]",
        ] {
            assert!(is_this_machine(host), "{host}");
        }
        for host in [
            "evil.example",
            "127.0.0.1.evil.example:7860",
            "192.168.0.1",
            "",
            "localhost.evil",
        ] {
            assert!(!is_this_machine(host), "{host}");
        }
    }
}
