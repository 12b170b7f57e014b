//! What is said to people and models. Names that a model or a stranger could have made up are
//! shown only where they cannot carry a message.

use std::borrow::Cow;

use doorward_core::{Decision, Label};

/// The remedy that always works.
pub(crate) const FRESH_START: &str = "start a new conversation without the untrusted data";

/// The longest name that is shown.
const LONGEST: usize = 96;

/// A name as it may be shown: letters, digits and the marks of identifiers.
pub(crate) fn plain(name: &str) -> &str {
    let fits = !name.is_empty()
        && name.len() <= LONGEST
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-./:".contains(&byte));
    if fits { name } else { "(unprintable name)" }
}

/// What tainted a context.
pub(crate) fn sources(label: &Label) -> Cow<'static, str> {
    let names = label.sources.names();
    if names.is_empty() {
        return Cow::Borrowed("data that meets no more than this");
    }
    let mut listed = String::from("untrusted data from ");
    for (at, name) in names.iter().take(3).enumerate() {
        if at > 0 {
            listed.push_str(", ");
        }
        listed.push('`');
        listed.push_str(name);
        listed.push('`');
    }
    if names.len() > 3 || label.sources.has_more() {
        listed.push_str(" and others");
    }
    if label.is_trusted() {
        return Cow::Owned(listed.replacen("untrusted data", "data", 1));
    }
    Cow::Owned(listed)
}

/// The arguments of the call that tells a client of a refusal.
pub(crate) fn refusal_arguments(tool: &str, decision: &Decision) -> String {
    serde_json::json!({
        "tool": plain(tool),
        "reason": decision.reason,
        "remedies": decision.remedies,
    })
    .to_string()
}
