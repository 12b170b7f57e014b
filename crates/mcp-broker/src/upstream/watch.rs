//! What a server of the modern era is asked to tell by itself (MCP 2026-07-28,
//! `subscriptions/listen`): one request that is never answered, made anew when the interest changes
//! or the server gives it up.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::task::AbortHandle;

use super::Failure;
use crate::edit;
use crate::protocol::code;

/// The first pause before a lost stream is opened again; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A stream that lasted this long was no failure.
const LASTING: Duration = Duration::from_secs(10);

/// The interest in one connection, and the task that keeps it. Dropping it ends the task.
#[derive(Debug, Default)]
pub(super) struct Watch(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    lists: bool,
    uris: BTreeSet<String>,
    task: Option<AbortHandle>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Watch {
    fn with<T>(&self, act: impl FnOnce(&mut Inner) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes of lists are wanted. Whether that is new.
    pub(super) fn want_lists(&self) -> bool {
        self.with(|inner| !std::mem::replace(&mut inner.lists, true))
    }

    /// Updates of a resource are wanted or not. Whether that is new.
    pub(super) fn want(&self, uri: &str, on: bool) -> bool {
        self.with(
            |inner| {
                if on { inner.uris.insert(uri.to_owned()) } else { inner.uris.remove(uri) }
            },
        )
    }

    /// Puts another task in the place of the one that runs. `None` where there is nothing to
    /// run it on.
    pub(super) fn run(&self, task: impl Future<Output = ()> + Send + 'static) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let task = runtime.spawn(task).abort_handle();
        self.with(|inner| {
            if let Some(before) = inner.task.replace(task) {
                before.abort();
            }
        });
    }

    /// Ends the task.
    pub(super) fn stop(&self) {
        self.with(|inner| inner.task.take()).into_iter().for_each(|task| task.abort());
    }

    /// The parameters of `subscriptions/listen`, `_meta` left out; `None` where the server has
    /// nothing to tell.
    pub(super) fn params(&self, capabilities: &RawValue) -> Option<String> {
        let can: Capabilities = edit::read(capabilities.get().as_bytes()).unwrap_or_default();
        self.with(|inner| {
            let lists = [
                ("toolsListChanged", can.tools),
                ("promptsListChanged", can.prompts),
                ("resourcesListChanged", can.resources),
            ];
            let told = |kind: &Option<Kind>| kind.as_ref().is_some_and(|kind| kind.list_changed);
            let mut wanted: Vec<_> = lists
                .iter()
                .filter(|(_, kind)| inner.lists && told(kind))
                .map(|(name, _)| format!(r#""{name}":true"#))
                .collect();
            if !inner.uris.is_empty() {
                let uris: Vec<_> = inner.uris.iter().map(|uri| edit::quote(uri)).collect();
                wanted.push(format!(r#""resourceSubscriptions":[{}]"#, uris.join(",")));
            }
            let wanted = (!wanted.is_empty()).then(|| wanted.join(","))?;
            Some(format!(r#"{{"notifications":{{{wanted}}}}}"#))
        })
    }
}

#[derive(Deserialize, Default)]
struct Capabilities {
    #[serde(default)]
    tools: Option<Kind>,
    #[serde(default)]
    prompts: Option<Kind>,
    #[serde(default)]
    resources: Option<Kind>,
}

#[derive(Deserialize, Default)]
struct Kind {
    #[serde(default, rename = "listChanged")]
    list_changed: bool,
}

/// Does something lasting over and over, with growing pauses, until it says that it is of no use.
pub(super) async fn keep<F, R>(mut once: F)
where
    F: FnMut() -> R,
    R: Future<Output = Result<(), Failure>>,
{
    let mut pause = FIRST_PAUSE;
    loop {
        let began = tokio::time::Instant::now();
        match once().await {
            Err(Failure::Gone | Failure::Closed | Failure::Lost) => return,
            Err(Failure::Rpc(error)) if error.code == code::METHOD_NOT_FOUND => return,
            _ => {}
        }
        if began.elapsed() >= LASTING {
            pause = FIRST_PAUSE;
        }
        tokio::time::sleep(pause).await;
        pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_server_tells_is_asked_for() {
        let all = r#"{"tools":{"listChanged":true},"prompts":{},"resources":{"listChanged":true}}"#;
        let watch = Watch::default();
        let params = |text: &str| watch.params(&RawValue::from_string(text.into()).unwrap());
        assert_eq!(params(all), None);
        assert!(watch.want_lists() && !watch.want_lists());
        assert_eq!(params("{}"), None);
        let lists = r#"{"notifications":{"toolsListChanged":true,"resourcesListChanged":true}}"#;
        assert_eq!(params(all).unwrap(), lists);
        assert!(watch.want("a://b", true) && !watch.want("a://b", true));
        let one = r#"{"notifications":{"resourceSubscriptions":["a://b"]}}"#;
        assert_eq!(params("{}").unwrap(), one);
        assert!(watch.want("a://b", false));
        assert_eq!(params("{}"), None);
    }
}
