//! Where a request wants to go.

use doorward_core::{DialectId, Scope};
use doorward_wire::Dialect;
use http::{HeaderMap, Method};

use super::connect::Place;
use super::request::decoded;

/// Where a request wants to go.
pub(super) enum Path {
    /// An answer of a model.
    Complete {
        dialect: &'static dyn Dialect,
        at: Option<Addressed>,
    },
    /// The tokens of a prompt.
    Count {
        dialect: &'static dyn Dialect,
        at: Option<Addressed>,
    },
    /// Vectors.
    Embed {
        dialect: &'static dyn Dialect,
        at: Option<Addressed>,
    },
    /// The models there are, or one of them.
    Models {
        dialect: &'static dyn Dialect,
        one: Option<String>,
    },
    /// An answer that was kept.
    Kept {
        id: String,
        part: KeptPart,
    },
    /// A request for an upstream as it is; the path is below the dialect's base.
    Relay {
        dialect: &'static dyn Dialect,
        path: String,
    },
    /// Tools.
    Mcp(Scope),
    /// Tools, for clients of 2024-11-05.
    Sse(Scope),
    /// A page for people.
    Page(Place),
    Health,
    Ready,
    /// What clients ask to see whether anyone is there (Claude Code: `HEAD /api/hello`).
    Hello,
    /// Responses over a WebSocket: clients go on over HTTP when told that there is none.
    WebSocket {
        dialect: &'static dyn Dialect,
    },
    WrongMethod {
        dialect: &'static dyn Dialect,
        allowed: &'static str,
    },
    Unknown {
        dialect: &'static dyn Dialect,
    },
}

/// What stands in the address instead of the body.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Addressed {
    pub(super) model: String,
    pub(super) stream: bool,
    /// Whether the stream is a JSON array.
    pub(super) array: bool,
    /// Whether one vector is answered instead of a list of them.
    pub(super) single: bool,
}

/// What is asked of a kept answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeptPart {
    Whole,
    Input,
    Delete,
}

/// Routes of the vendors that are sent on as they are.
const RELAYED: [&str; 13] = [
    "/files",
    "/uploads",
    "/images",
    "/audio",
    "/batches",
    "/moderations",
    "/rerank",
    "/videos",
    "/vector_stores",
    "/fine_tuning",
    "/messages/batches",
    "/responses/compact",
    "/decisions",
];

impl Path {
    pub(super) fn of(method: &Method, uri: &http::Uri, headers: &HeaderMap) -> Self {
        let whole = uri.path();
        if let Some(rest) = whole.strip_prefix("/v4/ai/").or_else(|| whole.strip_prefix("/v3/ai/"))
        {
            return ai_sdk(method, rest, headers);
        }
        if let Some(path) = gemini(method, whole, uri.query()) {
            return path;
        }
        let path = below_version(whole);
        if let Some(deployment) = whole.strip_prefix("/openai/deployments/")
            && let Some((name, rest)) = deployment.split_once('/')
        {
            return azure(method, &decoded(name), rest);
        }
        match path {
            "/chat/completions" => posted(method, DialectId::OPENAI_CHAT, complete),
            "/messages" => posted(method, DialectId::ANTHROPIC_MESSAGES, complete),
            "/messages/count_tokens" => posted(method, DialectId::ANTHROPIC_MESSAGES, count),
            "/embeddings" => posted(method, DialectId::OPENAI_CHAT, embed),
            "/responses" if method == Method::GET => {
                Self::WebSocket { dialect: speak(DialectId::OPENAI_RESPONSES) }
            }
            "/responses" => posted(method, DialectId::OPENAI_RESPONSES, complete),
            "/responses/input_tokens" => posted(method, DialectId::OPENAI_RESPONSES, count),
            "/models" if *method == Method::GET || *method == Method::HEAD => {
                Self::Models { dialect: list_dialect(headers), one: None }
            }
            _ => Self::rest(method, whole, path, uri, headers),
        }
    }

