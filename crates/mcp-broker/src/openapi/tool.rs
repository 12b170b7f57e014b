//! What a tool's definition says of an operation.

use std::collections::BTreeSet;

use http::Method;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};

use super::body::Body;
use super::document::{At, Document, Refused};
use super::operation::BODY;
use super::parameter::Parameter;
use super::schema::{Conversion, Way, kind};

/// The longest name of a tool.
const LONGEST_NAME: usize = 64;
/// The longest description taken over, in characters.
const LONGEST_DESCRIPTION: usize = 4_000;
/// The largest schema of results, in bytes; a larger one is left out.
const LARGEST_OUTPUT: usize = 64 << 10;
/// The largest definition, in bytes.
const LARGEST: usize = 256 << 10;

/// The tool's name: the `operationId`, else method and path, in letters that are legal and not
/// taken yet.
pub(super) fn name(
    operation: &At<'_>,
    method: &Method,
    path: &str,
    taken: &mut BTreeSet<String>,
) -> String {
    let wanted = match operation.text("operationId").map(str::trim) {
        Some(id) if !id.is_empty() => id.to_owned(),
        _ => format!("{}{path}", method.as_str().to_ascii_lowercase()),
    };
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let mut plain = String::new();
    for c in wanted.chars() {
        match legal(c) {
            true => plain.push(c),
            // `/pets/{id}/toys` is `pets_id_toys`.
            false if !plain.ends_with('_') => plain.push('_'),
            false => {}
        }
    }
    let plain = plain.trim_matches('_');
    let plain = if plain.is_empty() { "operation" } else { plain };
    let cut = |most: usize| plain.chars().take(most).collect::<String>();
    let mut name = cut(LONGEST_NAME);
    let mut count = 2;
    while !taken.insert(name.clone()) {
        let end = format!("_{count}");
        name = cut(LONGEST_NAME - end.len()) + &end;
        count += 1;
    }
    name
}

