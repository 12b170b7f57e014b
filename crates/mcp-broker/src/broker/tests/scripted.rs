//! A link whose server is a closure.

use std::collections::HashMap;
#[cfg(feature = "http")]
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use doorward_core::{BoxFuture, Credential, Cx, Principal, RequestId, Scope, TurnId};
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::sync::broadcast;

use crate::broker::Broker;
use crate::envelope::RpcError;
use crate::upstream::{Answer, Ask, Condition, Failure, Hello, Link, Rumour, Whose};
use crate::{Builder, Era, Server};

type Answers = Arc<dyn Fn(&str, &Value) -> Result<String, Failure> + Send + Sync>;

/// A server made of a closure over method and parameters, and what it was asked.
#[derive(Clone)]
pub(super) struct Scripted(Arc<Parts>);

/// Whose name a question came in, its method, its `Mcp-Name` and its parameters.
type Asked = (Arc<str>, String, Option<String>, Value);

struct Parts {
    answers: Answers,
    capabilities: &'static str,
    instructions: Option<&'static str>,
    asked: Mutex<Vec<Asked>>,
    rumours: broadcast::Sender<Rumour>,
    followed: Mutex<HashMap<String, i32>>,
    /// Whether it refuses who shows nothing.
    #[cfg(feature = "http")]
    guarded: AtomicBool,
}

impl Scripted {
    pub(super) fn new(
        capabilities: &'static str,
        answers: impl Fn(&str, &Value) -> Result<String, Failure> + Send + Sync + 'static,
    ) -> Self {
        Self::with_instructions(capabilities, None, answers)
    }

    pub(super) fn with_instructions(
        capabilities: &'static str,
        instructions: Option<&'static str>,
        answers: impl Fn(&str, &Value) -> Result<String, Failure> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Parts {
            answers: Arc::new(answers),
            capabilities,
            instructions,
            asked: Mutex::default(),
            rumours: broadcast::Sender::new(16),
            followed: Mutex::default(),
            #[cfg(feature = "http")]
            guarded: AtomicBool::new(false),
        }))
    }

    /// Refuses who shows nothing.
    #[cfg(feature = "http")]
    pub(super) fn guarded(self) -> Self {
        self.0.guarded.store(true, Ordering::Relaxed);
        self
    }

    /// How often a method was asked.
    pub(super) fn count(&self, method: &str) -> usize {
        self.0.asked.lock().unwrap().iter().filter(|(_, asked, ..)| asked == method).count()
    }

    /// Whose name, `Mcp-Name` and parameters the last question of a method had.
    pub(super) fn last(&self, method: &str) -> (Arc<str>, Option<String>, Value) {
        let asked = self.0.asked.lock().unwrap();
        let (whose, _, name, params) =
            asked.iter().rfind(|(_, asked, ..)| asked == method).unwrap().clone();
        (whose, name, params)
    }

    pub(super) fn tell(&self, rumour: Rumour) {
        self.0.rumours.send(rumour).ok();
    }

    pub(super) fn followed(&self, uri: &str) -> i32 {
        self.0.followed.lock().unwrap().get(uri).copied().unwrap_or(0)
    }
}

impl Link for Scripted {
    fn ask<'a>(&'a self, ask: Ask<'a>) -> BoxFuture<'a, Result<Answer, Failure>> {
        let params: Value =
            ask.params.map_or(Value::Null, |params| serde_json::from_str(params.get()).unwrap());
        let name = ask.name.map(ToOwned::to_owned);
        let asked = (ask.whose.principal.clone(), ask.method.to_owned(), name, params.clone());
        self.0.asked.lock().unwrap().push(asked);
        #[cfg(feature = "http")]
        if self.0.guarded.load(Ordering::Relaxed) && ask.whose.credential.is_none() {
            let (url, challenges) = ("http://s/mcp".into(), vec!["Bearer".into()]);
            return Box::pin(async { Err(Failure::Refused { status: 401, url, challenges }) });
        }
        let answer = (self.0.answers)(ask.method, &params);
        Box::pin(async move {
            let result = RawValue::from_string(answer?).unwrap();
            Ok(Answer { result, era: Era::Modern })
        })
    }

    fn hello<'a>(&'a self, _: &'a Whose) -> BoxFuture<'a, Result<Arc<Hello>, Failure>> {
        let hello = Hello {
            era: Era::Modern,
            version: "2026-07-28",
            capabilities: raw(self.0.capabilities),
            server_info: Some(raw(r#"{"name":"own","version":"1"}"#)),
            instructions: self.0.instructions.map(Into::into),
        };
        Box::pin(async { Ok(Arc::new(hello)) })
    }

    fn rumours(&self, _: &Whose) -> broadcast::Receiver<Rumour> {
        self.0.rumours.subscribe()
    }

    fn follow<'a>(
        &'a self,
        _: &'a Whose,
        uri: &'a str,
        on: bool,
    ) -> BoxFuture<'a, Result<(), Failure>> {
        let outcome = if uri.contains("unknown") { Err(Failure::Nonsense("no")) } else { Ok(()) };
        if outcome.is_ok() {
            let mut followed = self.0.followed.lock().unwrap();
            *followed.entry(uri.to_owned()).or_default() += if on { 1 } else { -1 };
        }
        Box::pin(async { outcome })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }

    fn condition(&self) -> Condition {
        Condition::default()
    }
}

/// A refusal of the server's.
pub(super) fn refuse(code: i64, message: &str) -> Result<String, Failure> {
    let error = format!(r#"{{"code":{code},"message":"{message}"}}"#);
    let error: RpcError = serde_json::from_str(&error).unwrap();
    Err(Failure::Rpc(error))
}

/// A broker over these servers. Those whose name starts with `bare` are transparent.
pub(super) fn broker(servers: &[(&str, &Scripted)]) -> Broker {
    built(servers, |builder| builder)
}

pub(super) fn built(
    servers: &[(&str, &Scripted)],
    adjust: impl FnOnce(Builder) -> Builder,
) -> Broker {
    let links: HashMap<String, Scripted> =
        servers.iter().map(|(name, link)| ((*name).to_owned(), (*link).clone())).collect();
    let builder = servers.iter().fold(Broker::builder(), |builder, (name, _)| {
        let prefix = !name.starts_with("bare");
        builder.server(Server { prefix, ..Server::http(*name, "http://127.0.0.1:1/mcp") })
    });
    adjust(builder).build_over(|server, _| Ok(Box::new(links[&server.name].clone()))).unwrap()
}

pub(super) fn cx(person: &str) -> Cx {
    Cx {
        turn: TurnId::from_bytes([1; 16]),
        request: RequestId::from_bytes([2; 16]),
        principal: Arc::new(Principal::person(person)),
        agent: None,
        conversation_hint: None,
        deadline: None,
        trace: None,
        source: None,
    }
}

pub(super) fn raw(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.into()).unwrap()
}

pub(super) fn profile(name: &str) -> Scope {
    Scope::Profile(name.into())
}

/// Credentials by principal: `ann` shows `key-ann`.
pub(super) struct Keys;

impl doorward_core::Credentials for Keys {
    fn credential<'a>(
        &'a self,
        cx: &'a Cx,
        _: doorward_core::Audience<'a>,
    ) -> BoxFuture<'a, Result<Option<Credential>, doorward_core::CallError>> {
        let key = doorward_core::Secret::new(format!("key-{}", cx.principal.id));
        Box::pin(async { Ok(Some(Credential::Key(key))) })
    }
}
