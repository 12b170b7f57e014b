//! The proxy of one program.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderMap, HeaderValue};
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::address::canonical;
use super::pulse::{Pulse, Watched};
use super::rule::{Host, Policy};
use super::{EgressRefusal, Outlet};
use crate::control::Gate;

mod plain;

/// How much one program may ask of its proxy.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Connections at one time; more wait.
    pub(super) connections: usize,
    /// Bytes of a request's head.
    pub(super) head: usize,
    /// How long a head may take to arrive.
    pub(super) patience: Duration,
    /// How long the lookup of a name may take, and then the connection.
    pub(super) connect: Duration,
    /// How long a connection may be silent; at most twice as long.
    pub(super) idle: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections: 64,
            head: 16 << 10,
            patience: Duration::from_secs(30),
            connect: Duration::from_secs(10),
            idle: Duration::from_mins(5),
        }
    }
}

/// The way out of one program.
#[derive(Debug)]
pub(crate) struct Proxy {
    program: String,
    policy: Policy,
    outlet: Arc<dyn Outlet>,
    bounds: Bounds,
    warnings: Warnings,
}

/// How many warnings there have been of late, so that a program cannot drown the log.
#[derive(Debug)]
struct Warnings(Mutex<(Instant, u32)>);

impl Warnings {
    /// Within one minute; the rest is for who looks closer.
    const MOST: u32 = 60;

    fn is_one_more(&self) -> bool {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, count) = &mut *window;
        if since.elapsed() > Duration::from_mins(1) {
            (*since, *count) = (Instant::now(), 0);
        }
        *count = count.saturating_add(1);
        *count <= Self::MOST
    }
}

/// What is answered: somebody else's body, or a line of ours.
type Answer = Response<Either<Incoming, Full<Bytes>>>;

/// A request that leads nowhere, and what the program is told.
#[derive(Debug)]
struct Denied {
    status: StatusCode,
    told: String,
}

impl Denied {
    fn answer(self) -> Answer {
        let mut answer = Response::new(Either::Right(Full::from(self.told + "\n")));
        *answer.status_mut() = self.status;
        let plain = HeaderValue::from_static("text/plain; charset=utf-8");
        answer.headers_mut().insert(CONTENT_TYPE, plain);
        // Some clients take what follows a refused tunnel for the tunnel.
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        answer
    }
}

/// What outlives one request of a connection.
#[derive(Default)]
struct Line {
    /// The tunnel this connection is to become.
    tunnel: Mutex<Option<(OnUpgrade, TcpStream)>>,
    /// Exchanges with origin servers; they end with the connection.
    exchanges: Mutex<JoinSet<()>>,
}

impl Proxy {
    /// A proxy for the program of this name.
    pub(crate) fn new(program: &str, policy: Policy, outlet: Arc<dyn Outlet>) -> Self {
        let bounds = Bounds::default();
        let warnings = Warnings(Mutex::new((Instant::now(), 0)));
        Self { program: program.to_owned(), policy, outlet, bounds, warnings }
    }

    #[cfg(test)]
    pub(super) fn bounded(self, bounds: Bounds) -> Self {
        Self { bounds, ..self }
    }

    /// Serves this gate for as long as the launcher lives.
    ///
    /// # Errors
    ///
    /// Where the runtime cannot watch it.
    pub(crate) fn open(self, gate: Gate) -> io::Result<()> {
        gate.listener.set_nonblocking(true)?;
        gate.life.set_nonblocking(true)?;
        let listener = TcpListener::from_std(gate.listener)?;
        let mut life = UnixStream::from_std(gate.life)?;
        tokio::spawn(async move {
            // Nothing is ever said on it: whatever a read gives is the end.
            let ended = async { life.read(&mut [0]).await.map_or((), drop) };
            Arc::new(self).serve(listener, ended).await;
        });
        Ok(())
    }