    fn rest(
        method: &Method,
        whole: &str,
        path: &str,
        uri: &http::Uri,
        headers: &HeaderMap,
    ) -> Self {
        if let (&Method::GET, Some(one)) = (method, path.strip_prefix("/models/")) {
            return Self::Models { dialect: list_dialect(headers), one: Some(decoded(one)) };
        }
        let relayed = |prefix: &&str| {
            path.strip_prefix(*prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if RELAYED.iter().any(relayed) {
            let anthropic =
                path.starts_with("/messages/") || headers.contains_key("anthropic-version");
            let id = if anthropic { DialectId::ANTHROPIC_MESSAGES } else { DialectId::OPENAI_CHAT };
            let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
            return Self::Relay { dialect: speak(id), path: format!("{path}{query}") };
        }
        if let Some(kept) = path.strip_prefix("/responses/") {
            return kept_answer(method, kept);
        }
        match (method, whole) {
            (&Method::GET | &Method::HEAD, "/healthz") => Self::Health,
            (&Method::GET | &Method::HEAD, "/readyz") => Self::Ready,
            (&Method::HEAD, "/" | "/api/hello") => Self::Hello,
            _ => match (scope(whole, "/mcp"), scope(whole, "/sse"), Place::of(whole)) {
                (Some(scope), ..) => Self::Mcp(scope),
                (_, Some(scope), _) => Self::Sse(scope),
                (.., Some(place)) => Self::Page(place),
                _ => Self::Unknown { dialect: list_dialect(headers) },
            },
        }
    }

    /// The dialect that errors are told in.
    pub(super) fn dialect(&self) -> &'static dyn Dialect {
        match self {
            Self::Complete { dialect, .. }
            | Self::Count { dialect, .. }
            | Self::Embed { dialect, .. }
            | Self::Models { dialect, .. }
            | Self::Relay { dialect, .. }
            | Self::WebSocket { dialect }
            | Self::WrongMethod { dialect, .. }
            | Self::Unknown { dialect } => *dialect,
            Self::Kept { .. } => speak(DialectId::OPENAI_RESPONSES),
            Self::Mcp(_)
            | Self::Sse(_)
            | Self::Page(_)
            | Self::Health
            | Self::Ready
            | Self::Hello => &doorward_wire::OpenAiChat,
        }
    }
}

/// The part of the catalogue at a route or below it.
fn scope(path: &str, route: &str) -> Option<Scope> {
    match path.strip_prefix(route)? {
        "" | "/" => Some(Scope::All),
        below => {
            let profile = below.strip_prefix('/').filter(|profile| !profile.contains('/'))?;
            Some(Scope::Profile(decoded(profile).into()))
        }
    }
}

/// Clients disagree about whose part the version is, and some have a base of their own
/// (`OpenRouter` `/api/v1`, Azure `/openai/v1`).
fn below_version(path: &str) -> &str {
    ["/v1", "/api/v1", "/openai/v1"]
        .into_iter()
        .find_map(|base| path.strip_prefix(base).filter(|rest| rest.starts_with('/')))
        .unwrap_or(path)
}

/// The dialect of this name. All of them are there; Chat Completions stands in for none.
fn speak(id: DialectId) -> &'static dyn Dialect {
    doorward_wire::dialect(id).unwrap_or(&doorward_wire::OpenAiChat)
}

