//! Doorward's own tools: the answer to a call that was refused before the client saw it, and the
//! way to sign in at a server.
//!
//! The guard replaces a refused call of a client's own tool by a call of [`DENIED`], so that the
//! turn goes on with the reason as a tool result. It is not listed: no model should call it.
//!
//! A server that wants a person's consent lists nothing before it. A tool of ours stands in the
//! list meanwhile: calling it leads to the page where they give it.

use std::borrow::Cow;
use std::sync::Arc;

use doorward_core::{
    BoxFuture, BoxStream, CALL_TOOL, CallError, Cx, Fetch, FetchCall, Gap, Interest, ItemKind,
    ItemList, Names, News, Offers, SEARCH_TOOLS, Scope, ToolCall, ToolList, ToolName, ToolReply,
    ToolSpec, Tools,
};
use doorward_mcp_broker::Broker;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};

/// The tool's name.
pub(crate) const DENIED: &str = "doorward__denied";

/// What the tool for signing in at a server is called there.
const SIGN_IN: &str = "doorward_sign_in";

/// The tool by which people sign in at a server.
#[derive(Debug, Clone)]
pub(crate) struct SignInTool {
    server: Arc<str>,
    name: ToolName,
    prefix: bool,
}

impl SignInTool {
    /// For a server whose tools carry its name, or have a route where they do not.
    pub(crate) fn new(server: &str, prefix: bool) -> Self {
        let name = ToolName::new(format!("{server}__{SIGN_IN}"));
        Self { server: server.into(), name, prefix }
    }

    /// Its federated name.
    pub(crate) fn name(&self) -> &ToolName {
        &self.name
    }

    /// What it is called where a client looks from there.
    fn name_in(&self, scope: &Scope) -> &str {
        match scope {
            Scope::Profile(route) if !self.prefix && *route == self.server => SIGN_IN,
            _ => self.name.as_str(),
        }
    }

    fn spec(&self, scope: &Scope) -> Option<Arc<ToolSpec>> {
        let server = &self.server;
        let definition = json!({
            "name": self.name_in(scope),
            "title": format!("Sign in at {server}"),
            "description": format!(
                "The tools of `{server}` are there once the user has signed in at it. Call this \
                 when one of them is needed: the user is sent to a page for it."
            ),
            "inputSchema": { "type": "object", "properties": {}, "additionalProperties": false },
            "annotations": { "readOnlyHint": true, "openWorldHint": false },
        });
        let definition = to_raw_value(&definition).ok()?;
        let (name, server) = (self.name.clone(), self.server.clone());
        Some(Arc::new(ToolSpec { name, server, definition }))
    }
}

/// The broker's tools, and Doorward's own.
pub(crate) struct OwnTools {
    broker: Arc<Broker>,
    sign_ins: Arc<[SignInTool]>,
}

impl OwnTools {
    pub(crate) fn new(broker: Arc<Broker>, sign_ins: Vec<SignInTool>) -> Self {
        Self { broker, sign_ins: sign_ins.into() }
    }

    /// The names of all of them; `searched`: those of the two tools that stand for all where tools
    /// are searched for, too.
    pub(crate) fn names(&self, searched: bool) -> OwnNames {
        OwnNames { broker: self.broker.clone(), sign_ins: self.sign_ins.clone(), searched }
    }

    /// With the tools for signing in at what waits for that.
    async fn listed(&self, cx: &Cx, scope: &Scope) -> Result<ToolList, CallError> {
        let mut list = self.broker.list(cx, scope).await?;
        let waits = |gap: &&Gap| gap.consent.is_some();
        for gap in list.gaps.iter().filter(waits) {
            let tool = self.sign_ins.iter().find(|tool| tool.server == gap.server);
            list.tools.extend(tool.and_then(|tool| tool.spec(scope)));
        }
        if list.gaps.iter().any(|gap| gap.consent.is_some()) {
            list.tools.sort_by(|a, b| a.name.cmp(&b.name));
        }
        Ok(list)
    }

