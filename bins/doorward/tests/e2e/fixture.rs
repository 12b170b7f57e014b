//! A server by command whose tools a test can change while it runs.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// Every tool only reads, and what it says is believed.
pub(crate) const HARMLESS: &str =
    "[[contract]]\ntool = \"*\"\neffect = \"read\"\nresult = { integrity = \"trusted\" }\n\n";

/// One Python process, in the native sandbox.
pub(crate) struct Fixture {
    name: &'static str,
    folder: tempfile::TempDir,
}

impl Fixture {
    /// With these tools, by name.
    pub(crate) fn new(name: &'static str, tools: &[&str]) -> Self {
        let fixture = Self { name, folder: tempfile::tempdir().unwrap() };
        fixture.show(tools.iter().map(|tool| definition(tool, &format!("Does {tool}."))).collect());
        fixture
    }

    /// From now on it lists these definitions.
    pub(crate) fn show(&self, tools: Vec<Value>) {
        // Renamed, so that the server never reads half of it; it was given the folder.
        let (new, known) = (self.folder.path().join("new"), self.folder.path().join("tools.json"));
        std::fs::write(&new, Value::from(tools).to_string()).unwrap();
        std::fs::rename(new, known).unwrap();
    }

    /// Its `[[server]]`, with further settings.
    pub(crate) fn section(&self, more: &str) -> String {
        let (name, script, folder) = (self.name, script(), self.folder.path());
        let (script, folder) = (script.display(), folder.display());
        format!(
            "[[server]]\nname = \"{name}\"\ncommand = [\"/usr/bin/python3\", \"{script}\", \"{name}\", \"{folder}\"]\n\
             read = [\"{folder}\"]\n{more}\n\n"
        )
    }

    /// Its processes on this machine: the interpreters that were given its folder.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let mark = self.folder.path().to_str().unwrap();
        let all = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
        let ids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let python = |id: &u32| {
            let line = std::fs::read(Path::new("/proc").join(id.to_string()).join("cmdline"));
            let line = line.unwrap_or_default();
            line.starts_with(b"/usr/bin/python3") && String::from_utf8_lossy(&line).contains(mark)
        };
        ids.filter(python).collect()
    }
}

/// A definition that takes any arguments.
pub(crate) fn definition(name: &str, description: &str) -> Value {
    json!({ "name": name, "description": description, "inputSchema": { "type": "object" } })
}

fn script() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/server.py")
}
