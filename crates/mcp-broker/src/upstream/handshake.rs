//! Finding out which era a server speaks, once per connection (MCP 2026-07-28, "Versioning").

use std::borrow::Cow;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::wire::Wire;
use super::{Failure, Hello};
use crate::Era;
use crate::edit;
use crate::protocol::{self, DATED, MODERN, RequestMeta, code};

/// How long a server may be silent about `server/discover` before it is asked the old way too.
const PROBE: Duration = Duration::from_secs(2);

/// The result of `server/discover`, as far as it matters.
#[derive(Deserialize)]
struct Discovered<'a> {
    #[serde(borrow, rename = "supportedVersions")]
    versions: Vec<Cow<'a, str>>,
    #[serde(borrow, default)]
    capabilities: Option<&'a RawValue>,
    #[serde(default)]
    instructions: Option<String>,
    #[serde(borrow, default, rename = "_meta")]
    meta: Option<Meta<'a>>,
}

#[derive(Deserialize, Default)]
struct Meta<'a> {
    #[serde(borrow, default, rename = "io.modelcontextprotocol/serverInfo")]
    server: Option<&'a RawValue>,
}

/// The result of `initialize`, as far as it matters.
#[derive(Deserialize)]
struct Initialized<'a> {
    #[serde(borrow, rename = "protocolVersion")]
    version: Cow<'a, str>,
    #[serde(borrow, default)]
    capabilities: Option<&'a RawValue>,
    #[serde(default)]
    instructions: Option<String>,
    #[serde(borrow, default, rename = "serverInfo")]
    server: Option<&'a RawValue>,
}

fn object(capabilities: Option<&RawValue>) -> Box<RawValue> {
    let given = capabilities.filter(|given| given.get().starts_with('{'));
    given.map_or_else(empty, ToOwned::to_owned)
}

fn empty() -> Box<RawValue> {
    RawValue::from_string("{}".into()).unwrap_or_default()
}

/// What a result of `server/discover` says, where it offers the modern revision.
pub(super) fn discovered(result: &RawValue) -> Option<Hello> {
    let said: Discovered<'_> = edit::read(result.get().as_bytes()).ok()?;
    said.versions.iter().any(|version| version == MODERN).then(|| Hello {
        era: Era::Modern,
        version: MODERN,
        capabilities: object(said.capabilities),
        server_info: said.meta.and_then(|meta| meta.server).map(ToOwned::to_owned),
        instructions: said.instructions,
    })
}

/// What a result of `initialize` says, where it chose a revision that we speak.
pub(super) fn initialized(result: &RawValue) -> Result<Hello, Failure> {
    const WRONG: Failure = Failure::Nonsense("speaks no version of the protocol that we speak");
    let said: Initialized<'_> = edit::read(result.get().as_bytes()).map_err(|_| WRONG)?;
    let version = DATED.into_iter().find(|known| *known == said.version).ok_or(WRONG)?;
    Ok(Hello {
        era: Era::Legacy,
        version,
        capabilities: object(said.capabilities),
        server_info: said.server.map(ToOwned::to_owned),
        instructions: said.instructions,
    })
}

/// The parameters of `server/discover`.
pub(super) fn probe() -> String {
    let meta = protocol::request_meta(Era::Modern, &RequestMeta::default()).unwrap_or_default();
    format!(r#"{{"_meta":{meta}}}"#)
}

/// The data of [`code::VERSION_NOT_SERVED`].
#[derive(Deserialize)]
struct Served<'a> {
    #[serde(borrow)]
    supported: Vec<Cow<'a, str>>,
}

/// Whether a server that refuses the probe says that it speaks the modern revision all the same:
/// it is to be asked once more, and not the old way (MCP 2026-07-28, "Versioning").
pub(super) fn is_modern_refusal(failure: &Failure) -> bool {
    let Failure::Rpc(error) = failure else { return false };
    let data = error.data.as_deref().filter(|_| error.code == code::VERSION_NOT_SERVED);
    let served = data.and_then(|data| edit::read::<Served<'_>>(data.get().as_bytes()).ok());
    served.is_some_and(|served| served.supported.iter().any(|version| version == MODERN))
}

/// Shakes hands over a wire: asks `server/discover` first; an error or silence leads to
/// `initialize`. A modern server that was merely slow still wins.
pub(super) async fn shake(wire: &Wire) -> Result<Arc<Hello>, Failure> {
    let params = probe();
    let mut probe = pin!(wire.request("server/discover", &params));
    let Ok(answer) = tokio::time::timeout(PROBE, &mut probe).await else {
        return shake_both_ways(wire, probe).await;
    };
    match answer.map(|result| discovered(&result)) {
        Ok(Some(hello)) => Ok(Arc::new(hello)),
        Err(Failure::Gone) => Err(Failure::Gone),
        Err(failure) if is_modern_refusal(&failure) => {
            let again = wire.request("server/discover", &params).await?;
            discovered(&again).map(Arc::new).ok_or(failure)
        }
        _ => initialize(wire).await,
    }
}

/// `initialize` beside a probe that is still unanswered: the first that leads on counts.
async fn shake_both_ways(
    wire: &Wire,
    mut probe: impl Future<Output = Result<Box<RawValue>, Failure>> + Unpin,
) -> Result<Arc<Hello>, Failure> {
    let mut initialize = pin!(initialize(wire));
    tokio::select! {
        Ok(result) = &mut probe => match discovered(&result) {
            Some(hello) => Ok(Arc::new(hello)),
            None => initialize.await,
        },
        hello = &mut initialize => match hello {
            // A modern server refuses `initialize` and may still answer the probe.
            Err(refused @ Failure::Rpc(_)) => {
                let late = probe.await.ok().and_then(|result| discovered(&result));
                late.map(Arc::new).ok_or(refused)
            }
            hello => hello,
        },
    }
}

/// Shakes hands the old way only, for a server that did not survive the new.
pub(super) async fn initialize(wire: &Wire) -> Result<Arc<Hello>, Failure> {
    let result = wire.request("initialize", &protocol::initialize_params()).await?;
    let hello = initialized(&result)?;
    wire.notify("notifications/initialized").await?;
    Ok(Arc::new(hello))
}