    /// Whether the server can be used by now; the error says where to consent.
    async fn signed_in(&self, cx: &Cx, tool: &SignInTool) -> Result<ToolReply, CallError> {
        let server = &tool.server;
        let list = self.broker.list(cx, &Scope::Profile(server.clone())).await?;
        let text = match list.gaps.into_iter().find(|gap| gap.server == *server) {
            Some(Gap { reason, consent: Some(url), .. }) => {
                let error = CallError::new(doorward_core::Code::Forbidden, reason);
                return Err(error.with_rule("consent_required").with_consent(url));
            }
            Some(Gap { reason, .. }) => return Ok(ToolReply::error(&reason)),
            None => format!(
                "The user is signed in at `{server}`: its {} tools are in the list now.",
                list.tools.len()
            ),
        };
        let result = json!({ "content": [{ "type": "text", "text": text }] });
        let result = to_raw_value(&result).map_err(CallError::internal)?;
        Ok(ToolReply::complete(result, false))
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
        Box::pin(self.listed(cx, scope))
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
        if let Some(tool) = self.sign_ins.iter().find(|tool| tool.name_in(scope) == name) {
            return Box::pin(async { Ok(tool.name.clone()) });
        }
        self.broker.resolve(cx, scope, name)
    }

    fn call<'a>(
        &'a self,
        cx: &'a Cx,
        call: ToolCall,
    ) -> BoxFuture<'a, Result<ToolReply, CallError>> {
        if let Some(tool) = self.sign_ins.iter().find(|tool| tool.name == call.tool) {
            return Box::pin(self.signed_in(cx, tool));
        }
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

/// The broker's names, and those of Doorward's own tools.
pub(crate) struct OwnNames {
    broker: Arc<Broker>,
    sign_ins: Arc<[SignInTool]>,
    searched: bool,
}

/// The arguments of [`CALL_TOOL`].
#[derive(Deserialize)]
struct Called<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(default)]
    arguments: Option<Box<RawValue>>,
}

impl Names for OwnNames {
    fn brokered(&self, declared: &str) -> Option<ToolName> {
        // Clients put their own prefix before it.
        let is = |name: &str| {
            let before = declared.strip_suffix(name);
            before.is_some_and(|before| {
                before.is_empty() || before.ends_with(['_', '-', '.', '/', ':'])
            })
        };
        let own = |full: &'static str| {
            let short = full.rsplit_once("__").map_or(full, |(_, short)| short);
            (self.searched && is(short)).then(|| ToolName::new(full))
        };
        let sign_in = || self.sign_ins.iter().find(|tool| is(tool.name.as_str()));
        let known = self.broker.brokered(declared);
        known
            .or_else(|| own(SEARCH_TOOLS))
            .or_else(|| own(CALL_TOOL))
            .or_else(|| sign_in().map(|tool| tool.name.clone()))
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
        let broker = Arc::new(Broker::builder().build().unwrap());
        let own = OwnTools::new(broker, vec![SignInTool::new("crm", true)]);
        let names = own.names(true);
        for (declared, known) in [
            ("search_tools", Some(SEARCH_TOOLS)),
            ("mcp__doorward__search_tools", Some(SEARCH_TOOLS)),
            ("mcp__doorward__call_tool", Some(CALL_TOOL)),
            ("mcp__doorward__crm__doorward_sign_in", Some("crm__doorward_sign_in")),
            ("doorward_sign_in", None),
            ("recall_tool", None),
            ("tools", None),
        ] {
            let found = names.brokered(declared);
            assert_eq!(found.as_ref().map(ToolName::as_str), known, "{declared}");
        }
        assert!(own.names(false).brokered("call_tool").is_none());
        // A target that nobody has is not taken for one of ours.
        for arguments in [r#"{"name":"x__y"}"#, "{}", "[]", r#"{"name":"a","name":"b"}"#] {
            assert!(names.meant("call_tool", arguments).is_none(), "{arguments}");
        }
    }
}
