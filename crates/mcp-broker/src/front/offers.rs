//! What the front says of itself: the handshake, discovery, and which methods are there.

use std::borrow::Cow;

use doorward_core::{CallError, Code, Offers};
use http::StatusCode;

use super::call::Place;
use super::era::Refusal;
use super::revision::Revision;
use super::run::Outcome;
use super::write;
use crate::edit;
use crate::protocol::{MODERN, code};

/// The extension that tasks are since 2026-07-28.
pub(super) const TASKS: &str = "io.modelcontextprotocol/tasks";

impl Place {
    /// What the scope offers. Servers that cannot be asked offer nothing for now; only a scope
    /// that is not there is an error.
    async fn offers(&self) -> Result<Offers, Refusal> {
        match self.front.settings.tools.offers(&self.cx, &self.scope).await {
            Ok(offers) => Ok(offers),
            Err(error) if error.code == Code::NotFound => Err(nowhere(&error)),
            Err(_) => Ok(Offers::default()),
        }
    }

    /// The result of `initialize`.
    pub(super) async fn initialized(self) -> Outcome {
        let offers = self.offers().await?;
        let capabilities = capabilities(&offers, self.revision);
        let info = self.info(&offers);
        let version = self.revision.name();
        let mut text = format!(
            r#"{{"protocolVersion":"{version}","capabilities":{capabilities},"serverInfo":{info}"#
        );
        instruct(&mut text, &offers);
        text.push('}');
        Ok(text)
    }

    /// The result of `server/discover`.
    pub(super) async fn discovered(self) -> Outcome {
        let offers = self.offers().await?;
        let capabilities = capabilities(&offers, self.revision);
        let mut text =
            format!(r#"{{"supportedVersions":["{MODERN}"],"capabilities":{capabilities}"#);
        instruct(&mut text, &offers);
        text.push('}');
        let hints = r#","ttlMs":0,"cacheScope":"private""#;
        let info = self.info(&offers);
        Ok(write::modern_by(&info, "complete", hints, &text))
    }

    fn info<'a>(&self, offers: &'a Offers) -> Cow<'a, str> {
        match &offers.server_info {
            Some(info) => Cow::Borrowed(info.get()),
            None => Cow::Owned(self.front.settings.info.json()),
        }
    }

    /// Whether somebody in the scope has this capability, and this part of it.
    pub(super) async fn need(&self, name: &str, part: Option<&str>) -> Result<(), Refusal> {
        let offers = self.offers().await?;
        let all = offers.capabilities.as_deref().map_or("{}", |all| all.get());
        let found = edit::member(all, name);
        let found = match part {
            None => found.is_some(),
            Some(part) => {
                found.and_then(|found| edit::member(found, part)).is_some_and(|has| has != "false")
            }
        };
        if found { Ok(()) } else { Err(Refusal::no_method(self.revision)) }
    }
}

/// The route itself leads nowhere.
pub(super) fn nowhere(error: &CallError) -> Refusal {
    Refusal::bad(code::INVALID_PARAMS, error.public.clone()).with_status(StatusCode::NOT_FOUND)
}

fn instruct(text: &mut String, offers: &Offers) {
    if let Some(instructions) = offers.instructions.as_deref().filter(|text| !text.is_empty()) {
        text.push_str(r#","instructions":"#);
        text.push_str(&edit::quote(instructions));
    }
}

/// Capabilities in the words of a revision. Tools are always served.
fn capabilities(offers: &Offers, revision: Revision) -> String {
    let all = offers.capabilities.as_deref().map_or("{}", |all| all.get());
    let members = edit::members(all).unwrap_or_default();
    let has = |name: &str| members.iter().any(|member| member.name == name);
    let known = |name: &str| match name {
        "tools" | "prompts" | "resources" | "logging" | "experimental" => true,
        "completions" => revision >= Revision::Mar2025,
        "tasks" => revision == Revision::Nov2025,
        _ => revision.is_modern(),
    };
    let mut pieces: Vec<Cow<'_, str>> = Vec::new();
    if !has("tools") {
        pieces.push(r#""tools":{}"#.into());
    }
    let kept = members.iter().filter(|member| known(&member.name));
    pieces.extend(kept.map(|member| edit::written(all, member)));
    let tasks = edit::member(all, "extensions").and_then(|all| edit::member(all, TASKS)).is_some();
    if tasks && revision == Revision::Nov2025 && !has("tasks") {
        pieces.push(r#""tasks":{"cancel":{},"requests":{"tools":{"call":{}}}}"#.into());
    }
    edit::object(pieces.into_iter())
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;

    #[test]
    fn capabilities_are_told_in_the_words_of_the_clients_revision() {
        let all = r#"{"tools":{"listChanged":true},"completions":{},"extensions":{"io.modelcontextprotocol/tasks":{}},"logging":{}}"#;
        for (revision, told) in [
            (Revision::Nov2024, r#"{"tools":{"listChanged":true},"logging":{}}"#),
            (Revision::Mar2025, r#"{"tools":{"listChanged":true},"completions":{},"logging":{}}"#),
            (
                Revision::Nov2025,
                r#"{"tools":{"listChanged":true},"completions":{},"logging":{},"tasks":{"cancel":{},"requests":{"tools":{"call":{}}}}}"#,
            ),
            (Revision::Modern, all),
        ] {
            let raw = RawValue::from_string(all.into()).unwrap();
            let offers = Offers { capabilities: Some(raw), ..Offers::default() };
            assert_eq!(capabilities(&offers, revision), told, "{revision:?}");
        }
        assert_eq!(capabilities(&Offers::default(), Revision::Modern), r#"{"tools":{}}"#);
    }
}
