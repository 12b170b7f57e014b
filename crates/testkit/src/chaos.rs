//! A provider that goes wrong in one known way per path, by hand on the socket: `/{way}/v1` is its
//! base URL. It speaks Chat Completions and keeps count of what it would bill.

use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// What every whole answer says.
pub const ANSWER: &str = "All is well that ends well.";
/// The tokens that every whole answer reports: of the prompt, of the answer.
pub const TOKENS: (u64, u64) = (20, 7);

/// A way to go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Way {
    /// Not at all.
    Well,
    /// 429, `retry-after` in seconds.
    LimitSeconds,
    /// 429, `retry-after` as a date.
    LimitDate,
    /// 429, `retry-after-ms`.
    LimitMs,
    /// 429, `x-ms-retry-after-ms`, as Azure says it.
    LimitXMs,
    /// 429, `retryDelay` in the body, as Gemini says it.
    LimitBody,
    /// 529, Anthropic's overload.
    Overloaded,
    /// 500, with an error body.
    Failed,
    /// 500, and the connection is gone in the middle of the body.
    FailedCut,
    /// 200, and a JSON error.
    ErrorIn200,
    /// 200, and the first event is an error.
    ErrorFirst,
    /// 200, and what follows is neither JSON nor events.
    Garbage,
    /// The connection is reset before any answer.
    ResetBefore,
    /// The connection is reset within the head of the answer.
    ResetHead,
    /// Nothing comes.
    Hang,
    /// The head comes, and then nothing.
    HangHead,
    /// A whole answer, a few bytes at a time.
    Drip,
    /// Some of the answer, then an error event.
    ErrorLater,
    /// Some of the answer, then a reset.
    ResetLater,
    /// Some of the answer, then nothing.
    HangLater,
    /// Some of the answer, then a proper end of the body: no finish, no usage, no `[DONE]`.
    Truncated,
}

impl Way {
    /// All of them.
    pub const ALL: [Self; 21] = [
        Self::Well,
        Self::LimitSeconds,
        Self::LimitDate,
        Self::LimitMs,
        Self::LimitXMs,
        Self::LimitBody,
        Self::Overloaded,
        Self::Failed,
        Self::FailedCut,
        Self::ErrorIn200,
        Self::ErrorFirst,
        Self::Garbage,
        Self::ResetBefore,
        Self::ResetHead,
        Self::Hang,
        Self::HangHead,
        Self::Drip,
        Self::ErrorLater,
        Self::ResetLater,
        Self::HangLater,
        Self::Truncated,
    ];

    /// Its name in a path.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Well => "well",
            Self::LimitSeconds => "limit-seconds",
            Self::LimitDate => "limit-date",
            Self::LimitMs => "limit-ms",
            Self::LimitXMs => "limit-x-ms",
            Self::LimitBody => "limit-body",
            Self::Overloaded => "overloaded",
            Self::Failed => "failed",
            Self::FailedCut => "failed-cut",
            Self::ErrorIn200 => "error-in-200",
            Self::ErrorFirst => "error-first",
            Self::Garbage => "garbage",
            Self::ResetBefore => "reset-before",
            Self::ResetHead => "reset-head",
            Self::Hang => "hang",
            Self::HangHead => "hang-head",
            Self::Drip => "drip",
            Self::ErrorLater => "error-later",
            Self::ResetLater => "reset-later",
            Self::HangLater => "hang-later",
            Self::Truncated => "truncated",
        }
    }

    /// Whether some of the answer has left before it goes wrong: such an attempt has its price.
    pub const fn tells(self) -> bool {
        matches!(
            self,
            Self::Well
                | Self::Drip
                | Self::ErrorLater
                | Self::ResetLater
                | Self::HangLater
                | Self::Truncated
        )
    }

    /// Whether it says that nothing was done. Of any other that fails, nobody knows whether the
    /// provider will charge for it.
    pub const fn refuses(self) -> bool {
        matches!(
            self,
            Self::LimitSeconds
                | Self::LimitDate
                | Self::LimitMs
                | Self::LimitXMs
                | Self::LimitBody
                | Self::Overloaded
                | Self::ErrorFirst
        )
    }

    /// Whether the whole answer comes, with its usage.
    pub const fn completes(self) -> bool {
        matches!(self, Self::Well | Self::Drip)
    }
}

