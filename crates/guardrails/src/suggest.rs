//! Drafts contracts from what a server says of its tools, for a person to review.
//!
//! A draft is careful: what no rule knows stays a way out with every argument controlling, no
//! result is trusted but for ids, numbers and dates that can carry no sentence, and a server's word
//! that a tool is harmless is written down beside the draft, not believed.
//!
//! ```
//! use doorward_guardrails::{Contracts, EffectKind, suggest};
//! let tools = [serde_json::json!({
//!     "name": "send_email",
//!     "inputSchema": { "type": "object", "required": ["to", "body"], "properties": {
//!         "to": { "type": "array", "items": { "type": "string", "format": "email" } },
//!         "body": { "type": "string" },
//!     }},
//! })];
//! let drafts = suggest("mail", &tools);
//! assert_eq!(drafts[0].spec.effect, EffectKind::Egress);
//! assert_eq!(drafts[0].spec.sinks[0].pointer, "/to/*");
//! assert!(drafts[0].to_toml().contains(r#"tool     = "mail__send_email""#));
//! Contracts::compile(drafts.into_iter().map(|draft| draft.spec).collect())?;
//! # Ok::<(), doorward_guardrails::ContractError>(())
//! ```

mod arguments;
mod coverage;
mod verbs;

use std::fmt::Write as _;

use doorward_core::Integrity;
use serde_json::Value;

use crate::contract::{
    ContractSpec, EffectKind, FieldSpec, Hints, Mode, Requires, ResultSpec, SinkKind, SinkSpec,
};

pub use coverage::{Coverage, Covered};

/// A drafted contract.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The contract.
    pub spec: ContractSpec,
    /// What a reviewer should know or decide.
    pub notes: Vec<String>,
}

/// Drafts a contract for each tool of a server: MCP tool definitions, as `tools/list` gives them.
/// What is no definition is left out.
pub fn suggest(server: &str, tools: &[Value]) -> Vec<Draft> {
    let prefix = if server.is_empty() { String::new() } else { format!("{server}__") };
    let named = tools.iter().filter_map(|tool| Some((tool.get("name")?.as_str()?, tool)));
    named
        .filter(|(name, _)| !name.is_empty() && !name.contains('*'))
        .map(|(name, tool)| draft(&prefix, name, tool))
        .collect()
}

/// The words by which people ask for a tool that nobody described, and those of what it is about,
/// by its name.
pub(crate) fn words_for(tool: &str) -> Wording {
    let name = tool.rsplit_once("__").map_or(tool, |(_, name)| name);
    let saying = verbs::saying(name);
    let known = saying.intent.iter().map(|word| (*word).into());
    let words: Vec<String> = verbs::words(name).into_iter().filter(|word| word.len() > 2).collect();
    let own = words.iter().map(|word| word.as_str().into());
    let asking = known.chain(own).collect();
    let nouns = words.into_iter().filter(|word| !verbs::is_verb(word)).collect();
    let name = verbs::words(name).join(" ");
    Wording { asking, nouns, name, reads: saying.known && saying.effect == EffectKind::Read }
}

/// How people speak of a tool, as far as its name tells.
pub(crate) struct Wording {
    /// The words with which they ask for it.
    pub(crate) asking: Vec<Box<str>>,
    /// What it is about.
    pub(crate) nouns: Vec<String>,
    name: String,
    /// Whether it says that it only reads: then to speak of the thing is to ask.
    pub(crate) reads: bool,
}

impl Wording {
    /// Its name as words.
    pub(crate) fn called(self) -> String {
        self.name
    }
}

fn draft(prefix: &str, name: &str, tool: &Value) -> Draft {
    let described = tool.get("description").and_then(Value::as_str).unwrap_or_default();
    let schema = tool.get("inputSchema").or_else(|| tool.get("parameters"));
    let schema = schema.unwrap_or(&Value::Null);
    let hints = Hints::of(tool);
    let mut notes = Vec::new();
    let saying = verbs::saying(name);
    let mut effect = saying.effect;
    if !saying.known {
        notes.push("its name does not say what it does".to_owned());
    }
    let text = format!("{name} {described} {schema}").to_ascii_lowercase();
    let arguments = |effect| arguments::of(schema, arguments::About { effect, text: &text });
    effect = sharpened(name, effect, &arguments(effect), &text);
    effect = hinted(effect, hints, &mut notes);
    let mut spec = ContractSpec::new(&format!("{prefix}{name}"), effect);
    if effect == EffectKind::Read {
        label(&mut spec, name, tool, &mut notes);
        return Draft { spec, notes };
    }
    let reads = saying.effect == EffectKind::Read;
    spec.mode = Mode::Ask;
    sort_arguments(&mut spec, arguments(effect));
    if reads && hints.destructive != Some(true) {
        notes.push("it reads, but what it is called with reaches others".to_owned());
        spec.requires = Some(Requires { control: Integrity::User, choice: Integrity::User });
    } else {
        let mut words: Vec<String> = saying.intent.iter().map(|word| (*word).to_owned()).collect();
        if verbs::rank(effect) > verbs::rank(saying.effect) && effect == EffectKind::Egress {
            words.push("invite".to_owned());
        }
        if words.is_empty() || effect == EffectKind::Destroy && saying.effect == EffectKind::Read {
            words.extend(verbs::intent_of(effect).iter().map(|word| (*word).to_owned()));
        }
        words.dedup();
        if saying.known {
            spec.intent = Some(words);
        }
    }
    Draft { spec, notes }
}

