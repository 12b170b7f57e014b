//! Other gateways, where they are installed: what they cost on the same machine in the same run.

use std::net::SocketAddr;
use std::path::Path;

use super::contender::{Contender, folder, free_addresses, until_ready, write};
use super::process::Daemon;

/// A peer's key; it lets in who knows it.
const KEY: &str = "sk-load";

/// `LiteLLM`'s proxy with one worker, by its program (`litellm`).
///
/// # Errors
///
/// Where it does not start.
pub(super) async fn litellm(program: &Path, mock: SocketAddr) -> Result<Contender, String> {
    let folder = folder()?;
    let [address] = free_addresses()?;
    let deployment = |name: &str, model: &str, base: String| {
        format!(
            "  - model_name: {name}\n    litellm_params: {{model: {model}, api_base: \"{base}\", \
             api_key: sk-load}}\n"
        )
    };
    let config = format!(
        "model_list:\n{}{}general_settings: {{master_key: {KEY}}}\n",
        deployment("mock/m", "openai/m", format!("http://{mock}/v1")),
        deployment("mockant/m", "anthropic/m", format!("http://{mock}")),
    );
    write(folder.path(), "config.yaml", &config)?;
    let (program, port) = (program.to_string_lossy(), address.port().to_string());
    let command = [
        "env",
        "LITELLM_LOCAL_MODEL_COST_MAP=True",
        &program,
        "--config",
        "config.yaml",
        "--host",
        "127.0.0.1",
        "--port",
        &port,
    ];
    let mut daemon = Daemon::start(&command, folder.path(), "stderr.log")?;
    until_ready("litellm", &mut daemon, address, "/health/liveliness").await?;
    Ok(Contender::peer("litellm", address, daemon, KEY, folder))
}

/// Portkey's open gateway, by its start script (`…/@portkey-ai/gateway/build/start-server.js`).
///
/// # Errors
///
/// Where it does not start.
pub(super) async fn portkey(script: &Path, mock: SocketAddr) -> Result<Contender, String> {
    let folder = folder()?;
    let [address] = free_addresses()?;
    let (script, port) = (script.to_string_lossy(), format!("--port={}", address.port()));
    let command = ["node", &script, "--headless", &port];
    let mut daemon = Daemon::start(&command, folder.path(), "stderr.log")?;
    until_ready("portkey", &mut daemon, address, "/").await?;
    let headers =
        format!("x-portkey-provider: openai\r\nx-portkey-custom-host: http://{mock}/v1\r\n");
    Ok(Contender::peer("portkey", address, daemon, KEY, folder).with_headers(headers))
}
