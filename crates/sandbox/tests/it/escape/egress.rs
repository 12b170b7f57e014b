//! Ways past the proxy, for programs that have one. Names and the network are played: nothing but
//! a server of the test on loopback is ever connected to, and each test says what was.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use doorward_sandbox::{
    EgressRefusal, Missing, Network, Outlet, Reaching, Sandbox, SpawnError, Spec,
};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::Hostile;
use crate::{LAUNCHER, has, sandbox, soon};

/// Where programs find their proxy.
const PORT: u16 = 3128;

/// The world outside as a test plays it.
#[derive(Debug, Default)]
struct World {
    /// The addresses of a name, one list for each time it is asked for; the last one stays.
    names: Mutex<HashMap<String, Vec<Vec<IpAddr>>>>,
    /// Who answers, whatever address was dialled.
    server: Option<SocketAddr>,
    looked_up: Mutex<Vec<String>>,
    dialled: Mutex<Vec<String>>,
    refused: Mutex<Vec<EgressRefusal>>,
}

impl World {
    fn new(server: Option<SocketAddr>, names: &[(&str, &[&str])]) -> Arc<Self> {
        let mut known: HashMap<String, Vec<Vec<IpAddr>>> = HashMap::new();
        for (name, addresses) in names {
            let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
            known.entry((*name).to_owned()).or_default().push(addresses);
        }
        Arc::new(Self { names: Mutex::new(known), server, ..Self::default() })
    }

    fn dialled(&self) -> Vec<String> {
        self.dialled.lock().unwrap().clone()
    }

    fn looked_up(&self) -> Vec<String> {
        self.looked_up.lock().unwrap().clone()
    }

    /// A hostile server that may go to these hosts.
    fn hostile(self: &Arc<Self>, hosts: &[&str]) -> Hostile {
        let native = sandbox().outlet(self.clone());
        Hostile::new(native.spawn(&spec(hosts, &[])).unwrap())
    }
}

impl Outlet for World {
    fn resolve(&self, name: String) -> Reaching<Vec<IpAddr>> {
        self.looked_up.lock().unwrap().push(name.clone());
        let mut names = self.names.lock().unwrap();
        let found = names
            .get_mut(&name)
            .map(|lists| if lists.len() > 1 { lists.remove(0) } else { lists[0].clone() });
        Box::pin(async move { found.ok_or_else(|| io::Error::other("no such name")) })
    }

    fn connect(&self, address: SocketAddr) -> Reaching<TcpStream> {
        self.dialled.lock().unwrap().push(address.to_string());
        let server = self.server;
        Box::pin(async move {
            TcpStream::connect(server.ok_or_else(|| io::Error::other("nobody there"))?).await
        })
    }

    fn refused(&self, refusal: &EgressRefusal) {
        self.refused.lock().unwrap().push(refusal.clone());
    }
}

fn spec(hosts: &[&str], private: &[&str]) -> Spec {
    let mut spec = Hostile::spec();
    spec.network = Network::Proxy;
    spec.egress.hosts = hosts.iter().map(|text| (*text).to_owned()).collect();
    spec.egress.private = private.iter().map(|text| (*text).to_owned()).collect();
    spec
}

/// A server on loopback that answers everybody so, until the test ends.
fn server(answer: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            // One that has said nothing gets nothing.
            if stream.read(&mut [0; 4096]).is_ok_and(|length| length > 0) {
                stream.write_all(answer.as_bytes()).ok();
            }
        }
    });
    place
}

const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";

const TO_METADATA: &str = "HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/latest/\r\n\
                           Content-Length: 0\r\nConnection: close\r\n\r\n";

/// What the program gets for a URL, by a library that obeys the proxy variables.
async fn fetch(hostile: &mut Hostile, url: &str) -> (u64, String) {
    let got = hostile.tries("fetch", json!({ "url": url })).await.got();
    (got[0].as_u64().unwrap(), got[1].as_str().unwrap().to_owned())
}

