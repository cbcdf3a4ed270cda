//! `serve`: from the command line to the port and back.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::support::{Bench, text};

/// A server that is killed when its test ends or fails.
pub struct Server {
    process: Child,
    stdout: BufReader<ChildStdout>,
    /// What it said first.
    line: String,
}

impl Server {
    /// Starts it, and waits until it answers.
    pub fn start(mut command: Command) -> Self {
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        Self {
            process,
            stdout,
            line,
        }
    }

    pub fn address(&self) -> &str {
        let address = self.line.trim_end().rsplit_once("http://").unwrap().1;
        address.trim_end_matches('/')
    }

    /// Sends a request, less its `Host` and `Connection`, and returns the whole answer.
    pub fn ask(&self, line: &str, headers: &str, body: &[u8]) -> Vec<u8> {
        let address = self.address();
        let mut connection = TcpStream::connect(address).unwrap();
        let head =
            format!("{line} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}\r\n");
        connection.write_all(head.as_bytes()).unwrap();
        connection.write_all(body).unwrap();
        let mut answer = vec![];
        connection.read_to_end(&mut answer).unwrap();
        answer
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn it_serves_at_the_printed_address_until_it_is_told_to_end() {
    let bench = Bench::new();
    let mut command = bench.command("serve --listen 127.0.0.1:0 --device cpu");
    command.stderr(Stdio::null());
    let mut server = Server::start(command);
    let answer = text(&server.ask("GET /v1/models", "", b""));
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains(r#""name":"model""#), "{answer}");

    #[cfg(unix)]
    {
        let id = server.process.id().to_string();
        Command::new("kill").args(["-TERM", &id]).status().unwrap();
        assert_eq!(server.process.wait().unwrap().code(), Some(0));
    }
}

#[test]
fn the_token_is_never_logged() {
    const TOKEN: &str = "a-token-that-nobody-guesses";
    let bench = Bench::new();
    let log = bench.path("log");
    let mut command = bench.command("serve --listen 127.0.0.1:0 --device cpu");
    command.env("STRDIFFUSION_TOKEN", TOKEN);
    command.env("RUST_LOG", "trace");
    command.stderr(std::fs::File::create(&log).unwrap());
    let mut server = Server::start(command);
    let wrong = TOKEN.replace("nobody", "anybody");
    for (query, header, status) in [
        (TOKEN, "", "200"),
        ("", TOKEN, "200"),
        (&wrong, "", "401"),
        ("", &wrong, "401"),
    ] {
        let line = format!("GET /v1/models?token={query}");
        let header = format!("Authorization: Bearer {header}\r\n");
        let answer = text(&server.ask(&line, &header, b""));
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{answer}"
        );
    }
    server.process.kill().unwrap();
    let mut said = server.line.clone();
    server.stdout.read_to_string(&mut said).unwrap();
    said += &std::fs::read_to_string(log).unwrap();
    assert!(said.contains("answered"), "{said}");
    assert!(!said.contains(TOKEN) && !said.contains(&wrong), "{said}");
}

#[test]
fn what_keeps_it_from_serving_is_said_in_one_line() {
    let bench = Bench::new();
    bench.run_refused("serve --listen 0.0.0.0:0", &["--token", "127.0.0.1"]);
    bench.run_refused("serve --queue 0", &["queue"]);
    bench.run_refused("serve --listen 127.0.0.1:0 --model nowhere", &["nowhere"]);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let arguments = format!("serve --device cpu --listen {address}");
    bench.run_refused(&arguments, &[&address, "--listen"]);
}
