//! Requests without TLS. Each is a question of its own with a connection of its own, so that what
//! was allowed for one host says nothing about the next; a redirect is the program's to follow,
//! and comes back as a new request.

use std::sync::PoisonError;

use http_body_util::Either;
use hyper::body::Incoming;
use hyper::header::{
    CONNECTION, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use hyper::http::uri::PathAndQuery;
use hyper::{Request, StatusCode, Uri, Version};
use hyper_util::rt::TokioIo;

use super::{Answer, Denied, Line, Proxy};

/// Headers that are between neighbours (RFC 9110 section 7.6.1), and those meant for a proxy.
const BETWEEN_NEIGHBOURS: [HeaderName; 10] = [
    CONNECTION,
    EXPECT,
    HeaderName::from_static("keep-alive"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

impl Proxy {
    /// Asks the origin server, and hands its answer back.
    pub(super) async fn forward(
        &self,
        request: Request<Incoming>,
        line: &Line,
    ) -> Result<Answer, Denied> {
        let (host, port) = self.target(&request)?;
        let outside = self.reach(&host, port).await?;
        let name = if port == 80 { host.to_string() } else { format!("{host}:{port}") };
        let failed = |what: &str| Denied {
            status: StatusCode::BAD_GATEWAY,
            told: format!("{name}: {what}"),
        };
        let request = to_origin(request, &name).ok_or_else(|| failed("no such request"))?;

        let exchange = hyper::client::conn::http1::handshake(TokioIo::new(outside)).await;
        let (mut sender, connection) = exchange.map_err(|_| failed("it does not speak HTTP"))?;
        {
            let mut exchanges = line.exchanges.lock().unwrap_or_else(PoisonError::into_inner);
            while exchanges.try_join_next().is_some() {}
            exchanges.spawn(async move {
                // A failure shows in the answer's body.
                connection.await.ok();
            });
        }
        let answer = sender.send_request(request).await;
        let mut answer = answer.map_err(|_| failed("it did not answer"))?;
        if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Err(failed("it would not keep to HTTP"));
        }
        strip(answer.headers_mut());
        Ok(answer.map(Either::Left))
    }
}

/// The same request as it is put to the server itself.
fn to_origin(mut request: Request<Incoming>, name: &str) -> Option<Request<Incoming>> {
    let root = || PathAndQuery::from_static("/");
    let path = request.uri().path_and_query().cloned().unwrap_or_else(root);
    *request.uri_mut() = Uri::from(path);
    *request.version_mut() = Version::HTTP_11;
    strip(request.headers_mut());
    request.headers_mut().insert(HOST, HeaderValue::from_str(name).ok()?);
    Some(request)
}

/// Takes out what goes no further than the next neighbour.
fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&BETWEEN_NEIGHBOURS) {
        // The length of a body is what keeps two requests apart.
        if *name != hyper::header::CONTENT_LENGTH {
            headers.remove(name);
        }
    }
}
