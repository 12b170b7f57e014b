//! Connections to addresses in reach only. Names are resolved here and the very addresses that
//! were judged are connected to, so that a name cannot change its mind in between.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

use super::super::address::Reach;

/// The most addresses of one name that are tried.
const MOST: usize = 8;

/// Makes TCP connections within reach.
#[derive(Clone, Debug)]
pub(super) struct Dial {
    reach: Arc<Reach>,
}

/// The name leads nowhere that is in reach.
#[derive(Debug, thiserror::Error)]
#[error("no address in reach")]
pub(super) struct OutOfReach;

impl Dial {
    pub(super) fn new(reach: Reach) -> Self {
        Self { reach: Arc::new(reach) }
    }

    fn admits(&self, host: &str, plain: bool, address: SocketAddr) -> bool {
        self.reach.admits(host, address.ip()) && (!plain || self.reach.admits_plain(address.ip()))
    }
}

impl Service<http::Uri> for Dial {
    type Response = TokioIo<TcpStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: http::Uri) -> Self::Future {
        let dial = self.clone();
        Box::pin(async move {
            let plain = to.scheme_str() != Some("https");
            let port = to.port_u16().unwrap_or(if plain { 80 } else { 443 });
            let host = to.host().unwrap_or_default();
            let name = host.trim_start_matches('[').trim_end_matches(']');
            let found = tokio::net::lookup_host((name, port)).await?;
            let mut last = io::Error::other(OutOfReach);
            for address in found.filter(|address| dial.admits(host, plain, *address)).take(MOST) {
                match TcpStream::connect(address).await {
                    Ok(stream) => {
                        stream.set_nodelay(true)?;
                        return Ok(TokioIo::new(stream));
                    }
                    Err(error) => last = error,
                }
            }
            Err(last)
        })
    }
}
