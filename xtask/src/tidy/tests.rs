use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::{Finding, Tree, check, list, sizes};

const ROOT: &str = r#"
[workspace]
members = ["crates/*", "bins/*", "examples/*", "benches"]
[workspace.dependencies]
doorward-core = { path = "crates/core" }
store-by-another-name = { package = "doorward-store", path = "crates/store" }
hyper-util = { version = "0.1", features = ["client-legacy"] }
"#;

/// A small tree in which everything is in place.
struct Scene(TempDir);

impl Scene {
    fn new() -> Self {
        let scene = Self(tempfile::tempdir().unwrap());
        scene.write("Cargo.toml", ROOT);
        scene.write("crates/core/src/lib.rs", "//! Core.\n");
        for room in ["core", "audit", "model-router", "store", "gateway"] {
            scene.package(&format!("crates/{room}"), &format!("doorward-{room}"), "");
        }
        scene.package("bins/doorward", "doorward", "");
        scene.package("benches", "doorward-benches", "");
        scene
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.0.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn package(&self, folder: &str, name: &str, rest: &str) {
        let text = format!(
            "[package]\nname = \"{name}\"\nversion.workspace = true\nedition.workspace = true\n\
             license.workspace = true\n[lints]\nworkspace = true\n{rest}"
        );
        self.write(&format!("{folder}/Cargo.toml"), &text);
    }

    fn findings(&self) -> Vec<Finding> {
        check(self.0.path()).unwrap()
    }

    /// Exactly one finding, in this file, that says this.
    #[track_caller]
    fn finds(&self, file: &str, what: &str) {
        let findings = self.findings();
        assert_eq!(findings.len(), 1, "{}", list(&findings));
        assert_eq!(findings[0].file, file);
        assert!(findings[0].what.contains(what), "{}", findings[0]);
        assert!(!findings[0].why.is_empty() && !findings[0].remedy.is_empty());
    }

    #[track_caller]
    fn finds_nothing(&self) {
        let findings = self.findings();
        assert!(findings.is_empty(), "{}", list(&findings));
    }
}

#[test]
fn the_tree_is_tidy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let findings = check(root).unwrap();
    assert!(findings.is_empty(), "\n{}", list(&findings));
}

#[test]
fn a_tree_in_order_has_no_findings() {
    Scene::new().finds_nothing();
}

#[test]
fn a_missing_manifest_is_an_error_and_no_finding() {
    let scene = Scene::new();
    scene.write("Cargo.toml", "[workspace]\nmembers = [\"nowhere\"]\n");
    assert!(check(scene.0.path()).unwrap_err().to_string().contains("nowhere/Cargo.toml"));
}

/// A package with these dependencies, and what is found in it, if anything.
#[track_caller]
fn found_in(folder: &str, dependencies: &str, what: Option<&str>) {
    let scene = Scene::new();
    let (place, name) = folder.split_once('/').unwrap_or(("", folder));
    let package = match place {
        "crates" => format!("doorward-{name}"),
        _ => name.to_owned(),
    };
    scene.package(folder, &package, dependencies);
    match what {
        Some(what) => scene.finds(&format!("{folder}/Cargo.toml"), what),
        None => scene.finds_nothing(),
    }
}

#[test]
fn arrows_point_to_the_left() {
    let cases: [(&str, &str, Option<&str>); 16] = [
        ("crates/core", "[dependencies]\ndoorward-wire = \"0\"", Some("doorward-wire")),
        ("crates/audit", "[dependencies]\ndoorward-core.workspace = true", None),
        ("crates/audit", "[dependencies]\ndoorward-ledger = \"0\"", Some("doorward-ledger")),
        ("crates/audit", "[build-dependencies]\ndoorward-ledger = \"0\"", Some("-ledger")),
        ("crates/audit", "[dev-dependencies]\ndoorward-ledger = \"0\"", None),
        (
            "crates/audit",
            "[target.'cfg(unix)'.dependencies]\ndoorward-ledger = \"0\"",
            Some("ledger"),
        ),
        ("crates/audit", "[dependencies]\nb = { package = \"doorward-ledger\" }", Some("ledger")),
        ("crates/audit", "[dependencies]\nstore-by-another-name.workspace = true", Some("-store")),
        ("crates/store", "[dependencies]\ndoorward-audit = \"0\"", None),
        ("crates/store", "[dependencies]\ndoorward-gateway = \"0\"", Some("doorward-gateway")),
        ("crates/gateway", "[dependencies]\ndoorward-store = \"0\"", None),
        ("crates/gateway", "[dependencies]\ndoorward-console = \"0\"", Some("-console")),
        ("crates/console", "[dependencies]\ndoorward-gateway = \"0\"", None),
        ("crates/attic", "", Some("no arrows are written down for `attic`")),
        ("bins/doorward", "[dependencies]\ndoorward-console = \"0\"", None),
        ("benches", "[dependencies]\ndoorward-testkit = \"0\"", None),
    ];
    for (folder, dependencies, what) in cases {
        found_in(folder, dependencies, what);
    }
}

