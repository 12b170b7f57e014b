//! What every package says of itself.

use toml::Value;

use super::Finding;
use super::manifest::{Member, Workspace, table};

/// What a package takes from the workspace.
const INHERITED: [&str; 3] = ["version", "edition", "license"];

pub(super) fn check(workspace: &Workspace) -> Vec<Finding> {
    workspace.members.iter().flat_map(of_member).collect()
}

fn of_member(member: &Member) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !inherits(table(&member.manifest, "lints")) {
        findings.push(Finding::new(
            member.file(),
            "takes no lints from the workspace",
            "one set of lints holds for all code, so that no crate is laxer",
            "add `[lints]` with `workspace = true`",
        ));
    }
    let package = table(&member.manifest, "package");
    let stated = |key: &str| package.and_then(|package| package.get(key)).and_then(Value::as_table);
    for key in INHERITED.into_iter().filter(|key| !inherits(stated(key))) {
        findings.push(Finding::new(
            member.file(),
            format!("`{key}` is its own"),
            "all packages are released together, under one version, edition and licence",
            format!("write `{key}.workspace = true`"),
        ));
    }
    findings.extend(misnamed(member));
    findings
}

fn inherits(table: Option<&toml::Table>) -> bool {
    table.and_then(|table| table.get("workspace")?.as_bool()) == Some(true)
}

fn misnamed(member: &Member) -> Option<Finding> {
    let package = member.package();
    let (right, expected) = match member.place() {
        ("crates", name) => (package == format!("doorward-{name}"), format!("doorward-{name}")),
        ("bins", name) => (package == name, name.to_owned()),
        // Examples and chores may carry any prefix.
        (_, name) => (package == name || package.ends_with(&format!("-{name}")), name.to_owned()),
    };
    if right {
        return None;
    }
    Some(Finding::new(
        member.file(),
        format!("the package in {} is called `{package}`", member.folder),
        "who knows the folder knows the package, and the other way round",
        format!("call it `{expected}`, or rename the folder"),
    ))
}
