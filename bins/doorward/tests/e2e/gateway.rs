//! A running gateway, with what a test needs to talk to it.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tempfile::TempDir;

/// The binary under test.
pub(crate) fn doorward() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_doorward"));
    // What the developer's own shell knows must not decide a test.
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

/// A folder with a configuration.
pub(crate) struct Site {
    pub(crate) folder: TempDir,
    pub(crate) config: PathBuf,
}

impl Site {
    /// A configuration with these sections after `listen` and `storage`.
    pub(crate) fn new(sections: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("doorward.toml");
        let database = folder.path().join("data/doorward.db");
        let text = format!(
            "[listen]\ndata = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\ndrain = \"5s\"\n\n\
             [storage]\nurl = \"sqlite://{}\"\n\n{sections}",
            database.display()
        );
        std::fs::write(&config, text).unwrap();
        Self { folder, config }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Runs a verb; its standard output, or its standard error where it failed.
    pub(crate) fn run(&self, arguments: &[&str]) -> Result<String, String> {
        let mut command = doorward();
        command.args(arguments).arg("--config").arg(&self.config);
        let output = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
    }

    /// Makes a key.
    pub(crate) fn key(&self, arguments: &[&str]) -> String {
        let mut all = vec!["keys", "create"];
        all.extend_from_slice(arguments);
        self.run(&all).unwrap().trim_end().to_owned()
    }

    pub(crate) fn start(&self) -> Gateway {
        self.start_with(&[])
    }

    /// Starts the gateway and waits until it listens.
    pub(crate) fn start_with(&self, environment: &[(&str, &str)]) -> Gateway {
        let mut command = doorward();
        command.arg("serve").arg("--config").arg(&self.config).current_dir(self.path());
        Gateway::spawn(command, environment)
    }
}

/// A running gateway; it is killed when dropped.
pub(crate) struct Gateway {
    pub(crate) process: Child,
    pub(crate) data: String,
    pub(crate) admin: String,
    /// Everything it wrote to standard error.
    pub(crate) log: Arc<Mutex<String>>,
    /// What it wrote to standard output before it listened.
    pub(crate) out: String,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Gateway {
    pub(crate) fn spawn(mut command: Command, environment: &[(&str, &str)]) -> Self {
        command.env("DOORWARD_LOG", "debug").envs(environment.iter().copied());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let log = Arc::new(Mutex::new(String::new()));
        let (data, admin) = loop {
            let Some(line) = lines.next() else {
                panic!("it did not start: {}", log.lock().unwrap());
            };
            let line = line.unwrap();
            let _ = writeln!(log.lock().unwrap(), "{line}");
            if let Some(rest) = line.strip_prefix("doorward: listening on ") {
                let (data, admin) = rest.split_once(", admin on ").unwrap();
                break (data.to_owned(), admin.to_owned());
            }
        };
        let written = log.clone();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let _ = writeln!(written.lock().unwrap(), "{line}");
            }
        });
        let out = first_line(&mut process);
        Self { process, data, admin, log, out }
    }

    /// Sends a request; the answer with its body still coming.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Response<Incoming> {
        let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.data));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        client.request(request.body(Full::new(body.into())).unwrap()).await.unwrap()
    }

    /// Posts JSON with a key; status and JSON body.
    pub(crate) async fn post(&self, path: &str, key: &str, body: &Value) -> (u16, Value) {
        let answer = self.post_raw(path, key, body).await;
        let status = answer.status().as_u16();
        let bytes = answer.into_body().collect().await.unwrap().to_bytes();
        (
            status,
            serde_json::from_slice(&bytes)
                .unwrap_or_else(|_| json!(String::from_utf8_lossy(&bytes))),
        )
    }

    pub(crate) async fn post_raw(&self, path: &str, key: &str, body: &Value) -> Response<Incoming> {
        let bearer = format!("Bearer {key}");
        let headers = [
            ("authorization", bearer.as_str()),
            ("content-type", "application/json"),
            ("accept", "application/json, text/event-stream"),
        ];
        self.send(Method::POST, path, &headers, body.to_string()).await
    }

    /// Gets a path; status and text.
    pub(crate) async fn get(&self, path: &str, headers: &[(&str, &str)]) -> (u16, String) {
        let answer = self.send(Method::GET, path, headers, "").await;
        let status = answer.status().as_u16();
        let bytes = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(bytes.to_vec()).unwrap())
    }

    /// One MCP request by the older protocol; its result, or its error.
    pub(crate) async fn mcp(
        &self,
        path: &str,
        key: &str,
        method: &str,
        params: Value,
    ) -> Result<Value, Value> {
        let ask = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let (_, answer) = self.post(path, key, &ask).await;
        match answer.get("result") {
            Some(result) => Ok(result.clone()),
            None => Err(answer["error"].clone()),
        }
    }

    /// The names of the tools a key sees, waiting until the servers are up.
    pub(crate) async fn tools(&self, key: &str) -> Vec<String> {
        for _ in 0..100 {
            let list = self.mcp("/mcp", key, "tools/list", json!({})).await.unwrap();
            let tools = list["tools"].as_array().unwrap();
            if !tools.is_empty() {
                return tools.iter().map(|t| t["name"].as_str().unwrap().to_owned()).collect();
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        vec![]
    }

    /// Calls a tool; its first text, and whether it is an error.
    pub(crate) async fn call(&self, key: &str, tool: &str, arguments: Value) -> (String, bool) {
        let params = json!({ "name": tool, "arguments": arguments });
        match self.mcp("/mcp", key, "tools/call", params).await {
            Ok(result) => {
                let text = result["content"][0]["text"].as_str().unwrap_or_default().to_owned();
                (text, result["isError"] == json!(true))
            }
            Err(error) => (error["message"].as_str().unwrap_or_default().to_owned(), true),
        }
    }

    /// Stops it as an operator does, and waits until it is gone.
    pub(crate) fn stop(mut self) {
        self.signal("-TERM");
        assert!(self.process.wait().unwrap().success(), "{}", self.log());
    }

    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    }
}

/// The first key, where one was printed: it comes before the announcement.
fn first_line(process: &mut Child) -> String {
    let out = process.stdout.take().unwrap();
    let (send, received) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        let _ = BufReader::new(out).read_line(&mut line);
        let _ = send.send(line);
    });
    received.recv_timeout(Duration::from_millis(300)).unwrap_or_default()
}

/// An upstream section over a scripted provider.
pub(crate) fn upstream(name: &str, provider: &str, url: &str) -> String {
    let base = if provider == "anthropic" { url.to_owned() } else { format!("{url}/v1") };
    format!(
        "[[upstream]]\nname = \"{name}\"\nprovider = \"{provider}\"\nbase_url = \"{base}\"\n\
         api_key = {{ env = \"UPSTREAM_KEY\" }}\nmodels = [\"scripted-1\"]\n\n"
    )
}

/// Posts nothing to a URL; the text of the answer.
pub(crate) async fn fetch(url: &str) -> String {
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let request = Request::post(url).body(Full::default()).unwrap();
    let answer = client.request(request).await.unwrap();
    let bytes = answer.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}
