//! What is compared: the mock itself, nginx before it, doorward before it.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::generator::Target;
use super::process::Daemon;
use super::scenario::{CHUNKS, Scenario};
use super::wire::Reader;

const NGINX: &str = "/usr/sbin/nginx";
/// How long a process has until it answers.
const START: Duration = Duration::from_secs(90);

/// One way to the mock.
#[derive(Debug)]
pub(super) struct Contender {
    pub(super) name: &'static str,
    address: SocketAddr,
    /// The proxy; none where the mock is asked directly.
    pub(super) daemon: Option<Daemon>,
    /// Doorward's key: it alone asks for one, knows upstreams by name and translates.
    key: Option<String>,
    /// Header lines that it wants beside the usual ones.
    headers: String,
    /// Whether its model names are doorward's, so that it translates too.
    translates: bool,
    /// One request of so many: some peers take milliseconds for each.
    pub(super) share: usize,
    /// Holds what the proxy writes; goes after it.
    _folder: Option<TempDir>,
}

impl Contender {
    /// No proxy at all.
    pub(super) fn direct(mock: SocketAddr) -> Self {
        Self {
            name: "direct",
            address: mock,
            daemon: None,
            key: None,
            headers: String::new(),
            translates: true,
            share: 1,
            _folder: None,
        }
    }

    /// Another gateway, with its key.
    pub(super) fn peer(
        name: &'static str,
        address: SocketAddr,
        daemon: Daemon,
        key: &str,
        folder: TempDir,
    ) -> Self {
        Self {
            name,
            daemon: Some(daemon),
            key: Some(key.to_owned()),
            share: 20,
            _folder: Some(folder),
            ..Self::direct(address)
        }
    }

    /// Sends these header lines too. Who needs them is told the provider by them, and not by the
    /// model's name.
    pub(super) fn with_headers(self, headers: String) -> Self {
        Self { headers, translates: false, ..self }
    }

    /// A plain reverse proxy.
    ///
    /// # Errors
    ///
    /// Where nginx is not there or does not start.
    pub(super) async fn nginx(mock: SocketAddr) -> Result<Self, String> {
        let folder = folder()?;
        let [address] = free_addresses()?;
        let config = nginx_config(folder.path(), address, mock, is_root());
        write(folder.path(), "nginx.conf", &config)?;
        let prefix = folder.path().to_string_lossy();
        let command = [NGINX, "-p", &prefix, "-e", "nginx.log", "-c", "nginx.conf"];
        let mut daemon = Daemon::start(&command, folder.path(), "stderr.log")?;
        until_ready("nginx", &mut daemon, address, "/readyz").await?;
        let (daemon, folder) = (Some(daemon), Some(folder));
        let direct = Self::direct(address);
        Ok(Self { name: "nginx", daemon, translates: false, _folder: folder, ..direct })
    }

    /// Doorward with everything on: keys, policy, guards, a limit, the record of calls.
    ///
    /// # Errors
    ///
    /// Where it makes no key or does not start.
    pub(super) async fn doorward(
        program: &Path,
        mock: SocketAddr,
        most: usize,
    ) -> Result<Self, String> {
        let folder = folder()?;
        let [data, admin] = free_addresses()?;
        write(folder.path(), "upstream.key", "sk-load\n")?;
        let config = doorward_config(folder.path(), data, admin, mock, most);
        write(folder.path(), "doorward.toml", &config)?;
        let key = create_key(program, folder.path())?;
        let program = program.to_string_lossy();
        let command = [&program, "serve", "--config", "doorward.toml"];
        let mut daemon = Daemon::start(&command, folder.path(), "stderr.log")?;
        until_ready("doorward", &mut daemon, data, "/readyz").await?;
        let (daemon, key) = (Some(daemon), Some(key));
        Ok(Self { name: "doorward", daemon, key, _folder: Some(folder), ..Self::direct(data) })
    }

    /// Whether the scenario makes sense here: a plain proxy does not translate, and what
    /// translation adds is told against asking without.
    pub(super) fn takes(&self, scenario: &Scenario) -> bool {
        !scenario.translated || self.translates
    }

    /// The scenario's requests to here.
    pub(super) fn target(&self, scenario: &Scenario) -> Target {
        let model = match (&self.key, scenario.translated) {
            (None, _) => "m",
            (Some(_), _) if !self.headers.is_empty() => "m",
            (Some(_), false) => "mock/m",
            (Some(_), true) => "mockant/m",
        };
        let key = self.key.as_deref().unwrap_or("sk-load");
        let request = scenario.request(model, key, &self.headers);
        let words = if scenario.streamed { CHUNKS } else { 1 };
        Target { address: self.address, request, words }
    }

    /// Puts the proxy's last words to a failure.
    pub(super) fn explain(&mut self, failure: &str) -> String {
        let Some(daemon) = &mut self.daemon else { return format!("{}: {failure}", self.name) };
        let said = daemon.ended().unwrap_or_else(|| daemon.told());
        format!("{}: {failure}\n{said}", self.name)
    }
}

pub(super) fn folder() -> Result<TempDir, String> {
    TempDir::with_prefix("doorward-load-").map_err(|error| format!("no temporary folder: {error}"))
}

pub(super) fn write(folder: &Path, name: &str, text: &str) -> Result<(), String> {
    fs::write(folder.join(name), text).map_err(|error| format!("{name}: {error}"))
}

