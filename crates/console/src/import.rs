//! `doorward import`: turns another gateway's configuration into ours, and says what it could not
//! carry.

mod litellm;
mod toml_text;

use std::io::Write;
use std::path::Path;

use doorward_gateway::config::{Root, Syntax};

use crate::Failure;

/// A configuration of ours, and what was left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// `doorward.toml`.
    pub config: String,
    /// What was not carried, each with its place in the source and why. Holds no secrets.
    pub left: Vec<String>,
}

/// Reads a `LiteLLM` `config.yaml`. What comes out is a configuration that Doorward accepts.
///
/// ```
/// let yaml = "
/// model_list:
///   - model_name: fast
///     litellm_params: {model: groq/llama-3.1-8b-instant, api_key: os.environ/GROQ_API_KEY, rpm: 5}
/// ";
/// let imported = doorward_console::import::litellm(yaml)?;
/// assert!(imported.config.contains(r#"targets  = ["groq/llama-3.1-8b-instant"]"#));
/// assert!(imported.left[0].starts_with("model_list[0].litellm_params.rpm: "));
/// # Ok::<(), doorward_console::Failure>(())
/// ```
///
/// # Errors
///
/// Where the text is no such configuration.
pub fn litellm(yaml: &str) -> Result<Imported, Failure> {
    let imported = litellm::import(yaml)?;
    Root::parse(&imported.config, Syntax::Toml, "the imported configuration")
        .map_err(|error| Failure::of("what was imported is no configuration of ours", error))?;
    Ok(imported)
}

/// Imports a file: the configuration goes to `out`, what was left behind to `aside`.
///
/// # Errors
///
/// Where the file cannot be read or is no such configuration, or output fails.
pub fn litellm_file(
    path: &Path,
    out: &mut dyn Write,
    aside: &mut dyn Write,
) -> Result<(), Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::of(format!("{}: cannot be read", path.display()), error))?;
    let imported = litellm(&text)?;
    out.write_all(imported.config.as_bytes())?;
    if imported.left.is_empty() {
        writeln!(aside, "everything was carried over")?;
        return Ok(());
    }
    writeln!(aside, "{} settings were not carried over:", imported.left.len())?;
    for left in &imported.left {
        writeln!(aside, "  {left}")?;
    }
    Ok(())
}
