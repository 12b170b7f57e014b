//! Finding out which era a server speaks, once per connection (MCP 2026-07-28, "Versioning").

use std::borrow::Cow;
use std::pin::pin;
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::Failure;
use super::wire::Wire;
use crate::Era;
use crate::edit;
use crate::protocol::{self, DATED, MODERN};

/// How long a server may be silent about `server/discover` before it is asked the old way too.
const PROBE: Duration = Duration::from_secs(2);

/// The result of `server/discover`, as far as it matters.
#[derive(Deserialize)]
struct Discovered<'a> {
    #[serde(borrow, rename = "supportedVersions")]
    versions: Vec<Cow<'a, str>>,
    #[serde(default)]
    capabilities: Capabilities,
}

#[derive(Deserialize, Default)]
struct Capabilities {
    #[serde(default)]
    tools: Option<ToolsCapability>,
}

#[derive(Deserialize, Default)]
struct ToolsCapability {
    #[serde(default, rename = "listChanged")]
    list_changed: bool,
}

/// The result of `initialize`, as far as it matters.
#[derive(Deserialize)]
struct Initialized<'a> {
    #[serde(borrow, rename = "protocolVersion")]
    version: Cow<'a, str>,
}

/// Whether a result of `server/discover` offers the modern revision; then also whether the server
/// will tell when its tools change.
pub(crate) fn is_modern(result: &RawValue) -> Option<bool> {
    let discovered: Discovered<'_> = edit::read(result.get().as_bytes()).ok()?;
    let tools = discovered.capabilities.tools.unwrap_or_default();
    discovered.versions.iter().any(|version| version == MODERN).then_some(tools.list_changed)
}

/// The dated revision that a result of `initialize` chose.
pub(crate) fn dated(result: &RawValue) -> Result<&'static str, Failure> {
    let version = edit::read::<Initialized<'_>>(result.get().as_bytes())
        .ok()
        .and_then(|chosen| DATED.into_iter().find(|known| *known == chosen.version));
    version.ok_or(Failure::Nonsense("speaks no version of the protocol that we speak"))
}

/// Shakes hands over a wire: asks `server/discover` first; an error or silence leads to
/// `initialize`. A modern server that was merely slow still wins.
pub(crate) async fn shake(wire: &Wire) -> Result<Era, Failure> {
    let meta = protocol::request_meta(Era::Modern, None, None).unwrap_or_default();
    let params = format!(r#"{{"_meta":{meta}}}"#);
    let mut probe = pin!(wire.request("server/discover", &params));
    let Ok(answer) = tokio::time::timeout(PROBE, &mut probe).await else {
        return shake_both_ways(wire, probe).await;
    };
    match answer {
        Ok(result) if is_modern(&result).is_some() => modern(wire, &result).await,
        Err(Failure::Gone) => Err(Failure::Gone),
        _ => initialize(wire).await,
    }
}

/// `initialize` beside a probe that is still unanswered: the first that leads on counts.
async fn shake_both_ways(
    wire: &Wire,
    mut probe: impl Future<Output = Result<Box<RawValue>, Failure>> + Unpin,
) -> Result<Era, Failure> {
    let mut initialize = pin!(initialize(wire));
    tokio::select! {
        Ok(result) = &mut probe => match modern(wire, &result).await {
            Ok(era) => Ok(era),
            Err(_) => initialize.await,
        },
        era = &mut initialize => match era {
            // A modern server refuses `initialize` and may still answer the probe.
            Err(refused @ Failure::Rpc(_)) => match probe.await {
                Ok(result) => modern(wire, &result).await,
                Err(_) => Err(refused),
            },
            era => era,
        },
    }
}

/// Shakes hands the old way only, for a server that did not survive the new.
pub(crate) async fn initialize(wire: &Wire) -> Result<Era, Failure> {
    let result = wire.request("initialize", &protocol::initialize_params()).await?;
    dated(&result)?;
    wire.notify("notifications/initialized").await?;
    Ok(Era::Legacy)
}

async fn modern(wire: &Wire, result: &RawValue) -> Result<Era, Failure> {
    let Some(tells) = is_modern(result) else {
        return Err(Failure::Nonsense("speaks no version of the protocol that we speak"));
    };
    if tells {
        let meta = protocol::request_meta(Era::Modern, None, None).unwrap_or_default();
        let params = format!(r#"{{"_meta":{meta},"notifications":{{"toolsListChanged":true}}}}"#);
        wire.ask_only("subscriptions/listen", &params).await;
    }
    Ok(Era::Modern)
}