fn moves_money(text: &str) -> bool {
    ["iban", "payment", "transaction", "money"].iter().any(|word| text.contains(word))
}

/// What the arguments add to what the name says.
fn sharpened(
    name: &str,
    effect: EffectKind,
    arguments: &[arguments::Argument],
    text: &str,
) -> EffectKind {
    let takes =
        |kind: SinkKind| arguments.iter().any(|one| one.usage == arguments::Use::Sink(kind));
    let words = verbs::words(name);
    let web = ["web", "internet", "online", "google", "bing", "webpage", "website", "url"];
    let at_least = |least: EffectKind| {
        if verbs::rank(least) > verbs::rank(effect) { least } else { effect }
    };
    if effect == EffectKind::Read {
        let outward = takes(SinkKind::Url)
            || takes(SinkKind::Host)
            || words.iter().any(|word| web.contains(&word.as_str()));
        return if outward {
            EffectKind::Egress
        } else if takes(SinkKind::Text)
            && !text.contains("read-only")
            && !text.contains("read only")
        {
            EffectKind::Commit
        } else {
            effect
        };
    }
    let pays = takes(SinkKind::Money) && (takes(SinkKind::Iban) || moves_money(text));
    if pays && matches!(effect, EffectKind::Egress | EffectKind::Write) {
        return EffectKind::Commit;
    }
    if takes(SinkKind::Email) || takes(SinkKind::Url) || takes(SinkKind::Phone) {
        return at_least(EffectKind::Egress);
    }
    effect
}

/// What the server adds: it may make a draft stricter, never looser.
fn hinted(effect: EffectKind, hints: Hints, notes: &mut Vec<String>) -> EffectKind {
    let destroys = hints.destructive == Some(true) && hints.read_only != Some(true);
    if destroys && matches!(effect, EffectKind::Read | EffectKind::Write) {
        notes.push("its server calls it destructive".to_owned());
        return EffectKind::Destroy;
    }
    if hints.read_only == Some(false) && effect == EffectKind::Read {
        notes.push("its name says that it reads, its server that it changes something".to_owned());
        return EffectKind::Write;
    }
    if hints.read_only == Some(true) && effect != EffectKind::Read {
        notes
            .push("its server says that it only reads: if that is so, make it a `read`".to_owned());
    }
    effect
}

fn sort_arguments(spec: &mut ContractSpec, arguments: Vec<arguments::Argument>) {
    let mut control = Vec::new();
    for arguments::Argument { pointer, usage, required } in arguments {
        match usage {
            arguments::Use::Content => spec.content.push(pointer),
            arguments::Use::Control if required => control.push(pointer),
            // What no list names controls as well, but may be left out.
            arguments::Use::Control => {}
            arguments::Use::Sink(kind) => {
                spec.sinks.push(SinkSpec { pointer, kind, optional: !required, requires: None });
            }
        }
    }
    if !control.is_empty() || spec.sinks.is_empty() {
        spec.control = Some(control);
    }
}

/// Results that are the principal's own, by what a tool is about.
const OWN: &[&str] = &[
    "iban",
    "balance",
    "whoami",
    "me",
    "self",
    "time",
    "date",
    "timezone",
    "quota",
    "settings",
    "preferences",
    "permissions",
    "capabilities",
    "version",
    "directories",
];
/// Fields that can be held to a kind that carries no sentence.
const PLAIN: &[(&str, SinkKind)] = &[
    ("id", SinkKind::Id),
    ("number", SinkKind::Id),
    ("date", SinkKind::Date),
    ("created_at", SinkKind::Date),
    ("start_time", SinkKind::Date),
    ("end_time", SinkKind::Date),
    ("amount", SinkKind::Money),
    ("price", SinkKind::Money),
    ("rating", SinkKind::Money),
];
/// How deep such fields are looked for.
const PLACES: &[&str] = &["", "/*", "/*/*"];

