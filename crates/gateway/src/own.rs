//! Doorward's own tool: the answer to a call that was refused before the client saw it.
//!
//! The guard replaces a refused call of a client's own tool by a call of this one, so that the
//! turn goes on with the reason as a tool result. It is not listed: no model should call it.

use std::borrow::Cow;
use std::sync::Arc;

use doorward_core::{
    BoxFuture, BoxStream, CALL_TOOL, CallError, Cx, Fetch, FetchCall, Interest, ItemKind, ItemList,
    Names, News, Offers, SEARCH_TOOLS, Scope, ToolCall, ToolList, ToolName, ToolReply, Tools,
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

/// The broker's names, and those of the two tools that stand for all where tools are searched for.
pub(crate) struct SearchNames {
    broker: Arc<Broker>,
}

impl SearchNames {
    pub(crate) fn new(broker: Arc<Broker>) -> Self {
        Self { broker }
    }
}

/// The arguments of [`CALL_TOOL`].
#[derive(Deserialize)]
struct Called<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(default)]
    arguments: Option<Box<RawValue>>,
}

impl Names for SearchNames {
    fn brokered(&self, declared: &str) -> Option<ToolName> {
        let own = |full: &'static str| {
            let short = full.rsplit_once("__").map_or(full, |(_, short)| short);
            // Clients put their own prefix before it.
            let before = declared.strip_suffix(short)?;
            (before.is_empty() || before.ends_with(['_', '-', '.', '/', ':']))
                .then(|| ToolName::new(full))
        };
        self.broker.brokered(declared).or_else(|| own(SEARCH_TOOLS)).or_else(|| own(CALL_TOOL))
    }

    fn meant(&self, declared: &str, arguments: &str) -> Option<(ToolName, Option<Box<RawValue>>)> {
        let tool = self.brokered(declared)?;
        if tool.as_str() != CALL_TOOL {
            return Some((tool, None));
        }
        let called: Called<'_> = serde_json::from_str(arguments).ok()?;
        let target = self.broker.brokered(&called.name)?;
        // Without any, the tool is called with none.
        let arguments = match called.arguments {
            None => RawValue::from_string("{}".into()).ok()?,
            Some(arguments) => Some(arguments).filter(|given| given.get().starts_with('{'))?,
        };
        Some((target, Some(arguments)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_of_the_two_tools_is_seen_through() {
        let names = SearchNames::new(Arc::new(Broker::builder().build().unwrap()));
        for (declared, known) in [
            ("search_tools", Some(SEARCH_TOOLS)),
            ("mcp__doorward__search_tools", Some(SEARCH_TOOLS)),
            ("mcp__doorward__call_tool", Some(CALL_TOOL)),
            ("recall_tool", None),
            ("tools", None),
        ] {
            let found = names.brokered(declared);
            assert_eq!(found.as_ref().map(ToolName::as_str), known, "{declared}");
        }
        // A target that nobody has is not taken for one of ours.
        for arguments in [r#"{"name":"x__y"}"#, "{}", "[]", r#"{"name":"a","name":"b"}"#] {
            assert!(names.meant("call_tool", arguments).is_none(), "{arguments}");
        }
    }
}