/// One request as it was answered.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// The way it went.
    pub way: Way,
    /// What the last message says: by it, an attempt is told from another.
    pub mark: String,
    /// Whether a stream was asked for.
    pub streamed: bool,
    /// Whether any token of the answer was sent.
    pub billed: bool,
    /// Whether the answer was sent to its end, with its usage.
    pub completed: bool,
}

/// The running provider; it stops when dropped.
#[derive(Debug)]
pub struct Chaos {
    address: SocketAddr,
    attempts: Arc<Mutex<Vec<Attempt>>>,
    task: JoinHandle<()>,
}

impl Drop for Chaos {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Chaos {
    /// Starts it on a free port of this machine.
    ///
    /// # Errors
    ///
    /// Where no port can be bound.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let attempts = Arc::new(Mutex::new(Vec::new()));
        let log = attempts.clone();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let log = log.clone();
                connections.spawn(async move {
                    // A client that goes away is part of the play.
                    drop(serve(stream, &log).await);
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self { address, attempts, task })
    }

    /// The base URL under which it goes this way.
    pub fn base_url(&self, way: Way) -> String {
        format!("http://{}/{}/v1", self.address, way.name())
    }

    /// The attempts so far.
    pub fn attempts(&self) -> Vec<Attempt> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A request, as far as the play needs it.
struct Request {
    way: Way,
    mark: String,
    streamed: bool,
}

async fn serve(mut stream: TcpStream, log: &Mutex<Vec<Attempt>>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let Some(request) = read(&mut stream).await? else { return Ok(()) };
    let Request { way, mark, streamed } = request;
    let attempts = || log.lock().unwrap_or_else(PoisonError::into_inner);
    // On record before its last byte is out: who has that may ask at once.
    let number = {
        let mut attempts = attempts();
        let (billed, completed) = (way.tells(), way.completes());
        attempts.push(Attempt { way, mark, streamed, billed, completed });
        attempts.len() - 1
    };
    if play(&mut stream, way, streamed).await.is_err() {
        attempts()[number].completed = false;
        return Ok(());
    }
    match way {
        Way::ResetBefore | Way::ResetHead | Way::ResetLater | Way::FailedCut => {
            stream.set_zero_linger()
        }
        Way::Hang | Way::HangHead | Way::HangLater => {
            // Until the other side has enough.
            stream.read(&mut [0; 64]).await.map(drop)
        }
        _ => stream.shutdown().await,
    }
}

/// Reads a request with its body. One that is for no way is answered here.
async fn read(stream: &mut TcpStream) -> io::Result<Option<Request>> {
    let mut bytes = Vec::new();
    let (head, length) = loop {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length:"))
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or(0);
        break (head, end + 4 + length);
    };
    while bytes.len() < length {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
    }
    let name = head.split('/').nth(1).unwrap_or_default();
    let way = Way::ALL.into_iter().find(|way| way.name() == name);
    let Some(way) = way.filter(|_| head.starts_with("post ")) else {
        let body = r#"{"object":"list","data":[]}"#;
        stream.write_all(whole(200, "", body).as_bytes()).await?;
        stream.shutdown().await?;
        return Ok(None);
    };
    let start = head.len() + 4;
    let call: Value = serde_json::from_slice(&bytes[start..length]).unwrap_or_default();
    let last = call["messages"].as_array().and_then(|messages| messages.last());
    let mark = last.map(|message| message["content"].as_str().unwrap_or_default().to_owned());
    Ok(Some(Request {
        way,
        mark: mark.unwrap_or_default(),
        streamed: call["stream"] == json!(true),
    }))
}

async fn play(stream: &mut TcpStream, way: Way, streamed: bool) -> io::Result<()> {
    let answer = if streamed { stream_of(&events()) } else { whole(200, "", &completion()) };
    let bytes = match way {
        Way::Well => answer,
        Way::Drip => {
            for piece in answer.as_bytes().chunks(24) {
                stream.write_all(piece).await?;
                tokio::time::sleep(Duration::from_millis(4)).await;
            }
            return Ok(());
        }
        Way::LimitSeconds => limited("retry-after: 2\r\n", &json!({})),
        Way::LimitDate => limited("retry-after: Fri, 31 Dec 2049 23:59:59 GMT\r\n", &json!({})),
        Way::LimitMs => limited("retry-after-ms: 1500\r\n", &json!({})),
        Way::LimitXMs => limited("x-ms-retry-after-ms: 1500\r\n", &json!({})),
        Way::LimitBody => limited(
            "",
            &json!([{ "@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "2s" }]),
        ),
        Way::Overloaded => whole(529, "", &error("overloaded_error")),
        Way::Failed => whole(500, "", &error("server_error")),
        Way::FailedCut => half(&whole(500, "", &error("server_error"))),
        Way::ErrorIn200 => whole(200, "", &error("server_error")),
        Way::ErrorFirst if streamed => {
            stream_of(&[format!("data: {}\n\n", error("overloaded_error"))])
        }
        Way::ErrorFirst => whole(200, "", &error("overloaded_error")),
        Way::Garbage => whole(200, "", "\u{1}\u{2}<html>no such thing{{{\n\n\n:::"),
        Way::ResetBefore | Way::Hang => return Ok(()),
        Way::ResetHead => "HTTP/1.1 200 OK\r\ncontent-ty".to_owned(),
        Way::HangHead => head(&answer),
        Way::ErrorLater if streamed => {
            let mut some = events()[..4].to_vec();
            some.push(format!("data: {}\n\n", error("server_error")));
            stream_of(&some)
        }
        Way::Truncated if streamed => stream_of(&events()[..4]),
        Way::ResetLater | Way::HangLater if streamed => {
            let whole = stream_of(&events()[..4]);
            whole.trim_end_matches("0\r\n\r\n").to_owned()
        }
        // A body that is shorter than it says.
        Way::ErrorLater | Way::Truncated | Way::ResetLater | Way::HangLater => half(&answer),
    };
    stream.write_all(bytes.as_bytes()).await?;
    stream.flush().await?;
    if way == Way::ResetLater {
        // A reset overtakes what is still under way.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

fn head(answer: &str) -> String {
    answer.split_inclusive("\r\n\r\n").next().unwrap_or_default().to_owned()
}

/// Ends in the middle of the body.
fn half(answer: &str) -> String {
    let body = answer.len() - head(answer).len();
    answer[..answer.len() - body / 2].to_owned()
}

fn whole(status: u16, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status} Scripted\r\ncontent-type: application/json\r\n{headers}\
         connection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn limited(headers: &str, details: &Value) -> String {
    let body = json!({ "error": {
        "message": "too many requests", "type": "rate_limit_exceeded", "code": 429,
        "details": details,
    } });
    whole(429, headers, &body.to_string())
}

fn error(kind: &str) -> String {
    json!({ "error": { "message": "scripted failure", "type": kind, "code": null } }).to_string()
}

fn completion() -> String {
    json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1_760_000_000,
        "model": "scripted-1",
        "choices": [{
            "index": 0, "message": { "role": "assistant", "content": ANSWER },
            "finish_reason": "stop",
        }],
        "usage": usage(),
    })
    .to_string()
}

fn usage() -> Value {
    let (input, output) = TOKENS;
    json!({ "prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output })
}

fn events() -> Vec<String> {
    let chunk = |choices: Value, usage: Value| {
        let chunk = json!({
            "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_760_000_000,
            "model": "scripted-1", "choices": choices, "usage": usage,
        });
        format!("data: {chunk}\n\n")
    };
    let delta = |delta: Value, finish: Value| {
        chunk(json!([{ "index": 0, "delta": delta, "finish_reason": finish }]), Value::Null)
    };
    let mut events = vec![delta(json!({ "role": "assistant", "content": "" }), Value::Null)];
    for word in ANSWER.split_inclusive(' ') {
        events.push(delta(json!({ "content": word }), Value::Null));
    }
    events.push(delta(json!({}), json!("stop")));
    events.push(chunk(json!([]), usage()));
    events.push("data: [DONE]\n\n".to_owned());
    events
}

fn stream_of(events: &[String]) -> String {
    let mut text = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\
                    transfer-encoding: chunked\r\n\r\n"
        .to_owned();
    for event in events {
        let _ = write!(text, "{:x}\r\n{event}\r\n", event.len());
    }
    text.push_str("0\r\n\r\n");
    text
}
