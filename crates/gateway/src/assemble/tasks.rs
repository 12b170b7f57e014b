//! What runs beside the requests.

use std::error::Error as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use doorward_core::{Cx, Entropy, Principal, RequestId, Scope, Tools, TurnId};
use doorward_guardrails::Contracts;
use doorward_identity::VirtualKeys;
use doorward_ledger::Limits;
use doorward_mcp_broker::Broker;
use doorward_model_router::Router;
use doorward_store::SqlitePins;
use serde_json::value::RawValue;

use crate::config::{Root, UpstreamConfig};

/// How often changed keys are looked for. A revoked key stops working within this time.
const KEY_REFRESH: Duration = Duration::from_millis(500);

/// How often changed pins are looked for. An approved tool is listed within this time.
const PIN_REFRESH: Duration = Duration::from_millis(500);

/// How often upstreams are asked which models they have.
const MODEL_REFRESH: Duration = Duration::from_mins(10);

/// How often a configured price list is looked at.
const PRICE_REFRESH: Duration = Duration::from_secs(30);

/// Brings in changed keys.
pub(super) async fn refresh_keys(keys: Arc<VirtualKeys>) {
    let mut every = tokio::time::interval(KEY_REFRESH);
    loop {
        every.tick().await;
        let keys = keys.clone();
        // The store may block on a disk.
        match tokio::task::spawn_blocking(move || keys.refresh()).await {
            Ok(Ok(changed)) if changed => tracing::info!("keys changed"),
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::error!(%error, "keys cannot be refreshed"),
            Err(error) => tracing::error!(%error, "refreshing keys failed"),
        }
    }
}

/// Looks for pins that another process changed, so that what was approved is listed.
pub(super) async fn refresh_pins(pins: SqlitePins, broker: Arc<Broker>) {
    let mut known = None;
    let mut every = tokio::time::interval(PIN_REFRESH);
    loop {
        every.tick().await;
        let reader = pins.clone();
        // The store may block on a disk.
        match tokio::task::spawn_blocking(move || reader.version()).await {
            Ok(Ok(version)) => {
                if known.replace(version).is_some_and(|known| known != version) {
                    broker.judge_again();
                }
            }
            Ok(Err(error)) => tracing::error!(%error, "pins cannot be refreshed"),
            Err(error) => tracing::error!(%error, "refreshing pins failed"),
        }
    }
}

/// Learns which models the upstreams have.
pub(super) async fn refresh_models(router: Arc<Router>, entropy: Arc<dyn Entropy>) {
    let mut every = tokio::time::interval(MODEL_REFRESH);
    loop {
        every.tick().await;
        router.discover(&own_cx(&*entropy)).await;
    }
}

/// Reads the configured price list again when its file changed. One that cannot be read leaves
/// the prices as they are.
pub(super) async fn refresh_prices(
    limits: Arc<Limits>,
    root: Arc<Root>,
    upstreams: Vec<UpstreamConfig>,
) {
    let Some(file) = root.ledger.catalogue.clone() else { return };
    let changed = |file: &Path| std::fs::metadata(file).and_then(|meta| meta.modified()).ok();
    let mut known = changed(&file);
    let mut every = tokio::time::interval(PRICE_REFRESH);
    loop {
        every.tick().await;
        let now = changed(&file);
        if now == known {
            continue;
        }
        known = now;
        match super::routes::prices(&root, &upstreams) {
            Ok(prices) => {
                limits.set_prices(prices);
                tracing::info!(prices = %limits.prices_id(), "prices changed");
            }
            Err(error) => {
                tracing::error!(error = %error, source = ?error.source(), "the old prices stay");
            }
        }
    }
}

/// Starts the MCP servers, and says where contracts do not fit their tools: one that names
/// arguments a tool does not have protects nothing.
pub(super) async fn start_servers(
    broker: Arc<Broker>,
    contracts: Contracts,
    entropy: Arc<dyn Entropy>,
) {
    broker.start().await;
    let list = match broker.list(&own_cx(&*entropy), &Scope::All).await {
        Ok(list) => list,
        Err(error) => {
            tracing::warn!(%error, "the tools cannot be listed");
            return;
        }
    };
    for gap in &list.gaps {
        tracing::warn!(server = %gap.server, reason = %gap.reason, "tools are missing");
    }
    for tool in &list.tools {
        let declared = serde_json::from_str::<Declared<'_>>(tool.definition.get());
        let Some(schema) = declared.ok().and_then(|declared| declared.schema) else { continue };
        for finding in contracts.check_against(tool.name.as_str(), schema) {
            tracing::warn!(%finding, "a contract does not fit its tool");
        }
    }
}

/// The part of a tool's definition that contracts are about.
#[derive(serde::Deserialize)]
struct Declared<'a> {
    #[serde(borrow, rename = "inputSchema")]
    schema: Option<&'a RawValue>,
}

/// The gateway's own circumstances, for what it asks on nobody's behalf.
fn own_cx(entropy: &dyn Entropy) -> Cx {
    Cx {
        turn: TurnId::random(entropy),
        request: RequestId::random(entropy),
        principal: Arc::new(Principal::service(super::OWN)),
        agent: None,
        conversation_hint: None,
        deadline: None,
        trace: None,
        source: None,
    }
}
