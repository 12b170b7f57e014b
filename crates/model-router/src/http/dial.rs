//! Making connections: directly or through a proxy, and whom to trust at the other end.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use doorward_core::Secret;
use http::{HeaderValue, Uri};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::rt::TokioIo;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::net::TcpStream;
use tower_service::Service;

use super::TlsError;

type Fault = Box<dyn std::error::Error + Send + Sync>;

/// Makes TCP connections to an upstream.
#[derive(Clone)]
pub(super) struct Dial {
    tcp: HttpConnector,
    proxy: Option<(Uri, Option<HeaderValue>)>,
}

impl Dial {
    pub(super) fn new(proxy: Option<Uri>, credential: Option<&Secret>) -> Result<Self, TlsError> {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        tcp.set_keepalive(Some(Duration::from_mins(1)));
        let Some(uri) = proxy else { return Ok(Self { tcp, proxy: None }) };
        let named = uri.authority().is_some_and(|authority| !authority.as_str().contains('@'));
        if uri.scheme_str() != Some("http") || !named {
            return Err(TlsError::Proxy);
        }
        let shown = credential.map(|credential| {
            let mut value =
                HeaderValue::try_from(credential.expose()).map_err(|_| TlsError::Proxy)?;
            value.set_sensitive(true);
            Ok::<_, TlsError>(value)
        });
        Ok(Self { tcp, proxy: Some((uri, shown.transpose()?)) })
    }

    /// The same, giving up after so long.
    pub(super) fn within(&self, connect: Duration) -> Self {
        let mut dial = self.clone();
        dial.tcp.set_connect_timeout(Some(connect));
        dial
    }
}

impl Service<Uri> for Dial {
    type Response = TokioIo<TcpStream>;
    type Error = Fault;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Fault>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        self.tcp.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        match &self.proxy {
            None => {
                let made = self.tcp.call(to);
                Box::pin(async move { made.await.map_err(Into::into) })
            }
            Some((proxy, shown)) => {
                let mut tunnel = Tunnel::new(proxy.clone(), self.tcp.clone());
                if let Some(shown) = shown {
                    tunnel = tunnel.with_auth(shown.clone());
                }
                let made = tunnel.call(to);
                Box::pin(async move { made.await.map_err(Into::into) })
            }
        }
    }
}

/// Trusts the machine's root certificates, where it has any, and these.
pub(super) fn tls(extra: Option<&[u8]>) -> Result<rustls::ClientConfig, TlsError> {
    let mut roots = rustls::RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let error = found.errors.first().map(ToString::to_string);
        tracing::warn!(error, "no root certificates: public https upstreams will not connect");
    }
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
