//! The load: connections that ask, in a closed loop, in an open one, or all at once.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use super::mock::WORD;
use super::scenario::Request;
use super::wire::Reader;

/// Nothing that is asked here takes longer.
const PATIENCE: Duration = Duration::from_mins(1);
/// The open loop never has more requests under way: then it waits, and the latency shows it.
const MOST_OPEN: usize = 512;

/// Many connections are opened at 2,000 a second: more would fill the listener's queue, and a lost
/// SYN comes again only after a second.
const AT_A_TIME: usize = 20;
const BREATH: Duration = Duration::from_millis(10);

/// Where, what, and how many words an answer must hold.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) address: SocketAddr,
    pub(super) request: Request,
    pub(super) words: usize,
}

/// How long an answer took.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answer {
    /// To the first word.
    pub(super) first: Duration,
    /// To the end.
    pub(super) whole: Duration,
    /// Words that came.
    pub(super) words: usize,
}

/// A connection that asks one thing after the other.
struct Connection {
    reader: Reader<OwnedReadHalf>,
    to: OwnedWriteHalf,
    /// The last answer's body.
    body: Vec<u8>,
}

impl Connection {
    async fn open(address: SocketAddr) -> Result<Self, String> {
        let failed = |error| format!("{address}: {error}");
        let stream = TcpStream::connect(address).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        let (from, to) = stream.into_split();
        Ok(Self { reader: Reader::new(from), to, body: Vec::new() })
    }

    async fn ask(&mut self, request: &[u8]) -> Result<Answer, String> {
        let asked = self.exchange(request);
        timeout(PATIENCE, asked).await.map_err(|_| format!("no answer within {PATIENCE:?}"))?
    }

    async fn exchange(&mut self, request: &[u8]) -> Result<Answer, String> {
        let failed = |error: std::io::Error| error.to_string();
        let start = Instant::now();
        self.to.write_all(request).await.map_err(failed)?;
        let head = self.reader.head().await.map_err(failed)?.ok_or("the peer hung up")?;
        let mut first = None;
        let body = &mut self.body;
        body.clear();
        let read = self.reader.body(&head, |piece| {
            body.extend_from_slice(piece);
            if first.is_none() && spoken(body) > 0 {
                first = Some(start.elapsed());
            }
        });
        read.await.map_err(failed)?;
        if head.status() != Some(200) {
            return Err(format!("{}: {}", head.start, String::from_utf8_lossy(body)));
        }
        let whole = start.elapsed();
        Ok(Answer { first: first.unwrap_or(whole), whole, words: spoken(body) })
    }

    /// Asks for the target; an answer with missing words is an error.
    async fn ask_whole(&mut self, target: &mut Target, number: usize) -> Result<Answer, String> {
        let answer = self.ask(target.request.numbered(number)).await?;
        if answer.words == target.words {
            return Ok(answer);
        }
        let body = String::from_utf8_lossy(&self.body);
        Err(format!("{} words of {} came: {body}", answer.words, target.words))
    }
}

fn spoken(body: &[u8]) -> usize {
    // Streams may be cut within a character, though the mock's own never are.
    std::str::from_utf8(body).unwrap_or_default().matches(WORD).count()
}

/// Asks `count` times over so many connections, each anew as soon as it is answered. Numbers go on
/// from `number`. Gives back how long it took.
///
/// # Errors
///
/// The first answer that is not as it should be.
pub(super) async fn closed(
    target: &Target,
    connections: usize,
    count: usize,
    number: &AtomicUsize,
) -> Result<Duration, String> {
    let mut ready = Vec::with_capacity(connections);
    for _ in 0..connections {
        ready.push(Connection::open(target.address).await?);
    }
    let from = number.fetch_add(count, Ordering::Relaxed);
    let next = Arc::new(AtomicUsize::new(from));
    let start = Instant::now();
    let mut asking = JoinSet::new();
    for mut connection in ready {
        let (mut target, next) = (target.clone(), next.clone());
        asking.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= from + count {
                    return Ok::<(), String>(());
                }
                connection.ask_whole(&mut target, number).await?;
            }
        });
    }
    while let Some(ended) = asking.join_next().await {
        ended.map_err(|error| error.to_string())??;
    }
    Ok(start.elapsed())
}

