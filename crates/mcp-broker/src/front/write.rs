//! Results as a client of a revision reads them.

use std::borrow::Cow;
use std::fmt::Write as _;

use doorward_core::Gap;

use super::dated;
use super::revision::Revision;
use crate::protocol::META_SERVER;
use crate::{ServerInfo, edit};

/// What a result is of, where that matters to how it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// `tools/call`.
    Call,
    /// `prompts/get`.
    Prompt,
    /// `resources/read`.
    Resource,
    /// `tasks/*`.
    Task,
    /// Anything else.
    Plain,
}

impl Shape {
    /// Whether the method may be answered with a question (2026-07-28).
    pub(super) const fn may_ask(self) -> bool {
        matches!(self, Self::Call | Self::Prompt | Self::Resource)
    }
}

/// A whole result, from the words of any revision.
pub(super) fn whole(info: &ServerInfo, revision: Revision, shape: Shape, result: &str) -> String {
    if !revision.is_modern() {
        return dated::result(revision, shape, result).into_owned();
    }
    let hints = if shape == Shape::Resource { hints(result) } else { "" };
    let result = if shape == Shape::Task { task_fields(result, revision) } else { result.into() };
    modern(info, "complete", hints, &result)
}

/// What has to be said about how long a result stays fresh, where the server has not said it.
fn hints(result: &str) -> &'static str {
    let has = |name| edit::member(result, name).is_some();
    match (has("ttlMs"), has("cacheScope")) {
        (true, true) => "",
        // Half a hint is none; the members that are there stay.
        (true, false) => r#","cacheScope":"private""#,
        (false, true) => r#","ttlMs":0"#,
        (false, false) => r#","ttlMs":0,"cacheScope":"private""#,
    }
}

/// A result of 2026-07-28: `kind` says how far it brings its request, `more` is written members.
pub(super) fn modern(info: &ServerInfo, kind: &str, more: &str, result: &str) -> String {
    let bare = if edit::mentions(result, "\"resultType\"") {
        edit::without(result, &["resultType"]).unwrap_or(Cow::Borrowed(result))
    } else {
        Cow::Borrowed(result)
    };
    modern_by(&info.json(), kind, more, &bare)
}

/// A result of 2026-07-28 by the server that this written `serverInfo` tells of.
pub(super) fn modern_by(info: &str, kind: &str, more: &str, result: &str) -> String {
    tagged(info, kind, more, result).unwrap_or_else(|| result.to_owned())
}

