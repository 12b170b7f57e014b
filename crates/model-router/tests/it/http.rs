//! The transport over real sockets.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use doorward_core::{BoxStream, Secret};
use doorward_model_router::{
    HttpOptions, HttpTransport, Outbound, Streaming, Timeouts, TlsError, Transport, TransportError,
};
use doorward_testkit::provider::{Answer, Provider};
use futures_util::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

fn transport() -> Arc<HttpTransport> {
    let timeouts = Timeouts {
        connect: Duration::from_secs(2),
        first_byte: Duration::from_millis(400),
        idle: Duration::from_millis(400),
    };
    Arc::new(HttpTransport::new(timeouts).unwrap())
}

fn post(url: &str) -> Outbound {
    let mut request = Outbound::new(Bytes::from_static(b"{}"));
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = url.parse().unwrap();
    request
}

#[tokio::test]
async fn a_busy_stream_outlives_the_idle_limit_and_a_silent_one_does_not() {
    let pieces = ["a", "b", "c", "d", "e"];
    let busy = Provider::start(move |_| Answer::events(pieces).every(Duration::from_millis(200)))
        .await
        .unwrap();
    let inbound = transport().send(post(&busy.url())).await.unwrap();
    let all: Vec<_> = inbound.body.map(|piece| piece.unwrap()).collect().await;
    assert_eq!(all.concat(), b"abcde");

    let silent = Provider::start(|_| Answer::events(["a"]).hang()).await.unwrap();
    let mut inbound = transport().send(post(&silent.url())).await.unwrap();
    assert_eq!(inbound.body.next().await.unwrap().unwrap(), "a");
    let error = inbound.body.next().await.unwrap().unwrap_err();
    assert!(matches!(error, TransportError::Timeout("further data")), "{error:?}");
}

#[tokio::test]
async fn failures_are_told_apart() {
    let cut = Provider::start(|_| Answer::events(["a"]).cut()).await.unwrap();
    let mut inbound = transport().send(post(&cut.url())).await.unwrap();
    assert_eq!(inbound.body.next().await.unwrap().unwrap(), "a");
    let error = inbound.body.next().await.unwrap().unwrap_err();
    assert!(matches!(error, TransportError::Broken(_)), "{error:?}");

    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = transport().send(post(&format!("http://{closed}/"))).await.unwrap_err();
    assert!(matches!(error, TransportError::Connect(_)), "{error:?}");

    let deaf = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", deaf.local_addr().unwrap());
    let error = transport().send(post(&url)).await.unwrap_err();
    assert!(matches!(error, TransportError::Timeout("answer")), "{error:?}");
}

/// Reads a request's head from a socket.
async fn head(socket: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if socket.read(&mut byte).await.unwrap() == 0 {
            break;
        }
        read.push(byte[0]);
    }
    String::from_utf8(read).unwrap()
}

const EMPTY: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

#[tokio::test]
async fn a_body_is_sent_while_it_arrives() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/files", listener.local_addr().unwrap());
    let (first, gone) = tokio::sync::oneshot::channel();
    let server = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let head = head(&mut socket).await;
        let mut piece = [0; 3];
        socket.read_exact(&mut piece).await.unwrap();
        first.send(()).unwrap();
        let mut rest = [0; 3];
        socket.read_exact(&mut rest).await.unwrap();
        socket.write_all(EMPTY).await.unwrap();
        (head, [piece, rest].concat())
    });
    // The second piece is made only once the first has arrived.
    let body = futures_util::stream::once(async { Ok(Bytes::from_static(b"abc")) }).chain(
        futures_util::stream::once(async {
            gone.await.unwrap();
            Ok(Bytes::from_static(b"def"))
        }),
    );
    let body: BoxStream<'static, Result<Bytes, TransportError>> = Box::pin(body);
    let request = post(&url).map(|_| body);
    let (mut parts, body) = request.into_parts();
    parts.headers.insert("content-length", "6".parse().unwrap());
    let inbound = transport().stream(Streaming::from_parts(parts, body)).await.unwrap();
    assert_eq!(inbound.head.status, 200);
    let (head, body) = server.await.unwrap();
    assert!(head.contains("content-length: 6") && !head.contains("chunked"), "{head}");
    assert_eq!(body, b"abcdef");
}

#[tokio::test]
async fn a_body_that_fails_is_not_the_upstreams_fault() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/files", listener.local_addr().unwrap());
    let pieces =
        [Ok(Bytes::from_static(b"abc")), Err(TransportError::Body("the client left".into()))];
    let body: BoxStream<'static, _> = Box::pin(futures_util::stream::iter(pieces));
    let error = transport().stream(post(&url).map(|_| body)).await.unwrap_err();
    assert!(matches!(error, TransportError::Body(_)), "{error:?}");
}