#[test]
fn the_testkit_is_for_tests() {
    let outside = Some("outside dev-dependencies");
    found_in("crates/gateway", "[dependencies]\ndoorward-testkit = \"0\"", outside);
    found_in("bins/doorward", "[dependencies]\ndoorward-testkit = \"0\"", outside);
    found_in("bins/doorward", "[dev-dependencies]\ndoorward-testkit = \"0\"", None);
}

#[test]
fn an_example_shows_one_crate() {
    let one = "[dependencies]\ndoorward-audit = \"0\"\ndoorward-core.workspace = true";
    let two = "[dependencies]\ndoorward-audit = \"0\"\ndoorward-wire = \"0\"";
    found_in("examples/notary", one, None);
    found_in("examples/notary", "[dependencies]\ndoorward-core.workspace = true", None);
    found_in("examples/notary", two, Some("doorward-audit, doorward-wire"));
    found_in("examples/notary", "", Some("no doorward crate"));
}

#[test]
fn foreign_crates_stay_with_their_keepers() {
    let client = "[dev-dependencies]\nhyper-util.workspace = true";
    let cases: [(&str, &str, Option<&str>); 14] = [
        ("crates/mcp-broker", "[dev-dependencies]\nrmcp = \"3\"", None),
        ("crates/gateway", "[dev-dependencies]\nrmcp = \"3\"", Some("names rmcp")),
        ("crates/store", "[dependencies]\nrusqlite = \"0\"", None),
        ("crates/audit", "[dependencies]\nrusqlite = \"0\"", Some("names rusqlite")),
        ("crates/audit", "[dependencies]\nsqlx = \"0\"", Some("names sqlx")),
        ("crates/audit", "[dependencies]\nredis = \"0\"", Some("names redis")),
        ("bins/doorward", "[dev-dependencies]\nrusqlite = \"0\"", None),
        ("bins/doorward", "[dependencies]\nrusqlite = \"0\"", Some("names rusqlite")),
        ("crates/ledger", "[dependencies]\nreqwest = \"0\"", Some("names reqwest")),
        ("crates/gateway", "[dependencies]\nhyper-rustls = \"0\"", Some("names hyper-rustls")),
        ("crates/audit", "[dependencies]\nhyper-util = \"0\"", Some("names hyper-util")),
        ("crates/gateway", "[dependencies]\nhyper-util = \"0\"", None),
        ("crates/gateway", "[dependencies]\nhyper-util.workspace = true", Some("client-legacy")),
        ("crates/gateway", client, None),
    ];
    for (folder, dependencies, what) in cases {
        found_in(folder, dependencies, what);
    }
}

#[test]
fn http_clients_stand_behind_a_feature() {
    for package in ["hyper", "hyper-util", "hyper-rustls", "rustls"] {
        for room in ["crates/model-router", "crates/mcp-broker", "crates/identity"] {
            let plain = format!("[dependencies]\n{package} = \"1\"");
            let optional =
                format!("[dependencies]\n{package} = {{ version = \"1\", optional = true }}");
            let tested = format!("[dev-dependencies]\n{package} = \"1\"");
            found_in(room, &plain, Some("is not optional"));
            found_in(room, &optional, None);
            found_in(room, &tested, None);
        }
    }
}

#[test]
fn packages_take_what_all_have_from_the_workspace() {
    let whole = "[package]\nname = \"doorward-audit\"\nversion.workspace = true\n\
                 edition.workspace = true\nlicense.workspace = true\n[lints]\nworkspace = true\n";
    let cases = [
        ("version.workspace = true", "version = \"9.9.9\"", "`version` is its own"),
        ("edition.workspace = true", "", "`edition` is its own"),
        ("license.workspace = true", "license = \"GPL-3.0\"", "`license` is its own"),
        ("[lints]\nworkspace = true", "[lints.rust]\ndead_code = \"allow\"", "takes no lints"),
        ("doorward-audit", "doorward-records", "is called `doorward-records`"),
    ];
    for (right, wrong, what) in cases {
        let scene = Scene::new();
        assert!(whole.contains(right));
        scene.write("crates/audit/Cargo.toml", &whole.replace(right, wrong));
        scene.finds("crates/audit/Cargo.toml", what);
    }
}

#[test]
fn folders_of_binaries_and_examples_match_their_packages() {
    let scene = Scene::new();
    scene.package("bins/doorward", "doorward-server", "");
    scene.finds("bins/doorward/Cargo.toml", "is called `doorward-server`");
}