/// Asks at a steady rate, however long answers take. Latency counts from the moment of asking: the
/// timer's own steps (1 ms) are not the gateway's.
///
/// # Errors
///
/// The first answer that is not as it should be.
pub(super) async fn open(
    target: &Target,
    rate: u32,
    length: Duration,
    number: &AtomicUsize,
) -> Result<Vec<Answer>, String> {
    let idle = Arc::new(Mutex::new(Vec::new()));
    for _ in 0..16 {
        let connection = Connection::open(target.address).await?;
        idle.lock().unwrap_or_else(PoisonError::into_inner).push((connection, target.clone()));
    }
    let mut tick = interval(Duration::from_secs(1) / rate);
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let end = Instant::now() + length;
    let mut asking = JoinSet::new();
    let mut answers = Vec::new();
    while Instant::now() < end {
        tick.tick().await;
        while let Some(ended) = asking.try_join_next() {
            answers.push(ended.map_err(|error| error.to_string())??);
        }
        if asking.len() >= MOST_OPEN
            && let Some(ended) = asking.join_next().await
        {
            answers.push(ended.map_err(|error| error.to_string())??);
        }
        let free = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let (mut connection, mut target) = match free {
            Some(free) => free,
            None => (Connection::open(target.address).await?, target.clone()),
        };
        let number = number.fetch_add(1, Ordering::Relaxed);
        let idle = idle.clone();
        asking.spawn(async move {
            let answer = connection.ask_whole(&mut target, number).await;
            idle.lock().unwrap_or_else(PoisonError::into_inner).push((connection, target));
            answer
        });
    }
    while let Some(ended) = asking.join_next().await {
        answers.push(ended.map_err(|error| error.to_string())??);
    }
    Ok(answers)
}

/// Requests that are all under way at once.
#[derive(Debug)]
pub(super) struct Held(JoinSet<Result<Answer, String>>);

/// Opens so many connections and asks once on each.
///
/// # Errors
///
/// Where one cannot be opened.
pub(super) async fn hold(
    target: &Target,
    count: usize,
    number: &AtomicUsize,
) -> Result<Held, String> {
    let mut asking = JoinSet::new();
    for at in 0..count {
        if at % AT_A_TIME == 0 {
            sleep(BREATH).await;
        }
        let mut connection = Connection::open(target.address).await?;
        let mut request = target.request.clone();
        let number = number.fetch_add(1, Ordering::Relaxed);
        asking.spawn(async move { connection.ask(request.numbered(number)).await });
    }
    Ok(Held(asking))
}

impl Held {
    /// Waits for all: the answers, and the failures.
    pub(super) async fn answers(mut self) -> (Vec<Answer>, Vec<String>) {
        let (mut answers, mut failures) = (Vec::new(), Vec::new());
        while let Some(ended) = self.0.join_next().await {
            match ended.map_err(|error| error.to_string()).flatten() {
                Ok(answer) => answers.push(answer),
                Err(failure) => failures.push(failure),
            }
        }
        (answers, failures)
    }
}

#[cfg(test)]
mod tests {
    use super::super::mock::Mock;
    use super::super::scenario::{ALL, CHUNKS};
    use super::*;

    fn target(mock: &Mock, streamed: bool) -> Target {
        let scenario = ALL.iter().find(|scenario| scenario.streamed == streamed).unwrap();
        let words = if streamed { CHUNKS } else { 1 };
        Target { address: mock.address, request: scenario.request("m", "k", ""), words }
    }

    #[tokio::test]
    async fn whole_and_streamed_answers_are_counted() {
        let mock = Mock::start().await.unwrap();
        mock.script.stream(CHUNKS, Duration::ZERO);
        let number = AtomicUsize::new(0);
        for streamed in [false, true] {
            closed(&target(&mock, streamed), 4, 50, &number).await.unwrap();
        }
        assert_eq!(number.into_inner(), 100);
    }

    #[tokio::test]
    async fn a_lost_chunk_is_an_error() {
        let mock = Mock::start().await.unwrap();
        mock.script.stream(CHUNKS - 1, Duration::ZERO);
        let number = AtomicUsize::new(0);
        let error = closed(&target(&mock, true), 1, 1, &number).await.unwrap_err();
        assert!(error.starts_with("31 words of 32 came"), "{error}");
    }

    #[tokio::test]
    async fn a_refusal_is_an_error_with_its_text() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(b"HTTP/1.1 401 No\r\ncontent-length: 3\r\n\r\nkey").await.unwrap();
        });
        let target = Target { address, request: ALL[0].request("m", "k", ""), words: 1 };
        let error = closed(&target, 1, 1, &AtomicUsize::new(0)).await.unwrap_err();
        assert_eq!(error, "HTTP/1.1 401 No: key");
    }

    #[tokio::test]
    async fn the_open_loop_keeps_its_rate() {
        let mock = Mock::start().await.unwrap();
        mock.script.wait(Duration::from_millis(20));
        let length = Duration::from_millis(200);
        let number = AtomicUsize::new(0);
        let answers = open(&target(&mock, false), 200, length, &number).await.unwrap();
        assert!((35..=45).contains(&answers.len()), "{}", answers.len());
        assert!(answers.iter().all(|answer| answer.whole >= Duration::from_millis(19)));
    }

    #[tokio::test]
    async fn held_requests_are_under_way_together() {
        let mock = Mock::start().await.unwrap();
        mock.script.wait(Duration::from_millis(100));
        let start = Instant::now();
        let held = hold(&target(&mock, false), 50, &AtomicUsize::new(0)).await.unwrap();
        let (answers, failures) = held.answers().await;
        assert_eq!((answers.len(), failures.len()), (50, 0));
        assert!(start.elapsed() < Duration::from_secs(3));
    }
}
