//! What the arguments of a tool are for, by their names and schemas.

use serde_json::Value;

use super::verbs;
use crate::contract::{EffectKind, SinkKind};

/// What an argument is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// It says who or what is affected, by a value of this kind.
    Sink(SinkKind),
    /// It says who or what is affected, in a way that is not told apart further.
    Control,
    /// It is only carried.
    Content,
}

/// One argument of a tool.
#[derive(Debug, Clone)]
pub(super) struct Argument {
    pub(super) pointer: String,
    pub(super) usage: Use,
    pub(super) required: bool,
}

/// What is known of the tool while its arguments are looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct About<'a> {
    pub(super) effect: EffectKind,
    /// The tool's name, description and arguments, in lower case.
    pub(super) text: &'a str,
}

/// The arguments in a JSON Schema, in its order.
pub(super) fn of(schema: &Value, about: About<'_>) -> Vec<Argument> {
    let properties = schema.get("properties").and_then(Value::as_object);
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let mut arguments = Vec::new();
    for (name, own) in properties.into_iter().flatten() {
        let required = required.contains(&name.as_str());
        let path = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
        let own = resolved(schema, own);
        if is_kind(own, "array") {
            let items = own.get("items").map(|items| resolved(schema, items));
            let nested = items.filter(|items| is_kind(items, "object"));
            if let Some(items) = nested.filter(|items| items.get("properties").is_some()) {
                let inner = of_object(schema, items, &path, "/*", required, about);
                if inner.iter().any(|one| one.usage != Use::Control) {
                    arguments.extend(inner);
                    continue;
                }
            }
            let usage = usage(name, items.unwrap_or(own), about);
            let pointer = if matches!(usage, Use::Sink(_)) { format!("{path}/*") } else { path };
            arguments.push(Argument { pointer, usage, required });
        } else {
            let usage = usage(name, own, about);
            arguments.push(Argument { pointer: path, usage, required });
        }
    }
    arguments
}

fn of_object(
    root: &Value,
    object: &Value,
    path: &str,
    step: &str,
    required: bool,
    about: About<'_>,
) -> Vec<Argument> {
    let properties = object.get("properties").and_then(Value::as_object);
    let inner = properties.into_iter().flatten().map(|(name, own)| Argument {
        pointer: format!("{path}{step}/{}", name.replace('~', "~0").replace('/', "~1")),
        usage: usage(name, resolved(root, own), about),
        required,
    });
    inner.collect()
}

/// Follows a reference within the schema, and the first branch that says a type.
fn resolved<'a>(root: &'a Value, mut schema: &'a Value) -> &'a Value {
    for _ in 0..8 {
        let reference = schema.get("$ref").and_then(Value::as_str);
        let target = reference.and_then(|text| root.pointer(text.strip_prefix('#')?));
        let branch = ["anyOf", "oneOf", "allOf"].iter().find_map(|word| {
            let branches = schema.get(*word)?.as_array()?;
            branches.iter().find(|one| !is_kind(one, "null"))
        });
        match target.or(branch) {
            Some(next) => schema = next,
            None => break,
        }
    }
    schema
}

fn is_kind(schema: &Value, kind: &str) -> bool {
    match schema.get("type") {
        Some(Value::String(one)) => one == kind,
        Some(Value::Array(many)) => many.iter().any(|one| one == kind),
        _ => false,
    }
}

const CONTENT: &[&str] = &[
    "subject",
    "body",
    "text",
    "message",
    "content",
    "contents",
    "html",
    "markdown",
    "title",
    "description",
    "summary",
    "note",
    "notes",
    "comment",
    "caption",
    "memo",
    "reason",
    "format",
    "mime",
    "limit",
    "page",
    "offset",
    "max",
    "min",
    "count",
    "sort",
    "order",
    "language",
    "locale",
    "timezone",
    "color",
    "colour",
    "emoji",
    "reaction",
    "payload",
    "data",
    "blocks",
    "draft",
    "priority",
    "labels",
    "tags",
    "icon",
    "dry",
    "verbose",
    "encoding",
    "width",
    "height",
    "index",
    "quality",
    "size",
    "line",
    "lines",
    "position",
    "type",
    "old",
    "edits",
    "location",
    "details",
    "answer",
    "review",
    "rating",
    "agenda",
    "greeting",
    "footer",
    "signature",
];
const TIMES: &[&str] = &[
    "date",
    "time",
    "start",
    "end",
    "day",
    "when",
    "due",
    "deadline",
    "until",
    "since",
    "duration",
    "from",
    "at",
    "begin",
    "departure",
    "arrival",
    "recurring",
    "recurrence",
];
const PEOPLE: &[&str] = &[
    "to",
    "cc",
    "bcc",
    "recipient",
    "recipients",
    "participants",
    "participant",
    "attendees",
    "attendee",
    "invitees",
    "invitee",
    "guests",
    "assignee",
    "assignees",
    "receiver",
    "member",
    "members",
    "user",
    "users",
    "username",
    "owner",
    "reviewer",
    "reviewers",
    "person",
    "contact",
    "sender",
    "beneficiary",
    "payee",
];
/// Of these, whom something is sent to.
const ADDRESSED: &[&str] = &[
    "to",
    "cc",
    "bcc",
    "recipient",
    "recipients",
    "participants",
    "participant",
    "attendees",
    "attendee",
    "invitees",
    "invitee",
    "guests",
    "receiver",
];
const NAMES: &[&str] = &[
    "channel",
    "channels",
    "hotel",
    "restaurant",
    "company",
    "group",
    "team",
    "repo",
    "repository",
    "project",
    "organization",
    "organisation",
    "org",
    "workspace",
    "folder",
    "label",
    "board",
    "list",
    "calendar",
    "city",
    "airline",
    "name",
    "table",
    "database",
    "topic",
    "playlist",
    "product",
    "service",
    "account",
    "car",
    "flight",
    "room",
];

