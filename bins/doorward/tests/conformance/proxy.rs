//! Adds a key to every request: the suite cannot send one. All else passes as it is, `Host` and
//! streams too.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, Uri, header};
use http_body_util::BodyExt;
use http_body_util::combinators::BoxBody;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A running proxy; it ends when dropped.
pub(crate) struct Proxy {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

type Forward = Client<HttpConnector, Incoming>;

impl Proxy {
    /// Starts one before `base`, which has no path.
    pub(crate) async fn start(base: &str, key: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let base = base.to_owned();
        let key = HeaderValue::from_str(&format!("Bearer {key}")).unwrap();
        let client: Forward = Client::builder(TokioExecutor::new()).build_http();
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (client, base, key) = (client.clone(), base.clone(), key.clone());
                tokio::spawn(async move {
                    let pass = service_fn(move |request| {
                        forward(client.clone(), base.clone(), key.clone(), request)
                    });
                    let connection = hyper::server::conn::http1::Builder::new();
                    let _ = connection.serve_connection(TokioIo::new(stream), pass).await;
                });
            }
        });
        Self { address, accepting }
    }

    /// Where a path of the gateway is to be reached without a key.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

async fn forward(
    client: Forward,
    base: String,
    key: HeaderValue,
    mut request: Request<Incoming>,
) -> Result<Response<BoxBody<Bytes, hyper::Error>>, hyper_util::client::legacy::Error> {
    let path = request.uri().path_and_query().map_or("/", |all| all.as_str());
    *request.uri_mut() = format!("{base}{path}").parse::<Uri>().unwrap();
    request.headers_mut().insert(header::AUTHORIZATION, key);
    Ok(client.request(request).await?.map(BodyExt::boxed))
}
