//! What a key may be used for.

use std::sync::Arc;

use doorward_core::{Action, Authorizer, Cx, Decision};

/// The longest name that is looked at.
const NAME_MOST: usize = 512;

/// Decides by the scopes of the key that was shown.
///
/// | rule | denies |
/// |---|---|
/// | `key.models` | a model that is not on the key's list |
/// | `key.tools` | a tool that is not on the key's list |
/// | `key.unlisted` | anything by a key without a list, under [`Rules::lists_required`] |
/// | `name.malformed` | a name that nothing can have |
///
/// ```
/// use std::sync::Arc;
/// use doorward_core::{Action, Authorizer, Cx, Pattern, Principal, Scopes, SystemEntropy};
/// # use doorward_core::{RequestId, TurnId};
/// use doorward_identity::Rules;
///
/// let models = Some(vec![Pattern::new("openai/*")]);
/// let scopes = Arc::new(Scopes { models, ..Scopes::default() });
/// let principal = Arc::new(Principal { scopes, ..Principal::service("ci") });
/// # let cx = Cx {
/// #     turn: TurnId::random(&SystemEntropy), request: RequestId::random(&SystemEntropy),
/// #     principal, agent: None, conversation_hint: None, deadline: None, trace: None, source: None,
/// # };
/// let rules = Rules::default();
/// assert!(rules.authorize(&cx, Action::Model("openai/gpt-5")).is_allowed());
/// let refused = rules.authorize(&cx, Action::Model("anthropic/claude-haiku-4-5"));
/// assert_eq!((refused.is_allowed(), &*refused.rule), (false, "key.models"));
/// ```
#[derive(Debug, Clone)]
pub struct Rules {
    lists_required: bool,
    models: Arc<str>,
    tools: Arc<str>,
    unlisted: Arc<str>,
    malformed: Arc<str>,
}

impl Default for Rules {
    fn default() -> Self {
        // The names are made once: a decision is made on every call.
        Self {
            lists_required: false,
            models: "key.models".into(),
            tools: "key.tools".into(),
            unlisted: "key.unlisted".into(),
            malformed: "name.malformed".into(),
        }
    }
}

impl Rules {
    /// Denies what a key has no list for, instead of allowing everything.
    pub fn lists_required() -> Self {
        Self { lists_required: true, ..Self::default() }
    }
}

impl Authorizer for Rules {
    fn authorize(&self, cx: &Cx, action: Action<'_>) -> Decision {
        let scopes = &cx.principal.scopes;
        let (name, rule, listed, allowed) = match action {
            Action::Model(name) => {
                (name, &self.models, scopes.models.is_some(), scopes.allows_model(name))
            }
            Action::Tool(tool) | Action::Call { tool, .. } => {
                let name = tool.as_str();
                (name, &self.tools, scopes.tools.is_some(), scopes.allows_tool(name))
            }
        };
        if name.is_empty() || name.len() > NAME_MOST || name.chars().any(char::is_control) {
            return Decision::deny(Arc::clone(&self.malformed), "nothing can have this name");
        }
        if self.lists_required && !listed {
            let reason = "this key has no list of what it may use, and one is required";
            return Decision::deny(Arc::clone(&self.unlisted), reason)
                .with_remedy("use a key that lists what it may use");
        }
        let rule = Arc::clone(rule);
        match (action, allowed) {
            (_, true) if listed => Decision::allow(rule, "on the key's list"),
            (_, true) => Decision::allow(rule, "the key has no list: anything goes"),
            (Action::Model(_), false) => {
                Decision::deny(rule, "this key's list of models does not have this one")
                    .with_remedy("ask for a model that `GET /v1/models` lists")
                    .with_remedy("have the model added to the key")
            }
            (Action::Tool(_) | Action::Call { .. }, false) => {
                Decision::deny(rule, "this key's list of tools does not have this one")
                    .with_remedy("use a tool that `tools/list` shows")
                    .with_remedy("have the tool added to the key")
            }
        }
    }
}
