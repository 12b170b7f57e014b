//! `doorward check`: what a configuration leads to on this machine.

use std::io::Write;

use doorward_gateway::config::{NetworkAccess, Root, SandboxMode, ServerConfig};
use doorward_gateway::{Surroundings, sandbox_layers, server_layers, upstreams};

use crate::Failure;
use crate::story::Paint;

/// Tells what `serve` would do with this configuration. The configuration itself has been read
/// already; here its secrets, its upstreams and the sandbox are looked at.
///
/// # Errors
///
/// Where `serve` would not start, or output fails.
pub fn check(
    root: &Root,
    around: &Surroundings,
    paint: Paint,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let mut faults = 0;
    let mut line = |good: bool, text: String| -> Result<(), Failure> {
        let mark = if good { paint.good("ok  ") } else { paint.bad("FAIL") };
        faults += usize::from(!good);
        Ok(writeln!(out, "{mark} {text}")?)
    };
    let found = upstreams(root, &around.environment);
    let names: Vec<&str> = found.iter().map(|upstream| upstream.name.as_str()).collect();
    if names.is_empty() {
        line(
            true,
            "no model upstream: none configured, no provider's key in the environment".into(),
        )?;
    } else {
        line(true, format!("model upstreams: {}", names.join(", ")))?;
    }
    let missing = doorward_gateway::missing_secrets(root, &around.environment);
    for (what, missing) in &missing {
        line(false, format!("{what}: {missing}"))?;
    }
    if missing.is_empty()
        && let Err(error) = doorward_gateway::check_servers(root, around)
    {
        line(false, Failure::from(error).to_string())?;
    }
    match doorward_gateway::policies(root, around.clock.clone()) {
        Ok(None) => {}
        Ok(Some(policies)) => {
            line(true, format!("{} policies", policies.len()))?;
            for warning in policies.warnings() {
                line(true, format!("policy {warning}"))?;
            }
        }
        Err(error) => line(false, Failure::from(error).to_string())?,
    }
    let contracts = root.contract.len();
    line(true, format!("{} MCP servers, {contracts} tool contracts", root.server.len()))?;
    for server in root.server.iter().filter(|server| server.sandbox == SandboxMode::None) {
        line(true, format!("server `{}` runs without a sandbox, as configured", server.name))?;
    }
    for (good, text) in confinement(root, around) {
        line(good, text)?;
    }
    match faults {
        0 => Ok(()),
        1 => Err(Failure::new("1 fault")),
        n => Err(Failure::new(format!("{n} faults"))),
    }
}

/// What holds of the sandboxes here: whether that is good, in words.
fn confinement(root: &Root, around: &Surroundings) -> Vec<(bool, String)> {
    let mut lines = Vec::new();
    let native =
        |server: &&ServerConfig| server.command.is_some() && server.sandbox == SandboxMode::Native;
    let strict: Vec<_> = root.server.iter().filter(native).collect();
    let proxied = strict.iter().any(|server| server.network() == NetworkAccess::Proxy);
    for layer in sandbox_layers(around) {
        let needed = match layer.name {
            "egress" => proxied,
            _ => !strict.is_empty() && layer.is_required(),
        };
        let without = if layer.holds || needed { "" } else { "without " };
        lines.push((
            layer.holds || !needed,
            format!("sandbox {without}{}: {}", layer.name, layer.detail),
        ));
    }
    let elsewhere =
        |mode| matches!(mode, SandboxMode::Container | SandboxMode::Kubernetes | SandboxMode::Wasm);
    for server in root.server.iter().filter(|server| elsewhere(server.sandbox)) {
        let (layers, name) = (server_layers(server, around), &server.name);
        // Where nothing holds there is nothing to run it: one reason says it all.
        if let Some(layer) = layers.first().filter(|_| layers.iter().all(|layer| !layer.holds)) {
            lines.push((false, format!("server `{name}` cannot be run: {}", layer.detail)));
            continue;
        }
        for layer in layers {
            let without = if layer.holds { "" } else { "without " };
            let text = format!("server `{name}` {without}{}: {}", layer.name, layer.detail);
            lines.push((true, text));
        }
    }
    lines
}
