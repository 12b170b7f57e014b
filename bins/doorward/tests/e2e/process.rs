//! The clients that `scripts/test` installs.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

/// The folder with the clients' scripts and packages.
pub(crate) fn clients() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}

/// The pinned Node.
pub(crate) fn node() -> PathBuf {
    installed(clients().join("node_modules/.bin/node"))
}

/// The Python with the pinned packages.
pub(crate) fn python() -> PathBuf {
    installed(clients().join(".venv/bin/python"))
}

/// The Python with `litellm`, which wants other versions of the vendors' packages.
pub(crate) fn litellm() -> PathBuf {
    installed(clients().join(".venv/litellm/bin/python"))
}

fn installed(path: PathBuf) -> PathBuf {
    assert!(path.exists(), "{} is missing: run scripts/test, which installs it", path.display());
    path
}

/// Runs a script; the JSON it prints.
pub(crate) fn script(name: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Value {
    let program = if name.contains(".py") { python() } else { node() };
    let output = Command::new(program)
        .arg(clients().join(name))
        .args(arguments)
        .current_dir(clients())
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", std::env::temp_dir())
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name} failed:\n{told}");
    let line = String::from_utf8(output.stdout).unwrap();
    serde_json::from_str(line.trim()).unwrap_or_else(|error| panic!("{error}: {line}\n{told}"))
}

/// A server section for a real MCP server from npm.
pub(crate) fn everything() -> String {
    let program =
        clients().join("node_modules/@modelcontextprotocol/server-everything/dist/index.js");
    format!(
        "[[server]]\nname = \"everything\"\ncommand = [\"{}\", \"{}\", \"stdio\"]\n\n\
         [[contract]]\ntool = \"everything__*\"\neffect = \"read\"\nresult = {{ integrity = \"trusted\" }}\n\n",
        node().canonicalize().unwrap().display(),
        installed(program).display()
    )
}

/// Shows a table, and leaves it in the target folder, where it can be looked at later.
#[expect(clippy::print_stdout, reason = "it is to be read")]
pub(crate) fn show(file: &str, table: &str) {
    std::fs::write(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(file), table).unwrap();
    println!("{table}");
}
