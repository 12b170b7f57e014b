//! The proxy between a client and servers on loopback, with the names and the network of a play.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::proxy::Bounds;
use super::{EgressRefusal, Outlet, Policy, Proxy, Reaching};
use crate::Egress;

/// Answers names from a list, each time with the next of its entries, and dials nothing but the
/// one server of the test, whichever address it is asked for.
#[derive(Debug, Default)]
struct Stage {
    names: Mutex<HashMap<&'static str, Vec<Vec<IpAddr>>>>,
    server: Option<SocketAddr>,
    looked_up: Mutex<Vec<String>>,
    dialled: Mutex<Vec<SocketAddr>>,
    refused: Mutex<Vec<EgressRefusal>>,
}

impl Stage {
    fn new(server: Option<SocketAddr>, names: &[(&'static str, &[&[&str]])]) -> Arc<Self> {
        let read = |list: &&[&str]| list.iter().map(|text| text.parse().unwrap()).collect();
        let names = names.iter().map(|(name, lists)| (*name, lists.iter().map(read).collect()));
        Arc::new(Self { names: Mutex::new(names.collect()), server, ..Self::default() })
    }

    fn dialled(&self) -> Vec<String> {
        self.dialled.lock().unwrap().iter().map(ToString::to_string).collect()
    }

    fn reasons(&self) -> Vec<String> {
        self.refused.lock().unwrap().iter().map(|refusal| refusal.reason.clone()).collect()
    }
}

impl Outlet for Stage {
    fn resolve(&self, name: String) -> Reaching<Vec<IpAddr>> {
        self.looked_up.lock().unwrap().push(name.clone());
        let mut names = self.names.lock().unwrap();
        let lists = names.get_mut(name.as_str());
        let found =
            lists.map(|lists| if lists.len() > 1 { lists.remove(0) } else { lists[0].clone() });
        Box::pin(async move { found.ok_or_else(|| io::Error::other("no such name")) })
    }

    fn connect(&self, address: SocketAddr) -> Reaching<TcpStream> {
        self.dialled.lock().unwrap().push(address);
        let server = self.server;
        Box::pin(async move {
            TcpStream::connect(server.ok_or_else(|| io::Error::other("nobody there"))?).await
        })
    }

    fn refused(&self, refusal: &EgressRefusal) {
        self.refused.lock().unwrap().push(refusal.clone());
    }
}

const QUICK: Bounds = Bounds {
    connections: 2,
    head: 8 << 10,
    patience: Duration::from_millis(300),
    connect: Duration::from_millis(300),
    idle: Duration::from_millis(400),
};

/// A proxy on loopback; it ends when the second part is dropped.
async fn proxy(
    hosts: &[&str],
    private: &[&str],
    stage: &Arc<Stage>,
    bounds: Bounds,
) -> (SocketAddr, oneshot::Sender<()>) {
    let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
    let egress = Egress { hosts: owned(hosts), private: owned(private) };
    let policy = Policy::read(&egress).unwrap();
    let proxy = Arc::new(Proxy::new("server", policy, stage.clone()).bounded(bounds));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let place = listener.local_addr().unwrap();
    let (end, ended) = oneshot::channel::<()>();
    tokio::spawn(proxy.serve(listener, async {
        ended.await.ok();
    }));
    (place, end)
}

/// A server that says the same to everybody and records what it heard.
async fn server(answer: &'static str) -> (SocketAddr, Arc<Mutex<String>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let place = listener.local_addr().unwrap();
    let heard = Arc::new(Mutex::new(String::new()));
    let record = heard.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let record = record.clone();
            tokio::spawn(async move {
                let mut some = [0; 4096];
                let length = stream.read(&mut some).await.unwrap();
                record.lock().unwrap().push_str(&String::from_utf8_lossy(&some[..length]));
                stream.write_all(answer.as_bytes()).await.unwrap();
            });
        }
    });
    (place, heard)
}

const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";

/// Sends these bytes and gives all that comes back.
async fn ask(proxy: SocketAddr, bytes: &str) -> String {
    let mut stream = TcpStream::connect(proxy).await.unwrap();
    stream.write_all(bytes.as_bytes()).await.unwrap();
    let mut back = Vec::new();
    // A connection that is cut may end in an error; what came before counts.
    let read = stream.read_to_end(&mut back);
    tokio::time::timeout(Duration::from_secs(5), read).await.expect("it ends").ok();
    String::from_utf8_lossy(&back).into_owned()
}

