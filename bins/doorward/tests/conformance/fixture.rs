//! The MCP server of both eras, as a process.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

/// Where its binary is: beside the gateway's own.
pub(crate) fn program() -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_doorward")).with_file_name("mcp-fixture");
    assert!(path.exists(), "{} is missing: cargo build -p mcp-fixture", path.display());
    path
}

/// A running server; it is killed when dropped.
pub(crate) struct Fixture {
    process: Child,
    /// Where its MCP endpoint is.
    pub(crate) url: String,
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Fixture {
    /// Starts it for `both`, `legacy` or `modern` clients, and waits until it listens.
    pub(crate) fn start(era: &str) -> Self {
        let mut command = Command::new(program());
        command.args(["--era", era]).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let told: Value = serde_json::from_str(&line).unwrap();
        Self { process, url: told["url"].as_str().unwrap().to_owned() }
    }
}
