//! The admin listener: metrics and status, read-only. It answers to loopback names only, unless
//! it is bound elsewhere on purpose.

use std::convert::Infallible;
use std::future::Future;

use bytes::Bytes;
use doorward_gateway::{ServerStatus, Sight, is_loopback_host};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use tokio::net::TcpListener;

/// What `GET /api/v1/status` tells.
#[derive(Debug, Serialize)]
struct Status {
    version: &'static str,
    upstreams: Vec<String>,
    servers: Vec<ServerStatus>,
}

/// Serves the admin listener until `stop` resolves.
pub async fn serve(listener: TcpListener, sight: Sight, stop: impl Future<Output = ()>) {
    let loopback_only = listener.local_addr().is_ok_and(|address| address.ip().is_loopback());
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => return,
        };
        let Ok((stream, _)) = accepted else { continue };
        let sight = sight.clone();
        let service = service_fn(move |request| {
            let answer = answer(&sight, loopback_only, &request);
            async move { Ok::<_, Infallible>(answer) }
        });
        tokio::spawn(async move {
            let mut builder = http1::Builder::new();
            builder.timer(TokioTimer::new()).keep_alive(false);
            if let Err(error) = builder.serve_connection(TokioIo::new(stream), service).await {
                tracing::debug!(%error, "admin connection ended");
            }
        });
    }
}

fn answer(
    sight: &Sight,
    loopback_only: bool,
    request: &Request<Incoming>,
) -> Response<Full<Bytes>> {
    if loopback_only && !is_loopback(request) {
        return text(StatusCode::FORBIDDEN, "this listener answers to loopback names only\n");
    }
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return text(StatusCode::METHOD_NOT_ALLOWED, "GET only\n");
    }
    match request.uri().path() {
        "/metrics" => {
            let mut response = text(StatusCode::OK, sight.metrics().render());
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            let kind = HeaderValue::from_static(kind);
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
            response
        }
        "/healthz" => text(StatusCode::OK, "ok\n"),
        "/api/v1/status" => {
            let status = Status {
                version: env!("CARGO_PKG_VERSION"),
                upstreams: sight.upstreams().to_vec(),
                servers: sight.servers(),
            };
            let body = serde_json::to_vec(&status).unwrap_or_default();
            let mut response = text(StatusCode::OK, body);
            let json = HeaderValue::from_static("application/json");
            response.headers_mut().insert(header::CONTENT_TYPE, json);
            response
        }
        "/" => text(StatusCode::OK, "Doorward\n\n/metrics\n/api/v1/status\n/healthz\n"),
        _ => text(StatusCode::NOT_FOUND, "no such route\n"),
    }
}

/// A page that rebinds a name to this machine must not read what is here.
fn is_loopback(request: &Request<Incoming>) -> bool {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    host.is_some_and(is_loopback_host)
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    headers.insert(header::CONTENT_TYPE, plain);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
