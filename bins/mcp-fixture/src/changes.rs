//! Changes that the server tells its clients of: on the session's stream by the older protocol,
//! on a listening request by the newer one.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use rmcp::model::{ResourceUpdatedNotificationParam, SubscriptionFilter};
use rmcp::service::{Peer, SubscriptionContext};
use rmcp::{ErrorData, RoleServer};
use tokio::sync::broadcast;

/// Something that has changed.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Tools,
    Prompts,
    Resource(String),
}

/// What a session has subscribed to.
pub(crate) type Watched = Arc<Mutex<HashSet<String>>>;

/// Tells one session until it is gone.
pub(crate) async fn tell_session(
    peer: Peer<RoleServer>,
    watched: Watched,
    mut changes: broadcast::Receiver<Change>,
) {
    while let Ok(change) = changes.recv().await {
        let told = match change {
            Change::Tools => peer.notify_tool_list_changed().await,
            Change::Prompts => peer.notify_prompt_list_changed().await,
            Change::Resource(uri) => {
                if !watched.lock().is_ok_and(|watched| watched.contains(&uri)) {
                    continue;
                }
                peer.notify_resource_updated(ResourceUpdatedNotificationParam::new(uri)).await
            }
        };
        if told.is_err() {
            return;
        }
    }
}

/// Tells one listening request until it ends. Its filter has already been agreed on.
pub(crate) async fn tell_listener(
    context: SubscriptionContext,
    mut changes: broadcast::Receiver<Change>,
) -> Result<(), ErrorData> {
    let accepted = context.accepted().clone();
    loop {
        let change = tokio::select! {
            change = changes.recv() => change,
            () = context.cancelled() => return Ok(()),
        };
        let Ok(change) = change else { return Ok(()) };
        if !wants(&accepted, &change) {
            continue;
        }
        let sink = context.sink();
        let told = match change {
            Change::Tools => sink.notify_tool_list_changed().await,
            Change::Prompts => sink.notify_prompt_list_changed().await,
            Change::Resource(uri) => sink.notify_resource_updated(uri).await,
        };
        if told.is_err() {
            return Ok(());
        }
    }
}

fn wants(filter: &SubscriptionFilter, change: &Change) -> bool {
    match change {
        Change::Tools => filter.tools_list_changed == Some(true),
        Change::Prompts => filter.prompts_list_changed == Some(true),
        Change::Resource(uri) => {
            filter.resource_subscriptions.as_ref().is_some_and(|uris| uris.contains(uri))
        }
    }
}
