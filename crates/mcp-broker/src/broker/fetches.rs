//! Requests beside tool calls: resources, prompts, completions, tasks.

use std::sync::Arc;

use doorward_core::{
    BoxFuture, CallError, Code, Cx, Exchange, Fetch, FetchCall, ItemKind, RpcFault, Scope,
    ToolReply,
};
use serde_json::value::RawValue;

use super::calls::Errand;
use super::credential::Missed;
use super::view::View;
use super::{Inner, nowhere, outcome, unknown};
use crate::edit;
use crate::protocol::code;
use crate::rewrite::{self, Of};
use crate::upstream::{Failure, Whose};
use crate::uris;

/// What a request is about, as the client names it.
enum Aim {
    Prompt(String),
    Uri(String),
    Task(String),
}

/// Where a request leads.
struct Lead {
    server: usize,
    /// The server's own name, URI or task id.
    own: String,
}

impl Aim {
    fn read(fetch: Fetch, params: &RawValue) -> Result<Self, CallError> {
        let text = params.get();
        let named = |text: &str, name: &str| {
            let wrong = || CallError::new(Code::InvalidRequest, format!("`{name}` is missing"));
            rewrite::named(text, name).ok_or_else(wrong)
        };
        match fetch {
            Fetch::Resource => named(text, "uri").map(Self::Uri),
            Fetch::Prompt => named(text, "name").map(Self::Prompt),
            Fetch::Completion => {
                let of = edit::member(text, "ref").unwrap_or_default();
                match named(of, "type")?.as_str() {
                    "ref/prompt" => named(of, "name").map(Self::Prompt),
                    "ref/resource" => named(of, "uri").map(Self::Uri),
                    _ => Err(CallError::new(Code::InvalidRequest, "unknown kind of `ref`")),
                }
            }
            Fetch::TaskGet | Fetch::TaskResult | Fetch::TaskUpdate | Fetch::TaskCancel => {
                named(text, "taskId").map(Self::Task)
            }
        }
    }

    fn unknown(&self) -> CallError {
        match self {
            Self::Prompt(name) => unknown("prompt", name),
            Self::Uri(uri) => unknown("resource", uri),
            Self::Task(id) => unknown("task", id),
        }
    }

    fn text(&self) -> &str {
        match self {
            Self::Prompt(text) | Self::Uri(text) | Self::Task(text) => text,
        }
    }
}

impl Inner {
    pub(super) async fn locate(
        self: &Arc<Self>,
        cx: &Cx,
        scope: &Scope,
        fetch: Fetch,
        params: &RawValue,
    ) -> Result<Arc<str>, CallError> {
        let view = self.view(scope).ok_or_else(|| nowhere(scope))?;
        let lead = self.lead(cx, &view, fetch, &Aim::read(fetch, params)?).await?;
        Ok(self.members[lead.server].name.clone())
    }

    /// Where a request leads within a view.
    async fn lead(
        self: &Arc<Self>,
        cx: &Cx,
        view: &View<'_>,
        fetch: Fetch,
        aim: &Aim,
    ) -> Result<Lead, CallError> {
        if let Some(server) = view.bare {
            return Ok(Lead { server, own: aim.text().to_owned() });
        }
        let found = match aim {
            Aim::Prompt(name) => {
                if self.prompt(name).is_none()
                    && let Some(at) = self.prefix_of(name).filter(|at| view.has(*at))
                {
                    // Perhaps its server has not been listed yet, or has a new prompt.
                    self.items(cx, &self.members[at], ItemKind::Prompts).await.ok();
                }
                self.prompt(name)
            }
            Aim::Uri(uri) => self.slugs.lead(uri),
            Aim::Task(id) => uris::cut_task(id).and_then(|(server, own)| {
                Some((self.by_name.get(server).copied()?, own.to_owned()))
            }),
        };
        let seen = |server: usize| {
            let lets = view.lets(&self.members[server].name, fetch);
            view.has(server) && (lets || matches!(aim, Aim::Prompt(name) if view.shows(name)))
        };
        match found {
            Some((server, own)) if seen(server) => Ok(Lead { server, own }),
            _ => Err(aim.unknown()),
        }
    }

    fn prompt(&self, name: &str) -> Option<(usize, String)> {
        let index = self.prompt_names.index();
        index.place(name).map(|place| (place.server, place.own.to_string()))
    }

    pub(super) async fn fetch(
        self: &Arc<Self>,
        cx: &Cx,
        scope: &Scope,
        call: FetchCall,
    ) -> Result<ToolReply, CallError> {
        let view = self.view(scope).ok_or_else(|| nowhere(scope))?;
        let aim = Aim::read(call.fetch, &call.params)?;
        let lead = self.lead(cx, &view, call.fetch, &aim).await?;
        let member = &self.members[lead.server];
        if member.name != call.server {
            // Whoever judged the request judged another one.
            return Err(aim.unknown());
        }
        let params = own_params(call.fetch, &aim, &call.params, &lead.own)?;
        let errand = Errand {
            method: call.fetch.method(),
            name: (call.fetch != Fetch::Completion).then_some(lead.own.as_str()),
            params: &params,
            meta: call.meta.as_deref(),
            #[cfg(feature = "http")]
            mirrors: &[],
        };
        let run = async |whose: Whose, exchange: &Exchange| {
            let attempt = |whose: Whose| -> BoxFuture<'_, Result<ToolReply, Missed>> {
                let errand = &errand;
                Box::pin(async move {
                    match self.ask(cx, member, &whose, exchange, errand).await {
                        Err(Failure::TooLarge(limit)) => {
                            let text = outcome::too_large(limit);
                            Ok(ToolReply::fault(&RpcFault::new(code::INTERNAL, text)))
                        }
                        reply => Ok(reply?),
                    }
                })
            };
            self.with_credential(cx, member, whose, attempt).await
        };
        let reply = self.attend(cx, member, call.exchange.clone(), run).await?;
        let of = match call.fetch {
            Fetch::Resource => Of::Resource,
            Fetch::Prompt => Of::Prompt,
            Fetch::Completion => return Ok(reply),
            Fetch::TaskResult => Of::Call,
            Fetch::TaskGet | Fetch::TaskUpdate | Fetch::TaskCancel => Of::Task,
        };
        Ok(self.inscribed(member, lead.server, scope, reply, of))
    }
}

/// The parameters in the server's own names.
fn own_params(
    fetch: Fetch,
    aim: &Aim,
    params: &RawValue,
    own: &str,
) -> Result<Box<RawValue>, CallError> {
    if aim.text() == own {
        return Ok(params.to_owned());
    }
    let written = match (aim, fetch) {
        (Aim::Prompt(_), Fetch::Completion) => rewrite::exchange_in(params, "ref", "name", own),
        (Aim::Uri(_), Fetch::Completion) => rewrite::exchange_in(params, "ref", "uri", own),
        (Aim::Prompt(_), _) => rewrite::exchange(params, "name", own),
        (Aim::Uri(_), _) => rewrite::exchange(params, "uri", own),
        (Aim::Task(_), _) => rewrite::exchange(params, "taskId", own),
    };
    written.ok_or_else(|| CallError::new(Code::InvalidRequest, "parameters of the wrong kind"))
}
