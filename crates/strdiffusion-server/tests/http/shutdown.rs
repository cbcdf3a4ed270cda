//! How a server ends.

use strdiffusion_server::ServerLimits;

use crate::checked::{Parts, refusal};
use crate::pictures::{mask, photo};
use crate::running::start_gated;

#[tokio::test]
async fn a_server_that_ends_finishes_what_runs_and_cancels_what_waits() {
    let (server, gate) = start_gated(ServerLimits::default()).await;
    let (image, hole) = (photo(16, 16), mask(16, 16));
    let parts: Parts = &[("image", &image), ("mask", &hole)];
    let running = server.submit(parts).await;
    let mut running_events = server.events(&running).await;
    gate.arrived(1).await;
    let waiting = server.submit(parts).await;
    let waiting_events = server.events(&waiting).await;

    server.stop.send(()).await.unwrap();
    let (name, end) = waiting_events.rest().await.pop().unwrap();
    assert_eq!(name, "cancelled");
    assert_eq!(end["error"]["code"], "shutting_down");
    assert_eq!(
        refusal(server.post("/v1/jobs", parts).await, 503).await,
        "shutting_down"
    );
    assert_eq!(
        refusal(server.post("/v1/inpaint", parts).await, 503).await,
        "shutting_down"
    );
    assert_eq!(
        refusal(server.get("/healthz").await, 503).await,
        "shutting_down"
    );

    gate.release();
    running_events.until("done").await;
    assert!(running_events.next().await.is_none());
    // What was finished can still be fetched; then the server ends.
    let result = server.get(&format!("{running}/candidates/0")).await;
    assert_eq!(result.status(), 200);
    result.bytes().await.unwrap();
    server.ended.await.unwrap().unwrap();
}

#[tokio::test]
async fn the_second_signal_cancels_what_runs() {
    let (server, gate) = start_gated(ServerLimits::default()).await;
    let (image, hole) = (photo(16, 16), mask(16, 16));
    let parts: Parts = &[("image", &image), ("mask", &hole)];
    let job = server.submit(parts).await;
    let mut events = server.events(&job).await;
    gate.arrived(1).await;
    server.stop.send(()).await.unwrap();
    server.stop.send(()).await.unwrap();
    let end = events.until("cancelled").await;
    assert_eq!(end["error"]["code"], "shutting_down");
    gate.release();
    server.ended.await.unwrap().unwrap();
    // Its batch and at most the step that it was in.
    assert!(gate.arrivals() <= 2);
}

#[tokio::test]
async fn a_client_that_waits_gets_its_picture_from_a_server_that_ends() {
    let (server, gate) = start_gated(ServerLimits::default()).await;
    let (image, hole) = (photo(16, 16), mask(16, 16));
    let client = server.client.clone();
    let request =
        tokio::spawn(async move { client.inpaint(&[("image", &image), ("mask", &hole)]).await });
    gate.arrived(1).await;
    server.stop.send(()).await.unwrap();
    gate.release();
    assert!(!request.await.unwrap().is_empty());
    server.ended.await.unwrap().unwrap();
}
