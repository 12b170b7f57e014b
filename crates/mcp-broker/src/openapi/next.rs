//! How to get the next page of a result.
//!
//! A hint is given only where the next call is certain to be one of the same operation: by
//! parameters that it declares. A link to another place is never followed.

use http::HeaderMap;
use http::header::LINK;
use serde_json::{Map, Value};

use super::escape;
use super::operation::Operation;
use super::parameter::{Parameter, Place};

/// Members that hold the next page's token, number or link, as APIs call them.
const MEMBERS: [&str; 30] = [
    "/nextPageToken",
    "/next_page_token",
    "/nextCursor",
    "/next_cursor",
    "/nextToken",
    "/next_token",
    "/NextToken",
    "/continuationToken",
    "/continuation_token",
    "/nextMarker",
    "/next_page",
    "/nextPage",
    "/next",
    "/nextLink",
    "/@odata.nextLink",
    "/links/next",
    "/_links/next/href",
    "/_links/next",
    "/meta/next_cursor",
    "/meta/nextCursor",
    "/meta/next_page",
    "/meta/pagination/next_page",
    "/meta/next_token",
    "/response_metadata/next_cursor",
    "/pagination/next_cursor",
    "/pagination/nextCursor",
    "/pagination/next_page",
    "/pagination/next",
    "/paging/next/after",
    "/paging/cursors/after",
];

/// Parameters that take a token, the likelier first.
const TOKENS: [&str; 18] = [
    "cursor",
    "page_token",
    "pageToken",
    "next_page_token",
    "nextPageToken",
    "next_token",
    "nextToken",
    "NextToken",
    "next_cursor",
    "nextCursor",
    "continuation_token",
    "continuationToken",
    "continuation",
    "start_cursor",
    "after",
    "marker",
    "page[cursor]",
    "page[after]",
];

/// Parameters that take a page's number.
const NUMBERS: [&str; 5] = ["page", "page_number", "pageNumber", "page[number]", "p"];

/// The arguments of the next page: those of this call with what changes.
pub(super) fn arguments(
    operation: &Operation,
    given: &Map<String, Value>,
    headers: &HeaderMap,
    body: Option<&Value>,
) -> Option<Map<String, Value>> {
    let changes = linked(operation, headers)
        .or_else(|| body.and_then(|body| told(operation, body)))
        .or_else(|| body.and_then(|body| after_last(operation, body)))?;
    let mut next = given.clone();
    let before = next.clone();
    for (argument, value) in changes {
        next.insert(argument, value);
    }
    // The same call again would not lead on.
    (next != before).then_some(next)
}

type Changes = Vec<(String, Value)>;

/// `Link: <…>; rel="next"` (RFC 8288).
fn linked(operation: &Operation, headers: &HeaderMap) -> Option<Changes> {
    let lines = headers.get_all(LINK).iter().filter_map(|line| line.to_str().ok());
    let next = lines.flat_map(links).find(|(_, rels)| {
        rels.split_ascii_whitespace().any(|rel| rel.eq_ignore_ascii_case("next"))
    })?;
    from_url(operation, &next.0)
}

/// The links of a header line: target and `rel`.
fn links(line: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = line;
    while let Some((target, after)) =
        rest.split_once('<').and_then(|(_, rest)| rest.split_once('>'))
    {
        // Parameters run to the next `<`; commas may stand in quoted ones.
        let end = after.find(",<").or_else(|| after.find(", <")).unwrap_or(after.len());
        let parameters = &after[..end];
        let rel = parameters.split(';').find_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            name.trim()
                .eq_ignore_ascii_case("rel")
                .then(|| value.trim().trim_matches([',', ' ', '"']).to_owned())
        });
        found.push((target.to_owned(), rel.unwrap_or_default()));
        rest = &after[end..];
    }
    found
}

/// What a link to the next page changes: the query's values, where they are declared parameters.
fn from_url(operation: &Operation, url: &str) -> Option<Changes> {
    let query = url.split_once('?')?.1.split('#').next().unwrap_or_default();
    let mut changes: Changes = Vec::new();
    for (name, value) in escape::pairs(query) {
        let Some(parameter) = query_parameter(operation, &name) else { continue };
        if matches!(parameter.kind.as_deref(), Some("array" | "object")) {
            // What was given stays: such values do not change from page to page.
            continue;
        }
        changes.push((parameter.argument.clone(), typed(parameter, &value)?));
    }
    (!changes.is_empty()).then_some(changes)
}

/// A token, number or link in the body.
fn told(operation: &Operation, body: &Value) -> Option<Changes> {
    if body.get("has_more") == Some(&Value::Bool(false)) {
        return None;
    }
    let found = MEMBERS.iter().filter_map(|pointer| body.pointer(pointer));
    for value in found {
        let changes = match value {
            Value::String(text) if text.is_empty() => None,
            Value::String(text)
                if text.contains('?') && (text.contains("://") || text.starts_with(['/', '?'])) =>
            {
                from_url(operation, text)
            }
            Value::String(text) if text.contains("://") => None,
            Value::String(text) => {
                let number = if text.bytes().all(|byte| byte.is_ascii_digit()) {
                    NUMBERS.as_slice()
                } else {
                    &[]
                };
                let parameter = first(operation, TOKENS.iter().chain(number))?;
                Some(vec![(parameter.argument.clone(), typed(parameter, text)?)])
            }
            Value::Number(number) => {
                let parameter = first(operation, NUMBERS.iter().chain(&TOKENS))?;
                Some(vec![(parameter.argument.clone(), typed(parameter, &number.to_string())?)])
            }
            _ => None,
        };
        if changes.is_some() {
            return changes;
        }
    }
    None
}

/// `has_more` with a list: the next page begins after the last one's id.
fn after_last(operation: &Operation, body: &Value) -> Option<Changes> {
    let has_more = body.get("has_more").or_else(|| body.get("hasMore"));
    if has_more != Some(&Value::Bool(true)) {
        return None;
    }
    let parameter = query_parameter(operation, "starting_after")?;
    let last = body.get("data")?.as_array()?.last()?.get("id")?.as_str()?;
    Some(vec![(parameter.argument.clone(), last.into())])
}

fn query_parameter<'a>(operation: &'a Operation, name: &str) -> Option<&'a Parameter> {
    operation
        .parameters
        .iter()
        .find(|parameter| parameter.place == Place::Query && parameter.name == name)
}

fn first<'a, 'n>(
    operation: &'a Operation,
    mut names: impl Iterator<Item = &'n &'n str>,
) -> Option<&'a Parameter> {
    names.find_map(|name| query_parameter(operation, name))
}

/// A text as the type that the parameter has.
fn typed(parameter: &Parameter, text: &str) -> Option<Value> {
    match parameter.kind.as_deref() {
        Some("integer") => text.parse::<i64>().ok().map(Value::from),
        Some("number") => serde_json::from_str(text).ok().filter(Value::is_number),
        Some("boolean") => text.parse::<bool>().ok().map(Value::from),
        _ => Some(text.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_read() {
        let line = r#"<https://x/a?page=1>; rel="prev", <https://x/a?page=3&q=a,b>; title="a, b"; rel="next last""#;
        let found = links(line);
        assert_eq!(found[0], ("https://x/a?page=1".into(), "prev".into()));
        assert_eq!(found[1], ("https://x/a?page=3&q=a,b".into(), "next last".into()));
        assert_eq!(links("nonsense < >>"), [(" ".to_owned(), String::new())]);
        assert!(links("<unclosed").is_empty());
    }
}
