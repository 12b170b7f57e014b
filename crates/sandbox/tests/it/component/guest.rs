//! A component for the tests: an MCP server over stdio whose tools try what they are named after.
//! Built by the tests with `rustc --target wasm32-wasip2`; it has no dependencies, and so reads
//! only as much JSON as they send.

use std::io::{BufRead, Read, Write};
use std::net::{TcpStream, ToSocketAddrs, UdpSocket};

fn main() {
    if let Some(code) = std::env::args().nth(1).and_then(|word| word.strip_prefix("exit=")?.parse().ok()) {
        std::process::exit(code);
    }
    eprintln!("ready");
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { return };
        let Some(id) = field(&line, "id") else { continue };
        let result = match field(&line, "method").as_deref() {
            Some("initialize") => Ok(concat!(
                r#"{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"#,
                r#""serverInfo":{"name":"guest","version":"1"}}"#
            )
            .to_owned()),
            Some("tools/list") => {
                Ok(r#"{"tools":[{"name":"echo","inputSchema":{"type":"object"}}]}"#.to_owned())
            }
            Some("tools/call") => Ok(call(&line)),
            _ => Err(r#"{"code":-32601,"message":"no such method"}"#),
        };
        let (key, value) = match &result {
            Ok(result) => ("result", result.as_str()),
            Err(error) => ("error", *error),
        };
        println!(r#"{{"jsonrpc":"2.0","id":{id},"{key}":{value}}}"#);
        std::io::stdout().flush().unwrap();
    }
}

fn call(line: &str) -> String {
    let argument = field(line, "argument").unwrap_or_default();
    let told = attempt(&field(line, "name").unwrap_or_default(), &argument);
    let (failed, text) = match told {
        Ok(text) => (false, text),
        Err(text) => (true, text),
    };
    let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!(r#"{{"content":[{{"type":"text","text":"{text}"}}],"isError":{failed}}}"#)
}

fn attempt(name: &str, argument: &str) -> Result<String, String> {
    let told = |error: std::io::Error| format!("{:?}: {error}", error.kind());
    match name {
        "echo" => Ok(argument.to_owned()),
        "args" => Ok(std::env::args().skip(1).collect::<Vec<_>>().join(" ")),
        "env" => {
            let mut all: Vec<String> =
                std::env::vars().map(|(name, value)| format!("{name}={value}")).collect();
            all.sort();
            Ok(all.join("\n"))
        }
        "read" => std::fs::read_to_string(argument).map_err(told),
        "write" => std::fs::write(argument, "written").map(|()| "written".into()).map_err(told),
        "remove" => std::fs::remove_file(argument).map(|()| "removed".into()).map_err(told),
        "link" => {
            // A second name within for what is without.
            let (at, to) = argument.split_once(' ').unwrap();
            std::fs::hard_link(to, at).map_err(told)?;
            std::fs::read_to_string(at).map_err(told)
        }
        "connect" => TcpStream::connect(argument).map_err(told).and_then(|mut stream| {
            let mut text = String::new();
            stream.read_to_string(&mut text).map_err(told)?;
            Ok(text)
        }),
        "resolve" => {
            let mut found = (argument, 80).to_socket_addrs().map_err(told)?;
            found.next().map(|address| address.to_string()).ok_or("nothing".into())
        }
        "datagram" => {
            let socket = UdpSocket::bind("0.0.0.0:0").map_err(told)?;
            socket.send_to(b"x", argument).map(|_| "sent".into()).map_err(told)
        }
        "spin" => {
            let mut x = 1u64;
            loop {
                x = std::hint::black_box(x.wrapping_mul(3));
            }
        }
        "work" => {
            let mut x = 1u64;
            for _ in 0..argument.parse::<u64>().unwrap() {
                x = std::hint::black_box(x.wrapping_mul(3));
            }
            Ok(x.to_string())
        }
        "grow" => {
            let mut kept: Vec<Vec<u8>> = Vec::new();
            let mut megabytes = 0;
            loop {
                let mut part = Vec::new();
                if part.try_reserve_exact(1 << 20).is_err() {
                    return Err(format!("{megabytes} MiB"));
                }
                part.resize(1 << 20, 1);
                kept.push(std::hint::black_box(part));
                megabytes += 1;
            }
        }
        "recurse" => Ok(deep(1).to_string()),
        "panic" => panic!("as asked"),
        _ => Err("no such tool".into()),
    }
}

fn deep(n: u64) -> u64 {
    let kept = std::hint::black_box([n; 64]);
    if n == u64::MAX { kept[0] } else { deep(std::hint::black_box(n + 1)) + kept[1] }
}

/// The value of a field, wherever it stands.
fn field(line: &str, name: &str) -> Option<String> {
    let (_, rest) = line.split_once(&format!("\"{name}\":"))?;
    match rest.strip_prefix('"') {
        Some(rest) => rest.split('"').next().map(str::to_owned),
        None => rest.split([',', '}']).next().map(str::to_owned),
    }
}
