#![expect(clippy::print_stdout, reason = "a program says where it listens")]
//! A web service of its own with the model router inside. See the README beside it.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use doorward_model_router::doorward_core::{
    Audience, BoxFuture, CallError, Credential, Credentials, Cx, Pattern, Secret,
};
use doorward_model_router::{
    Alias, HttpTransport, Patience, Provider, Router, Span, Target, Timeouts, TokioPause, Upstream,
};

mod chat;

type Failed = Box<dyn Error + Send + Sync>;

/// Where the models are.
#[derive(Debug)]
struct Options {
    listen: String,
    first: String,
    second: String,
    model: String,
    second_model: String,
    /// A file with the second upstream's key.
    second_key: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:3000".to_owned(),
            first: "http://127.0.0.1:11434/v1".to_owned(),
            second: "https://api.openai.com/v1".to_owned(),
            model: "llama3.2".to_owned(),
            second_model: "gpt-5-mini".to_owned(),
            second_key: None,
        }
    }
}

impl Options {
    fn read(mut words: impl Iterator<Item = String>) -> Result<Self, Failed> {
        let mut options = Self::default();
        while let Some(word) = words.next() {
            let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
            match word.as_str() {
                "--listen" => options.listen = value,
                "--first" => options.first = value,
                "--second" => options.second = value,
                "--model" => options.model = value,
                "--second-model" => options.second_model = value,
                "--second-key" => options.second_key = Some(value),
                _ => return Err(format!("unknown option {word}; see the README").into()),
            }
        }
        Ok(options)
    }
}

/// The second upstream wants a key, the first none.
#[derive(Debug)]
struct OneKey(Option<Secret>);

impl Credentials for OneKey {
    fn credential<'a>(
        &'a self,
        _cx: &'a Cx,
        audience: Audience<'a>,
    ) -> BoxFuture<'a, Result<Option<Credential>, CallError>> {
        let wants = matches!(audience, Audience::Upstream("second"));
        let key = self.0.clone().filter(|_| wants).map(Credential::Key);
        Box::pin(async move { Ok(key) })
    }
}

/// A router with the alias `chat`: the first upstream, and the second where that fails.
fn router(options: &Options) -> Result<Router, Failed> {
    let key = match &options.second_key {
        Some(path) => Some(Secret::new(std::fs::read_to_string(path)?.trim())),
        None => None,
    };
    let upstream = |name: &str, url: &str| -> Result<Upstream, Failed> {
        let provider = Provider::named("openai-compatible").ok_or("a shipped descriptor")?;
        Ok(Upstream::new(name, provider, Some(url))?)
    };
    let target = |name: &str, model: &str| format!("{name}/{model}").parse::<Target>();
    let targets = [target("first", &options.model)?, target("second", &options.second_model)?];
    let first_token = Some(Span(Duration::from_secs(10)));
    let timeouts = Patience { first_token, ..Patience::default() };
    let transport = Arc::new(HttpTransport::new(Timeouts::default())?);
    let router = Router::builder(transport, Arc::new(OneKey(key)))
        .upstream(upstream("first", &options.first)?)
        .upstream(upstream("second", &options.second)?)
        .alias(Alias { timeouts, ..Alias::new(Pattern::new("chat"), targets) })
        .pause(Arc::new(TokioPause))
        .build()?;
    Ok(router)
}

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let options = Options::read(std::env::args().skip(1))?;
    let routes = chat::routes(Arc::new(router(&options)?));
    let listener = tokio::net::TcpListener::bind(&options.listen).await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, routes).await?;
    Ok(())
}
