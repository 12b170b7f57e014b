//! The methods themselves, the same for every era but for how results are told.

use std::borrow::Cow;
use std::sync::Arc;

use doorward_core::{BoxFuture, CallError, Code, Cx, Scope, ToolCall, ToolList, ToolReply, Tools};
use http::StatusCode;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Front;
use super::era::Refusal;
use crate::protocol::{self, code};
use crate::{Era, ServerInfo, edit, envelope};

/// An answer in the making: its status and its message. Owns all it needs, so that it can go on
/// in a stream.
pub(super) type Job = BoxFuture<'static, (StatusCode, String)>;

/// Parameters of a request, as far as any method reads them.
#[derive(Deserialize, Default)]
pub(super) struct Params<'a> {
    #[serde(borrow, default)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    arguments: Option<&'a RawValue>,
    #[serde(borrow, default)]
    cursor: Option<Cow<'a, str>>,
    #[serde(borrow, default, rename = "protocolVersion")]
    protocol_version: Option<Cow<'a, str>>,
    #[serde(borrow, default, rename = "_meta")]
    raw_meta: Option<&'a RawValue>,
    #[serde(skip)]
    meta: Meta<'a>,
}

#[derive(Deserialize, Default)]
struct Meta<'a> {
    #[serde(borrow, default, rename = "io.modelcontextprotocol/protocolVersion")]
    version: Option<Cow<'a, str>>,
    #[serde(borrow, default, rename = "io.modelcontextprotocol/clientCapabilities")]
    capabilities: Option<&'a RawValue>,
}

impl<'a> Params<'a> {
    /// Reads them; `None` where something in them is not of its kind.
    pub(super) fn read(params: Option<&'a RawValue>) -> Option<Self> {
        let Some(params) = params else { return Some(Self::default()) };
        let mut params: Self = edit::read(params.get().as_bytes()).ok()?;
        if let Some(meta) = params.raw_meta {
            params.meta = edit::read(meta.get().as_bytes()).ok()?;
        }
        Some(params)
    }

    /// The modern version that the request names in `_meta`.
    pub(super) fn version(&self) -> Option<&str> {
        self.meta.version.as_deref()
    }

    pub(super) fn has_capabilities(&self) -> bool {
        self.meta.capabilities.is_some_and(|value| value.get().starts_with('{'))
    }

    pub(super) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }
}

/// What is to be done for a request, or why nothing is.
pub(super) fn job(
    front: &Front,
    cx: &Cx,
    scope: &Scope,
    era: Era,
    id: &RawValue,
    method: &str,
    params: &Params<'_>,
) -> Result<Job, Refusal> {
    let now = |result: &str| -> Job {
        Box::pin(std::future::ready((StatusCode::OK, envelope::reply(id, result))))
    };
    match (method, era) {
        ("initialize", Era::Legacy) => {
            let asked = params.protocol_version.as_deref().unwrap_or_default();
            Ok(now(&protocol::initialized(&front.info, asked)))
        }
        ("ping", Era::Legacy) => Ok(now("{}")),
        ("server/discover", Era::Modern) => Ok(now(&protocol::discovered(&front.info))),
        ("tools/list", _) => {
            let start = start(params.cursor.as_deref())?;
            let owned = Owned::new(front, cx, scope, era, id);
            Ok(Box::pin(owned.list(start, front.page)))
        }
        ("tools/call", _) => {
            let wrong = |what| answered(Refusal::bad(code::INVALID_PARAMS, what));
            let name = params.name().ok_or_else(|| wrong("the tool's name is missing"))?.to_owned();
            let arguments = match params.arguments {
                None => RawValue::from_string("{}".into()).unwrap_or_default(),
                Some(arguments) if arguments.get().starts_with('{') => arguments.to_owned(),
                Some(_) => return Err(wrong("arguments must be an object")),
            };
            let meta = params.raw_meta.map(ToOwned::to_owned);
            let owned = Owned::new(front, cx, scope, era, id);
            Ok(Box::pin(owned.call(name, arguments, meta)))
        }
        _ => {
            let refusal = Refusal::bad(code::METHOD_NOT_FOUND, "method not found");
            Err(match era {
                Era::Modern => refusal.with_status(StatusCode::NOT_FOUND),
                Era::Legacy => answered(refusal),
            })
        }
    }
}

