//! Contracts for well-known servers.

use serde::Deserialize;

use super::{Contract, ContractSpec, compile};

/// The shipped packs. Each is a TOML file of contracts with the server's bare tool names.
const PACKS: &[(&str, &str)] = &[
    ("browser", include_str!("packs/browser.toml")),
    ("calendar", include_str!("packs/calendar.toml")),
    ("claude-code", include_str!("packs/claude-code.toml")),
    ("codex", include_str!("packs/codex.toml")),
    ("drive", include_str!("packs/drive.toml")),
    ("fetch", include_str!("packs/fetch.toml")),
    ("filesystem", include_str!("packs/filesystem.toml")),
    ("github", include_str!("packs/github.toml")),
    ("gmail", include_str!("packs/gmail.toml")),
    ("jira", include_str!("packs/jira.toml")),
    ("notion", include_str!("packs/notion.toml")),
    ("postgres", include_str!("packs/postgres.toml")),
    ("slack", include_str!("packs/slack.toml")),
];

/// Packs of clients, whose tools go by their own names.
const CLIENTS: &[&str] = &["claude-code", "codex"];

/// A pack that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no contract pack `{name}`; shipped are: {shipped}")]
pub struct PackError {
    /// The name that was asked for.
    pub name: String,
    /// The names of those that are shipped.
    pub shipped: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    contract: Vec<ContractSpec>,
}

/// The names of the shipped packs, sorted.
pub fn pack_names() -> impl Iterator<Item = &'static str> {
    PACKS.iter().map(|(name, _)| *name)
}

/// The text of a shipped pack, as TOML.
pub fn pack(name: &str) -> Option<&'static str> {
    PACKS.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

/// The contracts of a pack, under the names that its tools have behind this server.
pub(super) fn compiled(name: &str, server: &str) -> Result<Vec<(String, Contract)>, PackError> {
    let unknown = || PackError {
        name: name.to_owned(),
        shipped: pack_names().collect::<Vec<_>>().join(", "),
    };
    let text = pack(name).ok_or_else(unknown)?;
    // A shipped pack is whole: a test compiles each.
    let file: File = toml::from_str(text).map_err(|_| unknown())?;
    let contracts = compile::compile(file.contract).map_err(|_| unknown())?;
    let prefix = if CLIENTS.contains(&name) { String::new() } else { format!("{server}__") };
    let named = contracts.into_iter();
    Ok(named.map(|(tool, one)| (format!("{prefix}{}", tool.as_str()), one)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Contracts, EffectKind};

    #[test]
    fn every_pack_compiles_and_is_named_in_order() {
        let names: Vec<&str> = pack_names().collect();
        assert!(names.windows(2).all(|pair| pair[0] < pair[1]), "{names:?}");
        for (name, text) in PACKS {
            let file: File = toml::from_str(text).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(file.contract.iter().all(|one| one.tool.is_exact()), "{name}");
            compile::compile(file.contract).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }

    #[test]
    fn what_changes_something_in_a_pack_asks_and_says_for_which_words() {
        for (name, text) in PACKS {
            let file: File = toml::from_str(text).unwrap();
            for one in file.contract.iter().filter(|one| one.effect != EffectKind::Read) {
                assert_eq!(one.mode, crate::Mode::Ask, "{name}: {}", one.tool);
                // To look at an address that the user named is nothing to be asked for besides.
                let looks =
                    one.requires.is_some_and(|r| r.control == doorward_core::Integrity::User);
                let free =
                    one.requires.is_some_and(|r| r.choice == doorward_core::Integrity::Untrusted);
                assert!(one.intent.is_some() || looks || free, "{name}: {}", one.tool);
            }
        }
    }

    #[test]
    fn an_unknown_pack_is_told_with_the_known_ones() {
        let error = Contracts::default().with_packs(["gitthub"]).unwrap_err();
        assert!(error.to_string().contains("`gitthub`") && error.shipped.contains("github, gmail"));
    }
}
