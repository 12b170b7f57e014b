//! What a catalogue holds beside tools: prompts, resources, templates, tasks, and news of them.

use std::sync::Arc;

use serde_json::value::RawValue;

use crate::{Exchange, Gap, ToolName};

/// Kinds of things that are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ItemKind {
    /// `prompts/list`.
    Prompts,
    /// `resources/list`.
    Resources,
    /// `resources/templates/list`.
    Templates,
}

/// One thing of a list.
#[derive(Debug, Clone)]
pub struct Item {
    /// The server that has it.
    pub server: Arc<str>,
    /// What it is asked for by: a prompt's federated name, a federated URI or URI template.
    pub key: Arc<str>,
    /// The definition to show: the server's own, with only the name or URI changed.
    pub definition: Box<RawValue>,
}

/// A list, in a stable order.
#[derive(Debug, Clone, Default)]
pub struct ItemList {
    /// The things.
    pub items: Vec<Arc<Item>>,
    /// Servers that could not be asked.
    pub gaps: Vec<Gap>,
}

/// What is asked of the catalogue beside tool calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fetch {
    /// `resources/read`.
    Resource,
    /// `prompts/get`.
    Prompt,
    /// `completion/complete`.
    Completion,
    /// `tasks/get`.
    TaskGet,
    /// `tasks/result` (2025-11-25).
    TaskResult,
    /// `tasks/update` (2026-07-28).
    TaskUpdate,
    /// `tasks/cancel`.
    TaskCancel,
}

impl Fetch {
    /// The MCP method.
    pub const fn method(self) -> &'static str {
        match self {
            Self::Resource => "resources/read",
            Self::Prompt => "prompts/get",
            Self::Completion => "completion/complete",
            Self::TaskGet => "tasks/get",
            Self::TaskResult => "tasks/result",
            Self::TaskUpdate => "tasks/update",
            Self::TaskCancel => "tasks/cancel",
        }
    }

    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Resource,
        Self::Prompt,
        Self::Completion,
        Self::TaskGet,
        Self::TaskResult,
        Self::TaskUpdate,
        Self::TaskCancel,
    ];

    /// Which of them goes by this name among the tools ([`tool_name`](Self::tool_name)).
    pub fn of_tool_name(name: &str) -> Option<Self> {
        let (_, own) = name.split_once("__")?;
        let (group, verb) = own.split_once('.')?;
        Self::ALL.into_iter().find(|fetch| fetch.method().split_once('/') == Some((group, verb)))
    }

    /// The name under which rules, limits and records know it, `server__resources.read` for
    /// instance. No tool can have such a name: federated names hold no dots.
    pub fn tool_name(self, server: &str) -> ToolName {
        let method = self.method().replace('/', ".");
        ToolName::new(format!("{server}__{method}"))
    }
}

impl ItemKind {
    /// What must be allowed for its things to be seen.
    pub const fn fetch(self) -> Fetch {
        match self {
            Self::Prompts => Fetch::Prompt,
            Self::Resources | Self::Templates => Fetch::Resource,
        }
    }
}

/// A request of the catalogue beside tool calls, after its server was found
/// ([`Tools::locate`](crate::Tools::locate)).
#[derive(Debug, Clone)]
pub struct FetchCall {
    /// What is asked.
    pub fetch: Fetch,
    /// The server that has it.
    pub server: Arc<str>,
    /// The parameters as the client wrote them, under the names that it knows; `_meta` taken out.
    pub params: Box<RawValue>,
    /// `_meta` of the request, as the client wrote it.
    pub meta: Option<Box<RawValue>>,
    /// Who can be asked, and what it continues.
    pub exchange: Exchange,
}

/// What a part of the catalogue offers.
#[derive(Debug, Clone, Default)]
pub struct Offers {
    /// Server capabilities, a JSON object in the words of the newest revision. Without entries
    /// for what nobody in the scope can do.
    pub capabilities: Option<Box<RawValue>>,
    /// Instructions for the model, of all servers in the scope.
    pub instructions: Option<String>,
    /// `serverInfo` of the one server of a transparent route.
    pub server_info: Option<Box<RawValue>>,
}

/// What a client wants to hear of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Interest {
    /// Changes of the tool list.
    pub tools: bool,
    /// Changes of the prompt list.
    pub prompts: bool,
    /// Changes of the resource list.
    pub resources: bool,
    /// Updates of these resources, by federated URI.
    pub updates: Vec<String>,
    /// Changes of these tasks, by federated id.
    pub tasks: Vec<String>,
}

/// News of a catalogue.
#[derive(Debug, Clone)]
pub enum News {
    /// The tool list changed.
    Tools,
    /// The prompt list changed.
    Prompts,
    /// The resource list changed.
    Resources,
    /// A resource changed: parameters of `notifications/resources/updated`, with its federated URI.
    Updated {
        /// The federated URI.
        uri: String,
        /// The parameters to tell.
        params: Box<RawValue>,
    },
    /// A task changed: parameters of `notifications/tasks` (or `…/tasks/status`), with its
    /// federated id.
    Task {
        /// The federated id.
        id: String,
        /// The parameters to tell.
        params: Box<RawValue>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_fetched_has_a_name_no_tool_can_have() {
        for fetch in Fetch::ALL {
            let name = fetch.tool_name("tracker");
            assert!(name.as_str().contains('.'));
            assert_eq!(Fetch::of_tool_name(name.as_str()), Some(fetch), "{name}");
        }
        assert_eq!(Fetch::of_tool_name("tracker__resources_read"), None);
        assert_eq!(Fetch::of_tool_name("tracker__files.read"), None);
    }
}
