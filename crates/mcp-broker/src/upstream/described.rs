//! An HTTP API as a server: its OpenAPI document is the list, each call is one request.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use doorward_core::{BoxFuture, ToolReply};
use http::header::WWW_AUTHENTICATE;
use serde_json::value::RawValue;
use tokio::sync::broadcast;

use super::{Answer, Ask, Condition, Failure, Hello, Link, Rumour, Whose};
use crate::builder::BuildError;
use crate::envelope::RpcError;
use crate::openapi::{Caller, OpenApi, OpenApiError, OpenApiOptions, SendError};
use crate::protocol::{self, code};
use crate::{Era, Server, ServerKind, State, edit};

/// A described API as a server. It keeps nothing between calls, so all share it.
pub(crate) struct Described {
    api: OpenApi,
    caller: Caller,
    hello: Arc<Hello>,
    /// Never used: a document does not change.
    news: broadcast::Sender<Rumour>,
    condition: Mutex<Condition>,
    closed: AtomicBool,
}

impl Described {
    pub(crate) fn new(server: &Server) -> Result<Self, BuildError> {
        let wrong = |reason: String| BuildError::OpenApi { server: server.name.clone(), reason };
        let ServerKind::OpenApi { document, base_url, include, exclude } = &server.kind else {
            return Err(wrong("it has no document".into()));
        };
        let options = OpenApiOptions {
            base_url: base_url.clone(),
            include: include.clone(),
            exclude: exclude.clone(),
            ..OpenApiOptions::default()
        };
        let api = OpenApi::read(document.as_bytes(), &options).map_err(|e| wrong(e.to_string()))?;
        for skipped in api.skipped() {
            tracing::warn!(server = server.name, %skipped, "operation is no tool");
        }
        let caller = Caller::new(api.is_secure(), server.max_result)
            .map_err(|error| wrong(error.to_string()))?;
        let capabilities = RawValue::from_string(r#"{"tools":{}}"#.into()).unwrap_or_default();
        let hello = Hello {
            era: Era::Modern,
            version: protocol::MODERN,
            capabilities,
            server_info: None,
            instructions: None,
        };
        Ok(Self {
            api,
            caller,
            hello: Arc::new(hello),
            news: broadcast::Sender::new(1),
            condition: Mutex::default(),
            closed: AtomicBool::new(false),
        })
    }

    async fn answer(&self, ask: &Ask<'_>) -> Result<Box<RawValue>, Failure> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Failure::Closed);
        }
        match ask.method {
            "tools/list" => Ok(self.list()),
            "tools/call" => self.call(ask).await.map(|reply| reply.result),
            _ => Err(Failure::Rpc(RpcError::own(code::METHOD_NOT_FOUND, "method not found"))),
        }
    }

    fn list(&self) -> Box<RawValue> {
        let tools: Vec<_> = self.api.definitions().iter().map(|tool| tool.json.get()).collect();
        let list = [r#"{"tools":["#, &tools.join(","), "]}"].concat();
        RawValue::from_string(list).unwrap_or_default()
    }

    async fn call(&self, ask: &Ask<'_>) -> Result<ToolReply, Failure> {
        const NOTHING: &str = "{}";
        let params = ask.params.map_or(NOTHING, RawValue::get);
        let arguments = edit::member(params, "arguments").unwrap_or(NOTHING);
        let arguments: &RawValue = serde_json::from_str(arguments)
            .map_err(|_| Failure::Nonsense("was to be sent arguments that are no JSON"))?;
        let tool = ask.name.unwrap_or_default();
        let request = match self.api.request(tool, arguments, ask.whose.credential.as_ref()) {
            Ok(request) => request,
            // What the model can mend is told to it.
            Err(error @ OpenApiError::Argument { .. }) => {
                return Ok(ToolReply::error(&error.to_string()));
            }
            Err(OpenApiError::Credential(_)) => {
                return Err(Failure::Nonsense("wants a credential that cannot be shown there"));
            }
            Err(_) => {
                let error = RpcError::own(code::INVALID_PARAMS, "there is no such tool");
                return Err(Failure::Rpc(error));
            }
        };
        let uri = request.uri().clone();
        let (status, headers, body) = self.caller.send(request).await.map_err(failure)?;
        if matches!(status.as_u16(), 401 | 403) {
            let challenges = headers.get_all(WWW_AUTHENTICATE).iter();
            let challenges = challenges.filter_map(|value| value.to_str().ok());
            return Err(Failure::Refused {
                status: status.as_u16(),
                // Without its query: that may hold what was shown.
                url: uri.to_string().split('?').next().unwrap_or_default().to_owned(),
                challenges: challenges.map(ToOwned::to_owned).collect(),
            });
        }
        let reply = self.api.reply(tool, arguments, status, &headers, &body);
        reply.map_err(|_| Failure::Nonsense("answered a tool that is not there"))
    }
}

fn failure(error: SendError) -> Failure {
    match error {
        SendError::TooLarge(limit) => Failure::TooLarge(limit),
        error => Failure::Unreachable(error.into()),
    }
}

impl Link for Described {
    fn ask<'a>(&'a self, ask: Ask<'a>) -> BoxFuture<'a, Result<Answer, Failure>> {
        Box::pin(async move {
            let outcome = self.answer(&ask).await;
            let mut condition = self.condition.lock().unwrap_or_else(PoisonError::into_inner);
            match &outcome {
                Err(Failure::Closed) => {}
                Err(failure @ (Failure::Unreachable(_) | Failure::Refused { .. })) => {
                    condition.state = State::Down;
                    condition.last_failure = Some(failure.to_string());
                }
                // That the list is at hand says nothing of the API.
                _ if ask.method != "tools/call" => {}
                _ => condition.state = State::Up,
            }
            drop(condition);
            Ok(Answer { result: outcome?, era: Era::Modern })
        })
    }

    fn hello<'a>(&'a self, _: &'a Whose) -> BoxFuture<'a, Result<Arc<Hello>, Failure>> {
        Box::pin(std::future::ready(Ok(self.hello.clone())))
    }

    fn rumours(&self, _: &Whose) -> broadcast::Receiver<Rumour> {
        self.news.subscribe()
    }

    fn follow<'a>(
        &'a self,
        _: &'a Whose,
        _: &'a str,
        _: bool,
    ) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(std::future::ready(Err(Failure::Nonsense("has no resources to follow"))))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.closed.store(true, Ordering::Release);
        Box::pin(std::future::ready(()))
    }

    fn condition(&self) -> Condition {
        self.condition.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
