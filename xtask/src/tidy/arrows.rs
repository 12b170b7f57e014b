//! Which crate may know which.

use super::Finding;
use super::manifest::{Dependency, Member, Section, Workspace};

/// What each folder under `crates/` may depend on, itself outside tests. Arrows point to what
/// stands further up.
const ARROWS: [(&str, &[&str]); 13] = [
    ("core", &[]),
    ("wire", &["core"]),
    ("model-router", &["core", "wire"]),
    ("mcp-broker", &["core"]),
    ("sandbox", &["core"]),
    ("guardrails", &["core"]),
    ("identity", &["core"]),
    ("audit", &["core"]),
    ("ledger", &["core"]),
    ("store", &["core", "identity", "audit", "ledger", "guardrails", "mcp-broker"]),
    ("gateway", ROOMS),
    ("console", &FLOOR),
    ("testkit", ROOMS),
];

/// Everything left of the gateway.
const ROOMS: &[&str] = &[
    "core",
    "wire",
    "model-router",
    "mcp-broker",
    "sandbox",
    "guardrails",
    "identity",
    "audit",
    "ledger",
    "store",
];

/// The rooms and the gateway.
const FLOOR: [&str; 11] = {
    let mut floor = ["gateway"; 11];
    let mut at = 0;
    while at < ROOMS.len() {
        floor[at] = ROOMS[at];
        at += 1;
    }
    floor
};

const SIBLINGS: &str = "arrows only point to the left, and siblings never import siblings: so each room can be \
     embedded and read alone";
const TESTKIT: &str = "the testkit is for tests only; it must never be part of what is shipped";
const ONE_ROOM: &str = "an example proves that one crate embeds alone";

pub(super) fn check(workspace: &Workspace) -> Vec<Finding> {
    workspace.members.iter().flat_map(of_member).collect()
}

fn of_member(member: &Member) -> Vec<Finding> {
    let shipped = || member.dependencies.iter().filter(|found| found.section != Section::Dev);
    let rooms: Vec<&str> = shipped().filter_map(room).collect();
    let mut findings = match member.place() {
        ("crates", name) => of_room(member, name, &rooms),
        ("examples", _) => of_example(member, &rooms),
        ("", "xtask") => {
            rooms.iter().map(|room| arrow(member, room, "chores know no crate")).collect()
        }
        ("bins", _) | ("", "benches") => vec![],
        _ => vec![Finding::new(
            member.file(),
            "a package in a place that no arrow is written down for",
            SIBLINGS,
            "move it under crates/, bins/ or examples/, or add the place to xtask's tidy::arrows",
        )],
    };
    if rooms.contains(&"testkit") && member.folder != "benches" && member.folder != "xtask" {
        findings.push(Finding::new(
            member.file(),
            "depends on doorward-testkit outside dev-dependencies",
            TESTKIT,
            "move it to [dev-dependencies]",
        ));
    }
    findings
}

/// The folder of a crate of ours.
fn room(dependency: &Dependency) -> Option<&str> {
    dependency.package.strip_prefix("doorward-")
}

fn of_room(member: &Member, name: &str, rooms: &[&str]) -> Vec<Finding> {
    let Some((_, allowed)) = ARROWS.iter().find(|(room, _)| *room == name) else {
        return vec![Finding::new(
            member.file(),
            format!("no arrows are written down for `{name}`"),
            SIBLINGS,
            "add the crate and what it may know to xtask's tidy::arrows",
        )];
    };
    let wrong = rooms.iter().filter(|room| !allowed.contains(room) && **room != "testkit");
    let may = match allowed {
        [] => "it may know no other crate".to_owned(),
        allowed => format!("it may know {}", allowed.join(", ")),
    };
    wrong.map(|room| arrow(member, room, &may)).collect()
}

fn arrow(member: &Member, room: &str, may: &str) -> Finding {
    Finding::new(
        member.file(),
        format!("`{}` depends on doorward-{room}", member.package()),
        SIBLINGS,
        format!("{may}: take a trait or a value of core instead, and let gateway tie them"),
    )
}

fn of_example(member: &Member, rooms: &[&str]) -> Vec<Finding> {
    let beside_core = rooms.iter().filter(|room| **room != "core").count();
    if beside_core == 1 || rooms == ["core"] {
        return vec![];
    }
    vec![Finding::new(
        member.file(),
        format!("the example depends on {}", counted(rooms)),
        ONE_ROOM,
        "depend on exactly one doorward crate (doorward-core may stand beside it)",
    )]
}

fn counted(rooms: &[&str]) -> String {
    let named: Vec<String> = rooms.iter().map(|room| format!("doorward-{room}")).collect();
    if named.is_empty() { "no doorward crate".to_owned() } else { named.join(", ") }
}