/// An operation whose definition is written.
pub(super) struct Subject<'a, 'd> {
    pub(super) document: &'d Document,
    pub(super) name: &'a str,
    pub(super) method: &'a Method,
    pub(super) path: &'a str,
    pub(super) operation: &'a At<'d>,
    pub(super) parameters: &'a [(Parameter, At<'d>, Option<At<'d>>)],
    pub(super) body: Option<(&'a Body, Option<At<'d>>, At<'d>)>,
    pub(super) with_output: bool,
}

/// The MCP definition of a tool.
pub(super) fn definition(subject: &Subject<'_, '_>) -> Result<Box<RawValue>, Refused> {
    let mut tool = Map::new();
    tool.insert("name".into(), subject.name.into());
    if let Some(summary) =
        subject.operation.text("summary").map(str::trim).filter(|text| !text.is_empty())
    {
        tool.insert("title".into(), short(summary, 200).into());
    }
    tool.insert("description".into(), description(subject).into());
    tool.insert("inputSchema".into(), input(subject)?);
    if let Some(output) = output(subject) {
        tool.insert("outputSchema".into(), output);
    }
    tool.insert("annotations".into(), annotations(subject.method));
    let json = to_raw_value(&tool).map_err(|error| subject.operation.refuse(error.to_string()))?;
    if json.get().len() > LARGEST {
        return Err(subject.operation.refuse("its definition is larger than 256 KiB"));
    }
    Ok(json)
}

fn description(subject: &Subject<'_, '_>) -> String {
    let said = ["description", "summary"].iter().find_map(|member| {
        subject.operation.text(member).map(str::trim).filter(|text| !text.is_empty())
    });
    let mut text = match said {
        Some(text) => short(text, LONGEST_DESCRIPTION),
        None => format!("{} {}", subject.method, subject.path),
    };
    if subject.operation.is("deprecated") {
        text.push_str("\n\nDeprecated.");
    }
    text
}

/// Parameters by their names, and the body as `body`.
fn input(subject: &Subject<'_, '_>) -> Result<Value, Refused> {
    let mut conversion = Conversion::new(subject.document, Way::Up);
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for (parameter, place, schema) in subject.parameters {
        let mut property = match schema {
            Some(schema) => match conversion.convert(schema)? {
                Value::Object(members) => members,
                _ => Map::new(),
            },
            None => Map::new(),
        };
        // A parameter's own words are nearer than its schema's.
        if let Some(text) = place.text("description").map(str::trim).filter(|text| !text.is_empty())
        {
            property.insert("description".into(), short(text, LONGEST_DESCRIPTION).into());
        }
        if place.is("deprecated") {
            property.insert("deprecated".into(), true.into());
        }
        if parameter.required && parameter.default.is_none() {
            required.push(Value::from(parameter.argument.as_str()));
        }
        properties.insert(parameter.argument.clone(), Value::Object(property));
    }
    if let Some((body, schema, place)) = &subject.body {
        let schema = schema.as_ref().map(|schema| conversion.convert(schema)).transpose()?;
        let mut argument = body.argument(schema);
        if let (Value::Object(members), Some(text)) = (&mut argument, place.text("description")) {
            let text = short(text.trim(), LONGEST_DESCRIPTION);
            members.entry("description").or_insert_with(|| text.into());
        }
        if body.required {
            required.push(BODY.into());
        }
        properties.insert(BODY.into(), argument);
    }
    let mut schema = Map::new();
    schema.insert("type".into(), "object".into());
    schema.insert("properties".into(), Value::Object(properties));
    if !required.is_empty() {
        schema.insert("required".into(), Value::Array(required));
    }
    schema.insert("additionalProperties".into(), false.into());
    let definitions = conversion.definitions()?;
    if !definitions.is_empty() {
        schema.insert("$defs".into(), Value::Object(definitions));
    }
    Ok(Value::Object(schema))
}

/// The schema of results: that of the only success, where it is a JSON object. With another
/// success beside it a result could be without structure, which MCP does not allow then.
fn output(subject: &Subject<'_, '_>) -> Option<Value> {
    if !subject.with_output {
        return None;
    }
    let responses = subject.operation.member("responses")?;
    let mut successes = responses.members().filter(|(code, _)| code.starts_with('2'));
    let (code, only) = successes.next()?;
    if successes.next().is_some() || matches!(code, "204" | "205") {
        return None;
    }
    let response = subject.document.resolve(only).ok()?;
    let content = response.member("content")?;
    let all: Vec<_> = content.members().collect();
    if !all.iter().all(|(media, _)| is_json(media)) {
        return None;
    }
    let schema = all.first()?.1.member("schema")?;
    if kind(subject.document, &schema) != Some("object") {
        return None;
    }
    let mut conversion = Conversion::new(subject.document, Way::Down);
    let Value::Object(mut output) = conversion.convert(&schema).ok()? else { return None };
    if output.get("type").is_some_and(Value::is_array) {
        // It may be null as a whole: no structured content then.
        return None;
    }
    output.insert("type".into(), "object".into());
    let definitions = conversion.definitions().ok()?;
    if !definitions.is_empty() {
        output.insert("$defs".into(), Value::Object(definitions));
    }
    let output = Value::Object(output);
    (output.to_string().len() <= LARGEST_OUTPUT).then_some(output)
}

/// Whether a media type is JSON.
pub(super) fn is_json(media: &str) -> bool {
    let essence = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json"
        || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// What the method promises (RFC 9110 §9.2). `POST` and `PATCH` promise nothing, and what is not
/// said counts as the worse in MCP.
fn annotations(method: &Method) -> Value {
    match *method {
        Method::GET | Method::HEAD => json!({ "readOnlyHint": true, "openWorldHint": true }),
        Method::PUT => {
            json!({ "readOnlyHint": false, "idempotentHint": true, "openWorldHint": true })
        }
        Method::DELETE => json!({
            "readOnlyHint": false, "destructiveHint": true, "idempotentHint": true, "openWorldHint": true,
        }),
        _ => json!({ "readOnlyHint": false, "openWorldHint": true }),
    }
}

fn short(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}
