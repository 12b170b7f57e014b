//! Progressive disclosure: for catalogues too large for a model, two tools instead of all.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use doorward_core::{
    BoxFuture, BoxStream, CallError, Code, Cx, Fetch, FetchCall, Interest, ItemKind, ItemList,
    News, Offers, SEARCH_TOOLS, Scope, ToolCall, ToolList, ToolName, ToolReply, ToolSpec, Tools,
};
use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::{Search, edit};

/// Finds tools.
const SEARCH: &str = "search_tools";
/// Calls one.
const CALL: &str = "call_tool";
/// Whose tools these are.
const SERVER: &str = "doorward";
/// How many tools are found where no limit is asked for.
const USUAL: usize = 8;
/// The most tools found at once.
const MOST: usize = 50;
/// What the model is told of it.
const INSTRUCTIONS: &str = "There are more tools here than are listed. `search_tools` finds them \
    by words; `call_tool` runs one by its name.";

/// Shows `search_tools` and `call_tool` in place of all tools, in the scopes it was told.
///
/// It stands before the policy, so what is searched is only what the caller may call, and a call
/// through `call_tool` is judged as a call of the tool it names, with that tool's arguments.
///
/// ```
/// use doorward_core::Scope;
/// use doorward_mcp_broker::{Broker, Disclosure};
/// use std::sync::Arc;
///
/// let policed = Arc::new(Broker::builder().build()?); // in earnest: the policy over it
/// let tools = Disclosure::new(policed).search(Scope::All).search(Scope::Profile("large".into()));
/// # Ok::<_, doorward_mcp_broker::BuildError>(())
/// ```
pub struct Disclosure {
    inner: Arc<dyn Tools>,
    scopes: HashSet<Scope>,
    search: Search,
    witness: Option<Arc<dyn Witness>>,
}

/// Sees to it that what was found is on record, and known again as the gateway's own words.
pub trait Witness: Send + Sync {
    /// Takes a call of [`SEARCH_TOOLS`] with its reply; gives the reply to hand out.
    fn found<'a>(
        &'a self,
        cx: &'a Cx,
        call: ToolCall,
        reply: ToolReply,
    ) -> BoxFuture<'a, Result<ToolReply, CallError>>;
}

impl fmt::Debug for Disclosure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disclosure").field("scopes", &self.scopes).finish_non_exhaustive()
    }
}

impl Disclosure {
    /// Over tools that show only what a caller may call.
    pub fn new(inner: Arc<dyn Tools>) -> Self {
        Self { inner, scopes: HashSet::new(), search: Search::default(), witness: None }
    }

    /// Shows the two tools in this scope.
    #[must_use]
    pub fn search(mut self, scope: Scope) -> Self {
        self.scopes.insert(scope);
        self
    }

    /// Who is told of each search.
    #[must_use]
    pub fn witness(mut self, witness: Arc<dyn Witness>) -> Self {
        self.witness = Some(witness);
        self
    }

    fn hides(&self, scope: &Scope) -> bool {
        self.scopes.contains(scope)
    }

    async fn found(&self, cx: &Cx, call: &ToolCall) -> Result<ToolReply, CallError> {
        #[derive(Deserialize)]
        struct Arguments {
            query: String,
            #[serde(default)]
            limit: Option<usize>,
            #[serde(default)]
            server: Option<String>,
        }

        let Ok(asked) = edit::read::<Arguments>(call.arguments.get().as_bytes()) else {
            return Ok(ToolReply::error(
                "search_tools takes `query` (text), `limit` (a number) and `server` (a name).",
            ));
        };
        let list = self.inner.list(cx, &call.scope).await?;
        let limit = asked.limit.unwrap_or(USUAL).clamp(1, MOST);
        let found = self.search.rank(&list, &asked.query, limit, asked.server.as_deref());
        Ok(told(&list, &found))
    }

    async fn run(&self, cx: &Cx, call: ToolCall) -> Result<ToolReply, CallError> {
        let Some((name, arguments)) = target(&call.arguments) else {
            return Ok(ToolReply::error(
                "call_tool takes `name` (of a tool that search_tools found) and `arguments` (an \
                 object).",
            ));
        };
        let run = async {
            let tool = self.inner.resolve(cx, &call.scope, &name).await?;
            self.inner.call(cx, ToolCall { tool, arguments, ..call }).await
        };
        match run.await {
            // What may not be called cannot be told from what is not there; what is held back may be,
            // once it is approved.
            Err(CallError { code: Code::NotFound | Code::Forbidden, rule, .. })
                if rule.as_deref() != Some(crate::pin::RULE) =>
            {
                let shown: String = name.chars().take(128).collect();
                let text =
                    format!("There is no tool `{shown}`. search_tools finds those there are.");
                Ok(ToolReply::error(&text))
            }
            reply => reply,
        }
    }
}

/// The tool that a call is meant for, and its arguments.
fn target(arguments: &RawValue) -> Option<(String, Box<RawValue>)> {
    #[derive(Deserialize)]
    struct Arguments<'a> {
        name: String,
        #[serde(borrow, default)]
        arguments: Option<&'a RawValue>,
    }

    let Arguments { name, arguments } = edit::read(arguments.get().as_bytes()).ok()?;
    let arguments = match arguments {
        None => RawValue::from_string("{}".into()).ok()?,
        Some(arguments) if arguments.get().starts_with('{') => arguments.to_owned(),
        Some(_) => return None,
    };
    Some((name, arguments))
}

