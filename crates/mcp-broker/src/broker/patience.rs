//! How long a request may take. Its time runs while its server is silent: progress starts it
//! anew, and while a person is being asked it stands still. A hard end holds all the same.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use doorward_core::{BoxFuture, Client, Exchange, LogLevel, Manner, Question, Remark, RpcFault};
use serde_json::value::RawValue;
use tokio::time::Instant;

/// Watches over one request.
pub(super) struct Patience(Mutex<Silence>);

struct Silence {
    /// Questions that the client has not answered yet.
    asking: usize,
    /// When the server was last heard of.
    since: Instant,
}

/// The time is over.
#[derive(Debug)]
pub(super) struct Over;

impl Patience {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Silence { asking: 0, since: Instant::now() })))
    }

    fn with<T>(&self, act: impl FnOnce(&mut Silence) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The exchange, its client overheard.
    pub(super) fn overhear(self: &Arc<Self>, mut exchange: Exchange) -> Exchange {
        exchange.client = exchange.client.map(|client| {
            let overheard: Arc<dyn Client> = Arc::new(Overheard { client, patience: self.clone() });
            overheard
        });
        exchange
    }

    /// Runs it for as long as it is heard of at least every `quiet`, and for `longest` at most.
    pub(super) async fn run<F: Future>(
        &self,
        quiet: Duration,
        longest: Duration,
        run: F,
    ) -> Result<F::Output, Over> {
        let mut run = std::pin::pin!(run);
        let begun = Instant::now();
        loop {
            let silent = self.with(|silence| match silence.asking {
                0 => silence.since.elapsed(),
                _ => Duration::ZERO,
            });
            let left = quiet.saturating_sub(silent).min(longest.saturating_sub(begun.elapsed()));
            match tokio::time::timeout(left, &mut run).await {
                Ok(output) => return Ok(output),
                Err(_) if left.is_zero() => return Err(Over),
                Err(_) => {}
            }
        }
    }
}

/// A client, with an ear on what is said.
struct Overheard {
    client: Arc<dyn Client>,
    patience: Arc<Patience>,
}

/// A question that waits for its answer.
struct Pending<'a>(&'a Patience);

impl<'a> Pending<'a> {
    fn new(patience: &'a Patience) -> Self {
        patience.with(|silence| silence.asking += 1);
        Self(patience)
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.0.with(|silence| {
            silence.asking = silence.asking.saturating_sub(1);
            silence.since = Instant::now();
        });
    }
}

impl Client for Overheard {
    fn id(&self) -> &str {
        self.client.id()
    }

    fn capabilities(&self) -> &RawValue {
        self.client.capabilities()
    }

    fn manner(&self) -> Manner {
        self.client.manner()
    }

    fn log_level(&self) -> Option<LogLevel> {
        self.client.log_level()
    }

    fn wants_progress(&self) -> bool {
        self.client.wants_progress()
    }

    fn ask(&self, question: Question) -> BoxFuture<'_, Result<Box<RawValue>, RpcFault>> {
        Box::pin(async move {
            let _pending = Pending::new(&self.patience);
            self.client.ask(question).await
        })
    }

    fn lacks(&self, needed: &'static str) {
        self.client.lacks(needed);
    }

    fn tell(&self, remark: Remark) {
        if let Remark::Progress(_) = remark {
            self.patience.with(|silence| silence.since = Instant::now());
        }
        self.client.tell(remark);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Quiet;

    impl Client for Quiet {
        fn id(&self) -> &'static str {
            "quiet"
        }
        fn capabilities(&self) -> &RawValue {
            RawValue::NULL
        }
        fn manner(&self) -> Manner {
            Manner::Live
        }
        fn log_level(&self) -> Option<LogLevel> {
            None
        }
        fn wants_progress(&self) -> bool {
            true
        }
        fn ask(&self, _: Question) -> BoxFuture<'_, Result<Box<RawValue>, RpcFault>> {
            Box::pin(async {
                tokio::time::sleep(Duration::from_secs(100)).await;
                Err(RpcFault::new(0, "no"))
            })
        }
        fn tell(&self, _: Remark) {}
    }

    fn client(patience: &Arc<Patience>) -> Arc<dyn Client> {
        let exchange = Exchange { client: Some(Arc::new(Quiet)), ..Exchange::default() };
        patience.overhear(exchange).client.unwrap()
    }

    const QUIET: Duration = Duration::from_secs(10);
    const LONGEST: Duration = Duration::from_secs(500);

    #[tokio::test(start_paused = true)]
    async fn silence_ends_it() {
        let patience = Patience::new();
        let begun = Instant::now();
        assert!(patience.run(QUIET, LONGEST, std::future::pending::<()>()).await.is_err());
        assert_eq!(begun.elapsed().as_secs(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn progress_and_questions_hold_it_open() {
        let patience = Patience::new();
        let client = client(&patience);
        let run = async {
            for _ in 0..5 {
                tokio::time::sleep(Duration::from_secs(9)).await;
                client.tell(Remark::Progress(Box::default()));
            }
            client.ask(Question { method: "roots/list".into(), params: None }).await.ok();
            tokio::time::sleep(Duration::from_secs(9)).await;
        };
        assert!(patience.run(QUIET, LONGEST, run).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_holds_it_open_for_ever() {
        let patience = Patience::new();
        let client = client(&patience);
        let begun = Instant::now();
        let run = async {
            loop {
                client.ask(Question { method: "roots/list".into(), params: None }).await.ok();
            }
        };
        assert!(patience.run(QUIET, LONGEST, run).await.is_err());
        assert_eq!(begun.elapsed(), LONGEST);
    }
}
