//! Requests that are refused: each with its own code, and no harm done.

use reqwest::Method;
use serde_json::Value;
use strdiffusion_server::{Server, ServerConfig, ServerLimits, StartError};

use crate::checked::{Parts, refusal};
use crate::pictures::{black_and_white, mask, photo};
use crate::running::{config, start, start_gated, start_with};
use crate::stages::Gate;

/// Parts of a form, and what they are refused with.
type Case<'a> = (Vec<(&'static str, &'a [u8])>, u16, &'static str);

#[tokio::test]
async fn each_bad_input_has_its_code() {
    let mut config = config(&Gate::open());
    config.limits.pixels = 5_000;
    let server = start_with(config).await;
    let (image, hole) = (photo(16, 16), mask(16, 16));
    let small = mask(16, 15);
    let nothing = black_and_white(16, 16, |_, _| false);
    let everything = black_and_white(16, 16, |_, _| true);
    let cut_short = &image[..image.len() / 2];
    let large = photo(100, 60);
    let pictures = |settings: &'static str| -> Vec<(&'static str, &[u8])> {
        vec![
            ("image", &image),
            ("mask", &hole),
            ("settings", settings.as_bytes()),
        ]
    };
    let cases: Vec<Case> = vec![
        (vec![], 400, "bad_form"),
        (vec![("mask", &hole)], 400, "bad_image"),
        (
            vec![("image", b"no picture"), ("mask", &hole)],
            400,
            "bad_image",
        ),
        (vec![("image", b""), ("mask", &hole)], 400, "bad_image"),
        (
            vec![("image", cut_short), ("mask", &hole)],
            400,
            "bad_image",
        ),
        (
            vec![("image", &image), ("mask", b"GIF89a")],
            400,
            "bad_mask",
        ),
        (
            vec![("image", &image), ("mask", &small)],
            400,
            "size_mismatch",
        ),
        (vec![("image", &image), ("mask", &nothing)], 400, "no_hole"),
        (vec![("image", &image)], 400, "no_hole"),
        (
            vec![("image", &image), ("mask", &everything)],
            400,
            "full_mask",
        ),
        (vec![("image", &large), ("mask", &hole)], 413, "too_large"),
        (vec![("image", &image), ("image", &image)], 400, "bad_form"),
        (
            vec![("image", &image), ("path", b"/etc/passwd")],
            400,
            "bad_form",
        ),
        (
            vec![("image", &image), ("mask", &hole), ("structure", &small)],
            400,
            "size_mismatch",
        ),
        (
            vec![
                ("image", &image),
                ("mask", &hole),
                ("structure", &everything),
            ],
            400,
            "bad_structure",
        ),
        (
            vec![("image", &image), ("mask", &hole), ("avoid", &small)],
            400,
            "size_mismatch",
        ),
        (
            vec![("image", &image), ("mask", &hole), ("avoid", &everything)],
            400,
            "bad_avoid",
        ),
        (pictures("7"), 400, "bad_settings"),
        (pictures(r#"{"sed": 7}"#), 400, "bad_settings"),
        (pictures(r#"{"seed": -1}"#), 400, "bad_settings"),
        (pictures(r#"{"candidates": 0}"#), 400, "bad_settings"),
        (pictures(r#"{"candidates": 9}"#), 400, "bad_settings"),
        (
            pictures(r#"{"sampler": "fast", "steps": 0}"#),
            400,
            "bad_settings",
        ),
        (
            pictures(r#"{"sampler": "fast", "steps": 5}"#),
            400,
            "bad_settings",
        ),
        (
            pictures(r#"{"sampler": "paper", "steps": 2}"#),
            400,
            "bad_settings",
        ),
        (pictures(r#"{"sampler": "best"}"#), 400, "bad_settings"),
        (pictures(r#"{"resampling": 33}"#), 400, "bad_settings"),
        (pictures(r#"{"model": "../tiny"}"#), 400, "bad_settings"),
        (pictures(r#"{"detail": 1.5}"#), 400, "bad_settings"),
        (pictures(r#"{"detail": "sharp"}"#), 400, "bad_settings"),
        (pictures(r#"{"detail": "0.5"}"#), 400, "bad_settings"),
        (pictures(r#"{"detail": [1]}"#), 400, "bad_settings"),
    ];
    for (parts, status, code) in &cases {
        let names: Vec<_> = parts
            .iter()
            .map(|(name, bytes)| (name, bytes.len()))
            .collect();
        for path in ["/v1/inpaint", "/v1/jobs"] {
            let found = refusal(server.post(path, parts).await, *status).await;
            assert_eq!(found, *code, "{path} {names:?}");
        }
    }
    // Several pictures do not fit into one answer.
    let response = server
        .post("/v1/inpaint", &pictures(r#"{"candidates": 2}"#))
        .await;
    assert_eq!(refusal(response, 400).await, "bad_settings");
    // And after all of that the server works.
    server.inpaint(&pictures("{}")).await;
}

#[tokio::test]
async fn a_body_that_is_no_form_is_refused() {
    let server = start().await;
    for path in ["/v1/inpaint", "/v1/jobs"] {
        let send = async |kind: &'static str| {
            let request = server.send(Method::POST, path, |request| {
                request.header("content-type", kind).body("{}")
            });
            request.await
        };
        assert_eq!(
            refusal(send("application/json").await, 415).await,
            "unsupported_media_type"
        );
        assert_eq!(
            refusal(send("multipart/form-data").await, 400).await,
            "bad_form"
        );
        let truncated = send("multipart/form-data; boundary=x").await;
        assert_eq!(refusal(truncated, 400).await, "bad_form");
        let bare = server.send(Method::POST, path, |request| request).await;
        assert_eq!(refusal(bare, 415).await, "unsupported_media_type");
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_in_a_way_that_can_be_read() {
    let mut config = config(&Gate::open());
    config.limits.body_bytes = 2 << 20;
    let server = start_with(config).await;
    // More than any socket's buffer, so that the refusal comes while the client still sends.
    let large = vec![0; 3 << 20];
    let parts: Parts = &[("image", &large)];
    let announced = server.post("/v1/inpaint", parts).await;
    assert_eq!(refusal(announced, 413).await, "too_large");
    // The same without a length that is known beforehand.
    let head = "--x\r\nContent-Disposition: form-data; name=\"image\"\r\n\r\n";
    let chunks = [head.as_bytes().to_vec(), large].map(Ok::<_, std::io::Error>);
    let body = reqwest::Body::wrap_stream(futures_util::stream::iter(chunks));
    let unannounced = server.send(Method::POST, "/v1/inpaint", |request| {
        request
            .header("content-type", "multipart/form-data; boundary=x")
            .body(body)
    });
    assert_eq!(refusal(unannounced.await, 413).await, "too_large");
}

#[tokio::test]
async fn past_the_queue_there_is_a_clear_refusal() {
    let limits = ServerLimits {
        queue: 2,
        ..ServerLimits::default()
    };
    let (server, gate) = start_gated(limits).await;
    let (image, hole) = (photo(16, 16), mask(16, 16));
    let parts: Parts = &[("image", &image), ("mask", &hole)];
    server.submit(parts).await;
    gate.arrived(1).await;
    server.submit(parts).await;
    let last = server.submit(parts).await;
    for path in ["/v1/inpaint", "/v1/jobs"] {
        let response = server.post(path, parts).await;
        let seconds: u64 = response.headers()["retry-after"]
            .to_str()
            .unwrap()
            .parse()
            .unwrap();
        assert!((1..=600).contains(&seconds));
        assert_eq!(refusal(response, 429).await, "queue_full");
    }
    gate.release();
    server.events(&last).await.until("done").await;
    server.inpaint(parts).await;
}

#[tokio::test]
async fn waiting_pictures_take_no_more_memory_than_they_may() {
    let limits = ServerLimits {
        // 16·16 pixels of RGB and mask take 1024 bytes.
        waiting_bytes: 2 * 1024,
        ..ServerLimits::default()
    };
    let (server, gate) = start_gated(limits).await;
    let (image, hole) = (photo(16, 16), mask(16, 16));
    let parts: Parts = &[("image", &image), ("mask", &hole)];
    server.submit(parts).await;
    gate.arrived(1).await;
    server.submit(parts).await;
    server.submit(parts).await;
    let response = server.post("/v1/jobs", parts).await;
    assert_eq!(refusal(response, 429).await, "queue_full");
    gate.release();
}

#[tokio::test]
async fn without_the_token_there_is_only_the_page() {
    let mut config = config(&Gate::open());
    config.token = Some("s3cret".into());
    let server = start_with(config).await;
    let mut stranger = server.client.clone();
    let job = "/v1/jobs/00000000-0000-4000-8000-000000000000";
    let guarded = [
        (Method::POST, "/v1/inpaint"),
        (Method::POST, "/v1/jobs"),
        (Method::GET, job),
        (Method::DELETE, job),
        (Method::GET, &format!("{job}/events")),
        (Method::GET, &format!("{job}/candidates/0")),
        (Method::POST, "/v1/preview"),
        (Method::GET, "/v1/models"),
        (Method::GET, "/metrics"),
    ];
    for wrong in [None, Some(""), Some("s3cre"), Some("s3cret2")] {
        stranger.token = wrong.map(Into::into);
        for (method, path) in &guarded {
            let response = stranger.send(method.clone(), path, |request| request).await;
            assert_eq!(
                refusal(response, 401).await,
                "unauthorized",
                "{path} {wrong:?}"
            );
        }
        let response = stranger.get("/v1/models?token=wrong").await;
        assert_eq!(refusal(response, 401).await, "unauthorized");
        for path in [
            "/",
            "/healthz",
            "/openapi.json",
            "/assets/app.js",
            "/offline.js",
        ] {
            assert_eq!(stranger.get(path).await.status(), 200, "{path}");
        }
    }
    stranger.token = None;
    assert_eq!(stranger.get("/v1/models?token=s3cret").await.status(), 200);
    assert_eq!(server.get("/v1/models").await.status(), 200);
    assert_eq!(refusal(server.get(job).await, 404).await, "not_found");
}

#[tokio::test]
async fn other_sites_cannot_use_a_browser_to_reach_the_server() {
    let server = start().await;
    let with = async |name: &'static str, value: &str| {
        let request = server.send(Method::GET, "/v1/models", |r| r.header(name, value));
        request.await
    };
    let own = server.base.clone();
    assert_eq!(with("origin", &own).await.status(), 200);
    assert_eq!(
        refusal(with("origin", "https://evil.example").await, 403).await,
        "forbidden"
    );
    assert_eq!(
        refusal(with("origin", "null").await, 403).await,
        "forbidden"
    );
    assert_eq!(with("host", "localhost:7860").await.status(), 200);
    assert_eq!(
        refusal(with("host", "evil.example").await, 403).await,
        "forbidden"
    );
    let page = server.get("/").await;
    let policy = page.headers()["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("default-src 'none'"));
    assert_eq!(page.headers()["x-content-type-options"], "nosniff");
    assert!(page.headers().get("access-control-allow-origin").is_none());
}

#[tokio::test]
async fn what_is_not_there_is_refused_as_json_too() {
    let server = start().await;
    for path in [
        "/v2",
        "/assets/..%2fCargo.toml",
        "/assets/%ff",
        "/v1/jobs/7",
        "/v1/jobs/%ff/events",
    ] {
        assert_eq!(
            refusal(server.get(path).await, 404).await,
            "not_found",
            "{path}"
        );
    }
    let response = server.delete("/v1/inpaint").await;
    assert_eq!(response.headers()["allow"], "POST");
    assert_eq!(refusal(response, 405).await, "method_not_allowed");
}

#[tokio::test]
async fn models_say_what_they_do_by_themselves() {
    let server = start().await;
    let models: Value = server.json("/v1/models").await;
    let first = &models["models"][0];
    assert_eq!(first["name"], "tiny");
    assert_eq!(first["resolution"], 16);
    let defaults = serde_json::json!({"steps": 4, "sampler": "paper", "resampling": 0});
    assert_eq!(first["defaults"], defaults);
}

async fn start_error(config: ServerConfig) -> String {
    match Server::bind(config).await {
        Ok(_) => panic!("the server started"),
        Err(error @ (StartError::Config(_) | StartError::Listen { .. })) => error.to_string(),
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_server_that_others_can_reach_needs_a_token() {
    let mut open = config(&Gate::open());
    open.listen = ([0, 0, 0, 0], 0).into();
    assert!(start_error(open).await.contains("--token"));
    let mut empty = config(&Gate::open());
    empty.token = Some(String::new());
    assert!(start_error(empty).await.contains("token"));
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let taken = Server::bind(config(&Gate::open())).await.unwrap();
    let mut second = config(&Gate::open());
    second.listen = taken.address();
    let error = start_error(second).await;
    assert!(
        error.contains(&taken.address().to_string()) && error.contains("--listen"),
        "{error}"
    );
}
