//! Doorward's own tool: the answer to a call that was refused before the client saw it.
//!
//! The guard replaces a refused call of a client's own tool by a call of this one, so that the
//! turn goes on with the reason as a tool result. It is not listed: no model should call it.

use std::sync::Arc;

use doorward_core::{
    BoxFuture, BoxStream, CallError, Cx, Fetch, FetchCall, Interest, ItemKind, ItemList, News,
    Offers, Scope, ToolCall, ToolList, ToolName, ToolReply, Tools,
};
use doorward_mcp_broker::Broker;
use serde::Deserialize;
use serde_json::value::RawValue;

/// The tool's name.
pub(crate) const DENIED: &str = "doorward__denied";

/// The broker's tools, and Doorward's own.
pub(crate) struct OwnTools {
    broker: Arc<Broker>,
}

impl OwnTools {
    pub(crate) fn new(broker: Arc<Broker>) -> Self {
        Self { broker }
    }
}

/// What the guard says in the arguments.
#[derive(Deserialize)]
struct Denied {
    reason: String,
    #[serde(default)]
    remedies: Vec<String>,
}

impl Tools for OwnTools {
    fn list<'a>(
        &'a self,
        cx: &'a Cx,
        scope: &'a Scope,
    ) -> BoxFuture<'a, Result<ToolList, CallError>> {
        self.broker.list(cx, scope)
    }

    fn resolve<'a>(
        &'a self,
        cx: &'a Cx,
        scope: &'a Scope,
        name: &'a str,
    ) -> BoxFuture<'a, Result<ToolName, CallError>> {
        if name == DENIED {
            return Box::pin(async { Ok(ToolName::new(DENIED)) });
        }
        self.broker.resolve(cx, scope, name)
    }

    fn call<'a>(
        &'a self,
        cx: &'a Cx,
        call: ToolCall,
    ) -> BoxFuture<'a, Result<ToolReply, CallError>> {
        if call.tool.as_str() != DENIED {
            return self.broker.call(cx, call);
        }
        let told = serde_json::from_str::<Denied>(call.arguments.get());
        let text = match told {
            Ok(denied) => [vec![denied.reason], denied.remedies].concat().join("\n- "),
            Err(_) => "refused by policy".to_owned(),
        };
        Box::pin(async move { Ok(ToolReply::error(&text)) })
    }

    fn offers<'a>(
        &'a self,
        cx: &'a Cx,
        scope: &'a Scope,
    ) -> BoxFuture<'a, Result<Offers, CallError>> {
        self.broker.offers(cx, scope)
    }

    fn items<'a>(
        &'a self,
        cx: &'a Cx,
        scope: &'a Scope,
        kind: ItemKind,
    ) -> BoxFuture<'a, Result<ItemList, CallError>> {
        self.broker.items(cx, scope, kind)
    }

    fn locate<'a>(
        &'a self,
        cx: &'a Cx,
        scope: &'a Scope,
        fetch: Fetch,
        params: &'a RawValue,
    ) -> BoxFuture<'a, Result<Arc<str>, CallError>> {
        self.broker.locate(cx, scope, fetch, params)
    }

    fn fetch<'a>(
        &'a self,
        cx: &'a Cx,
        scope: &'a Scope,
        call: FetchCall,
    ) -> BoxFuture<'a, Result<ToolReply, CallError>> {
        self.broker.fetch(cx, scope, call)
    }

    fn listen<'a>(
        &'a self,
        cx: &'a Cx,
        scope: &'a Scope,
        interest: Interest,
    ) -> BoxFuture<'a, Result<(Interest, BoxStream<'static, News>), CallError>> {
        self.broker.listen(cx, scope, interest)
    }
}
