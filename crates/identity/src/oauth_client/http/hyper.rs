//! hyper and rustls, with the machine's root certificates.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use doorward_core::BoxFuture;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, LOCATION};
use http::{Method, Request};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::super::address::Reach;
use super::dial::{Dial, OutOfReach};
use super::{Answer, Ask, Content, Http, HttpError, LARGEST};

/// How long one exchange may take in all.
const LONGEST: Duration = Duration::from_secs(10);
/// How long an unused connection is kept.
const IDLE: Duration = Duration::from_secs(20);

/// TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The TLS library cannot be used.
    #[error("TLS is not usable")]
    Library(#[from] rustls::Error),
    /// The extra certificates are none.
    #[error("the certificates to trust are not PEM")]
    Roots,
}

/// [`Http`] over real sockets.
pub struct HyperHttp {
    client: Client<HttpsConnector<Dial>, Full<Bytes>>,
}

impl fmt::Debug for HyperHttp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HyperHttp")
    }
}

impl HyperHttp {
    /// Reaches this far and trusts the machine's certificates and these, in PEM.
    ///
    /// # Errors
    ///
    /// Where the TLS library or the certificates cannot be used.
    pub fn new(reach: Reach, roots: Option<&[u8]>) -> Result<Self, TlsError> {
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls(roots)?)
            .https_or_http()
            .enable_http1()
            .enable_http2()
            .wrap_connector(Dial::new(reach));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .build(connector);
        Ok(Self { client })
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Answer, HttpError> {
        let response = self.client.request(request).await.map_err(unreached)?;
        let (head, body) = response.into_parts();
        let location = head.headers.get(LOCATION).and_then(|value| value.to_str().ok());
        let location = location.map(str::to_owned);
        let body = Limited::new(body, LARGEST).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() {
                HttpError::TooLarge
            } else {
                HttpError::Broken(error)
            }
        })?;
        Ok(Answer { status: head.status.as_u16(), location, body: body.to_bytes() })
    }
}

impl Http for HyperHttp {
    fn send(&self, ask: Ask) -> BoxFuture<'_, Result<Answer, HttpError>> {
        Box::pin(async move {
            let request = write(ask)?;
            let timely = tokio::time::timeout(LONGEST, self.exchange(request)).await;
            timely.unwrap_or(Err(HttpError::Slow))
        })
    }
}

fn write(ask: Ask) -> Result<Request<Full<Bytes>>, HttpError> {
    let (kind, body) = match ask.content {
        Content::None => (None, Bytes::new()),
        Content::Form(form) => {
            let body = Bytes::copy_from_slice(form.expose().as_bytes());
            (Some("application/x-www-form-urlencoded"), body)
        }
        Content::Json(json) => (Some("application/json"), Bytes::from(json)),
    };
    let mut request = Request::new(Full::new(body));
    *request.uri_mut() = ask.url;
    let headers = request.headers_mut();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    if let Some(authorization) = ask.authorization {
        let value = HeaderValue::try_from(authorization.expose());
        let mut value = value.map_err(|error| HttpError::Broken(error.into()))?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    if let Some(kind) = kind {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        *request.method_mut() = Method::POST;
    }
    Ok(request)
}

/// Why there was no connection: it was forbidden, or it failed.
fn unreached(error: legacy::Error) -> HttpError {
    let mut cause: Option<&(dyn Error + 'static)> = error.source();
    while let Some(error) = cause {
        if let Some(inner) = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref)
            && inner.is::<OutOfReach>()
        {
            return HttpError::OutOfReach;
        }
        cause = error.source();
    }
    HttpError::Broken(error.into())
}

fn tls(extra: Option<&[u8]>) -> Result<rustls::ClientConfig, TlsError> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(pem) = extra {
        let before = roots.len();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|_| TlsError::Roots)?;
            roots.add(certificate).map_err(|_| TlsError::Roots)?;
        }
        if roots.len() == before {
            return Err(TlsError::Roots);
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    Ok(rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}
