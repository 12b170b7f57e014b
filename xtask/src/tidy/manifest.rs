//! The manifests, as far as the checks read them.

use std::io;

use toml::{Table, Value};

use super::Tree;

/// The root manifest and the members'.
#[derive(Debug)]
pub(super) struct Workspace {
    pub(super) members: Vec<Member>,
}

/// One package of the workspace.
#[derive(Debug)]
pub(super) struct Member {
    /// Its folder from the root: `crates/core`.
    pub(super) folder: String,
    pub(super) manifest: Table,
    pub(super) dependencies: Vec<Dependency>,
}

/// A dependency, with what it takes from the workspace.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Dependency {
    /// The package's own name, whatever it is renamed to.
    pub(super) package: String,
    pub(super) section: Section,
    /// Only there with a feature.
    pub(super) optional: bool,
    pub(super) features: Vec<String>,
}

/// Which of a manifest's dependency tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    Normal,
    Build,
    Dev,
}

const SECTIONS: [(&str, Section); 3] = [
    ("dependencies", Section::Normal),
    ("build-dependencies", Section::Build),
    ("dev-dependencies", Section::Dev),
];

impl Workspace {
    /// Reads the root manifest and every member's.
    ///
    /// # Errors
    ///
    /// Where one is missing or no TOML.
    pub(super) fn read(tree: &Tree) -> io::Result<Self> {
        let root = manifest(tree, "Cargo.toml")?;
        let workspace = table(&root, "workspace");
        let shared = workspace.and_then(|workspace| table(workspace, "dependencies"));
        let named = workspace.and_then(|workspace| workspace.get("members")?.as_array());
        let patterns = named.into_iter().flatten().filter_map(Value::as_str);
        let mut members = Vec::new();
        for folder in patterns.flat_map(|pattern| expand(tree, pattern)) {
            let manifest = manifest(tree, &format!("{folder}/Cargo.toml"))?;
            let dependencies = dependencies(&manifest, shared);
            members.push(Member { folder, manifest, dependencies });
        }
        Ok(Self { members })
    }
}

impl Member {
    /// The path of its manifest.
    pub(super) fn file(&self) -> String {
        format!("{}/Cargo.toml", self.folder)
    }

    /// Its package's name; empty where none is given.
    pub(super) fn package(&self) -> &str {
        let named = table(&self.manifest, "package").and_then(|package| package.get("name"));
        named.and_then(Value::as_str).unwrap_or_default()
    }

    /// The folder above it, and its own: `("crates", "core")`.
    pub(super) fn place(&self) -> (&str, &str) {
        self.folder.split_once('/').unwrap_or(("", &self.folder))
    }
}

/// A table inside a table.
pub(super) fn table<'a>(of: &'a Table, name: &str) -> Option<&'a Table> {
    of.get(name).and_then(Value::as_table)
}

fn manifest(tree: &Tree, file: &str) -> io::Result<Table> {
    let text = tree.text(file).ok_or_else(|| io::Error::other(format!("{file}: no such text")))?;
    text.parse().map_err(|error| io::Error::other(format!("{file}: {error}")))
}

/// `crates/*` as the folders that hold a manifest; anything else as it stands.
fn expand(tree: &Tree, pattern: &str) -> Vec<String> {
    let Some(folder) = pattern.strip_suffix("/*") else { return vec![pattern.to_owned()] };
    let inside = tree.folders(folder).into_iter().map(|name| format!("{folder}/{name}"));
    inside.filter(|inner| tree.text(&format!("{inner}/Cargo.toml")).is_some()).collect()
}

/// The dependencies of all sections, those under `[target.…]` too.
fn dependencies(manifest: &Table, shared: Option<&Table>) -> Vec<Dependency> {
    let targets = table(manifest, "target").into_iter().flat_map(Table::values);
    let places = targets.filter_map(Value::as_table).chain([manifest]);
    let mut found = Vec::new();
    for place in places {
        for (name, section) in SECTIONS {
            for (key, value) in table(place, name).into_iter().flatten() {
                found.push(dependency(key, value, section, shared));
            }
        }
    }
    found
}

fn dependency(key: &str, value: &Value, section: Section, shared: Option<&Table>) -> Dependency {
    let flag = |name| value.get(name).and_then(Value::as_bool) == Some(true);
    let inherited = shared.filter(|_| flag("workspace")).and_then(|shared| shared.get(key));
    let either = [Some(value), inherited];
    let mut stated = either.into_iter().flatten();
    let renamed = stated.find_map(|stated| stated.get("package")?.as_str());
    let lists =
        either.into_iter().flatten().filter_map(|stated| stated.get("features")?.as_array());
    Dependency {
        package: renamed.unwrap_or(key).to_owned(),
        section,
        optional: flag("optional"),
        features: lists.flatten().filter_map(Value::as_str).map(str::to_owned).collect(),
    }
}
