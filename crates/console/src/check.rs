//! `doorward check`: what a configuration leads to on this machine.

use std::io::Write;

use doorward_gateway::config::{Root, SandboxMode};
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
    for (what, missing) in doorward_gateway::missing_secrets(root, &around.environment) {
        line(false, format!("{what}: {missing}"))?;
    }
    let contracts = root.contract.len();
    line(true, format!("{} MCP servers, {contracts} tool contracts", root.server.len()))?;
    for server in root.server.iter().filter(|server| server.sandbox == SandboxMode::None) {
        line(true, format!("server `{}` runs without a sandbox, as configured", server.name))?;
    }
    let strict = |mode| mode == SandboxMode::Native;
    let needed = root.server.iter().any(|s| s.command.is_some() && strict(s.sandbox));
    for layer in sandbox_layers(around) {
        let text = format!("sandbox {}: {}", layer.name, layer.detail);
        line(layer.holds || !needed, text)?;
    }
    let elsewhere =
        |mode| matches!(mode, SandboxMode::Container | SandboxMode::Kubernetes | SandboxMode::Wasm);
    for server in root.server.iter().filter(|server| elsewhere(server.sandbox)) {
        for layer in server_layers(server, around) {
            let text = format!("server `{}` {}: {}", server.name, layer.name, layer.detail);
            line(true, format!("{}{text}", if layer.holds { "" } else { "without " }))?;
        }
    }
    match faults {
        0 => Ok(()),
        1 => Err(Failure::new("1 fault")),
        n => Err(Failure::new(format!("{n} faults"))),
    }
}
