//! A job's events as a stream of server-sent events.

use std::convert::Infallible;
use std::sync::Arc;

use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::{Stream, StreamExt, stream};
use tokio_stream::wrappers::BroadcastStream;

use crate::job::{Job, JobEvent};

/// The job's state, then all that happens to it, to its end.
pub(crate) fn stream_of(
    job: Arc<Job>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>> + use<>> {
    let (past, coming) = job.subscribe();
    let coming = stream::iter(coming).flat_map(BroadcastStream::new);
    let coming = coming.map(move |event| {
        // A reader that lagged behind has lost steps; it is told how things stand.
        event.unwrap_or_else(|_| job.current())
    });
    let events = stream::iter(past).chain(coming);
    Sse::new(events.map(|event| Ok(as_sse(&event)))).keep_alive(KeepAlive::default())
}

fn as_sse(event: &JobEvent) -> Event {
    Event::default().event(event.name).data(&event.data)
}
