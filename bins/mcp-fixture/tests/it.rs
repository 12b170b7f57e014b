//! The binary starts and answers in both eras. (With this test, `cargo test --workspace` builds
//! the binary, which tests of other packages start.)

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const MODERN: &str = r#"{"jsonrpc":"2.0","id":1,"method":"server/discover","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}"#;
const LEGACY: &str = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"it","version":"1"}}}"#;

/// The status and the answer to one message.
fn post(authority: &str, body: &str, host: &str, version: &str) -> String {
    let mut stream = TcpStream::connect(authority).unwrap();
    let method = if body == MODERN { "server/discover" } else { "initialize" };
    let length = body.len();
    let request = format!(
        "POST /mcp HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: {version}\r\n\
         Mcp-Method: {method}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = vec![];
    // A stream of events does not end by itself.
    stream.set_read_timeout(Some(std::time::Duration::from_secs(2))).unwrap();
    let mut part = [0; 4096];
    while let Ok(read @ 1..) = stream.read(&mut part) {
        answer.extend_from_slice(&part[..read]);
        if String::from_utf8_lossy(&answer).contains("\"jsonrpc\"") {
            break;
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn each_era_is_served_where_it_is_asked_for() {
    for (era, modern, legacy) in
        [("both", true, true), ("legacy", false, true), ("modern", true, false)]
    {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-fixture"));
        command.args(["--era", era]).stdout(Stdio::piped());
        let mut running = Running(command.spawn().unwrap());
        let mut line = String::new();
        BufReader::new(running.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.split('"').nth(3).unwrap().to_owned();
        let authority = url.trim_start_matches("http://").trim_end_matches("/mcp");
        let answer = post(authority, MODERN, authority, "2026-07-28");
        assert_eq!(answer.contains("supportedVersions"), modern, "{era}: {answer}");
        let answer = post(authority, LEGACY, authority, "2025-11-25");
        assert_eq!(answer.contains("serverInfo"), legacy, "{era}: {answer}");
        let answer = post(authority, MODERN, "evil.example.com", "2026-07-28");
        assert!(answer.starts_with("HTTP/1.1 4"), "{era}: {answer}");
    }
}
