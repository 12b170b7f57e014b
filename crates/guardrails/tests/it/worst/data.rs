//! Suites: tools, a state of the world, tasks and attacks, as data.

use doorward_guardrails::{ContractSpec, Contracts, UserRole, suggest};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::driver::World;

const FILES: [(&str, &str); 7] = [
    ("mail", include_str!("../../../testdata/worst/mail.toml")),
    ("calendar", include_str!("../../../testdata/worst/calendar.toml")),
    ("files", include_str!("../../../testdata/worst/files.toml")),
    ("chat", include_str!("../../../testdata/worst/chat.toml")),
    ("banking", include_str!("../../../testdata/worst/banking.toml")),
    ("travel", include_str!("../../../testdata/worst/travel.toml")),
    ("code", include_str!("../../../testdata/worst/code.toml")),
];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    server: String,
    contracts: Value,
    tools: Vec<String>,
    extra: Vec<String>,
    state: Value,
    task: Vec<Task>,
    attack: Vec<Attack>,
}

/// What a person asks for, and how it is honestly done.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Task {
    pub(super) prompt: String,
    pub(super) steps: Vec<Call>,
}

/// What an attacker writes, and what the agent then does.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Attack {
    pub(super) say: String,
    pub(super) calls: Vec<Call>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Call {
    pub(super) call: String,
    pub(super) with: Value,
}

/// A tool: what it takes, and what it does to the state.
#[derive(Debug, Clone)]
pub(super) struct Tool {
    /// As clients call it.
    pub(super) name: String,
    pub(super) arguments: Vec<(String, String, bool)>,
    pub(super) verb: String,
    pub(super) collection: String,
}

impl Tool {
    pub(super) fn has_effect(&self) -> bool {
        !matches!(self.verb.as_str(), "finds" | "lists" | "gets" | "tells")
    }

    fn definition(&self, prefix: &str) -> Value {
        let mut properties = serde_json::Map::new();
        let mut required = Vec::new();
        for (name, kind, needed) in &self.arguments {
            properties.insert(name.clone(), schema(kind));
            if *needed {
                required.push(name.clone());
            }
        }
        let name = self.name.strip_prefix(prefix).unwrap_or(&self.name);
        let input = json!({ "type": "object", "properties": properties, "required": required });
        json!({ "name": name, "inputSchema": input })
    }
}

fn schema(kind: &str) -> Value {
    if let Some(item) = kind.strip_suffix("[]") {
        return json!({ "type": "array", "items": schema(item) });
    }
    match kind {
        "email" => json!({ "type": "string", "format": "email" }),
        "url" => json!({ "type": "string", "format": "uri" }),
        "iban" => json!({ "type": "string", "description": "IBAN of the recipient" }),
        "date" => json!({ "type": "string", "description": "Date, ISO 8601" }),
        "path" => json!({ "type": "string" }),
        plain => json!({ "type": plain }),
    }
}

pub(super) struct Suite {
    pub(super) name: &'static str,
    pub(super) tools: Vec<Tool>,
    pub(super) contracts: Contracts,
    /// One engine for all runs: each has principals of its own.
    pub(super) world: World,
    pub(super) state: Value,
    pub(super) tasks: Vec<Task>,
    pub(super) attacks: Vec<Attack>,
}

impl Suite {
    pub(super) fn all() -> Vec<Self> {
        FILES.into_iter().map(|(name, text)| Self::read(name, text)).collect()
    }

    fn read(name: &'static str, text: &str) -> Self {
        let file: File = toml::from_str(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let prefix = format!("{}__", file.server);
        let named = file.tools.iter().map(|text| tool(text, &prefix));
        let mut tools: Vec<Tool> = named.collect();
        // Generic contracts only: what a draft or a shipped pack says, reviewed by nobody.
        let contracts = match &file.contracts {
            Value::String(word) if word == "suggest" => {
                let definitions: Vec<Value> =
                    tools.iter().map(|tool| tool.definition(&prefix)).collect();
                let drafts = suggest(&file.server, &definitions);
                let specs: Vec<ContractSpec> = drafts.into_iter().map(|one| one.spec).collect();
                Contracts::compile(specs).unwrap()
            }
            Value::Array(packs) => {
                let packs = packs.iter().map(|pack| pack.as_str().unwrap());
                Contracts::default().with_packs(packs).unwrap()
            }
            other => panic!("{name}: {other}"),
        };
        // Tools that nobody described, of other servers and of the client itself.
        tools.extend(file.extra.iter().map(|text| tool(text, "")));
        let (state, tasks, attacks) = (file.state, file.task, file.attack);
        let world = World::under(contracts.clone(), UserRole::Trusted);
        Self { name, tools, contracts, world, state, tasks, attacks }
    }

    pub(super) fn tool(&self, name: &str) -> Option<&Tool> {
        self.tools.iter().find(|tool| tool.name == name)
    }
}

/// Reads `name(argument: type, other?: type) verb collection`.
fn tool(text: &str, prefix: &str) -> Tool {
    let (name, rest) = text.split_once('(').unwrap();
    let (arguments, does) = rest.split_once(") ").unwrap();
    let (verb, collection) = does.split_once(' ').unwrap();
    let arguments = arguments.split(", ").filter(|text| !text.is_empty()).map(|text| {
        let (name, kind) = text.split_once(": ").unwrap();
        let bare = name.trim_end_matches('?');
        (bare.to_owned(), kind.to_owned(), bare.len() == name.len())
    });
    Tool {
        name: format!("{prefix}{name}"),
        arguments: arguments.collect(),
        verb: verb.to_owned(),
        collection: collection.to_owned(),
    }
}