/// What was found: the definitions as they would be listed.
fn told(list: &ToolList, found: &[Arc<ToolSpec>]) -> ToolReply {
    let definitions: Vec<_> = found.iter().map(|tool| tool.definition.get()).collect();
    let gaps: Vec<_> = list.gaps.iter().map(|gap| edit::quote(&gap.server)).collect();
    let missing = match gaps.as_slice() {
        [] => String::new(),
        gaps => format!(r#","missing_servers":[{}]"#, gaps.join(",")),
    };
    let text =
        format!(r#"{{"tools":[{}],"of":{}{missing}}}"#, definitions.join(","), list.tools.len());
    let result = format!(r#"{{"content":[{{"type":"text","text":{}}}]}}"#, edit::quote(&text));
    match RawValue::from_string(result) {
        Ok(result) => ToolReply::complete(result, false),
        Err(_) => ToolReply::error("what was found cannot be written"),
    }
}

/// The two tools.
fn shown() -> ToolList {
    let search = serde_json::json!({
        "name": SEARCH,
        "title": "Search tools",
        "description": "Finds tools by words in their names, descriptions and arguments. Returns \
            their definitions, the best first. Run one with call_tool.",
        "inputSchema": {
            "type": "object",
            "properties": {
                "query": { "type": "string", "description": "What the tool should do, in a few words." },
                "limit": {
                    "type": "integer", "minimum": 1, "maximum": MOST,
                    "description": "How many tools to return; 8 by default.",
                },
                "server": { "type": "string", "description": "Only tools of this server." },
            },
            "required": ["query"],
            "additionalProperties": false,
        },
        "annotations": { "readOnlyHint": true, "openWorldHint": false },
    });
    let call = serde_json::json!({
        "name": CALL,
        "title": "Call a tool",
        "description": "Runs a tool that search_tools found, by its name and with arguments that \
            fit its inputSchema. The result is the tool's own.",
        "inputSchema": {
            "type": "object",
            "properties": {
                "name": { "type": "string", "description": "The tool's name." },
                "arguments": { "type": "object", "description": "The tool's arguments." },
            },
            "required": ["name"],
            "additionalProperties": false,
        },
    });
    let spec = |name: &str, definition: &serde_json::Value| {
        let definition = to_raw_value(definition).unwrap_or_default();
        Arc::new(ToolSpec { name: ToolName::new(name), server: SERVER.into(), definition })
    };
    ToolList { tools: vec![spec(CALL, &call), spec(SEARCH, &search)], gaps: Vec::new() }
}

impl Tools for Disclosure {
    fn list<'a>(
        &'a self,
        cx: &'a Cx,
        scope: &'a Scope,
    ) -> BoxFuture<'a, Result<ToolList, CallError>> {
        if self.hides(scope) {
            return Box::pin(async { Ok(shown()) });
        }
        self.inner.list(cx, scope)
    }

    fn resolve<'a>(
        &'a self,
        cx: &'a Cx,
        scope: &'a Scope,
        name: &'a str,
    ) -> BoxFuture<'a, Result<ToolName, CallError>> {
        if self.hides(scope) && matches!(name, SEARCH | CALL) {
            return Box::pin(async move { Ok(ToolName::new(name)) });
        }
        self.inner.resolve(cx, scope, name)
    }

    fn call<'a>(
        &'a self,
        cx: &'a Cx,
        call: ToolCall,
    ) -> BoxFuture<'a, Result<ToolReply, CallError>> {
        match call.tool.as_str() {
            SEARCH if self.hides(&call.scope) => Box::pin(async move {
                let reply = self.found(cx, &call).await?;
                let Some(witness) = &self.witness else { return Ok(reply) };
                let call = ToolCall { tool: ToolName::new(SEARCH_TOOLS), ..call };
                witness.found(cx, call, reply).await
            }),
            CALL if self.hides(&call.scope) => Box::pin(self.run(cx, call)),
            _ => self.inner.call(cx, call),
        }
    }

    fn offers<'a>(
        &'a self,
        cx: &'a Cx,
        scope: &'a Scope,
    ) -> BoxFuture<'a, Result<Offers, CallError>> {
        if !self.hides(scope) {
            return self.inner.offers(cx, scope);
        }
        Box::pin(async move {
            let mut offers = self.inner.offers(cx, scope).await?;
            offers.instructions = Some(match offers.instructions {
                Some(more) => [INSTRUCTIONS, "\n\n", &more].concat(),
                None => INSTRUCTIONS.into(),
            });
            Ok(offers)
        })
    }

    fn items<'a>(
        &'a self,
        cx: &'a Cx,
        scope: &'a Scope,
        kind: ItemKind,
    ) -> BoxFuture<'a, Result<ItemList, CallError>> {
        self.inner.items(cx, scope, kind)
    }

    fn locate<'a>(
        &'a self,
        cx: &'a Cx,
        scope: &'a Scope,
        fetch: Fetch,
        params: &'a RawValue,
    ) -> BoxFuture<'a, Result<Arc<str>, CallError>> {
        self.inner.locate(cx, scope, fetch, params)
    }

    fn fetch<'a>(
        &'a self,
        cx: &'a Cx,
        scope: &'a Scope,
        call: FetchCall,
    ) -> BoxFuture<'a, Result<ToolReply, CallError>> {
        self.inner.fetch(cx, scope, call)
    }

    fn listen<'a>(
        &'a self,
        cx: &'a Cx,
        scope: &'a Scope,
        interest: Interest,
    ) -> BoxFuture<'a, Result<(Interest, BoxStream<'static, News>), CallError>> {
        self.inner.listen(cx, scope, interest)
    }
}

#[cfg(test)]
mod tests;
