//! What the server offers, as written down in `catalogue.json`.

use rmcp::model::{Prompt, Resource, ResourceTemplate, Tool};
use serde::Deserialize;

/// Everything that lists show.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Catalogue {
    pub(crate) tools: Vec<Tool>,
    pub(crate) prompts: Vec<Prompt>,
    pub(crate) resources: Vec<Resource>,
    pub(crate) resource_templates: Vec<ResourceTemplate>,
}

impl Catalogue {
    /// The one that is built in; empty where the file is broken, which a test would see.
    pub(crate) fn built_in() -> Self {
        serde_json::from_str(include_str!("catalogue.json")).unwrap_or_default()
    }
}

/// A picture of one red pixel.
pub(crate) const PICTURE: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==";
/// A WAV file without a sample.
pub(crate) const SILENCE: &str = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YQAAAAA=";

#[cfg(test)]
mod tests {
    use super::Catalogue;

    #[test]
    fn the_built_in_catalogue_is_whole() {
        let all = Catalogue::built_in();
        let counts =
            [all.tools.len(), all.prompts.len(), all.resources.len(), all.resource_templates.len()];
        assert_eq!(counts, [46, 5, 3, 2]);
    }
}