/// Switches that make a call worse.
const GRAVE: &[&str] = &[
    "force",
    "recursive",
    "all",
    "public",
    "permanent",
    "permanently",
    "admin",
    "everyone",
    "private",
    "anyone",
    "confirm",
    "approve",
    "accept",
    "overwrite",
    "hard",
    "archived",
    "trash",
    "trashed",
];

/// What lets somebody in.
const SECRETS: &[&str] = &[
    "password",
    "passphrase",
    "secret",
    "token",
    "credential",
    "permission",
    "permissions",
    "role",
    "scope",
];

/// What is run.
const PROGRAMS: &[&str] =
    &["command", "cmd", "sql", "script", "code", "expression", "function", "statement", "shell"];

/// Where files are.
const PATHS: &[&str] = &[
    "path",
    "paths",
    "filename",
    "file",
    "directory",
    "dir",
    "src",
    "dst",
    "destination",
    "filepath",
    "attachments",
    "attachment",
];

/// What one argument is for.
pub(super) fn usage(name: &str, schema: &Value, about: About<'_>) -> Use {
    let words = verbs::words(name);
    let has = |list: &[&str]| words.iter().any(|word| list.contains(&word.as_str()));
    let format = schema.get("format").and_then(Value::as_str).unwrap_or_default();
    let described = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    let described = described.to_ascii_lowercase();
    let says = |word: &str| described.contains(word);
    let binding =
        matches!(about.effect, EffectKind::Commit | EffectKind::Admin | EffectKind::Destroy);
    if is_kind(schema, "boolean") {
        let grave = has(GRAVE);
        return if grave { Use::Control } else { Use::Content };
    }
    if format == "email" || has(&["email", "emails", "mailto"]) && !has(&["id", "subject", "body"])
    {
        return Use::Sink(SinkKind::Email);
    }
    if has(&["iban"]) {
        return Use::Sink(SinkKind::Iban);
    }
    if has(PEOPLE) && !has(&["id", "type", "name"]) || has(&["recipient"]) {
        let addressed = has(ADDRESSED);
        return Use::Sink(people(&described, addressed, about));
    }
    if matches!(format, "uri" | "url" | "iri")
        || has(&["url", "uri", "link", "href", "endpoint", "webhook"])
    {
        return Use::Sink(SinkKind::Url);
    }
    if has(&["host", "hostname", "domain"]) {
        return Use::Sink(SinkKind::Host);
    }
    if has(&["phone", "tel", "mobile", "msisdn"]) {
        return Use::Sink(SinkKind::Phone);
    }
    if has(SECRETS) {
        return Use::Sink(SinkKind::Id);
    }
    if has(PROGRAMS) {
        return Use::Sink(SinkKind::Text);
    }
    if has(&["amount", "price", "sum", "budget", "payment"]) {
        return Use::Sink(SinkKind::Money);
    }
    if has(PATHS) && !has(&["id", "ids", "content", "contents"]) {
        return Use::Sink(SinkKind::Path);
    }
    if has(&["id", "ids", "key", "uuid", "slug", "sha", "branch", "ref", "number", "identifier"]) {
        return Use::Sink(SinkKind::Id);
    }
    if format.starts_with("date") || format == "time" || has(TIMES) || says("iso 8601") {
        return if binding { Use::Sink(SinkKind::Date) } else { Use::Content };
    }
    if has(CONTENT) {
        return Use::Content;
    }
    if has(NAMES) {
        return Use::Sink(SinkKind::Name);
    }
    if is_kind(schema, "object") || !is_kind(schema, "string") && schema.get("enum").is_none() {
        return Use::Control;
    }
    Use::Sink(SinkKind::Name)
}

/// People go by their addresses, their accounts or their names, as the tool will have it.
fn people(described: &str, addressed: bool, about: About<'_>) -> SinkKind {
    let says = |word: &str| described.contains(word);
    if says("iban") || about.text.contains("iban") && about.effect == EffectKind::Commit {
        return SinkKind::Iban;
    }
    if says("email") || says("e-mail") {
        return SinkKind::Email;
    }
    let mails = ["email", "e-mail", "attendee", "participant", "calendar"];
    if addressed && mails.iter().any(|word| about.text.contains(word)) {
        return SinkKind::Email;
    }
    SinkKind::Name
}