    /// Serves until `ended` is; then every connection is cut.
    pub(super) async fn serve(
        self: Arc<Self>,
        listener: TcpListener,
        ended: impl Future<Output = ()>,
    ) {
        let mut open = JoinSet::new();
        let mut ended = pin!(ended);
        loop {
            let room = open.len() < self.bounds.connections;
            tokio::select! {
                () = &mut ended => return,
                Some(_) = open.join_next() => {}
                accepted = listener.accept(), if room => match accepted {
                    Ok((stream, _)) => {
                        open.spawn(self.clone().converse(stream));
                    }
                    // Out of descriptors: others may become free.
                    Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                },
            }
        }
    }

    /// One connection of the program, through to its end.
    async fn converse(self: Arc<Self>, stream: TcpStream) {
        let pulse = Pulse::default();
        let stream = TokioIo::new(Watched::new(stream, pulse.clone()));
        let line = Arc::new(Line::default());
        let (idle, bounds) = (self.bounds.idle, self.bounds);
        let asked = line.clone();
        let service = service_fn(move |request| {
            let (proxy, line) = (self.clone(), asked.clone());
            async move { Ok::<_, Infallible>(proxy.answer(request, &line).await) }
        });
        let mut server = hyper::server::conn::http1::Builder::new();
        server.timer(TokioTimer::new()).header_read_timeout(bounds.patience);
        server.max_header_size(bounds.head).half_close(false);
        let through = async {
            let spoken = server.serve_connection(stream, service).with_upgrades().await;
            if spoken.is_ok() {
                line.carry().await;
            }
        };
        tokio::select! {
            () = through => {}
            () = pulse.silence(idle) => {}
        }
    }

    async fn answer(&self, request: Request<Incoming>, line: &Line) -> Answer {
        let outcome = if request.method() == Method::CONNECT {
            self.tunnel(request, line).await
        } else {
            self.forward(request, line).await
        };
        outcome.unwrap_or_else(Denied::answer)
    }

    /// Opens a tunnel. What goes through it is between the program and that host.
    async fn tunnel(&self, request: Request<Incoming>, line: &Line) -> Result<Answer, Denied> {
        let (host, port) = self.target(&request)?;
        let outside = self.reach(&host, port).await?;
        let upgrade = hyper::upgrade::on(request);
        *line.tunnel.lock().unwrap_or_else(PoisonError::into_inner) = Some((upgrade, outside));
        Ok(Response::new(Either::Right(Full::default())))
    }

    /// The host and port that a request is for.
    fn target(&self, request: &Request<Incoming>) -> Result<(Host, u16), Denied> {
        let authority = request.uri().authority().map(hyper::http::uri::Authority::as_str);
        // What precedes an `@` may be a password.
        let shown = authority.map_or("", |text| text.rsplit('@').next().unwrap_or(text));
        target(request).map_err(|reason| self.refuse(shown, reason.to_owned(), reason))
    }

    /// Connects to a host, if rules and addresses allow it.
    async fn reach(&self, host: &Host, port: u16) -> Result<TcpStream, Denied> {
        let target = format!("{host}:{port}");
        if !self.policy.admits(host, port) {
            let reason = "no rule of this server names it";
            return Err(self.refuse(&target, reason.to_owned(), reason));
        }
        let failed = |status, what: &str| Denied { status, told: format!("{target}: {what}") };
        let late = |what| move |_| failed(StatusCode::GATEWAY_TIMEOUT, what);
        let addresses = match host {
            Host::Address(address) => vec![*address],
            Host::Name(name) => {
                let looked_up = self.outlet.resolve(name.clone());
                tokio::time::timeout(self.bounds.connect, looked_up)
                    .await
                    .map_err(late("the name could not be looked up in time"))?
                    .map_err(|_| failed(StatusCode::BAD_GATEWAY, "the name was not found"))?
            }
        };
        for address in &addresses {
            self.policy.judge(*address).map_err(|what| {
                let reason = format!("it leads to {address}, which is {what}");
                // The program need not learn how names are resolved here.
                self.refuse(&target, reason, &format!("it leads to an address that is {what}"))
            })?;
        }
        // Just these: the name is not looked up again.
        tokio::time::timeout(self.bounds.connect, self.connect(&addresses, port))
            .await
            .map_err(late("no answer in time"))?
            .ok_or_else(|| failed(StatusCode::BAD_GATEWAY, "it could not be reached"))
    }

