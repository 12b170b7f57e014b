//! The transport over real sockets.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use doorward_model_router::{HttpTransport, Outbound, Timeouts, Transport, TransportError};
use doorward_testkit::provider::{Answer, Provider};
use futures_util::StreamExt;

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

    let deaf = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", deaf.local_addr().unwrap());
    let error = transport().send(post(&url)).await.unwrap_err();
    assert!(matches!(error, TransportError::Timeout("answer")), "{error:?}");
}