fn tagged(info: &str, kind: &str, more: &str, result: &str) -> Option<String> {
    let server = format!(r#""{META_SERVER}":{info}"#);
    // The quick look spares most results a second reading.
    let meta = edit::mentions(result, "\"_meta\"").then(|| edit::member(result, "_meta")).flatten();
    let kind = format!(r#""resultType":"{kind}"{more}"#);
    let Some(meta) = meta.filter(|meta| meta.starts_with('{')) else {
        return edit::with(result, &format!(r#"{kind},"_meta":{{{server}}}"#));
    };
    if meta.contains(META_SERVER) {
        return edit::with(result, &kind);
    }
    let result = edit::replace(result, "_meta", &edit::with(meta, &server)?)?;
    edit::with(&result, &kind)
}

/// The answer that asks: written `inputRequests`, and the state that the retry brings back.
pub(super) fn asking(info: &ServerInfo, inputs: &str, state: &str) -> String {
    let state = edit::quote(state);
    modern(
        info,
        "input_required",
        "",
        &format!(r#"{{"inputRequests":{inputs},"requestState":{state}}}"#),
    )
}

/// A server's own answer that asks, with our state around its own.
pub(super) fn asking_for(info: &ServerInfo, result: &str, state: &str) -> String {
    let bare = edit::without(result, &["requestState"]).unwrap_or(Cow::Borrowed(result));
    let state = format!(r#""requestState":{}"#, edit::quote(state));
    let result = edit::with(&bare, &state).unwrap_or_else(|| bare.clone().into_owned());
    modern(info, "input_required", "", &result)
}

/// A call that goes on as a task (`CreateTaskResult`), in the words of either revision that has
/// tasks: since 2026-07-28 the task is the result, before it was a member of it.
pub(super) fn created(info: &ServerInfo, revision: Revision, result: &str) -> String {
    let inner = edit::member(result, "task").filter(|task| task.starts_with('{'));
    if revision.is_modern() {
        let task = task_fields(inner.unwrap_or(result), revision);
        return modern(info, "task", "", &task);
    }
    if inner.is_some() {
        let bare = edit::without(result, &["resultType"]);
        return bare.map_or_else(|| result.to_owned(), Cow::into_owned);
    }
    let bare = edit::without(result, &["resultType", "_meta"]).unwrap_or(Cow::Borrowed(result));
    format!(r#"{{"task":{}}}"#, task_fields(&bare, revision))
}

/// The fields of a task that were renamed.
pub(super) fn task_fields(task: &str, revision: Revision) -> Cow<'_, str> {
    const OLD: [&str; 2] = ["ttl", "pollInterval"];
    const NEW: [&str; 2] = ["ttlMs", "pollIntervalMs"];
    let (from, to) = if revision.is_modern() { (OLD, NEW) } else { (NEW, OLD) };
    let Some(members) = edit::members(task) else { return task.into() };
    let known = |name: &str| from.iter().position(|from| *from == name);
    if !members.iter().any(|member| known(&member.name).is_some()) {
        return task.into();
    }
    let pieces = members.iter().map(|member| match known(&member.name) {
        Some(at) => Cow::Owned(format!(r#""{}":{}"#, to[at], member.value)),
        None => edit::written(task, member),
    });
    edit::object(pieces).into()
}

/// A page of a list: written definitions under the list's name, where the next page starts, and
/// the servers whose part is missing.
pub(super) fn page<'a>(
    info: &ServerInfo,
    revision: Revision,
    name: &str,
    definitions: impl Iterator<Item = Cow<'a, str>>,
    next: Option<&str>,
    gaps: &[Gap],
) -> String {
    let mut text = format!(r#"{{"{name}":["#);
    for (at, definition) in definitions.enumerate() {
        if at > 0 {
            text.push(',');
        }
        text.push_str(&definition);
    }
    text.push(']');
    if let Some(next) = next {
        let _ = write!(text, r#","nextCursor":{}"#, edit::quote(next));
    }
    let server = revision.is_modern().then(|| format!(r#""{META_SERVER}":{}"#, info.json()));
    let gaps = (!gaps.is_empty()).then(|| written_gaps(gaps));
    let metas: Vec<_> = server.into_iter().chain(gaps).collect();
    if !metas.is_empty() {
        let _ = write!(text, r#","_meta":{{{}}}"#, metas.join(","));
    }
    if revision.is_modern() {
        // What is filtered by who asks is nobody else's; what policy may change is stale at once.
        text.push_str(r#","resultType":"complete","ttlMs":0,"cacheScope":"private""#);
    }
    text.push('}');
    text
}

fn written_gaps(gaps: &[Gap]) -> String {
    let gaps = gaps.iter().map(|gap| {
        let (server, reason) = (edit::quote(&gap.server), edit::quote(&gap.reason));
        let consent = gap.consent.as_deref().map(edit::quote);
        let consent = consent.map(|url| format!(r#","consent":{url}"#)).unwrap_or_default();
        format!(r#"{{"server":{server},"reason":{reason}{consent}}}"#)
    });
    format!(r#""doorward/gaps":[{}]"#, gaps.collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info() -> ServerInfo {
        ServerInfo::new("d", "1")
    }

    #[test]
    fn a_modern_result_has_each_member_once() {
        for result in [
            r#"{"content":[],"resultType":"complete"}"#,
            r#"{"content":[],"_meta":{"k":1}}"#,
            r#"{"content":[],"_meta":{"io.modelcontextprotocol/serverInfo":{"name":"x"}}}"#,
            "{}",
        ] {
            let told = whole(&info(), Revision::Modern, Shape::Resource, result);
            let members = edit::members(&told).unwrap();
            for name in ["resultType", "_meta", "ttlMs", "cacheScope"] {
                let count = members.iter().filter(|member| member.name == name).count();
                assert_eq!(count, 1, "{name}: {told}");
            }
        }
        let told = whole(&info(), Revision::Modern, Shape::Resource, r#"{"ttlMs":5}"#);
        assert!(told.contains(r#""ttlMs":5"#) && told.contains(r#""cacheScope":"private""#));
    }

    #[test]
    fn a_task_is_told_in_the_words_of_the_clients_revision() {
        let old = r#"{"task":{"taskId":"a","status":"working","ttl":5,"pollInterval":1}}"#;
        let new =
            r#"{"resultType":"task","taskId":"a","status":"working","ttlMs":5,"pollIntervalMs":1}"#;
        for result in [old, new] {
            let modern = created(&info(), Revision::Modern, result);
            let modern: serde_json::Value = serde_json::from_str(&modern).unwrap();
            assert_eq!((&modern["resultType"], &modern["ttlMs"]), (&"task".into(), &5.into()));
            assert_eq!((&modern["taskId"], &modern["pollIntervalMs"]), (&"a".into(), &1.into()));
            let legacy = created(&info(), Revision::Nov2025, result);
            let legacy: serde_json::Value = serde_json::from_str(&legacy).unwrap();
            assert!(legacy.get("resultType").is_none());
            let task = r#"{"pollInterval":1,"status":"working","taskId":"a","ttl":5}"#;
            assert_eq!(legacy["task"], serde_json::from_str::<serde_json::Value>(task).unwrap());
        }
    }
}
