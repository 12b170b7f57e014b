//! Real MCP servers, as sections of the configuration and as processes.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::process::{clients, node};

/// A server that runs beside the test and ends with it.
pub(crate) struct Server {
    process: Child,
    pub(crate) port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The Python with the MCP packages.
pub(crate) fn python() -> PathBuf {
    let path = clients().join(".venv/mcp/bin/python");
    assert!(path.exists(), "{} is missing: run scripts/test", path.display());
    path
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn package(path: &str) -> PathBuf {
    clients().join("node_modules/@modelcontextprotocol").join(path)
}

impl Server {
    /// `server-everything` by a transport: `streamableHttp` or `sse`.
    pub(crate) fn everything(transport: &str) -> Self {
        let port = free_port();
        let mut command = Command::new(node());
        command.arg(package("server-everything/dist/index.js")).arg(transport);
        command.env("PORT", port.to_string());
        Self::start(command, port)
    }

    /// A `FastMCP` server of both eras.
    pub(crate) fn fast() -> Self {
        let port = free_port();
        let mut command = Command::new(python());
        command.arg(clients().join("mcp/fast_server.py")).arg(port.to_string());
        Self::start(command, port)
    }

    /// A server of the newer era only.
    pub(crate) fn modern() -> Self {
        let port = free_port();
        let mut command = Command::new(node());
        command.arg(clients().join("mcp/modern_server.mjs")).arg(port.to_string());
        Self::start(command, port)
    }

    /// A server that wants each user's token, and its authorization server.
    pub(crate) fn guarded() -> Self {
        let port = free_port();
        let mut command = Command::new(node());
        command.arg(clients().join("mcp/guarded_server.mjs")).arg(port.to_string());
        Self::start(command, port)
    }

    fn start(mut command: Command, port: u16) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut server = Self { process: command.spawn().unwrap(), port };
        let told = server.process.stderr.take().unwrap();
        std::thread::spawn(move || BufReader::new(told).lines().for_each(drop));
        for _ in 0..200 {
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return server;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("{command:?} does not listen");
    }

    /// A section that reaches it.
    pub(crate) fn section(&self, name: &str, path: &str) -> String {
        let port = self.port;
        format!("[[server]]\nname = \"{name}\"\nurl = \"http://127.0.0.1:{port}{path}\"\n\n")
    }
}

/// `server-filesystem` in its sandbox, over one folder.
pub(crate) fn files(folder: &Path) -> String {
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join("note.txt"), "written before").unwrap();
    format!(
        "[[server]]\nname = \"files\"\ncommand = [\"{}\", \"{}\", \"{folder}\"]\nwrite = [\"{folder}\"]\n\n",
        node().canonicalize().unwrap().display(),
        package("server-filesystem/dist/index.js").display(),
        folder = folder.display(),
    )
}