#[test]
fn modules_are_named_after_what_they_are_about() {
    let cases = [
        ("crates/audit/src/utils.rs", "crates/audit/src/utils.rs"),
        ("crates/audit/src/types.rs", "crates/audit/src/types.rs"),
        ("crates/audit/src/helpers/a.rs", "crates/audit/src/helpers"),
        ("crates/audit/tests/common/mod.rs", "crates/audit/tests/common"),
        ("crates/audit/src/models.rs", "crates/audit/src/models.rs"),
    ];
    for (file, place) in cases {
        let scene = Scene::new();
        scene.write(file, "//! Anything.\n");
        scene.finds(place, "a module called");
    }
    let scene = Scene::new();
    scene.write("crates/gateway/src/edge/models.rs", "//! Lists models.\n");
    scene.write("crates/audit/src/common_prefix.rs", "//! Prefixes.\n");
    scene.finds_nothing();
}

#[test]
fn unfinished_work_is_found_by_line() {
    for line in ["// TODO: more", "/* FIXME */", "let a = \"XXX\";", "todo!()", "unimplemented!()"]
    {
        let scene = Scene::new();
        scene.write("crates/audit/src/lib.rs", &format!("//! Audit.\n{line}\n"));
        scene.finds("crates/audit/src/lib.rs:2", "`");
    }
    let scene = Scene::new();
    scene.write("crates/audit/src/lib.rs", "//! Audit.\nlet a = \"doorward-XXXXXX\"; // TODOS\n");
    scene.write("docs/guide.md", "TODO\n");
    scene.finds_nothing();
}

#[test]
fn machine_paths_are_found_everywhere() {
    let path = concat!("/wo", "rk/main");
    for file in ["docs/guide.md", "crates/audit/tests/data.json", ".ci/build.sh"] {
        let scene = Scene::new();
        scene.write(file, &format!("\ncd {path}\n"));
        scene.finds(&format!("{file}:2"), "the path `");
        // The root's own path is one, too.
        let scene = Scene::new();
        scene.write(file, &format!("cd {}/crates\n", scene.0.path().display()));
        scene.finds(&format!("{file}:1"), "the path `");
    }
    let scene = Scene::new();
    scene.write("docs/guide.md", &format!("target{path} .{path} https://h.example{path}\n"));
    scene.write("target/debug/notes.txt", path);
    scene.finds_nothing();
}

#[test]
fn sources_open_with_what_they_are_about() {
    for file in ["crates/audit/src/chain.rs", "bins/doorward/src/main.rs"] {
        let scene = Scene::new();
        scene.write(file, "use std::io;\n");
        scene.finds(file, "does not begin with");
    }
    let scene = Scene::new();
    for file in ["src/chain/tests.rs", "src/tests/deep.rs", "tests/it/main.rs", "src/data.json"] {
        scene.write(&format!("crates/audit/{file}"), "use std::io;\n");
    }
    scene.finds_nothing();
}

#[test]
fn decisions_are_numbered_and_linked() {
    let decided = |names: &[&str], linked: &[&str]| {
        let scene = Scene::new();
        for name in names {
            scene.write(&format!("docs/decisions/{name}"), "# Decided\n");
        }
        let links = linked.iter().map(|name| format!("- [a](decisions/{name})\n"));
        scene.write("docs/SUMMARY.md", &links.collect::<String>());
        scene
    };
    let [one, two, three] = ["0001-one.md", "0002-two-of-2.md", "0003-three.md"];
    decided(&[one, two, three], &[one, two, three]).finds_nothing();
    let at = |name: &str| format!("docs/decisions/{name}");
    decided(&[one, two], &[one]).finds(&at(two), "does not link");
    decided(&[one, three], &[one, three]).finds(&at(three), "0002 is missing");
    decided(&[two], &[two]).finds(&at(two), "0001 is missing");
    decided(&[one, "0001-two.md"], &[one, "0001-two.md"]).finds(&at("0001-two.md"), "twice");
    for wrong in ["notes.md", "1-one.md", "0002_two.md", "0002-Two.md", "0002-.md", "0002-two.txt"]
    {
        decided(&[one, wrong], &[one, wrong]).finds(&at(wrong), "not called");
    }
}

#[test]
fn sizes_count_code_and_never_fail() {
    let scene = Scene::new();
    let long = "//! Long.\n".to_owned() + &"let a = 1;\n\n// why\n".repeat(601);
    scene.write("crates/audit/src/long.rs", &long);
    scene.write("crates/audit/src/short.rs", &long.replacen("let a = 1;\n", "", 1));
    let tree = Tree::read(scene.0.path()).unwrap();
    assert_eq!(sizes(&tree), [(601, "crates/audit/src/long.rs".to_owned())]);
    scene.finds_nothing();
}
