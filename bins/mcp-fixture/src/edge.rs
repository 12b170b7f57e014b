//! HTTP: who may ask, and what a server of the older era says to the newer protocol.

use std::convert::Infallible;
use std::error::Error;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::Era;
use crate::fixture::{Fixture, Shared};

type Service = StreamableHttpService<Fixture, LocalSessionManager>;
type Answer = Response<BoxBody<Bytes, Infallible>>;

const MOST: usize = 4 << 20;

/// Serves until the process ends.
///
/// # Errors
/// The listener breaks.
pub(crate) async fn serve(
    listener: TcpListener,
    shared: Arc<Shared>,
) -> Result<(), Box<dyn Error>> {
    let era = shared.era;
    // Whoever reaches a loopback address by another name, or from a page of another origin, was
    // led here by a stranger.
    let origins = ["http://localhost:*", "http://127.0.0.1:*", "http://[::1]:*"];
    let config = StreamableHttpServerConfig::default()
        .with_allowed_origins(origins)
        .with_legacy_session_mode(era != Era::Modern);
    let service: Service = StreamableHttpService::new(
        move || Ok(Fixture::new(shared.clone())),
        Arc::default(),
        config,
    );
    loop {
        let (stream, _) = listener.accept().await?;
        let service = service.clone();
        tokio::spawn(async move {
            let answer = service_fn(move |request| {
                let service = service.clone();
                async move { Ok::<_, Infallible>(answer(&service, era, request).await) }
            });
            // A client that goes away is no error.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}

async fn answer(service: &Service, era: Era, request: Request<Incoming>) -> Answer {
    if request.uri().path() != "/mcp" {
        return plain(StatusCode::NOT_FOUND, &json!({ "error": "not found" }));
    }
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, MOST).collect().await else {
        return plain(StatusCode::PAYLOAD_TOO_LARGE, &json!({ "error": "too large" }));
    };
    let body = body.to_bytes();
    if era == Era::Legacy && head.method == Method::POST {
        let has_session = head.headers.contains_key("mcp-session-id");
        let method = serde_json::from_slice::<Value>(&body)
            .ok()
            .and_then(|message| Some(message.get("method")?.as_str()?.to_owned()));
        if !has_session && method.as_deref() != Some("initialize") {
            return before_handshake();
        }
    }
    service.handle(Request::from_parts(head, Full::new(body))).await
}

/// What the servers of the older era say to a request without a session.
fn before_handshake() -> Answer {
    let error = json!({ "code": -32000, "message": "Bad Request: Server not initialized" });
    plain(StatusCode::BAD_REQUEST, &json!({ "jsonrpc": "2.0", "error": error, "id": null }))
}

fn plain(status: StatusCode, body: &Value) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body.to_string())).boxed());
    *answer.status_mut() = status;
    let json = header::HeaderValue::from_static("application/json");
    answer.headers_mut().insert(header::CONTENT_TYPE, json);
    answer
}