fn get(url: &str, host: &str) -> String {
    format!("GET {url} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
}

const PUBLIC: &[&[&str]] = &[&["93.184.216.34"]];

#[tokio::test]
async fn an_allowed_host_is_reached_in_both_ways() {
    let (place, heard) = server(HELLO).await;
    let stage = Stage::new(Some(place), &[("ok.example", PUBLIC)]);
    let (proxy, _end) = proxy(&["ok.example"], &[], &stage, Bounds::default()).await;

    let request = "GET http://OK.example./path?q=1 HTTP/1.1\r\nHost: ok.example\r\n\
                   Proxy-Authorization: Basic c2VjcmV0\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\n\
                   X-End: 2\r\n\r\n";
    let back = ask(proxy, request).await;
    assert!(back.starts_with("HTTP/1.1 200") && back.ends_with("hello"), "{back}");
    let asked = heard.lock().unwrap().to_lowercase();
    assert!(asked.starts_with("get /path?q=1 http/1.1\r\n"), "{asked}");
    assert!(asked.contains("host: ok.example\r\n") && asked.contains("x-end: 2"), "{asked}");
    assert!(!asked.contains("proxy-") && !asked.contains("x-hop"), "{asked}");

    let back =
        ask(proxy, "CONNECT ok.example:443 HTTP/1.1\r\nHost: ok.example:443\r\n\r\nraw").await;
    assert!(back.starts_with("HTTP/1.1 200") && back.ends_with(HELLO), "{back}");
    assert!(heard.lock().unwrap().ends_with("raw"));
    assert_eq!(stage.dialled(), ["93.184.216.34:80", "93.184.216.34:443"]);
    assert!(stage.reasons().is_empty());
}

#[tokio::test]
async fn a_body_goes_through_whole_and_no_further() {
    let (place, heard) = server(HELLO).await;
    let stage = Stage::new(Some(place), &[("ok.example", PUBLIC)]);
    let (proxy, _end) = proxy(&["ok.example"], &[], &stage, Bounds::default()).await;
    // The second request hides behind the first one's body.
    let smuggled = "POST http://ok.example/ HTTP/1.1\r\nHost: ok.example\r\nContent-Length: 4\r\n\r\n\
                    bodyGET http://other.example/ HTTP/1.1\r\nHost: other.example\r\nConnection: close\r\n\r\n";
    let back = ask(proxy, smuggled).await;
    assert!(back.starts_with("HTTP/1.1 200") && back.contains("HTTP/1.1 403"), "{back}");
    let asked = heard.lock().unwrap().clone();
    assert!(asked.ends_with("body") || !asked.contains("other.example"), "{asked}");
    assert_eq!(stage.dialled().len(), 1);
}

#[tokio::test]
async fn what_no_rule_names_is_neither_looked_up_nor_dialled() {
    let stage = Stage::new(None, &[("secret.evil.example", PUBLIC)]);
    let (proxy, _end) =
        proxy(&["ok.example", "*.wide.example"], &[], &stage, Bounds::default()).await;
    for request in [
        get("http://secret.evil.example/", "secret.evil.example"),
        get("http://ok.example.evil.example/", "ok.example.evil.example"),
        get("http://wide.example/", "wide.example"),
        get("http://ok.example:8080/", "ok.example:8080"),
        "CONNECT ok.example:22 HTTP/1.1\r\nHost: ok.example:22\r\n\r\n".to_owned(),
        "CONNECT 93.184.216.34:443 HTTP/1.1\r\n\r\n".to_owned(),
    ] {
        let back = ask(proxy, &request).await;
        assert!(back.starts_with("HTTP/1.1 403") && back.contains("no rule"), "{request} {back}");
    }
    assert!(stage.looked_up.lock().unwrap().is_empty() && stage.dialled().is_empty());
    assert_eq!(stage.reasons().len(), 6);
}

#[tokio::test]
async fn one_bad_address_among_good_ones_refuses_the_name() {
    let names: [(&'static str, &[&[&str]]); 6] = [
        ("mixed.example", &[&["93.184.216.34", "10.0.0.1"]]),
        ("metadata.example", &[&["169.254.169.254"]]),
        ("metadata6.example", &[&["fd00:ec2::254"]]),
        ("mapped.example", &[&["::ffff:127.0.0.1"]]),
        ("nat64.example", &[&["64:ff9b::7f00:1"]]),
        ("zero.example", &[&["0.0.0.0"]]),
    ];
    let stage = Stage::new(None, &names);
    let (proxy, _end) = proxy(&["*.example"], &["192.168.0.0/16"], &stage, Bounds::default()).await;
    for (name, _) in names {
        let back = ask(proxy, &format!("CONNECT {name}:443 HTTP/1.1\r\n\r\n")).await;
        assert!(back.starts_with("HTTP/1.1 403"), "{name}: {back}");
        // The program does not learn which.
        assert!(!back.contains("10.0.0.1") && !back.contains("169.254"), "{name}: {back}");
    }
    assert!(stage.dialled().is_empty());
    assert!(stage.reasons()[0].contains("10.0.0.1"), "{:?}", stage.reasons());
}

#[tokio::test]
async fn a_name_that_changes_its_mind_is_looked_up_once_and_judged_each_time() {
    let (place, _) = server(HELLO).await;
    let names: [(&'static str, &[&[&str]]); 1] =
        [("rebind.example", &[&["93.184.216.34"], &["127.0.0.1"]])];
    let stage = Stage::new(Some(place), &names);
    let (proxy, _end) = proxy(&["rebind.example"], &[], &stage, Bounds::default()).await;
    let request = get("http://rebind.example/", "rebind.example");
    assert!(ask(proxy, &request).await.starts_with("HTTP/1.1 200"));
    assert_eq!(stage.looked_up.lock().unwrap().len(), 1, "one lookup for one request");
    assert!(ask(proxy, &request).await.starts_with("HTTP/1.1 403"));
    assert_eq!(stage.dialled(), ["93.184.216.34:80"], "only what was judged is dialled");
}

#[tokio::test]
async fn a_request_that_says_two_things_is_refused() {
    let stage = Stage::new(None, &[("ok.example", PUBLIC)]);
    let (proxy, _end) = proxy(&["ok.example"], &[], &stage, Bounds::default()).await;
    let twice = "GET http://ok.example/ HTTP/1.1\r\nHost: ok.example\r\nHost: ok.example\r\n\
                 Connection: close\r\n\r\n";
    let tunnel = |target: &str, host: &str| {
        format!("CONNECT {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
    };
    for request in [
        get("http://ok.example/", "evil.example"),
        get("http://ok.example/", "ok.example:8080"),
        get("http://ok.example:443/", "ok.example"),
        get("http://ok.example/", "ok.example@evil.example"),
        get("http://ok.example/", ""),
        twice.to_owned(),
        tunnel("ok.example:443", "evil.example:443"),
        tunnel("ok.example:443", "ok.example:80"),
        tunnel("ok.example:443", "127.1"),
        get("http://user:s3cret@ok.example/", "ok.example"),
        get("https://ok.example/?s3cret", "ok.example"),
        get("/origin?s3cret", "ok.example"),
        get("ftp://ok.example/", "ok.example"),
    ] {
        let back = ask(proxy, &request).await;
        assert!(back.starts_with("HTTP/1.1 403"), "{request} {back}");
        assert!(!back.contains("s3cret"), "{back}");
    }
    assert!(stage.dialled().is_empty() && stage.looked_up.lock().unwrap().is_empty());
    assert!(!format!("{:?}", stage.refused).contains("s3cret"));
}

#[tokio::test]
async fn spellings_of_an_address_do_not_pass_as_names() {
    let stage = Stage::new(None, &[]);
    // Even with the widest of lists: the address itself is judged.
    let (proxy, _end) = proxy(&["*.example"], &["127.0.0.1"], &stage, Bounds::default()).await;
    for host in [
        "127.1",
        "2130706433",
        "0x7f000001",
        "017700000001",
        "0177.0.0.1",
        "127.0.0.1",
        "127.0.0.1.",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "0",
        "0x0",
        "localhost",
        "169.254.169.254",
        "[fd00:ec2::254]",
        "2852039166",
    ] {
        let back = ask(proxy, &get(&format!("http://{host}/"), host)).await;
        assert!(back.starts_with("HTTP/1.1 403"), "{host}: {back}");
    }
    // What is no host at all does not get as far as a rule.
    for host in ["[fe80::1%25lo]", "①②⑦.0.0.1", "a b", "%31"] {
        let back = ask(proxy, &get(&format!("http://{host}/"), host)).await;
        assert!(back.starts_with("HTTP/1.1 4"), "{host}: {back}");
    }
    assert!(stage.dialled().is_empty() && stage.looked_up.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_redirect_is_the_programs_to_follow() {
    let answer = "HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/latest\r\n\
                  Content-Length: 0\r\nConnection: close\r\n\r\n";
    let (place, _) = server(answer).await;
    let stage = Stage::new(Some(place), &[("ok.example", PUBLIC)]);
    let (proxy, _end) = proxy(&["ok.example"], &[], &stage, Bounds::default()).await;
    let back = ask(proxy, &get("http://ok.example/", "ok.example")).await;
    assert!(back.starts_with("HTTP/1.1 302"), "{back}");
    let back = ask(proxy, &get("http://169.254.169.254/latest", "169.254.169.254")).await;
    assert!(back.starts_with("HTTP/1.1 403"), "{back}");
    assert_eq!(stage.dialled(), ["93.184.216.34:80"]);
}

#[tokio::test]
async fn what_cannot_be_reached_is_told_from_what_may_not_be() {
    let stage = Stage::new(None, &[("ok.example", PUBLIC)]);
    let (proxy, _end) = proxy(&["*.example"], &[], &stage, Bounds::default()).await;
    let back = ask(proxy, &get("http://ok.example/", "ok.example")).await;
    assert!(back.starts_with("HTTP/1.1 502") && back.contains("reached"), "{back}");
    let back = ask(proxy, &get("http://unknown.example/", "unknown.example")).await;
    assert!(back.starts_with("HTTP/1.1 502") && back.contains("not found"), "{back}");
    assert!(stage.reasons().is_empty());
}

#[tokio::test]
async fn heads_connections_and_silence_are_bounded() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let stage = Stage::new(Some(listener.local_addr().unwrap()), &[("ok.example", PUBLIC)]);
    let (proxy, _end) = proxy(&["ok.example"], &[], &stage, QUICK).await;

    let long = format!(
        "GET http://ok.example/ HTTP/1.1\r\nHost: ok.example\r\nX: {}\r\n\r\n",
        "x".repeat(9000)
    );
    assert!(ask(proxy, &long).await.starts_with("HTTP/1.1 431"));
    // A head that does not come, and a tunnel in which nothing moves, are cut.
    assert!(!ask(proxy, "GET http://ok").await.contains("200"));
    let back = ask(proxy, "CONNECT ok.example:443 HTTP/1.1\r\n\r\n").await;
    assert!(back.starts_with("HTTP/1.1 200"), "{back}");

    // Two may be open; the third waits until one of them ends.
    let open = || TcpStream::connect(proxy);
    let (first, _second) = (open().await.unwrap(), open().await.unwrap());
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut third = open().await.unwrap();
    third.write_all(get("/", "x").as_bytes()).await.unwrap();
    let mut byte = [0];
    let early = tokio::time::timeout(Duration::from_millis(100), third.read(&mut byte)).await;
    assert!(early.is_err(), "it is not served yet");
    drop(first);
    let later = tokio::time::timeout(Duration::from_secs(2), third.read(&mut byte)).await;
    assert_eq!(later.unwrap().unwrap(), 1);
}

#[tokio::test]
async fn the_end_of_the_program_is_the_end_of_its_connections() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let stage = Stage::new(Some(listener.local_addr().unwrap()), &[("ok.example", PUBLIC)]);
    let (proxy, end) = proxy(&["ok.example"], &[], &stage, Bounds::default()).await;
    let mut tunnel = TcpStream::connect(proxy).await.unwrap();
    tunnel.write_all(b"CONNECT ok.example:443 HTTP/1.1\r\n\r\n").await.unwrap();
    let (mut outside, _) = listener.accept().await.unwrap();
    drop(end);
    let mut rest = Vec::new();
    tokio::time::timeout(Duration::from_secs(2), outside.read_to_end(&mut rest))
        .await
        .unwrap()
        .ok();
    assert!(TcpStream::connect(proxy).await.is_err(), "nobody listens any more");
}
