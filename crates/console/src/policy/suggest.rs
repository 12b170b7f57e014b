//! `doorward policy suggest` and `coverage`: contracts for tools that nobody has described.

use std::io::Write;
use std::path::Path;

use doorward_gateway::config::Root;
use doorward_gateway::open_storage;
use doorward_guardrails::{Contracts, Coverage, Origin, suggest as draft};
use doorward_mcp_broker::pin::Pin;
use serde_json::Value;

use crate::Failure;

/// Where the tools' definitions are taken from.
#[derive(Debug, Clone, Copy)]
pub enum Definitions<'a> {
    /// Those that a running gateway has pinned: of this server, or of all.
    Pinned(Option<&'a str>),
    /// A file with the answer to `tools/list`, or its list, of a server of this name.
    File(&'a Path, &'a str),
}

/// Drafts a contract for each tool that has none, as TOML for a person to review.
///
/// # Errors
///
/// Where the definitions cannot be read, there are none, or output fails.
pub fn suggest(
    root: &Root,
    from: Definitions<'_>,
    all: bool,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let contracts = contracts(root)?;
    let mut drafted = 0;
    writeln!(
        out,
        "# Drafts: read each, and change what is not so. Anything that is left out stays"
    )?;
    writeln!(out, "# untrusted, a way out, and controlled by every argument.")?;
    for (server, tools) in definitions(root, from)? {
        for one in draft(&server, &tools) {
            let known = contracts.origin(one.spec.tool.as_str());
            if !all && matches!(known, Origin::Declared | Origin::Pack) {
                continue;
            }
            writeln!(out, "\n{}", one.to_toml().trim_end())?;
            drafted += 1;
        }
    }
    match drafted {
        0 => Err(Failure::new("nothing to draft: every tool that was seen has a contract")),
        _ => Ok(()),
    }
}

/// Tells how many of the tools that were seen somebody has described, and which nobody has.
///
/// # Errors
///
/// As [`suggest`].
pub fn coverage(root: &Root, from: Definitions<'_>, out: &mut dyn Write) -> Result<(), Failure> {
    let mut contracts = contracts(root)?;
    let definitions = definitions(root, from)?;
    let named: Vec<(String, &Value)> = definitions
        .iter()
        .flat_map(|(server, tools)| {
            tools.iter().filter_map(move |tool| {
                Some((format!("{server}__{}", tool.get("name")?.as_str()?), tool))
            })
        })
        .collect();
    contracts
        .hint(named.iter().map(|(name, tool)| (&**name, doorward_guardrails::Hints::of(tool))));
    let coverage = Coverage::of(&contracts, named.iter().map(|(name, _)| &**name));
    for one in &coverage.tools {
        writeln!(out, "{:<10} {:<8} {}", one.origin.as_str(), one.effect.as_str(), one.tool)?;
    }
    Ok(writeln!(out, "{coverage}")?)
}

pub(super) fn contracts(root: &Root) -> Result<Contracts, Failure> {
    Contracts::compile(root.contract.clone())
        .map_err(|error| Failure::of("a contract is wrong", error))?
        .with_packs(root.guard.packs.iter().map(String::as_str))
        .map_err(|error| Failure::of("a contract pack is wrong", error))
}

type Catalogue = Vec<(String, Vec<Value>)>;

fn definitions(root: &Root, from: Definitions<'_>) -> Result<Catalogue, Failure> {
    let found = match from {
        Definitions::File(path, server) => vec![(server.to_owned(), of_file(path)?)],
        Definitions::Pinned(server) => pinned(root, server)?,
    };
    if found.iter().all(|(_, tools)| tools.is_empty()) {
        let text = "no tools were ever seen: run the gateway once, or name a file with `--file`";
        return Err(Failure::new(text));
    }
    Ok(found)
}

fn of_file(path: &Path) -> Result<Vec<Value>, Failure> {
    let name = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::of(format!("{name}: cannot be read"), error))?;
    let whole: Value = serde_json::from_str(&text)
        .map_err(|error| Failure::of(format!("{name}: is no JSON"), error))?;
    let listed = ["/tools", "/result/tools"].iter().find_map(|place| whole.pointer(place));
    match listed.unwrap_or(&whole) {
        Value::Array(tools) => Ok(tools.clone()),
        _ => {
            Err(Failure::new(format!("{name}: expected a list of tools, as `tools/list` gives it")))
        }
    }
}

fn pinned(root: &Root, server: Option<&str>) -> Result<Catalogue, Failure> {
    let (_, sqlite, _) = open_storage(root)?;
    let pins = sqlite.pins().map_err(|error| Failure::of("the pins cannot be opened", error))?;
    let pins = pins.all().map_err(|error| Failure::of("the pins cannot be read", error))?;
    let mut found: Catalogue = Vec::new();
    for pin in pins.iter().filter(|pin| server.is_none_or(|server| *pin.server == *server)) {
        let Some(definition) = definition(pin) else { continue };
        match found.iter_mut().find(|(server, _)| **server == *pin.server) {
            Some((_, tools)) => tools.push(definition),
            None => found.push((pin.server.to_string(), vec![definition])),
        }
    }
    Ok(found)
}

/// What a tool shows: what waits for approval before what was approved, for it is that which
/// somebody has to think about.
fn definition(pin: &Pin) -> Option<Value> {
    let pending = pin.pending.as_ref().map(|pending| &pending.definition);
    let shown = pending.or(pin.approved.as_ref().map(|approval| &approval.definition))?;
    let mut definition: Value = serde_json::from_str(shown.text()).ok()?;
    definition["name"] = Value::from(&*pin.tool);
    Some(definition)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTED: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[
        {"name":"send_email","inputSchema":{"type":"object","required":["to"],"properties":{
            "to":{"type":"string","format":"email"}}}},
        {"name":"wipe","annotations":{"destructiveHint":true},"inputSchema":{"type":"object"}}]}}"#;

    fn told(act: impl Fn(&Root, Definitions<'_>, &mut dyn Write) -> Result<(), Failure>) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tools.json");
        std::fs::write(&path, LISTED).unwrap();
        let mut out = Vec::new();
        act(&Root::default(), Definitions::File(&path, "mail"), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn drafts_are_contracts_that_the_configuration_takes() {
        let text = told(|root, from, out| suggest(root, from, false, out));
        let root = Root::parse(&text, doorward_gateway::config::Syntax::Toml, "drafts").unwrap();
        assert_eq!(root.contract.len(), 2, "{text}");
    }

    #[test]
    fn coverage_tells_who_described_a_tool() {
        let text = told(|root, from, out| coverage(root, from, out));
        assert!(text.contains("default    egress   mail__send_email"), "{text}");
        assert!(text.contains("annotation destroy  mail__wipe"), "{text}");
        assert!(text.ends_with("2 tools: 0 declared, 0 by pack, 1 by annotation, 1 by default\n"));
    }
}
