//! What lies outside, as the proxy reaches it.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;

use tokio::net::{TcpStream, lookup_host};

/// What an [`Outlet`] gives.
pub type Reaching<T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send>>;

/// How the proxy of [`Network::Proxy`](crate::Network::Proxy) finds hosts, reaches them, and tells
/// of what it refused. Everything has a default: the system's resolver, plain TCP, and silence
/// beyond the `tracing` event that there is anyway. So to hear of refusals is all this takes:
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// use doorward_sandbox::{EgressRefusal, Outlet};
///
/// #[derive(Debug, Default)]
/// struct Counter(AtomicU64);
///
/// impl Outlet for Counter {
///     fn refused(&self, _refusal: &EgressRefusal) {
///         self.0.fetch_add(1, Ordering::Relaxed);
///     }
/// }
/// ```
///
/// An implementation is asked after the rules were, and only for hosts they admit; it is not
/// trusted with addresses: each one it gives is judged before it is connected to.
pub trait Outlet: Send + Sync + fmt::Debug {
    /// The addresses of a host name.
    fn resolve(&self, name: String) -> Reaching<Vec<IpAddr>> {
        Box::pin(async move {
            // The port does not matter to the lookup.
            Ok(lookup_host((name, 0)).await?.map(|found| found.ip()).collect())
        })
    }

    /// A connection to exactly this address.
    fn connect(&self, address: SocketAddr) -> Reaching<TcpStream> {
        Box::pin(TcpStream::connect(address))
    }

    /// Hears of a connection that was refused. Must not block.
    fn refused(&self, refusal: &EgressRefusal) {
        let _ = refusal;
    }
}

/// The system's resolver and network.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SystemOutlet;

impl Outlet for SystemOutlet {}

/// A connection that a program asked for and did not get.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EgressRefusal {
    /// The program's command, without its arguments.
    pub program: String,
    /// The host and port asked for, as far as they could be read. Never a path or a query.
    pub target: String,
    /// Why not.
    pub reason: String,
}
