//! `serve`: from the command line to the port and back.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use crate::support::Bench;

/// A server that is killed when its test fails.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn it_serves_at_the_printed_address_until_it_is_told_to_end() {
    let bench = Bench::new();
    let mut command = bench.command("serve --listen 127.0.0.1:0 --device cpu");
    let child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut server = Server(child.unwrap());
    let mut line = String::new();
    let stdout = server.0.stdout.take().unwrap();
    BufReader::new(stdout).read_line(&mut line).unwrap();
    let address = line.trim_end().rsplit_once("http://").unwrap().1;
    let address = address.trim_end_matches('/');

    let mut connection = TcpStream::connect(address).unwrap();
    let request =
        format!("GET /v1/models HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains(r#""name":"model""#), "{answer}");

    #[cfg(unix)]
    {
        let id = server.0.id().to_string();
        Command::new("kill").args(["-TERM", &id]).status().unwrap();
        assert_eq!(server.0.wait().unwrap().code(), Some(0));
    }
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
