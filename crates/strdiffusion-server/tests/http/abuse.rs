//! Clients that wait, break off, or ask for what is not theirs.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use reqwest::{Body, Method};
use strdiffusion_server::ServerLimits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::checked::{Parts, refusal};
use crate::pictures::{mask, photo};
use crate::running::{Running, config, start, start_gated, start_with};
use crate::stages::Gate;

/// A connection on which `bytes` are sent.
async fn connect(server: &Running, bytes: &[u8]) -> TcpStream {
    let address = server.base.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream
}

/// All that is answered until the connection ends.
async fn rest(mut stream: TcpStream) -> String {
    let mut answer = vec![];
    // A connection that is reset has ended too.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// The status of a request whose head is sent as it stands here.
async fn status(server: &Running, head: &str) -> String {
    let answer = rest(connect(server, head.as_bytes()).await).await;
    answer.split(' ').nth(1).unwrap_or_default().to_owned()
}

#[tokio::test]
async fn connections_that_send_no_request_are_closed() {
    let mut config = config(&Gate::open());
    config.limits.connections = 3;
    config.limits.head_time = Duration::from_millis(100);
    let server = start_with(config).await;
    // More than may be there at once: those that wait get their turn, and then theirs ends too.
    let mut idle = vec![];
    for sent in ["", "GET /heal", "GET / HTTP/1.1\r\nHost: localh", "\r\n"] {
        for _ in 0..3 {
            idle.push(connect(&server, sent.as_bytes()).await);
        }
    }
    assert_eq!(server.get("/healthz").await.status(), 200);
    for stream in idle {
        rest(stream).await;
    }
}

#[tokio::test]
async fn connections_beyond_the_limit_wait() {
    let limits = ServerLimits {
        connections: 2,
        ..ServerLimits::default()
    };
    let (server, gate) = start_gated(limits).await;
    let (image, hole) = (photo(16, 16), mask(16, 16));
    let parts: Parts = &[("image", &image), ("mask", &hole)];
    let first = async {
        server.inpaint(parts).await;
    };
    let second = async {
        gate.arrived(1).await;
        let ask = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
        let mut held = connect(&server, ask.as_bytes()).await;
        let mut answer = [0; 4096];
        assert!(held.read(&mut answer).await.unwrap() > 0);
        let close = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        let third = connect(&server, close.as_bytes()).await;
        let third = tokio::spawn(rest(third));
        // Answers on a held connection, in which the third would long have been answered.
        for _ in 0..50 {
            held.write_all(ask.as_bytes()).await.unwrap();
            assert!(held.read(&mut answer).await.unwrap() > 0);
            assert!(!third.is_finished());
        }
        drop(held);
        assert!(third.await.unwrap().starts_with("HTTP/1.1 200"));
        gate.release();
    };
    tokio::join!(first, second);
}

#[tokio::test]
async fn connections_on_which_no_answer_is_read_are_closed() {
    let mut config = config(&Gate::open());
    config.limits.connections = 1;
    config.limits.answer_idle = Duration::from_millis(100);
    let server = start_with(config).await;
    // More answers than both ends of a connection hold.
    let ask = "GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(500);
    let unread = connect(&server, ask.as_bytes()).await;
    let next = timeout(Duration::from_secs(60), server.get("/healthz")).await;
    assert_eq!(next.expect("the connection is held").status(), 200);
    drop(unread);
}

/// A form's start, and then nothing.
fn stalled() -> Body {
    let head = "--x\r\nContent-Disposition: form-data; name=\"image\"\r\n\r\nabc";
    let sent = stream::iter([Ok::<_, std::io::Error>(head)]);
    Body::wrap_stream(sent.chain(stream::pending()))
}

#[tokio::test]
async fn uploads_that_stall_or_never_end_are_given_up() {
    let (short, long) = (Duration::from_millis(50), Duration::from_millis(500));
    for (upload_idle, upload_time) in [(short, long), (long, short)] {
        let mut config = config(&Gate::open());
        config.limits.upload_time = upload_time;
        config.limits.upload_idle = upload_idle;
        let server = start_with(config).await;
        let send = server.send(Method::POST, "/v1/jobs", |request| {
            let kind = "multipart/form-data; boundary=x";
            request.header("content-type", kind).body(stalled())
        });
        assert_eq!(refusal(send.await, 408).await, "upload_timeout");
    }
}

#[tokio::test]
async fn uploads_that_are_cut_off_leave_their_memory() {
    let mut config = config(&Gate::open());
    config.limits.body_bytes = 64 << 10;
    config.limits.upload_bytes = 64 << 10;
    let server = start_with(config).await;
    let head = "POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 65536\r\n\
                Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n";
    for cut in [0, 20, head.len() - 3, head.len()] {
        for _ in 0..5 {
            drop(connect(&server, &head.as_bytes()[..cut]).await);
        }
    }
    // It needs all of the memory that uploads share.
    let (image, hole) = (photo(16, 16), mask(16, 16));
    server.inpaint(&[("image", &image), ("mask", &hole)]).await;
}

#[tokio::test]
async fn no_parameter_leads_out_of_its_place() {
    let server = start().await;
    let up = [
        "..",
        "%2e%2e",
        "..%2f..%2fetc%2fpasswd",
        "%2fetc%2fpasswd",
        "..%5c",
        "%00",
        "a%00.js",
    ];
    let id = "00000000-0000-4000-8000-000000000000";
    for up in up {
        for path in [
            format!("/assets/{up}"),
            format!("/v1/jobs/{up}"),
            format!("/v1/jobs/{up}/events"),
            format!("/v1/jobs/{id}/candidates/{up}"),
            format!("/{up}/{up}/etc/passwd"),
        ] {
            let head =
                format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
            assert_eq!(status(&server, &head).await, "404", "{path}");
        }
    }
    for number in ["-1", "99999999999999999999999", "0x0", "1e0", "%31%"] {
        let response = server
            .get(&format!("/v1/jobs/{id}/candidates/{number}"))
            .await;
        assert_eq!(response.status(), 404, "{number}");
    }
}

#[tokio::test]
async fn a_page_elsewhere_cannot_send_forms_or_rebind_names() {
    let server = start().await;
    let address = server.base.strip_prefix("http://").unwrap().to_owned();
    let get = |host: &str| format!("GET /v1/models HTTP/1.1\r\n{host}Connection: close\r\n\r\n");
    for (host, expected) in [
        (format!("Host: {address}\r\n"), "200"),
        ("Host: LOCALHOST\r\n".into(), "200"),
        ("Host: [::1]:80\r\n".into(), "200"),
        ("Host: evil.example\r\n".into(), "403"),
        ("Host: localhost.evil.example\r\n".into(), "403"),
        ("Host: 127.0.0.1.evil.example\r\n".into(), "403"),
        ("Host: evil.example#localhost\r\n".into(), "403"),
        ("Host: localhost@evil.example\r\n".into(), "403"),
        ("Host: 0x7f000001.example\r\n".into(), "403"),
        ("Host: \r\n".into(), "403"),
        (String::new(), "403"),
        (
            format!("Host: {address}\r\nOrigin: http://{address}\r\n"),
            "200",
        ),
        (
            format!("Host: {address}\r\nOrigin: http://{address}.evil\r\n"),
            "403",
        ),
        (
            format!("Host: {address}\r\nOrigin: http://evil.example\r\n"),
            "403",
        ),
        (format!("Host: {address}\r\nOrigin: null\r\n"), "403"),
        (format!("Host: {address}\r\nOrigin: {address}\r\n"), "403"),
    ] {
        assert_eq!(status(&server, &get(&host)).await, expected, "{host:?}");
    }
    // The address that a proxy would ask for does not stand in for the host.
    let proxied = "GET http://localhost/v1/models HTTP/1.1\r\nHost: evil.example\r\n\
                   Connection: close\r\n\r\n";
    assert_eq!(status(&server, proxied).await, "403");
    // Forms are what a browser sends to other sites unasked.
    let (image, hole) = (photo(16, 16), mask(16, 16));
    let form = || crate::checked::form(&[("image", &image), ("mask", &hole)]);
    let send = async |path: &'static str, origin: &'static str| {
        let request = server.send(Method::POST, path, |request| {
            request.header("origin", origin).multipart(form())
        });
        request.await
    };
    for path in ["/v1/inpaint", "/v1/jobs"] {
        for origin in ["https://evil.example", "null", "http://localhost:1"] {
            assert_eq!(refusal(send(path, origin).await, 403).await, "forbidden");
        }
    }
}