/// A refusal that is an ordinary answer to HTTP.
fn answered(refusal: Refusal) -> Refusal {
    refusal.with_status(StatusCode::OK)
}

/// Where a page starts.
fn start(cursor: Option<&str>) -> Result<usize, Refusal> {
    let Some(cursor) = cursor else { return Ok(0) };
    let number = cursor.strip_prefix("from-").and_then(|number| number.parse().ok());
    number.ok_or_else(|| answered(Refusal::bad(code::INVALID_PARAMS, "unknown cursor")))
}

/// What an answer needs, owned.
struct Owned {
    tools: Arc<dyn Tools>,
    info: ServerInfo,
    cx: Cx,
    scope: Scope,
    era: Era,
    id: Box<RawValue>,
}

impl Owned {
    fn new(front: &Front, cx: &Cx, scope: &Scope, era: Era, id: &RawValue) -> Self {
        Self {
            tools: front.tools.clone(),
            info: front.info.clone(),
            cx: cx.clone(),
            scope: scope.clone(),
            era,
            id: id.to_owned(),
        }
    }

    async fn list(self, start: usize, page: usize) -> (StatusCode, String) {
        match self.tools.list(&self.cx, &self.scope).await {
            Ok(list) => {
                let result = self.page(&list, start, page);
                (StatusCode::OK, envelope::reply(&self.id, &result))
            }
            Err(error) => {
                let (status, code) = match error.code {
                    // The route itself leads nowhere.
                    Code::NotFound => (StatusCode::NOT_FOUND, code::INVALID_PARAMS),
                    _ => (StatusCode::OK, code::INTERNAL),
                };
                (status, envelope::refusal(Some(&self.id), code, &error.public, None))
            }
        }
    }

    fn page(&self, list: &ToolList, start: usize, page: usize) -> String {
        let end = start.saturating_add(page);
        let next = (end < list.tools.len()).then(|| format!("from-{end}"));
        let shown = list.tools.iter().skip(start).take(page);
        let definitions = shown.map(|tool| protocol::shown(tool.definition.get(), self.era));
        let gaps = (!list.gaps.is_empty()).then(|| {
            let gaps = list.gaps.iter().map(|gap| {
                let (server, reason) = (edit::quote(&gap.server), edit::quote(&gap.reason));
                format!(r#"{{"server":{server},"reason":{reason}}}"#)
            });
            format!(r#""doorward/gaps":[{}]"#, gaps.collect::<Vec<_>>().join(","))
        });
        protocol::listed(&self.info, self.era, definitions, next.as_deref(), gaps.as_deref())
    }

    async fn call(
        self,
        name: String,
        arguments: Box<RawValue>,
        meta: Option<Box<RawValue>>,
    ) -> (StatusCode, String) {
        let run = async {
            let tool = self.tools.resolve(&self.cx, &self.scope, &name).await?;
            self.tools.call(&self.cx, ToolCall { meta, ..ToolCall::new(tool, arguments) }).await
        };
        let reply = match run.await {
            Ok(reply) => reply,
            // What may not be called cannot be told from what is not there.
            Err(CallError { code: Code::NotFound | Code::Forbidden, .. }) => {
                let shown: String = name.chars().take(128).collect();
                let message = format!("Unknown tool: {shown}");
                let refusal =
                    envelope::refusal(Some(&self.id), code::INVALID_PARAMS, &message, None);
                return (StatusCode::OK, refusal);
            }
            // Told as a result, so that the model's turn goes on.
            Err(error) => ToolReply::error(&error.public),
        };
        let result = protocol::told(&self.info, self.era, &reply);
        (StatusCode::OK, envelope::reply(&self.id, &result))
    }
}
