//! Repository chores.
//!
//! `cargo xtask tidy` checks what compilers do not: which crate may know which, where code of
//! others may be named, how files are called. `cargo xtask load` compares the gateway's cost with
//! a plain reverse proxy's.

mod load;
mod tidy;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "\
Usage: cargo xtask <verb>

  tidy            check the tree; exit 1 where something is out of place
  tidy --sizes    list the files over 600 code lines; never fails
  load            compare direct calls, nginx and doorward under load; takes some minutes
    --quick         fewer requests, one round
    --only NAME     only scenarios whose name holds NAME
    --streams N     instead: hold N slow streams through doorward, count lost frames
    --doorward PATH measure this binary instead of building one
    --no-doorward   only direct and nginx
    --litellm PATH  LiteLLM's program beside them
    --portkey PATH  the start script of Portkey's gateway beside them
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["tidy"] => tidy_tree(),
        ["tidy", "--sizes"] => print_sizes(),
        ["load", options @ ..] => load::run(&root(), options),
        _ => Err(USAGE.to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            // There is nobody left to tell where standard error is closed.
            let _ = writeln!(io::stderr(), "{}", message.trim_end());
            ExitCode::FAILURE
        }
    }
}

/// The repository's root, where this was built.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

fn tidy_tree() -> Result<(), String> {
    let findings = tidy::check(&root()).map_err(|error| format!("tidy: {error}"))?;
    match findings.len() {
        0 => Ok(()),
        count => Err(format!("{}\n{count} to put right", tidy::list(&findings))),
    }
}

fn print_sizes() -> Result<(), String> {
    let tree = tidy::Tree::read(&root()).map_err(|error| format!("tidy: {error}"))?;
    for (lines, file) in tidy::sizes(&tree) {
        writeln!(io::stdout(), "{lines:>6}  {file}").map_err(|error| error.to_string())?;
    }
    Ok(())
}
