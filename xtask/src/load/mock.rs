//! The mock provider: answers at once, or as slowly as it is told, with answers made beforehand.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

use super::wire::Reader;

/// Stands once in a whole answer and once in each chunk of a stream, and nowhere else.
pub(super) const WORD: &str = "lorem";

/// How the mock answers from now on. All in milliseconds.
#[derive(Debug, Default)]
pub(super) struct Script {
    latency: AtomicU64,
    gap: AtomicU64,
    chunks: AtomicU64,
}

impl Script {
    /// Waits this long before each answer.
    pub(super) fn wait(&self, latency: Duration) {
        self.latency.store(millis(latency), Ordering::Relaxed);
    }

    /// Streams so many chunks, so long apart; the first at once.
    pub(super) fn stream(&self, chunks: usize, gap: Duration) {
        self.chunks.store(chunks as u64, Ordering::Relaxed);
        self.gap.store(millis(gap), Ordering::Relaxed);
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A mock that is listening; it stops when dropped.
#[derive(Debug)]
pub(super) struct Mock {
    pub(super) address: SocketAddr,
    pub(super) script: Arc<Script>,
    listening: JoinHandle<()>,
}

impl Drop for Mock {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl Mock {
    /// Listens on a free port of loopback.
    ///
    /// # Errors
    ///
    /// Where it cannot.
    pub(super) async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let script = Arc::new(Script::default());
        let answers = Arc::new(Answers::new());
        let listening = tokio::spawn(listen(listener, script.clone(), answers));
        Ok(Self { address, script, listening })
    }
}

async fn listen(listener: TcpListener, script: Arc<Script>, answers: Arc<Answers>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of files: some will be closed.
            sleep(Duration::from_millis(10)).await;
            continue;
        };
        let (script, answers) = (script.clone(), answers.clone());
        tokio::spawn(async move {
            // A broken connection shows at the other end, where the answer is missed.
            let _ = converse(stream, &script, &answers).await;
        });
    }
}

async fn converse(stream: TcpStream, script: &Script, answers: &Answers) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (from, mut to) = stream.into_split();
    let mut reader: Reader<OwnedReadHalf> = Reader::new(from);
    let mut body = Vec::new();
    while let Some(head) = reader.head().await? {
        body.clear();
        reader.body(&head, |piece| body.extend_from_slice(piece)).await?;
        let latency = script.latency.load(Ordering::Relaxed);
        if latency > 0 {
            sleep(Duration::from_millis(latency)).await;
        }
        let path = head.start.split(' ').nth(1).unwrap_or_default();
        let dialect = match path {
            path if path.ends_with("/chat/completions") => &answers.chat,
            path if path.ends_with("/messages") => &answers.messages,
            _ => {
                to.write_all(&answers.other).await?;
                continue;
            }
        };
        // `contains` on text is far quicker than a search in bytes.
        let asked = std::str::from_utf8(&body).unwrap_or_default();
        if asked.contains("\"stream\":true") {
            stream_out(&mut to, dialect, script).await?;
        } else {
            to.write_all(&dialect.whole).await?;
        }
    }
    Ok(())
}

async fn stream_out(to: &mut OwnedWriteHalf, dialect: &Dialect, script: &Script) -> io::Result<()> {
    let gap = Duration::from_millis(script.gap.load(Ordering::Relaxed));
    let mut due = Instant::now();
    // The first chunk comes with the opening, the last with nothing beside it.
    to.write_all(&dialect.opening).await?;
    for _ in 1..script.chunks.load(Ordering::Relaxed) {
        due += gap;
        if !gap.is_zero() {
            sleep_until(due).await;
        }
        to.write_all(&dialect.chunk).await?;
    }
    to.write_all(&dialect.closing).await
}

/// All that the mock ever says.
#[derive(Debug)]
struct Answers {
    chat: Dialect,
    messages: Dialect,
    other: Vec<u8>,
}

/// One dialect's answers, head and framing included.
#[derive(Debug)]
struct Dialect {
    whole: Vec<u8>,
    /// Head, what comes before the text, and the first chunk.
    opening: Vec<u8>,
    chunk: Vec<u8>,
    closing: Vec<u8>,
}

impl Answers {
    fn new() -> Self {
        Self { chat: chat(), messages: messages(), other: whole("{\"status\":\"ok\"}") }
    }
}

/// About 400 bytes of text that an answer carries.
fn prose() -> String {
    let rest = " ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor";
    format!("{WORD}{}", rest.repeat(4))
}

fn whole(body: &str) -> Vec<u8> {
    let length = body.len();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ";
    format!("{head}{length}\r\n\r\n{body}").into_bytes()
}

