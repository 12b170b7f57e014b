//! `doorward init`: writes a commented configuration.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

use doorward_console::Failure;

use crate::report::say;

/// What is written. It is valid as it stands; a test reads it.
pub(crate) const TEMPLATE: &str = include_str!("doorward.toml");

/// Writes the configuration to a file, or to standard output for `-`.
pub(crate) fn write(path: &Path, force: bool) -> Result<(), Failure> {
    if path == Path::new("-") {
        return Ok(io::stdout().write_all(TEMPLATE.as_bytes())?);
    }
    let mut options = OpenOptions::new();
    options.write(true);
    let options =
        if force { options.create(true).truncate(true) } else { options.create_new(true) };
    let written = options.open(path).and_then(|mut file| file.write_all(TEMPLATE.as_bytes()));
    written.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            Failure::new(format!("{} is there already; --force replaces it", path.display()))
        }
        _ => Failure::of(format!("{} cannot be written", path.display()), error),
    })?;
    say(&format!("doorward: wrote {}", path.display()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use doorward_gateway::config::{Root, Syntax};

    use super::TEMPLATE;

    #[test]
    fn the_template_is_valid_as_it_stands() {
        Root::parse(TEMPLATE, Syntax::Toml, "doorward.toml").unwrap();
    }

    #[test]
    fn everything_in_comments_is_valid_too() {
        let bare = |line: &'static str| line.strip_prefix("#: ").unwrap_or(line);
        let uncommented = TEMPLATE.lines().map(bare).collect::<Vec<_>>().join("\n");
        let root = Root::parse(&uncommented, Syntax::Toml, "doorward.toml").unwrap();
        assert!(!root.server.is_empty() && !root.contract.is_empty() && !root.limit.is_empty());
    }
}
