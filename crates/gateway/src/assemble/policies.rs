//! Who may: the scopes of keys, and within them the policies that the configuration names.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use doorward_core::{Authorizer, Clock};
use doorward_identity::Rules;
use doorward_identity::cedar::{Options, Otherwise, Policies, PolicySource, Reloading};

use super::StartError;
use crate::config::{PolicyConfig, PolicyDefault, Root};

/// How often the files are looked at. A changed policy takes effect within this time.
const POLICY_REFRESH: Duration = Duration::from_secs(2);

/// The texts that the configuration names.
#[derive(Debug, Clone)]
struct Texts {
    sources: Vec<PolicySource>,
    entities: Option<PolicySource>,
}

impl Texts {
    fn read(config: &PolicyConfig) -> Result<Self, StartError> {
        let read = |path: &Path| {
            let name = path.display().to_string();
            let text = std::fs::read_to_string(path)
                .map_err(|error| StartError::new(format!("{name}: cannot be read"), error))?;
            Ok::<_, StartError>(PolicySource::new(name, text))
        };
        let sources = config.files.iter().map(|path| read(path)).collect::<Result<_, _>>()?;
        let entities = config.entities.as_deref().map(read).transpose()?;
        Ok(Self { sources, entities })
    }

    fn same(&self, other: &Self) -> bool {
        let all = |one: &Self| -> Vec<Arc<str>> {
            one.sources.iter().chain(&one.entities).map(|source| source.text.clone()).collect()
        };
        all(self) == all(other)
    }
}

/// The configured policies; `None` where there are none.
///
/// # Errors
///
/// Where a file cannot be read or says something that cannot be meant: every fault with file,
/// line and column.
pub fn policies(root: &Root, clock: Arc<dyn Clock>) -> Result<Option<Policies>, StartError> {
    let Some(config) = &root.policy else { return Ok(None) };
    load(config, &Texts::read(config)?, clock).map(Some)
}

fn load(
    config: &PolicyConfig,
    texts: &Texts,
    clock: Arc<dyn Clock>,
) -> Result<Policies, StartError> {
    let mut options = Options::new(clock).with_otherwise(match config.default {
        PolicyDefault::Deny => Otherwise::Deny,
        PolicyDefault::Allow => Otherwise::Allow,
    });
    if let Some(zone) = &config.time_zone {
        options = options
            .with_zone(zone)
            .map_err(|error| StartError::new("policy.time_zone cannot be used", error))?;
    }
    let policies = Policies::load(&texts.sources, texts.entities.as_ref(), options)
        .map_err(|error| StartError::new("the policies cannot be used", error))?;
    Ok(policies)
}

/// Policies in force, and what refreshes them.
pub(super) struct InForce {
    reloading: Arc<Reloading>,
    texts: Texts,
    config: PolicyConfig,
}

/// Who decides.
pub(super) fn authorizer(
    root: &Root,
    clock: &Arc<dyn Clock>,
) -> Result<(Arc<dyn Authorizer>, Option<InForce>), StartError> {
    let Some(config) = &root.policy else { return Ok((Arc::new(Rules::default()), None)) };
    let texts = Texts::read(config)?;
    let policies = load(config, &texts, clock.clone())?;
    for warning in policies.warnings() {
        tracing::warn!(%warning, "a policy looks wrong");
    }
    let reloading = Arc::new(Reloading::new(policies));
    let in_force = InForce { reloading: reloading.clone(), texts, config: config.clone() };
    Ok((reloading, Some(in_force)))
}

/// Brings in changed policies. What is wrong with them is told once, and the last good ones stay.
pub(super) async fn refresh(in_force: Option<InForce>) {
    let Some(InForce { reloading, mut texts, config }) = in_force else { return };
    let mut every = tokio::time::interval(POLICY_REFRESH);
    let mut told = None;
    loop {
        every.tick().await;
        let config = config.clone();
        let read = match tokio::task::spawn_blocking(move || Texts::read(&config)).await {
            Ok(Ok(read)) => read,
            Ok(Err(error)) => {
                let text = error.to_string();
                if told.as_ref() != Some(&text) {
                    tracing::error!(error = %text, "the last good policies stay in force");
                    told = Some(text);
                }
                continue;
            }
            Err(error) => {
                tracing::error!(%error, "refreshing policies failed");
                continue;
            }
        };
        told = None;
        if read.same(&texts) {
            continue;
        }
        texts = read.clone();
        let reloading = reloading.clone();
        // Checking many policies takes a while.
        let reloaded = tokio::task::spawn_blocking(move || {
            let epoch = reloading.reload(&read.sources, read.entities.as_ref())?;
            Ok::<_, doorward_identity::cedar::PolicyError>((epoch, reloading.current()))
        });
        match reloaded.await {
            Ok(Ok((epoch, policies))) => {
                tracing::info!(epoch, policies = policies.len(), "policies changed");
                for warning in policies.warnings() {
                    tracing::warn!(%warning, "a policy looks wrong");
                }
            }
            Ok(Err(error)) => tracing::error!(%error, "the last good policies stay in force"),
            Err(error) => tracing::error!(%error, "refreshing policies failed"),
        }
    }
}