    /// The first of these that answers.
    async fn connect(&self, addresses: &[IpAddr], port: u16) -> Option<TcpStream> {
        for address in addresses {
            let address = SocketAddr::new(canonical(*address), port);
            if let Ok(stream) = self.outlet.connect(address).await {
                // Only a matter of speed.
                stream.set_nodelay(true).ok();
                return Some(stream);
            }
        }
        None
    }

    /// Records a refusal, and makes the program's answer of it.
    fn refuse(&self, target: &str, reason: String, told: &str) -> Denied {
        let target: String = target.chars().take(300).collect();
        let told = format!("{target}: {told}");
        if self.warnings.is_one_more() {
            tracing::warn!(program = %self.program, %target, %reason, "egress refused");
        } else {
            tracing::debug!(program = %self.program, %target, %reason, "egress refused");
        }
        self.outlet.refused(&EgressRefusal { program: self.program.clone(), target, reason });
        Denied { status: StatusCode::FORBIDDEN, told }
    }
}

impl Line {
    /// Carries bytes both ways, if the connection has become a tunnel.
    async fn carry(&self) {
        let tunnel = self.tunnel.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((upgrade, mut outside)) = tunnel else { return };
        if let Ok(inside) = upgrade.await {
            // However it ends, both ends are closed now.
            tokio::io::copy_bidirectional(&mut TokioIo::new(inside), &mut outside).await.ok();
        }
    }
}

/// Reads what a request is for, and makes sure that it says only one thing.
fn target(request: &Request<Incoming>) -> Result<(Host, u16), &'static str> {
    let authority = request.uri().authority().ok_or("a request to a proxy names a host")?;
    if authority.as_str().contains('@') {
        return Err("a name and password have no place in an address");
    }
    let (host, port) = Host::read(authority.as_str())?;
    let port = match (request.method() == Method::CONNECT, request.uri().scheme_str(), port) {
        (true, _, Some(port)) => port,
        (true, _, None) => return Err("a tunnel needs a port"),
        (false, Some("http"), port) => port.unwrap_or(80),
        (false, ..) => return Err("outside of a tunnel only http is carried"),
    };
    let tunnel = request.method() == Method::CONNECT;
    agrees(request.headers(), &host, port, if tunnel { port } else { 80 })?;
    Ok((host, port))
}

/// Whether the `Host` header, where there is one, names the same as the request's first line
/// (RFC 9112 section 3.2.2).
fn agrees(headers: &HeaderMap, host: &Host, port: u16, usual: u16) -> Result<(), &'static str> {
    let mut named = headers.get_all(HOST).iter();
    let Some(first) = named.next() else { return Ok(()) };
    let differs = "the Host header names another host than the address";
    if named.next().is_some() {
        return Err("there is more than one Host header");
    }
    let (other, other_port) =
        first.to_str().ok().and_then(|text| Host::read(text).ok()).ok_or(differs)?;
    if other != *host || other_port.unwrap_or(usual) != port {
        return Err(differs);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn warnings_are_bounded_by_the_minute() {
        let warnings = Warnings(Mutex::new((Instant::now(), 0)));
        let loud = || (0..1000).filter(|_| warnings.is_one_more()).count();
        assert_eq!((loud(), loud()), (60, 0));
        tokio::time::advance(Duration::from_secs(61)).await;
        assert_eq!(loud(), 60);
    }
}