/// Labels what a read gives back.
fn label(spec: &mut ContractSpec, name: &str, tool: &Value, notes: &mut Vec<String>) {
    let words = verbs::words(name);
    let own = words.iter().any(|word| OWN.contains(&word.as_str()));
    if own && words.len() <= 4 {
        spec.result = Some(ResultSpec { integrity: Integrity::Trusted, readers: None });
        notes.push(
            "it seems to tell only of the caller: check that nobody else writes it".to_owned(),
        );
        return;
    }
    for place in PLACES {
        for (key, kind) in PLAIN {
            let (pointer, integrity) = (format!("{place}/{key}"), Integrity::Trusted);
            spec.fields.push(FieldSpec { pointer, integrity, kind: Some(*kind) });
        }
    }
    if let Some(schema) = tool.get("outputSchema") {
        outputs(schema, "", 0, &mut spec.fields);
    }
    notes.push(
        "anybody may have written what it gives back: name the fields that only you fill"
            .to_owned(),
    );
}

/// Adds the fields of an output schema that are ids, numbers, dates or fixed words.
fn outputs(schema: &Value, path: &str, depth: usize, into: &mut Vec<FieldSpec>) {
    if depth > 4 || into.len() > 128 {
        return;
    }
    if let Some(items) = schema.get("items") {
        return outputs(items, &format!("{path}/*"), depth + 1, into);
    }
    for (key, own) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let pointer = format!("{path}/{}", key.replace('~', "~0").replace('/', "~1"));
        let format = own.get("format").and_then(Value::as_str).unwrap_or_default();
        let kind = match own.get("type").and_then(Value::as_str) {
            Some("integer" | "number") => Some(SinkKind::Money),
            Some("string") if format.starts_with("date") => Some(SinkKind::Date),
            Some("string") if format == "uuid" || key.ends_with("_id") || key.ends_with("Id") => {
                Some(SinkKind::Id)
            }
            Some("object" | "array") => {
                outputs(own, &pointer, depth + 1, into);
                None
            }
            _ => None,
        };
        let fresh = !into.iter().any(|known| known.pointer == pointer);
        if let Some(kind) = kind.filter(|_| fresh) {
            into.push(FieldSpec { pointer, integrity: Integrity::Trusted, kind: Some(kind) });
        }
    }
}

impl Draft {
    /// The contract as TOML, with the notes before it as comments.
    pub fn to_toml(&self) -> String {
        let Self { spec, notes } = self;
        let mut text = String::new();
        for note in notes {
            // Infallible: a String takes all that is written to it.
            let _ = writeln!(text, "# {}", note.replace(['\n', '\r'], " "));
        }
        let _ = writeln!(text, "[[contract]]\ntool     = {}", quoted(spec.tool.as_str()));
        let _ = writeln!(text, "effect   = \"{}\"", spec.effect.as_str());
        if let Some(result) = &spec.result {
            let _ =
                writeln!(text, "result   = {{ integrity = \"{}\" }}", result.integrity.as_str());
        }
        if !spec.fields.is_empty() {
            text.push_str("fields   = [\n");
            for FieldSpec { pointer, integrity, kind } in &spec.fields {
                let kind =
                    kind.map_or_else(String::new, |kind| format!(", kind = \"{}\"", kind.as_str()));
                let (pointer, integrity) = (quoted(pointer), integrity.as_str());
                let _ = writeln!(
                    text,
                    "    {{ pointer = {pointer}, integrity = \"{integrity}\"{kind} }},"
                );
            }
            text.push_str("]\n");
        }
        if let Some(control) = &spec.control {
            let _ = writeln!(text, "control  = {}", list(control));
        }
        if !spec.sinks.is_empty() {
            text.push_str("sinks    = [\n");
            for sink in &spec.sinks {
                let optional = if sink.optional { ", optional = true" } else { "" };
                let (pointer, kind) = (quoted(&sink.pointer), sink.kind.as_str());
                let _ =
                    writeln!(text, "    {{ pointer = {pointer}, kind = \"{kind}\"{optional} }},");
            }
            text.push_str("]\n");
        }
        if !spec.content.is_empty() {
            let _ = writeln!(text, "content  = {}", list(&spec.content));
        }
        if let Some(Requires { control, choice }) = spec.requires {
            let (control, choice) = (control.as_str(), choice.as_str());
            let _ =
                writeln!(text, "requires = {{ control = \"{control}\", choice = \"{choice}\" }}");
        }
        if let Some(words) = &spec.intent {
            let _ = writeln!(text, "intent   = {}", list(words));
        }
        if spec.mode == Mode::Ask {
            text.push_str("mode     = \"ask\"\n");
        }
        text
    }
}

fn list(texts: &[String]) -> String {
    let quoted: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
    format!("[{}]", quoted.join(", "))
}

/// A TOML basic string: JSON's escapes are TOML's too.
fn quoted(text: &str) -> String {
    let escaped = Value::from(text).to_string();
    escaped.replace('\u{7f}', "\\u007f")
}

#[cfg(test)]
mod tests;