type Asked = fn(&'static dyn Dialect, Option<Addressed>) -> Path;

fn complete(dialect: &'static dyn Dialect, at: Option<Addressed>) -> Path {
    Path::Complete { dialect, at }
}

fn count(dialect: &'static dyn Dialect, at: Option<Addressed>) -> Path {
    Path::Count { dialect, at }
}

fn embed(dialect: &'static dyn Dialect, at: Option<Addressed>) -> Path {
    Path::Embed { dialect, at }
}

/// A route that takes POST only.
fn posted(method: &Method, id: DialectId, asked: Asked) -> Path {
    let dialect = speak(id);
    match *method {
        Method::POST => asked(dialect, None),
        _ => Path::WrongMethod { dialect, allowed: "POST" },
    }
}

/// `OpenAI`'s clients for Azure name the model in the address.
fn azure(method: &Method, model: &str, rest: &str) -> Path {
    let dialect = speak(DialectId::OPENAI_CHAT);
    let asked = match rest {
        "chat/completions" => complete,
        "embeddings" => embed,
        _ => return Path::Unknown { dialect },
    };
    let at = Addressed { model: model.to_owned(), ..Addressed::default() };
    if *method == Method::POST {
        asked(dialect, Some(at))
    } else {
        Path::WrongMethod { dialect, allowed: "POST" }
    }
}

/// `/v1beta/models/{model}:{verb}`, the same under `/v1`, and the list.
fn gemini(method: &Method, path: &str, query: Option<&str>) -> Option<Path> {
    let beta = path.strip_prefix("/v1beta/").or_else(|| path.strip_prefix("/v1alpha/"));
    let below = beta.or_else(|| path.strip_prefix("/v1/"));
    let dialect = speak(DialectId::GEMINI);
    let named = below.and_then(|rest| rest.strip_prefix("models/"));
    if let Some((model, verb)) = named.and_then(|rest| rest.rsplit_once(':'))
        && let Some((asked, stream)) = gemini_verb(verb)
    {
        if *method != Method::POST {
            return Some(Path::WrongMethod { dialect, allowed: "POST" });
        }
        let sse = query.is_some_and(|query| query.split('&').any(|pair| pair == "alt=sse"));
        let (array, single) = (stream && !sse, verb == "embedContent");
        let at = Addressed { model: decoded(model), stream, array, single };
        return Some(asked(dialect, Some(at)));
    }
    match (beta?, method) {
        ("models", &Method::GET) => Some(Path::Models { dialect, one: None }),
        (rest, &Method::GET) => {
            let one = rest.strip_prefix("models/").map(decoded)?;
            Some(Path::Models { dialect, one: Some(one) })
        }
        _ => Some(Path::Unknown { dialect }),
    }
}

fn gemini_verb(verb: &str) -> Option<(Asked, bool)> {
    Some(match verb {
        "generateContent" => (complete, false),
        "streamGenerateContent" => (complete, true),
        "countTokens" => (count, false),
        "embedContent" | "batchEmbedContents" => (embed, false),
        _ => return None,
    })
}

/// The AI SDK's own protocol: model and kind of answer stand in headers.
fn ai_sdk(method: &Method, rest: &str, headers: &HeaderMap) -> Path {
    let dialect = speak(DialectId::AI_SDK);
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let model =
        |names: &[&str]| names.iter().find_map(|name| text(name)).unwrap_or_default().to_owned();
    let (asked, allowed): (Asked, _) = match rest {
        "config" if *method == Method::GET => return Path::Models { dialect, one: None },
        "config" => return Path::WrongMethod { dialect, allowed: "GET" },
        "language-model" => (complete, "POST"),
        "embedding-model" => (embed, "POST"),
        _ => return Path::Unknown { dialect },
    };
    if *method != Method::POST {
        return Path::WrongMethod { dialect, allowed };
    }
    let at = Addressed {
        model: model(&["ai-language-model-id", "ai-embedding-model-id", "ai-model-id"]),
        stream: text("ai-language-model-streaming") == Some("true"),
        ..Addressed::default()
    };
    asked(dialect, Some(at))
}

/// Whose list `/v1/models` is: Anthropic's clients always send `anthropic-version`, Google's
/// newer ones, which ask under `/v1` too, name themselves or show their key their own way.
fn list_dialect(headers: &HeaderMap) -> &'static dyn Dialect {
    let sent = |name: &&str| headers.contains_key(*name);
    if sent(&"anthropic-version") {
        &doorward_wire::AnthropicMessages
    } else if ["x-goog-api-key", "x-goog-api-client"].iter().any(sent) {
        &doorward_wire::Gemini
    } else {
        &doorward_wire::OpenAiChat
    }
}

