//! `[policy]`: who may use what with what.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

/// `[policy]`: Cedar policies, within what a key's scopes allow. Changed files take effect within
/// two seconds; while they are wrong, the last good ones stay in force.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PolicyConfig {
    /// Files of policies (`.cedar`) and of declarations of tools' arguments (`.cedarschema`).
    pub files: Vec<PathBuf>,
    /// A file that tells who is in which groups, in Cedar's JSON entities format.
    pub entities: Option<PathBuf>,
    /// What holds where no policy says anything.
    pub default: PolicyDefault,
    /// The time zone of `context.time`, `Europe/Paris` for instance; UTC where left out.
    pub time_zone: Option<String>,
}

/// What holds where no policy says anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PolicyDefault {
    /// It is denied: `permit` policies say what is allowed.
    #[default]
    Deny,
    /// It is allowed: `forbid` policies say what is denied.
    Allow,
}