/// Trap 60, from the other side: a connection that was closed while unused costs nobody a call.
#[tokio::test]
async fn a_connection_closed_while_unused_is_not_used_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        for _ in 0..5 {
            let (mut socket, _) = listener.accept().await.unwrap();
            let head = head(&mut socket).await;
            assert!(head.starts_with("POST / "), "{head}");
            let mut body = [0; 2];
            socket.read_exact(&mut body).await.unwrap();
            // It promises to stay, and goes.
            socket.write_all(EMPTY).await.unwrap();
        }
    });
    let transport = transport();
    for _ in 0..5 {
        let inbound = transport.send(post(&url)).await.unwrap();
        assert_eq!(inbound.head.status, 200);
        drop(inbound);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    server.await.unwrap();
}

#[tokio::test]
async fn an_upstreams_own_times_go_before_the_transports() {
    let deaf = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut request = post(&format!("http://{}/", deaf.local_addr().unwrap()));
    let own = Timeouts {
        connect: Duration::from_secs(1),
        first_byte: Duration::from_millis(30),
        idle: Duration::from_secs(1),
    };
    request.extensions_mut().insert(own);
    let patient = HttpTransport::new(Timeouts::default()).unwrap();
    let sent = tokio::time::timeout(Duration::from_secs(5), patient.send(request)).await.unwrap();
    assert!(matches!(sent, Err(TransportError::Timeout("answer"))));
}

#[tokio::test]
async fn connections_are_made_through_the_proxy() {
    let provider = Provider::start(|_| Answer::json(200, "{}")).await.unwrap();
    let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", proxy.local_addr().unwrap());
    let served = tokio::spawn(async move {
        let (mut socket, _) = proxy.accept().await.unwrap();
        let head = head(&mut socket).await;
        let to = head.split(' ').nth(1).unwrap().to_owned();
        socket.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").await.unwrap();
        let mut upstream = tokio::net::TcpStream::connect(to).await.unwrap();
        let copied = tokio::io::copy_bidirectional(&mut socket, &mut upstream);
        let _ = tokio::time::timeout(Duration::from_secs(1), copied).await;
        head
    });
    let options = HttpOptions {
        proxy: Some(address.parse().unwrap()),
        proxy_credential: Some(Secret::new("Basic aHVzaA==")),
        ..HttpOptions::default()
    };
    assert!(!format!("{options:?}").contains("aHVzaA"));
    let transport = HttpTransport::with(options).unwrap();
    let inbound = transport.send(post(&provider.url())).await.unwrap();
    assert_eq!(inbound.head.status, 200);
    drop(transport);
    let head = served.await.unwrap();
    assert!(head.starts_with("CONNECT 127.0.0.1:"), "{head}");
    assert!(head.to_lowercase().contains("proxy-authorization: basic ahvzaa=="), "{head}");
    for bad in ["https://proxy.test", "http://me:pw@proxy.test", "socks5://proxy.test"] {
        let proxy = Some(bad.parse().unwrap());
        let error = HttpTransport::with(HttpOptions { proxy, ..HttpOptions::default() });
        assert!(matches!(error, Err(TlsError::Proxy)), "{bad}");
    }
}

#[tokio::test]
async fn a_private_authority_is_trusted_where_it_is_given() {
    use rcgen::{CertificateParams, KeyPair};
    let key = KeyPair::generate().unwrap();
    let name = vec!["localhost".to_owned()];
    let certificate = CertificateParams::new(name).unwrap().self_signed(&key).unwrap();
    let crypto = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let private = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(crypto)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}/", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            if let Ok(mut socket) = acceptor.accept(socket).await {
                head(&mut socket).await;
                socket.write_all(EMPTY).await.unwrap();
            }
        }
    });
    let error = transport().send(post(&url)).await.unwrap_err();
    assert!(matches!(error, TransportError::Connect(_)), "{error:?}");
    let roots = Some(certificate.pem().into_bytes());
    let trusting = HttpTransport::with(HttpOptions { roots, ..HttpOptions::default() }).unwrap();
    assert_eq!(trusting.send(post(&url)).await.unwrap().head.status, 200);
    for none in [&b""[..], b"no PEM"] {
        let roots = Some(none.to_vec());
        let error = HttpTransport::with(HttpOptions { roots, ..HttpOptions::default() });
        assert!(matches!(error, Err(TlsError::Roots)));
    }
}
