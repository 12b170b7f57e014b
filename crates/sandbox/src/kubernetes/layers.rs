//! What a pod has, and what its cluster says of itself.

use serde_json::Value;

use super::Kubernetes;
use crate::{Layer, Network, SpawnError};

impl Kubernetes {
    /// What a pod with this network is given.
    pub(super) fn given(&self, network: Network) -> Vec<Layer> {
        let layer = |name, holds, detail: &str| Layer { name, holds, detail: detail.to_owned() };
        let (policy, how) = match (network, self.enforced) {
            (Network::Host, _) => (false, "not asked for"),
            (_, true) => (true, "the operator says that the cluster enforces it"),
            (_, false) => (false, "nobody has said that the cluster enforces it"),
        };
        let users = if self.user_namespace { "asked for" } else { "not asked for" };
        vec![
            layer("pod", true, "of its own; no root, no node's namespaces or folders"),
            layer("read-only root", true, "`/tmp` and volumes can be written to"),
            layer("no capabilities", true, "all dropped, none to be gained"),
            layer("seccomp", true, "the container runtime's filter"),
            layer("no service account", true, "no token, no services' variables"),
            layer("network policy", policy, how),
            layer("user namespace", self.user_namespace, users),
            layer("memory limit", true, "of the pod as a whole"),
            layer("process limit", false, "the node's own; so are open files and file size"),
        ]
    }
}

/// Adds what the cluster says; where it says nothing, nothing holds.
pub(super) fn read(given: Vec<Layer>, namespace: Result<String, SpawnError>) -> Vec<Layer> {
    let name = "pod security admission";
    match namespace {
        Ok(said) => {
            let said: Value = serde_json::from_str(&said).unwrap_or_default();
            let level = &said["metadata"]["labels"]["pod-security.kubernetes.io/enforce"];
            let detail = match level.as_str() {
                Some(level) => format!("the namespace enforces `{level}`"),
                None => "the namespace enforces no level".to_owned(),
            };
            let mut layers = given;
            layers.push(Layer { name, holds: level == "restricted", detail });
            layers
        }
        Err(error) => {
            let detail = error.to_string();
            let none = |layer: Layer| Layer { holds: false, detail: detail.clone(), ..layer };
            let mut layers: Vec<Layer> = given.into_iter().map(none).collect();
            layers.push(Layer { name, holds: false, detail });
            layers
        }
    }
}
