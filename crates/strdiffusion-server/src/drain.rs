//! Refused uploads are read to their end, so that the client gets to read the refusal.
//!
//! A client that is still sending when the connection closes often sees only that.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use axum::body::{Body, BodyDataStream, HttpBody};
use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio::time::timeout;

use crate::app::App;

/// A body of which what is left can still be read after the handler has dropped it.
#[derive(Clone)]
struct Shared(Arc<Mutex<(BodyDataStream, bool)>>);

impl Shared {
    fn was_read(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1
    }
}

impl Stream for Shared {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut shared = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shared.1 = true;
        shared.0.poll_next_unpin(context)
    }
}

/// Answers only once the body has been read, or more of it than is allowed.
pub(crate) async fn drain_refused(
    State(app): State<Arc<App>>,
    request: Request,
    next: Next,
) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let waits_to_send = request.headers().contains_key(header::EXPECT);
    let (parts, body) = request.into_parts();
    let mut rest = Shared(Arc::new(Mutex::new((body.into_data_stream(), false))));
    let request = Request::from_parts(parts, Body::from_stream(rest.clone()));
    let response = next.run(request).await;
    if response.status().is_success() || (waits_to_send && !rest.was_read()) {
        return response;
    }
    let drain = async {
        let mut allowed = app.limits.body_bytes;
        while let Some(Ok(chunk)) = rest.next().await {
            let Some(left) = allowed.checked_sub(chunk.len()) else {
                break;
            };
            allowed = left;
        }
    };
    // In all, since a client may send a byte now and then for ever.
    let _ = timeout(app.limits.upload_idle, drain).await;
    response
}
