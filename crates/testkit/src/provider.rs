//! A scripted model provider: real sockets, bytes exactly as written by the test.

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// One request as it arrived.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// Method and path with query.
    pub target: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Recorded {
    /// The body as JSON; `null` where it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// What to answer.
#[derive(Debug, Clone)]
pub struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    pieces: Vec<(Duration, Bytes)>,
    end: End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Clean,
    /// The connection is cut in the middle of the body.
    Cut,
    /// Nothing more comes, and the connection stays.
    Hang,
}

impl Answer {
    /// A JSON body.
    pub fn json(status: u16, body: impl Into<Bytes>) -> Self {
        Self::of(status, "application/json", vec![(Duration::ZERO, body.into())])
    }

    /// A stream of server-sent events, sent in these pieces.
    pub fn events<B: Into<Bytes>>(pieces: impl IntoIterator<Item = B>) -> Self {
        let pieces = pieces.into_iter().map(|piece| (Duration::ZERO, piece.into())).collect();
        Self::of(200, "text/event-stream", pieces)
    }

    fn of(status: u16, kind: &str, pieces: Vec<(Duration, Bytes)>) -> Self {
        Self { status, headers: vec![("content-type", kind.to_owned())], pieces, end: End::Clean }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Waits this long before each piece.
    #[must_use]
    pub fn every(mut self, pause: Duration) -> Self {
        self.pieces.iter_mut().for_each(|(wait, _)| *wait = pause);
        self
    }

    /// Cuts the connection after the last piece, in the middle of the body.
    #[must_use]
    pub fn cut(mut self) -> Self {
        self.end = End::Cut;
        self
    }

    /// Says nothing more after the last piece and keeps the connection.
    #[must_use]
    pub fn hang(mut self) -> Self {
        self.end = End::Hang;
        self
    }
}

type Script = dyn Fn(&Recorded) -> Answer + Send + Sync;

/// A running provider; it stops when dropped.
pub struct Provider {
    address: SocketAddr,
    recorded: Arc<Mutex<Vec<Recorded>>>,
    left: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Provider {
    /// Starts a provider on a free port of this machine.
    ///
    /// # Errors
    ///
    /// Where no port can be bound.
    pub async fn start(
        script: impl Fn(&Recorded) -> Answer + Send + Sync + 'static,
    ) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let recorded = Arc::new(Mutex::new(Vec::new()));
        let left = Arc::new(AtomicUsize::new(0));
        let scene = Arc::new(Scene {
            script: Box::new(script),
            recorded: recorded.clone(),
            left: left.clone(),
        });
        let task = tokio::spawn(accept(listener, scene));
        Ok(Self { address, recorded, left, task })
    }

    /// `http://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The requests so far.
    pub fn recorded(&self) -> Vec<Recorded> {
        self.recorded.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many answers were left unread by a client that went away.
    pub fn abandoned(&self) -> usize {
        self.left.load(Ordering::SeqCst)
    }
}

struct Scene {
    script: Box<Script>,
    recorded: Arc<Mutex<Vec<Recorded>>>,
    left: Arc<AtomicUsize>,
}

async fn accept(listener: TcpListener, scene: Arc<Scene>) {
    let connections = tokio::task::JoinSet::new();
    let connections = Mutex::new(connections);
    while let Ok((stream, _)) = listener.accept().await {
        // A delayed acknowledgement would look like a slow gateway.
        if stream.set_nodelay(true).is_err() {
            continue;
        }
        let scene = scene.clone();
        let service = service_fn(move |request| answer(scene.clone(), request));
        let mut connections = connections.lock().unwrap_or_else(PoisonError::into_inner);
        connections.spawn(async move {
            let builder = auto::Builder::new(TokioExecutor::new());
            // A client that goes away is part of the play.
            drop(builder.serve_connection(TokioIo::new(stream), service).await);
        });
    }
}

async fn answer(
    scene: Arc<Scene>,
    request: Request<Incoming>,
) -> Result<Response<Pieces>, Infallible> {
    let target = format!("{} {}", request.method(), request.uri());
    let headers = request.headers().clone();
    let body = request
        .into_body()
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes)
        .unwrap_or_default();
    let recorded = Recorded { target, headers, body };
    let answer = (scene.script)(&recorded);
    scene.recorded.lock().unwrap_or_else(PoisonError::into_inner).push(recorded);

    let mut response = Response::builder()
        .status(StatusCode::from_u16(answer.status).unwrap_or(StatusCode::IM_A_TEAPOT));
    for (name, value) in &answer.headers {
        response = response.header(*name, value);
    }
    let (send, pieces) = mpsc::channel(1);
    tokio::spawn(play(answer, send, scene.left.clone()));
    Ok(response.body(Pieces(pieces)).unwrap_or_else(|_| Response::new(Pieces(mpsc::channel(1).1))))
}

async fn play(
    answer: Answer,
    send: mpsc::Sender<Result<Bytes, &'static str>>,
    left: Arc<AtomicUsize>,
) {
    for (wait, piece) in answer.pieces {
        if !wait.is_zero() {
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = send.closed() => {}
            }
        }
        if send.send(Ok(piece)).await.is_err() {
            left.fetch_add(1, Ordering::SeqCst);
            return;
        }
    }
    match answer.end {
        End::Clean => {}
        End::Cut => drop(send.send(Err("cut")).await),
        End::Hang => {
            send.closed().await;
            left.fetch_add(1, Ordering::SeqCst);
        }
    }
}

struct Pieces(mpsc::Receiver<Result<Bytes, &'static str>>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.poll_recv(cx).map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}