/// What the program gets for bytes of its own making.
async fn say(hostile: &mut Hostile, text: &str) -> String {
    let got = hostile.tries("say", json!({ "port": PORT, "text": text })).await.got();
    got.as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_host_that_is_named_is_reached_and_no_other() {
    if !has("python3") {
        return;
    }
    let world = World::new(Some(server(HELLO)), &[("ok.example", &["93.184.216.34"])]);
    let mut hostile = world.hostile(&["ok.example"]);
    assert_eq!(fetch(&mut hostile, "http://ok.example/").await, (200, "hello".into()));
    let tunnel = "CONNECT ok.example:443 HTTP/1.1\r\nHost: ok.example:443\r\n\r\nraw";
    let back = say(&mut hostile, tunnel).await;
    assert!(back.starts_with("HTTP/1.1 200") && back.ends_with("hello"), "{back}");
    let (status, told) = fetch(&mut hostile, "http://other.example/?s3cret").await;
    assert_eq!((status, told.contains("no rule")), (403, true), "{told}");
    assert_eq!(world.dialled(), ["93.184.216.34:80", "93.184.216.34:443"]);
    assert_eq!(world.looked_up(), ["ok.example", "ok.example"]);
    // The gateway hears of it, and of nothing that could be secret.
    let refused = world.refused.lock().unwrap().clone();
    let [one] = &refused[..] else { panic!("{refused:?}") };
    assert_eq!((one.program.as_str(), one.target.as_str()), ("python3", "other.example:80"));
    assert!(!format!("{one:?}").contains("s3cret"));
}

#[tokio::test]
async fn the_systems_own_network_works_where_it_is_declared() {
    if !has("python3") {
        return;
    }
    let place = server(HELLO);
    let host = place.to_string();
    let mut hostile = Hostile::inside(&spec(&[&host], &["127.0.0.0/8"]));
    let got = fetch(&mut hostile, &format!("http://{host}/")).await;
    assert_eq!(got, (200, "hello".into()));
    // A name that leads there is looked up by the proxy.
    let named = format!("localhost:{}", place.port());
    let mut hostile = Hostile::inside(&spec(&[&named], &["127.0.0.0/8", "::1"]));
    let got = fetch(&mut hostile, &format!("http://{named}/")).await;
    assert_eq!(got, (200, "hello".into()));
    let mut hostile = Hostile::inside(&spec(&[&named], &[]));
    let (status, told) = fetch(&mut hostile, &format!("http://{named}/")).await;
    assert_eq!((status, told.contains("loopback")), (403, true), "{told}");
}

#[tokio::test]
async fn a_bypass_by_redirect_fails() {
    if !has("python3") {
        return;
    }
    let world = World::new(Some(server(TO_METADATA)), &[("ok.example", &["93.184.216.34"])]);
    let mut hostile = world.hostile(&["ok.example"]);
    // The library follows, and meets the proxy again.
    let (status, told) = fetch(&mut hostile, "http://ok.example/").await;
    assert_eq!(status, 403, "{told}");
    assert!(told.contains("169.254.169.254"), "the redirect was followed: {told}");
    assert_eq!(world.dialled(), ["93.184.216.34:80"]);
}

#[tokio::test]
async fn a_bypass_by_dns_rebinding_fails() {
    if !has("python3") {
        return;
    }
    let names: [(&str, &[&str]); 3] = [
        ("rebind.example", &["93.184.216.34"]),
        ("rebind.example", &["127.0.0.1"]),
        ("rebind.example", &["169.254.169.254"]),
    ];
    let world = World::new(Some(server(HELLO)), &names);
    let mut hostile = world.hostile(&["rebind.example"]);
    let url = "http://rebind.example/";
    assert_eq!(fetch(&mut hostile, url).await.0, 200);
    assert_eq!(world.looked_up().len(), 1, "judged and dialled from one answer");
    for what in ["loopback", "metadata"] {
        let (status, told) = fetch(&mut hostile, url).await;
        assert_eq!((status, told.contains(what)), (403, true), "{told}");
    }
    assert_eq!(world.dialled(), ["93.184.216.34:80"]);
}

#[tokio::test]
async fn a_bypass_by_the_spelling_of_an_address_fails() {
    if !has("python3") {
        return;
    }
    let world = World::new(None, &[]);
    let mut hostile = world.hostile(&["*.example", "93.184.216.34"]);
    for host in [
        "127.0.0.1",
        "127.1",
        "127.0.1",
        "2130706433",
        "0x7f000001",
        "0x7f.0.0.1",
        "017700000001",
        "0177.0.0.01",
        "127.0.0.1.",
        "0",
        "0.0.0.0",
        "localhost",
        "localhost.",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[0:0:0:0:0:ffff:127.0.0.1]",
        "[::127.0.0.1]",
        "[64:ff9b::127.0.0.1]",
        "[2002:7f00:1::]",
        "[fe80::1%25lo]",
        "169.254.169.254",
        "2852039166",
        "0xa9fea9fe",
        "[::ffff:a9fe:a9fe]",
        "[fd00:ec2::254]",
        "10.0.0.1",
        "192.168.0.1",
        "172.16.0.1",
        "100.64.0.1",
    ] {
        for request in [
            format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"),
            format!("CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n"),
        ] {
            let back = say(&mut hostile, &request).await;
            assert!(back.starts_with("HTTP/1.1 4"), "{host}: {back}");
        }
    }
    assert!(world.dialled().is_empty() && world.looked_up().is_empty());
}

#[tokio::test]
async fn a_bypass_by_another_port_or_another_host_header_fails() {
    if !has("python3") {
        return;
    }
    let world = World::new(None, &[("ok.example", &["93.184.216.34"])]);
    let mut hostile = world.hostile(&["ok.example"]);
    for port in [22, 25, 53, 6379, 8080] {
        let request =
            format!("CONNECT ok.example:{port} HTTP/1.1\r\nHost: ok.example:{port}\r\n\r\n");
        let back = say(&mut hostile, &request).await;
        assert!(back.starts_with("HTTP/1.1 403"), "{port}: {back}");
    }
    for (first, host) in [
        ("GET http://ok.example/", "internal.example"),
        ("GET http://ok.example/", "ok.example:8080"),
        ("CONNECT ok.example:443", "internal.example:443"),
        ("GET http://ok.example@internal.example/", "ok.example"),
        ("GET http://internal.example#@ok.example/", "ok.example"),
        ("GET /", "ok.example"),
        ("GET https://ok.example/", "ok.example"),
    ] {
        let back = say(
            &mut hostile,
            &format!("{first} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"),
        )
        .await;
        assert!(back.starts_with("HTTP/1.1 4"), "{first} {host}: {back}");
    }
    assert!(world.dialled().is_empty(), "{:?}", world.dialled());
}

#[tokio::test]
async fn a_bypass_around_the_proxy_fails() {
    if !has("python3") {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let world = World::new(None, &[]);
    let mut hostile = world.hostile(&["ok.example"]);
    for (host, family) in [("127.0.0.1", "AF_INET"), ("localhost", "AF_INET"), ("::1", "AF_INET6")]
    {
        let with = json!({ "host": host, "port": port, "family": family });
        assert!(hostile.tries("connect", with).await.is_refused(), "{host}");
    }
    let with = json!({ "host": "93.184.216.34", "port": 443 });
    assert!(hostile.tries("connect", with).await.is_refused());
    // The loopback is its own: the proxy is there and nothing else.
    let own = json!({ "host": "127.0.0.1", "port": PORT });
    assert_eq!(hostile.tries("connect", own).await.got(), "connected");
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "nothing came");
    assert!(world.dialled().is_empty());
}

#[tokio::test]
async fn words_are_not_carried_out_by_the_proxys_lookups() {
    if !has("python3") {
        return;
    }
    let world = World::new(None, &[]);
    let mut hostile = world.hostile(&["ok.example"]);
    for name in ["s3cret.evil.example", "s3cret.ok.example", "s3cret"] {
        assert_eq!(fetch(&mut hostile, &format!("http://{name}/")).await.0, 403, "{name}");
        let back = say(&mut hostile, &format!("CONNECT {name}:443 HTTP/1.1\r\n\r\n")).await;
        assert!(back.starts_with("HTTP/1.1 403"), "{name}: {back}");
    }
    assert!(world.looked_up().is_empty());
}

#[tokio::test]
async fn one_programs_proxy_is_nobody_elses() {
    if !has("python3") {
        return;
    }
    let (one, other) = (
        World::new(Some(server(HELLO)), &[("one.example", &["93.184.216.34"])]),
        World::new(Some(server(HELLO)), &[("other.example", &["93.184.216.35"])]),
    );
    let mut first = one.hostile(&["one.example"]);
    let mut second = other.hostile(&["other.example"]);
    assert_eq!(fetch(&mut first, "http://one.example/").await.0, 200);
    assert_eq!(fetch(&mut second, "http://other.example/").await.0, 200);
    assert_eq!(fetch(&mut first, "http://other.example/").await.0, 403);
    assert_eq!(fetch(&mut second, "http://one.example/").await.0, 403);
    assert_eq!((one.dialled().len(), other.dialled().len()), (1, 1));
    // Nor is it the host's: this very process cannot reach it.
    let taken = std::net::TcpStream::connect(("127.0.0.1", PORT)).is_ok();
    let listed = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let own = format!("0100007F:{PORT:04X} 00000000:0000 0A");
    assert_eq!(taken, listed.contains(&own), "only what the host itself has there");
    // And a program without one has none.
    let mut third = Hostile::inside(&Hostile::spec());
    let with = json!({ "host": "127.0.0.1", "port": PORT });
    assert!(third.tries("connect", with).await.is_refused());
}

#[tokio::test]
async fn a_programs_connections_end_with_it() {
    if !has("python3") {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = listener.local_addr().unwrap();
    let world = World::new(Some(place), &[("ok.example", &["93.184.216.34"])]);
    let mut hostile = world.hostile(&["ok.example"]);
    // It asks, and waits in vain.
    let asked = json!({ "try": "say", "with": { "port": PORT, "text": "CONNECT ok.example:443 HTTP/1.1\r\n\r\n" } });
    let line = format!("{asked}\n");
    tokio::io::AsyncWriteExt::write_all(&mut hostile.stdin, line.as_bytes()).await.unwrap();
    let accepted = tokio::task::spawn_blocking(move || listener.accept().unwrap().0);
    let mut outside = accepted.await.unwrap();
    drop(hostile);
    let closed = tokio::task::spawn_blocking(move || {
        outside.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
        outside.read(&mut [0; 16])
    });
    assert!(matches!(closed.await.unwrap(), Ok(0)), "the tunnel is cut");
    let held = || Arc::strong_count(&world);
    soon("the proxy is gone", || held() == 1).await;
}

#[tokio::test]
async fn programs_are_told_of_their_proxy() {
    if !has("python3") {
        return;
    }
    let mut spec = spec(&["ok.example"], &[]);
    let variables = |spec: &Spec| {
        let mut hostile = Hostile::inside(spec);
        async move { hostile.tries("variables", json!({})).await.got() }
    };
    let proxy = json!(format!("http://127.0.0.1:{PORT}"));
    let told = variables(&spec).await;
    for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]
    {
        assert_eq!(told[name], proxy, "{name}");
    }
    assert_eq!((&told["NO_PROXY"], &told["NODE_USE_ENV_PROXY"]), (&json!(""), &json!("1")));
    // What the spec says itself stands.
    spec.env.insert("NO_PROXY".into(), "localhost".into());
    assert_eq!(variables(&spec).await["NO_PROXY"], "localhost");
    spec.network = Network::None;
    assert_eq!(variables(&spec).await["HTTP_PROXY"], Value::Null);
}

#[tokio::test]
async fn node_goes_by_the_proxy_of_its_own_accord() {
    if !has("node") {
        return;
    }
    let place = server(HELLO);
    let script = format!(
        "fetch('http://{place}/').then(a => a.text()).then(console.log, e => console.log('failed', e.cause?.code));\
         fetch('http://127.0.0.1:1/').then(a => console.log(a.status), e => console.log('failed'));"
    );
    let mut spec = spec(&[&place.to_string()], &["127.0.0.1"]);
    spec.command = vec!["node".into(), "-e".into(), script];
    let child = sandbox().spawn(&spec).unwrap();
    let ended = crate::end(child).await;
    let version = std::process::Command::new("node").arg("--version").output().unwrap();
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    let major: u32 = version.trim_start_matches('v').split('.').next().unwrap().parse().unwrap();
    // Older ones may not know the variable: for them there is no way at all.
    assert!(ended.out.contains("hello") || major < 24, "{version} {ended:?}");
    assert!(ended.out.contains("403") || ended.out.contains("failed"), "{version} {ended:?}");
}

#[tokio::test]
async fn a_rule_that_cannot_be_used_is_refused_by_name() {
    for (hosts, private, named) in [
        (vec!["ok.example", "https://bad.example"], vec![], "https://bad.example"),
        (vec!["ok.example"], vec!["10.0.0.1/8"], "10.0.0.1/8"),
        (vec!["127.0.0.1:80"], vec![], "127.0.0.1:80"),
    ] {
        let refused = sandbox().spawn(&spec(&hosts, &private)).unwrap_err();
        let SpawnError::Egress { rule, .. } = &refused else { panic!("{refused}") };
        assert_eq!(rule, named);
        assert!(refused.to_string().contains(named), "{refused}");
    }
}

#[tokio::test]
async fn without_a_namespace_there_is_no_proxy_and_no_tcp() {
    if !has("python3") {
        return;
    }
    // A sandbox within a sandbox, where namespaces are not to be had.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut words = vec![LAUNCHER.to_owned(), "--egress".into(), "ok.example".into()];
    let connect = format!(
        "import socket\ntry: socket.create_connection(('127.0.0.1', {port}), 2); print('CONNECTED')\n\
         except OSError as e: print('failed', e.errno)"
    );
    let tail = ["--", "python3", "-I", "-S", "-c", &connect].map(str::to_owned);
    let strict = Spec::new(words.iter().chain(&tail).cloned());
    let ended = crate::run(&strict).await;
    assert_eq!((ended.code, ended.out.as_str()), (Some(126), ""), "{ended:?}");

    // Weakened, with the host's network within reach of the outer sandbox.
    words.push("--weaken".into());
    let mut weak = Spec::new(words.iter().chain(&tail).cloned());
    weak.network = Network::Host;
    let landlock = sandbox().layers().iter().any(|layer| layer.detail.contains("TCP"));
    let ended = crate::end(sandbox().missing(Missing::Weaken).spawn(&weak).unwrap()).await;
    assert!(ended.out.starts_with("failed") || !landlock, "{ended:?}");
}
