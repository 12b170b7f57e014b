//! Neither the caller's key nor the upstream's is ever written anywhere.

use std::io;
use std::sync::{Arc, Mutex};

use http::Method;
use tracing_subscriber::fmt::MakeWriter;

use crate::client::{Answer, WIRES};
use crate::stack::{Setup, UPSTREAM_KEY, until};
use crate::upstream::{Play, Upstream, greets};

/// Everything that is logged.
#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl io::Write for Page {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Page {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Answers well, or as providers do that quote the key they were shown.
fn quotes(request: &doorward_model_router::Outbound) -> Play {
    let told = |status| {
        let body = format!(
            r#"{{"error":{{"message":"Incorrect API key provided: {UPSTREAM_KEY}","type":"invalid_api_key"}}}}"#
        );
        Play::json(status, body.leak())
    };
    let body = String::from_utf8_lossy(request.body()).into_owned();
    match () {
        () if body.contains("\"m-401\"") => told(401),
        () if body.contains("\"m-403\"") => told(403),
        () if body.contains("\"m-down\"") => Play::Unreachable,
        () => greets(request),
    }
}

#[tokio::test]
async fn trap_63_keys_are_in_no_record_no_answer_and_no_log() {
    let page = Page::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(page.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);

    let stack = Setup::default().build(Upstream::new(quotes));
    let mut client = stack.client().await;
    let mut answers: Vec<Answer> = vec![];
    for wire in WIRES {
        for stream in [false, true] {
            for model in ["m-1", "m-401", "m-403", "m-down"] {
                for upstream in ["chat", "claude", "nobody"] {
                    answers.push(client.ask(wire, &format!("{upstream}/{model}"), stream).await);
                }
            }
            // The key where it does not belong.
            let key = stack.key.expose();
            let request = client.request(Method::POST, wire.path(), format!("{{\"{key}\":"));
            answers.push(client.send(request).await);
        }
    }
    for tool in ["tracker__get_issue", "tracker__send", "hasty__hang", "nobody__nothing"] {
        answers.push(client.call(tool).await);
    }
    for path in ["/v1/models", "/nowhere", "/healthz"] {
        let request = client.request(Method::GET, path, "");
        answers.push(client.send(request).await);
    }
    stack.log.fail(true);
    answers.push(client.ask(WIRES[0], "chat/m-1", false).await);
    until("the recorder knows", || stack.recorder.stats().sick).await;
    answers.push(client.ask(WIRES[0], "chat/m-1", false).await);
    stack.log.fail(false);
    drop(client);

    let (key, log) = (stack.key.expose().to_owned(), stack.log.clone());
    let shown = stack.upstream.asked().iter().any(|asked| {
        asked.headers().values().any(|value| value.as_bytes().ends_with(UPSTREAM_KEY.as_bytes()))
    });
    assert!(shown, "the upstream's key was used");
    let asked = format!("{:?}", stack.upstream.asked());
    let metrics = stack.metrics.render();
    assert!(stack.close().await.len() > 20);
    let logged = String::from_utf8(page.0.lock().unwrap().clone()).unwrap();
    assert!(logged.contains("attempt failed"), "something was logged: {logged}");
    for (place, text) in [
        ("records", log.text()),
        ("answers", format!("{answers:#?}")),
        ("log", logged),
        ("what was asked, as printed", asked),
        ("metrics", metrics),
    ] {
        for (whose, secret) in [("the caller's", &*key), ("the upstream's", UPSTREAM_KEY)] {
            // The head of a virtual key is public; its tail alone is as good as the key.
            let tail = &secret[secret.len() - 12..];
            assert!(!text.contains(tail), "{whose} key is in the {place}: {text}");
        }
    }
}
