//! Requests to one HTTP endpoint in one name.

use std::sync::Arc;

use bytes::Bytes;
use doorward_core::Credential;
use http::header::{ACCEPT, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::{ClientConfig, RootCertStore};

use super::address::{LAST_EVENT, Peer, address, show};
use super::{Ask, Failure};
use crate::envelope::Message;

pub(super) type Client =
    hyper_util::client::legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// How much of an error's body is read.
const LONGEST_ERROR: usize = 64 << 10;
/// How many challenges of a refusal are kept.
const MOST_CHALLENGES: usize = 16;

/// A way to an endpoint, with what is shown there.
#[derive(Clone)]
pub(super) struct Reach {
    pub(super) client: Client,
    pub(super) uri: Uri,
    pub(super) credential: Option<Credential>,
}

impl Reach {
    /// Sends a message.
    pub(super) async fn post(
        &self,
        peer: &Peer,
        ask: Option<&Ask<'_>>,
        message: String,
    ) -> Result<Response<Incoming>, Failure> {
        let mut request = Request::new(Full::new(Bytes::from(message)));
        *request.method_mut() = Method::POST;
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let both = HeaderValue::from_static("application/json, text/event-stream");
        headers.insert(ACCEPT, both);
        self.send(peer, ask, request).await
    }

    /// Opens a stream, after the event of this id where there is one.
    pub(super) async fn stream(
        &self,
        peer: &Peer,
        after: Option<&str>,
    ) -> Result<Response<Incoming>, Failure> {
        let mut request = Request::new(Full::default());
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        if let Some(after) = after {
            let wrong = |_| Failure::Nonsense("gave an event an id that no header can hold");
            headers.insert(LAST_EVENT, HeaderValue::from_str(after).map_err(wrong)?);
        }
        let response = self.send(peer, None, request).await?;
        if kind(response.headers()) != "text/event-stream" {
            return Err(Failure::Nonsense("answered with a content type that is not MCP's"));
        }
        Ok(response)
    }

    /// Ends a session.
    pub(super) async fn delete(&self, peer: &Peer) -> Result<(), Failure> {
        let mut request = Request::new(Full::default());
        *request.method_mut() = Method::DELETE;
        self.send(peer, None, request).await.map(drop)
    }

    async fn send(
        &self,
        peer: &Peer,
        ask: Option<&Ask<'_>>,
        mut request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, Failure> {
        *request.uri_mut() = self.uri.clone();
        address(request.headers_mut(), peer, ask)?;
        show(request.headers_mut(), self.credential.as_ref())?;
        let sent = self.client.request(request).await;
        let response = sent.map_err(|error| Failure::Unreachable(error.into()))?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(self.refused(response).await)
    }

    /// What an answer with an error status says: a JSON-RPC error if it holds one.
    async fn refused(&self, response: Response<Incoming>) -> Failure {
        let (head, body) = response.into_parts();
        let status = head.status.as_u16();
        if matches!(head.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            let challenges = head.headers.get_all(WWW_AUTHENTICATE).iter();
            let challenges = challenges.filter_map(|value| value.to_str().ok());
            let challenges = challenges.take(MOST_CHALLENGES).map(ToOwned::to_owned).collect();
            // Operators put secrets into the query.
            let url = self.uri.to_string();
            let url = url.split('?').next().unwrap_or_default().to_owned();
            return Failure::Refused { status, url, challenges };
        }
        let plain = Failure::Status(status);
        if head.status.is_redirection() {
            return plain;
        }
        let Ok(body) = collect(body, LONGEST_ERROR).await else { return plain };
        match Message::read(&body) {
            Ok(Message::Reply { outcome: Err(mut error), .. }) => {
                error.status = Some(status);
                Failure::Rpc(error)
            }
            _ => plain,
        }
    }
}

/// The media type of an answer, in lower case and without parameters.
pub(super) fn kind(headers: &HeaderMap) -> String {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.unwrap_or_default().split(';').next().unwrap_or_default();
    kind.trim().to_ascii_lowercase()
}

pub(super) async fn collect(
    body: Incoming,
    most: usize,
) -> Result<Bytes, Box<dyn std::error::Error + Send + Sync>> {
    Ok(Limited::new(body, most).collect().await?.to_bytes())
}

pub(crate) fn client(secure: bool) -> Result<Client, String> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let builder = HttpsConnectorBuilder::new();
    let builder = if secure {
        builder.with_provider_and_native_roots(provider).map_err(|error| error.to_string())?
    } else {
        // Nothing to trust is needed for plain HTTP, and hosts without certificates exist.
        let config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        builder.with_tls_config(config)
    };
    let connector = builder.https_or_http().enable_http1().enable_http2().wrap_connector(tcp);
    Ok(hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build(connector))
}