fn kept_answer(method: &Method, rest: &str) -> Path {
    let dialect = speak(DialectId::OPENAI_RESPONSES);
    let (id, part) = match (method, rest.split_once('/')) {
        (&Method::GET, None) => (rest, KeptPart::Whole),
        (&Method::DELETE, None) => (rest, KeptPart::Delete),
        (&Method::GET, Some((id, "input_items"))) => (id, KeptPart::Input),
        (_, None) => return Path::WrongMethod { dialect, allowed: "GET, DELETE" },
        _ => return Path::Unknown { dialect },
    };
    Path::Kept { id: decoded(id), part }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn told(method: &Method, path: &str, headers: &HeaderMap) -> String {
        let uri: http::Uri = path.parse().unwrap();
        let path = Path::of(method, &uri, headers);
        let name = path.dialect().id().as_str();
        let at = |at: Option<Addressed>| match at {
            None => String::new(),
            Some(at) => format!(" {} {} {}", at.model, at.stream, at.array),
        };
        match path {
            Path::Complete { at: to, .. } => format!("complete {name}{}", at(to)),
            Path::Count { at: to, .. } => format!("count {name}{}", at(to)),
            Path::Embed { at: to, .. } => {
                let one = if to.as_ref().is_some_and(|to| to.single) { " one" } else { "" };
                format!("embed {name}{}{one}", at(to))
            }
            Path::Models { one, .. } => format!("models {name} {one:?}"),
            Path::Kept { id, part } => format!("kept {id} {part:?}"),
            Path::Relay { path, .. } => format!("relay {name} {path}"),
            Path::Mcp(_) => "mcp".into(),
            Path::Sse(_) => "sse".into(),
            Path::Health | Path::Ready | Path::Hello => "plain".into(),
            Path::WebSocket { .. } => "websocket".into(),
            Path::WrongMethod { allowed, .. } => format!("not {allowed}"),
            Path::Page(place) => format!("page {place:?}"),
            Path::Unknown { .. } => "unknown".into(),
        }
    }

    #[test]
    fn clients_reach_what_they_ask_for() {
        let none = HeaderMap::new();
        let get = Method::GET;
        let post = Method::POST;
        for (method, path, expected) in [
            (&post, "/v1/chat/completions", "complete openai-chat"),
            (&post, "/chat/completions", "complete openai-chat"),
            (&post, "/api/v1/chat/completions", "complete openai-chat"),
            (&post, "/openai/v1/chat/completions", "complete openai-chat"),
            (&post, "/v1/messages?beta=true", "complete anthropic-messages"),
            (&post, "/v1/messages/count_tokens?beta=true", "count anthropic-messages"),
            (&post, "/v1/embeddings", "embed openai-chat"),
            (&get, "/v1/responses", "websocket"),
            (&get, "/v1/chat/completions", "not POST"),
            (&get, "/v1/models", "models openai-chat None"),
            (&get, "/v1/models/openai%2Fgpt-5", "models openai-chat Some(\"openai/gpt-5\")"),
            (&get, "/v1/models/openai/gpt-5", "models openai-chat Some(\"openai/gpt-5\")"),
            (&get, "/v1/responses/resp_1", "kept resp_1 Whole"),
            (&Method::DELETE, "/v1/responses/resp_1", "kept resp_1 Delete"),
            (&get, "/v1/responses/resp_1/input_items", "kept resp_1 Input"),
            (&post, "/v1/files?limit=2", "relay openai-chat /files?limit=2"),
            (&get, "/v1/batches/b_1", "relay openai-chat /batches/b_1"),
            (&post, "/v1/messages/batches", "relay anthropic-messages /messages/batches"),
            (&get, "/v1/filesystem", "unknown"),
            (&post, "/mcp/tracker", "mcp"),
            (&get, "/mcp/a/b", "unknown"),
            (&get, "/mcpx", "unknown"),
            (&get, "/sse", "sse"),
            (&post, "/sse/tracker?session_id=x", "sse"),
            (
                &post,
                "/openai/deployments/gpt-5/chat/completions?api-version=1",
                "complete openai-chat gpt-5 false false",
            ),
        ] {
            assert_eq!(told(method, path, &none), expected, "{method} {path}");
        }
    }

    #[test]
    fn the_list_of_models_is_each_clients_own() {
        for (header, expected) in [
            ("authorization", "openai-chat"),
            ("anthropic-version", "anthropic-messages"),
            ("x-goog-api-key", "gemini"),
            ("x-goog-api-client", "gemini"),
        ] {
            let name = http::HeaderName::from_static(header);
            let headers = HeaderMap::from_iter([(name, HeaderValue::from_static("x"))]);
            let list = told(&Method::GET, "/v1/models", &headers);
            assert_eq!(list, format!("models {expected} None"));
            let one = told(&Method::GET, "/v1/models/g", &headers);
            assert_eq!(one, format!("models {expected} Some(\"g\")"));
        }
    }

    #[test]
    fn geminis_and_the_ai_sdks_models_stand_in_the_address() {
        if doorward_wire::dialect(DialectId::GEMINI).is_some() {
            let (get, post) = (&Method::GET, &Method::POST);
            for (method, path, expected) in [
                (post, "/v1beta/models/g:generateContent", "complete gemini g false false"),
                (post, "/v1/models/g:generateContent", "complete gemini g false false"),
                (
                    post,
                    "/v1/models/openai/g:generateContent",
                    "complete gemini openai/g false false",
                ),
                (
                    post,
                    "/v1beta/models/g:streamGenerateContent?alt=sse",
                    "complete gemini g true false",
                ),
                (post, "/v1beta/models/g:streamGenerateContent", "complete gemini g true true"),
                (post, "/v1beta/models/g:countTokens", "count gemini g false false"),
                (post, "/v1beta/models/g:batchEmbedContents", "embed gemini g false false"),
                (post, "/v1beta/models/g:embedContent", "embed gemini g false false one"),
                (get, "/v1beta/models", "models gemini None"),
                (get, "/v1beta/models/g", "models gemini Some(\"g\")"),
                (get, "/v1beta/models/g:generateContent", "not POST"),
            ] {
                assert_eq!(told(method, path, &HeaderMap::new()), expected, "{path}");
            }
        }
        if doorward_wire::dialect(DialectId::AI_SDK).is_some() {
            let headers = HeaderMap::from_iter(
                [("ai-language-model-id", "openai/gpt-5"), ("ai-language-model-streaming", "true")]
                    .map(|(name, value)| {
                        (http::HeaderName::from_static(name), HeaderValue::from_static(value))
                    }),
            );
            let found = told(&Method::POST, "/v4/ai/language-model", &headers);
            assert_eq!(found, "complete ai-sdk openai/gpt-5 true false");
            assert_eq!(told(&Method::GET, "/v4/ai/config", &headers), "models ai-sdk None");
        }
    }
}