fn framed(text: &str) -> Vec<u8> {
    format!("{:x}\r\n{text}\r\n", text.len()).into_bytes()
}

fn dialect(body: &str, before: &str, frame: &str, after: &str) -> Dialect {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
                transfer-encoding: chunked\r\n\r\n";
    let opening = [head.as_bytes(), &framed(&format!("{before}{frame}"))].concat();
    let closing = [framed(after), b"0\r\n\r\n".to_vec()].concat();
    Dialect { whole: whole(body), opening, chunk: framed(frame), closing }
}

/// OpenAI's Chat Completions.
fn chat() -> Dialect {
    let body = format!(
        r#"{{"id":"chatcmpl-load","object":"chat.completion","created":1760000000,"model":"m","choices":[{{"index":0,"message":{{"role":"assistant","content":"{}","refusal":null,"annotations":[]}},"logprobs":null,"finish_reason":"stop"}}],"usage":{{"prompt_tokens":256,"completion_tokens":64,"total_tokens":320}}}}"#,
        prose()
    );
    let frame = |delta: &str, finish: &str| {
        format!(
            "data: {{\"id\":\"chatcmpl-load\",\"object\":\"chat.completion.chunk\",\
             \"created\":1760000000,\"model\":\"m\",\"choices\":[{{\"index\":0,\
             \"delta\":{delta},\"finish_reason\":{finish}}}]}}\n\n"
        )
    };
    let before = frame(r#"{"role":"assistant","content":""}"#, "null");
    let word = frame(&format!(r#"{{"content":"{WORD} "}}"#), "null");
    let usage = "data: {\"id\":\"chatcmpl-load\",\"object\":\"chat.completion.chunk\",\
                 \"created\":1760000000,\"model\":\"m\",\"choices\":[],\"usage\":\
                 {\"prompt_tokens\":256,\"completion_tokens\":64,\"total_tokens\":320}}\n\n";
    let after = format!("{}{usage}data: [DONE]\n\n", frame("{}", "\"stop\""));
    dialect(&body, &before, &word, &after)
}

/// Anthropic's Messages.
fn messages() -> Dialect {
    let body = format!(
        r#"{{"id":"msg_load","type":"message","role":"assistant","model":"m","content":[{{"type":"text","text":"{}"}}],"stop_reason":"end_turn","stop_sequence":null,"usage":{{"input_tokens":256,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":64}}}}"#,
        prose()
    );
    let frame =
        |kind: &str, rest: &str| format!("event: {kind}\ndata: {{\"type\":\"{kind}\"{rest}}}\n\n");
    let before = [
        frame(
            "message_start",
            r#","message":{"id":"msg_load","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":256,"output_tokens":1}}"#,
        ),
        frame("content_block_start", r#","index":0,"content_block":{"type":"text","text":""}"#),
    ];
    let delta = format!(r#","index":0,"delta":{{"type":"text_delta","text":"{WORD} "}}"#);
    let after = [
        frame("content_block_stop", r#","index":0"#),
        frame(
            "message_delta",
            r#","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":64}"#,
        ),
        frame("message_stop", ""),
    ];
    dialect(&body, &before.concat(), &frame("content_block_delta", &delta), &after.concat())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn text(bytes: &[u8]) -> &str {
        std::str::from_utf8(bytes).unwrap()
    }

    #[test]
    fn whole_answers_are_json_of_the_length_they_say() {
        for dialect in [chat(), messages()] {
            let (head, body) = text(&dialect.whole).split_once("\r\n\r\n").unwrap();
            assert!(head.ends_with(&format!("content-length: {}", body.len())));
            assert!(serde_json::from_str::<Value>(body).unwrap()["usage"].is_object());
            assert_eq!(body.matches(WORD).count(), 1);
            assert!((500..900).contains(&body.len()), "{}", body.len());
        }
    }

    #[test]
    fn every_frame_is_json_and_a_chunk_holds_the_word_once() {
        for dialect in [chat(), messages()] {
            assert_eq!(text(&dialect.opening).matches(WORD).count(), 1);
            assert_eq!(text(&dialect.chunk).matches(WORD).count(), 1);
            assert!(!text(&dialect.closing).contains(WORD));
            for part in [&dialect.opening, &dialect.chunk, &dialect.closing] {
                let frames = text(part).lines().filter_map(|line| line.strip_prefix("data: "));
                for frame in frames.filter(|frame| *frame != "[DONE]") {
                    serde_json::from_str::<Value>(frame).unwrap();
                }
            }
        }
    }
}
