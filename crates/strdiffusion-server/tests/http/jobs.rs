//! The life of a job.

use serde_json::Value;
use strdiffusion_server::ServerLimits;

use crate::checked::{Parts, refusal};
use crate::pictures::{black_and_white, decode, mask, photo};
use crate::running::{config, start, start_gated, start_with};
use crate::stages::{Gate, PANIC_SEED, T};

fn parts<'a>(image: &'a [u8], mask: &'a [u8], settings: &'a str) -> [(&'static str, &'a [u8]); 3] {
    [
        ("image", image),
        ("mask", mask),
        ("settings", settings.as_bytes()),
    ]
}

#[tokio::test]
async fn a_job_tells_its_life() {
    let (server, gate) = start_gated(ServerLimits::default()).await;
    let (image, hole) = (photo(40, 30), mask(40, 30));
    let job = server
        .submit(&parts(&image, &hole, r#"{"seed": 5, "candidates": 2}"#))
        .await;
    let events = server.events(&job).await;
    gate.release();
    let events = events.rest().await;
    assert_eq!(events[0].0, "state");

    let of = |name: &str| -> Vec<&Value> {
        let found = events.iter().filter(|(n, _)| n == name);
        found.map(|(_, data)| data).collect()
    };
    let states: Vec<&str> = of("state")
        .iter()
        .map(|s| s["state"].as_str().unwrap())
        .collect();
    assert_eq!(states.last(), Some(&"done"));
    assert!(states.is_sorted_by_key(|s| ["queued", "running", "done"].iter().position(|x| x == s)));
    let steps = of("step");
    assert_eq!(steps.len(), 2 * T);
    for (i, step) in steps.iter().enumerate() {
        assert_eq!(step["step"], i + 1);
        assert_eq!(step["total"], 2 * T);
        assert_eq!(step["candidates"], 2);
        for picture in ["texture", "structure"] {
            let url = step[picture].as_str().unwrap();
            assert!(url.starts_with("data:image/png;base64,"), "{url}");
        }
    }
    let seeds: Vec<&Value> = of("candidate").iter().map(|c| &c["seed"]).collect();
    assert_eq!(seeds, [5, 6]);
    let (name, end) = events.last().unwrap();
    assert_eq!(
        (name.as_str(), &end["state"]),
        ("done", &Value::from("done"))
    );
    assert_eq!((&end["width"], &end["height"]), (&40.into(), &30.into()));

    // All of it can still be asked for, until it is forgotten.
    assert_eq!(&server.json(&job).await, end);
    let late = server.events(&job).await.rest().await;
    let names: Vec<&str> = late.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["state", "done"]);
    for candidate in end["candidates"].as_array().unwrap() {
        let response = server.get(candidate["url"].as_str().unwrap()).await;
        assert_eq!(
            response.headers()["x-strdiffusion-seed"],
            candidate["seed"].to_string().as_str()
        );
        assert_eq!(decode(&response.bytes().await.unwrap()).width(), 40);
    }
    refusal(server.get(&format!("{job}/candidates/2")).await, 404).await;
    assert_eq!(server.delete(&job).await.status(), 200);
    refusal(server.get(&job).await, 404).await;
}

/// A speck far from the hole would be a region of its own, but no network fills it.
#[tokio::test]
async fn the_total_of_steps_leaves_specks_out() {
    let hole = |x: u32, y: u32| (5..25).contains(&x) && (5..25).contains(&y);
    let speck = |x: u32, y: u32| (132..135).contains(&x) && (72..75).contains(&y);
    let image = photo(150, 90);
    for (detail, regions) in [("auto", 1), ("off", 2)] {
        let mask = black_and_white(150, 90, |x, y| hole(x, y) || speck(x, y));
        let settings = format!(r#"{{"detail": "{detail}"}}"#);
        // No step before someone listens.
        let (server, gate) = start_gated(ServerLimits::default()).await;
        let job = server.submit(&parts(&image, &mask, &settings)).await;
        let events = server.events(&job).await;
        gate.release();
        let events = events.rest().await;
        let steps: Vec<&Value> = (events.iter())
            .filter(|(name, _)| name == "step")
            .map(|(_, data)| data)
            .collect();
        assert_eq!(steps.len(), regions * T, "{detail}");
        assert!(steps.iter().all(|step| step["total"] == regions * T));
    }
    let server = start().await;
    let mask = black_and_white(150, 90, speck);
    let job = server.submit(&parts(&image, &mask, "{}")).await;
    let events = server.events(&job).await.rest().await;
    assert!(events.iter().all(|(name, _)| name != "step"));
    assert_eq!(events.last().unwrap().0, "done");
}

#[tokio::test]
async fn previews_can_be_left_out() {
    let (server, gate) = start_gated(ServerLimits::default()).await;
    let (image, hole) = (photo(16, 16), mask(16, 16));
    let job = server
        .submit(&parts(&image, &hole, r#"{"previews": false}"#))
        .await;
    let mut events = server.events(&job).await;
    gate.release();
    let step = events.until("step").await;
    assert!(step["texture"].is_null() && step["structure"].is_null());
}

#[tokio::test]
async fn deleting_a_running_job_stops_it_within_a_step() {
    let (server, gate) = start_gated(ServerLimits::default()).await;
    let (image, hole) = (photo(16, 16), mask(16, 16));
    let job = server.submit(&parts(&image, &hole, "{}")).await;
    let mut events = server.events(&job).await;
    gate.allow(1);
    assert_eq!(events.until("step").await["step"], 1);
    // For its batch and that step; it may be told of before it stands there.
    gate.arrived(2).await;
    let answer: Value = server.delete(&job).await.json().await.unwrap();
    assert_eq!(answer["state"], "cancelled");
    assert_eq!(answer["error"]["code"], "cancelled");
    assert_eq!(events.until("cancelled").await["state"], "cancelled");
    assert!(events.next().await.is_none());
    let before = gate.arrivals();
    gate.release();
    // The next job shows that the worker is free; it stands at the gate for its batch and T steps.
    server.inpaint(&parts(&image, &hole, "{}")).await;
    assert_eq!(gate.arrivals(), before + 1 + T);
}

#[tokio::test]
async fn deleting_a_waiting_job_lets_the_others_move_up() {
    let (server, gate) = start_gated(ServerLimits::default()).await;
    let (image, hole) = (photo(16, 16), mask(16, 16));
    let running = server.submit(&parts(&image, &hole, "{}")).await;
    gate.arrived(1).await;
    let first = server.submit(&parts(&image, &hole, "{}")).await;
    let second = server.submit(&parts(&image, &hole, "{}")).await;
    assert_eq!(server.json(&running).await["position"], 0);
    assert_eq!(server.json(&first).await["position"], 1);
    assert_eq!(server.json(&second).await["position"], 2);
    server.delete(&first).await;
    assert_eq!(server.json(&first).await["state"], "cancelled");
    assert_eq!(server.json(&second).await["position"], 1);
    gate.release();
    server.events(&second).await.until("done").await;
}

#[tokio::test]
async fn a_client_that_goes_away_stops_its_fill() {
    let (server, gate) = start_gated(ServerLimits::default()).await;
    let (image, hole) = (photo(16, 16), mask(16, 16));
    let client = server.client.clone();
    let (i, h) = (image.clone(), hole.clone());
    let request = tokio::spawn(async move { client.inpaint(&parts(&i, &h, "{}")).await });
    gate.allow(1);
    gate.arrived(2).await;
    request.abort();
    let cancelled = r#"strdiffusion_jobs_total{outcome="cancelled"}"#;
    while server.count(cancelled).await < 1.0 {}
    let before = gate.arrivals();
    gate.release();
    server.inpaint(&parts(&image, &hole, "{}")).await;
    assert_eq!(gate.arrivals(), before + 1 + T);
}

#[tokio::test]
async fn waiting_jobs_that_fit_together_share_a_batch() {
    let limits = ServerLimits {
        batch: 4,
        ..ServerLimits::default()
    };
    let (server, gate) = start_gated(limits).await;
    let (image, hole) = (photo(16, 16), mask(16, 16));
    let wide = (photo(16, 12), mask(16, 12));
    server.submit(&parts(&image, &hole, "{}")).await;
    gate.arrived(1).await;
    server
        .submit(&parts(&image, &hole, r#"{"candidates": 2}"#))
        .await;
    server.submit(&parts(&wide.0, &wide.1, "{}")).await;
    server.submit(&parts(&image, &hole, r#"{"seed": 9}"#)).await;
    server
        .submit(&parts(&image, &hole, r#"{"candidates": 3}"#))
        .await;
    let last = server
        .submit(&parts(&image, &hole, r#"{"sampler": "euler"}"#))
        .await;
    gate.release();
    server.events(&last).await.until("done").await;
    assert_eq!(gate.batches(), [1, 3, 1, 3, 1]);
}

#[tokio::test]
async fn a_job_that_makes_the_program_panic_harms_no_other() {
    let (server, gate) = start_gated(ServerLimits::default()).await;
    let (image, hole) = (photo(16, 16), mask(16, 16));
    server.submit(&parts(&image, &hole, "{}")).await;
    gate.arrived(1).await;
    let good = server.submit(&parts(&image, &hole, r#"{"seed": 1}"#)).await;
    let settings = format!(r#"{{"seed": {PANIC_SEED}}}"#);
    let bad = server.submit(&parts(&image, &hole, &settings)).await;
    let other = server.submit(&parts(&image, &hole, r#"{"seed": 2}"#)).await;
    gate.release();
    server.events(&other).await.until("done").await;
    server.events(&good).await.until("done").await;
    let failed = server.events(&bad).await.until("failed").await;
    assert_eq!(failed["error"]["code"], "internal");
    let response = server
        .post("/v1/inpaint", &parts(&image, &hole, &settings))
        .await;
    assert_eq!(refusal(response, 500).await, "internal");
}

#[tokio::test]
async fn the_oldest_results_are_forgotten_first() {
    let mut config = config(&Gate::open());
    config.limits.kept_jobs = 2;
    let server = start_with(config).await;
    let (image, hole) = (photo(16, 16), mask(16, 16));
    let mut jobs = vec![];
    for _ in 0..3 {
        let job = server.submit(&parts(&image, &hole, "{}")).await;
        server.events(&job).await.until("done").await;
        jobs.push(job);
    }
    refusal(server.get(&jobs[0]).await, 404).await;
    assert_eq!(server.json(&jobs[1]).await["state"], "done");
    assert_eq!(server.json(&jobs[2]).await["state"], "done");
}

#[tokio::test]
async fn what_is_kept_for_other_shares_of_detail_counts() {
    let server = start().await;
    let (image, hole) = (photo(40, 30), mask(40, 30));
    let job = server.submit(&parts(&image, &hole, "{}")).await;
    let done = server.events(&job).await.until("done").await;
    let candidate = &done["candidates"][0];
    let png = server.get(candidate["url"].as_str().unwrap()).await;
    let length = png.bytes().await.unwrap().len();
    let area = |hole: &Value| hole["width"].as_u64().unwrap() * hole["height"].as_u64().unwrap();
    let holes = candidate["detail"].as_array().unwrap();
    // Two fills of three 32-bit numbers and a byte of the mask for each pixel.
    let layers = 25 * holes.iter().map(area).sum::<u64>();
    assert!(layers > 0);
    let kept = server.count("strdiffusion_kept_results_bytes").await;
    assert_eq!(kept, (length as u64 + layers) as f64);
}

#[tokio::test]
async fn a_job_counts_in_the_metrics() {
    let server = start().await;
    let (image, hole) = (photo(16, 16), mask(16, 16));
    let pictures: Parts = &[("image", &image), ("mask", &hole)];
    server.inpaint(pictures).await;
    let response = server.post("/v1/inpaint", &[]).await;
    refusal(response, 400).await;
    let counts = [
        (r#"strdiffusion_jobs_total{outcome="done"}"#, 1.0),
        ("strdiffusion_fill_seconds_count", 1.0),
        ("strdiffusion_queue_length", 0.0),
        (
            r#"strdiffusion_network_evaluations_total{network="texture"}"#,
            T as f64,
        ),
        (
            r#"strdiffusion_http_requests_total{method="POST",route="/v1/inpaint",status="200"}"#,
            1.0,
        ),
        (
            r#"strdiffusion_http_requests_total{method="POST",route="/v1/inpaint",status="400"}"#,
            1.0,
        ),
    ];
    for (metric, expected) in counts {
        assert_eq!(server.count(metric).await, expected, "{metric}");
    }
}