/// Addresses on loopback that were free a moment ago.
pub(super) fn free_addresses<const N: usize>() -> Result<[SocketAddr; N], String> {
    let mut found = [SocketAddr::from(([127, 0, 0, 1], 0)); N];
    let mut held = Vec::with_capacity(N);
    for address in &mut found {
        let listener = TcpListener::bind(*address).map_err(|error| error.to_string())?;
        *address = listener.local_addr().map_err(|error| error.to_string())?;
        held.push(listener);
    }
    Ok(found)
}

fn is_root() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mut ids = status.lines().filter_map(|line| line.strip_prefix("Uid:"));
    ids.next().is_some_and(|ids| ids.split_whitespace().nth(1) == Some("0"))
}

/// nginx as a plain reverse proxy. As root it would change its user, who may not write here.
fn nginx_config(folder: &Path, listen: SocketAddr, mock: SocketAddr, root: bool) -> String {
    let user = if root { "user root;" } else { "" };
    let folder = folder.display();
    format!(
        "{user}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log warn;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    client_max_body_size 64m;
    client_body_buffer_size 256k;
    tcp_nodelay on;
    keepalive_timeout 300s;
    keepalive_requests 1000000000;
    upstream mock {{
        server {mock};
        keepalive 1024;
        keepalive_requests 1000000000;
    }}
    server {{
        listen {listen} backlog=4096;
        location / {{
            proxy_pass http://mock;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_buffering off;
            proxy_read_timeout 300s;
        }}
    }}
}}
"
    )
}

fn doorward_config(
    folder: &Path,
    data: SocketAddr,
    admin: SocketAddr,
    mock: SocketAddr,
    most: usize,
) -> String {
    let folder = folder.display();
    format!(
        "[listen]
data = \"{data}\"
admin = \"{admin}\"
max_in_flight = {most}
drain = \"1s\"

[storage]
url = \"sqlite://{folder}/doorward.db\"

[[upstream]]
name = \"mock\"
provider = \"openai-compatible\"
base_url = \"http://{mock}/v1\"
api_key = {{ file = \"{folder}/upstream.key\" }}
models = [\"m\"]

[[upstream]]
name = \"mockant\"
provider = \"anthropic\"
base_url = \"http://{mock}\"
api_key = {{ file = \"{folder}/upstream.key\" }}
models = [\"m\"]

[[limit]]
name = \"load\"
what = \"requests\"
amount = 1000000000
window = \"minute\"
per = \"key\"
"
    )
}

fn create_key(program: &Path, folder: &Path) -> Result<String, String> {
    let mut create = Command::new(program);
    create.args(["keys", "create", "--name", "load", "--config", "doorward.toml"]);
    let told = create.current_dir(folder).output();
    let told = told.map_err(|error| format!("{}: {error}", program.display()))?;
    let key = String::from_utf8_lossy(&told.stdout).trim().to_owned();
    if told.status.success() && !key.is_empty() {
        return Ok(key);
    }
    Err(format!("doorward keys create: {}", String::from_utf8_lossy(&told.stderr)))
}

pub(super) async fn until_ready(
    name: &str,
    daemon: &mut Daemon,
    address: SocketAddr,
    path: &str,
) -> Result<(), String> {
    let ready = async {
        loop {
            if let Some(ended) = daemon.ended() {
                return Err(ended);
            }
            if is_ready(address, path).await {
                return Ok(());
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    let answered = timeout(START, ready).await;
    match answered {
        Ok(answered) => answered.map_err(|failure| format!("{name} {failure}")),
        Err(_) => Err(format!("{name} is not ready after {START:?}: {}", daemon.told())),
    }
}

/// Whether the path answers 200: doorward's own `/readyz`, and through nginx the mock's.
async fn is_ready(address: SocketAddr, path: &str) -> bool {
    let Ok(stream) = TcpStream::connect(address).await else { return false };
    let (from, mut to) = stream.into_split();
    let asked = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    let asked = to.write_all(asked.as_bytes()).await;
    let told = Reader::new(from).head().await;
    asked.is_ok() && told.is_ok_and(|head| head.is_some_and(|head| head.status() == Some(200)))
}

#[cfg(test)]
mod tests {
    use super::super::scenario::ALL;
    use super::*;

    #[test]
    fn the_configuration_for_doorward_is_toml() {
        let [data, admin, mock] = free_addresses().unwrap();
        let text = doorward_config(Path::new("/tmp/x"), data, admin, mock, 7);
        let table: toml::Table = text.parse().unwrap();
        assert_eq!(table["upstream"].as_array().unwrap().len(), 2);
        assert_eq!(table["listen"]["max_in_flight"].as_integer(), Some(7));
    }

    #[test]
    fn who_is_told_the_provider_by_headers_does_not_translate() {
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let peer = || {
            let folder = tempfile::tempdir().unwrap();
            let daemon = Daemon::start(&["true"], folder.path(), "log").unwrap();
            Contender::peer("any", address, daemon, "k", folder)
        };
        let translated = ALL.iter().find(|scenario| scenario.translated).unwrap();
        for (contender, takes) in [
            (Contender::direct(address), true),
            (peer(), true),
            (peer().with_headers("x-provider: y\r\n".into()), false),
        ] {
            assert_eq!(contender.takes(translated), takes);
            assert!(contender.takes(&ALL[0]));
        }
    }
}
