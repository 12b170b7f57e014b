//! Where the crates of others may be named.

use super::Finding;
use super::manifest::{Dependency, Member, Section, Workspace};

/// Who may name a crate of others.
struct Keeping {
    packages: &'static [&'static str],
    /// Folders that may name it anywhere.
    keepers: &'static [&'static str],
    /// Folders that may name it in dev-dependencies.
    testers: &'static [&'static str],
    why: &'static str,
}

const KEEPINGS: [Keeping; 4] = [
    Keeping {
        packages: &["rmcp"],
        keepers: &["crates/mcp-broker", "crates/testkit", "bins/mcp-fixture"],
        testers: &[],
        why: "the relay owns its wire; rmcp's typed model drops what it does not know",
    },
    Keeping {
        packages: &["rusqlite", "sqlx", "redis"],
        keepers: &["crates/store"],
        testers: &["bins/doorward"],
        why: "store alone knows SQL and Redis",
    },
    Keeping {
        packages: &["reqwest", "hyper-rustls"],
        keepers: CLIENTS,
        testers: SERVERS,
        why: "HTTP clients stand only where calls leave the process",
    },
    Keeping {
        packages: &["hyper", "hyper-util"],
        keepers: &[
            "crates/model-router",
            "crates/mcp-broker",
            "crates/identity",
            // Its egress proxy is a way out of the process too.
            "crates/sandbox",
            "crates/gateway",
            "crates/console",
            "crates/testkit",
            "bins/doorward",
            "bins/mcp-fixture",
            "benches",
            "xtask",
        ],
        testers: &[],
        why: "HTTP stands only at the edges: rooms work on core's types",
    },
];

/// Where HTTP clients may be used.
const CLIENTS: &[&str] = &[
    "crates/model-router",
    "crates/mcp-broker",
    "crates/identity",
    "crates/testkit",
    "bins/doorward",
    "benches",
    "xtask",
];
/// Where HTTP is served, and clients are for tests only.
const SERVERS: &[&str] = &["crates/gateway", "crates/console"];
/// Crates whose HTTP client is a feature.
const FEATURED: [&str; 3] = ["crates/model-router", "crates/mcp-broker", "crates/identity"];

pub(super) fn check(workspace: &Workspace) -> Vec<Finding> {
    let pairs = workspace
        .members
        .iter()
        .flat_map(|member| member.dependencies.iter().map(move |dependency| (member, dependency)));
    pairs.flat_map(|(member, dependency)| of_dependency(member, dependency)).collect()
}

fn of_dependency(member: &Member, dependency: &Dependency) -> Vec<Finding> {
    let package = dependency.package.as_str();
    let kept = KEEPINGS.iter().filter(|keeping| keeping.packages.contains(&package));
    let mut findings: Vec<Finding> =
        kept.filter_map(|keeping| misplaced(member, dependency, keeping)).collect();
    findings.extend(client_in_server(member, dependency));
    findings.extend(not_optional(member, dependency));
    findings
}

fn misplaced(member: &Member, dependency: &Dependency, keeping: &Keeping) -> Option<Finding> {
    let folder = member.folder.as_str();
    let tested = dependency.section == Section::Dev && keeping.testers.contains(&folder);
    if tested || keeping.keepers.contains(&folder) {
        return None;
    }
    Some(Finding::new(
        member.file(),
        format!("`{}` names {}", member.package(), dependency.package),
        keeping.why,
        format!("remove it; it belongs to {}", keeping.keepers.join(", ")),
    ))
}

/// A server may depend on hyper, not on its client half.
fn client_in_server(member: &Member, dependency: &Dependency) -> Option<Finding> {
    let serving = SERVERS.contains(&member.folder.as_str()) && dependency.section != Section::Dev;
    if !serving || !["hyper", "hyper-util"].contains(&dependency.package.as_str()) {
        return None;
    }
    let feature = dependency.features.iter().find(|feature| feature.starts_with("client"))?;
    Some(Finding::new(
        member.file(),
        format!("`{}` turns on {}'s `{feature}`", member.package(), dependency.package),
        "gateway and console serve HTTP; calls leave through model-router and mcp-broker",
        "take the feature out, or move it to [dev-dependencies]",
    ))
}

fn not_optional(member: &Member, dependency: &Dependency) -> Option<Finding> {
    let featured = FEATURED.contains(&member.folder.as_str());
    let package = dependency.package.as_str();
    let client = package == "hyper" || package.starts_with("hyper-") || package == "rustls";
    if !featured || !client || dependency.optional || dependency.section == Section::Dev {
        return None;
    }
    Some(Finding::new(
        member.file(),
        format!("{package} is not optional"),
        "HTTP clients stand behind the crate's `http` feature, so that it embeds without them",
        format!("write `optional = true` and add `dep:{package}` to the `http` feature"),
    ))
}
