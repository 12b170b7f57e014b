//! Content checks: that they can look, and that nothing is set that they would not look at.

use std::collections::HashSet;

use super::super::error::nearest;
use super::{Fault, Step, fault};
use crate::assemble::check_compiles;
use crate::config::{CheckConfig, CheckKind, Root, WebhookField, WebhookProtocol};

const SECTION: &str = "check";

pub(super) fn check(root: &Root) -> Result<(), Fault> {
    let mut names = HashSet::new();
    for (index, config) in root.check.iter().enumerate() {
        if let Some(name) = &config.name {
            super::name(SECTION, index, name, &mut names)?;
        }
        unused(index, config)?;
        webhook(index, config)?;
        let Err((error, known)) = check_compiles(config) else { continue };
        let mut key = vec![Step::from(error.key)];
        let mut suggestion = None;
        if let Some(at) = error.at {
            key.push(Step::from(at));
            let wrong = match error.key {
                "rules" => config.rules.get(at),
                "except" => config.except.get(at),
                _ => None,
            };
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            suggestion = wrong.and_then(|wrong| nearest(wrong, &known));
        }
        return Err(fault(SECTION, index, key, error.message).suggest(suggestion));
    }
    Ok(())
}

/// A setting of another kind of check would be looked at by nobody.
fn unused(index: usize, config: &CheckConfig) -> Result<(), Fault> {
    use CheckKind::{Links, Patterns, Pii, Secrets, Size};
    let settings: [(&str, bool, &[CheckKind]); 9] = [
        ("rules", !config.rules.is_empty(), &[Secrets, Pii, Links, Patterns]),
        ("except", !config.except.is_empty(), &[Secrets, Pii, Links, Patterns]),
        ("allow", !config.allow.is_empty(), &[Secrets, Pii, Links, Patterns]),
        ("verify", config.verify, &[Secrets]),
        ("patterns", !config.patterns.is_empty(), &[Patterns]),
        ("images_only", config.images_only, &[Links]),
        ("max_bytes", config.max_bytes.is_some(), &[Size]),
        ("max_messages", config.max_messages.is_some(), &[Size]),
        ("max_tools", config.max_tools.is_some(), &[Size]),
    ];
    let odd = settings.into_iter().find(|(_, set, kinds)| *set && !kinds.contains(&config.kind));
    if let Some((key, ..)) = odd {
        return Err(fault(SECTION, index, [key.into()], "a check of this kind has no use for it"));
    }
    Ok(())
}

fn webhook(index: usize, config: &CheckConfig) -> Result<(), Fault> {
    let key = |key: &str| [Step::from("webhook"), Step::from(key)];
    let Some(webhook) = &config.webhook else {
        if config.kind == CheckKind::Webhook {
            let expected = "expected `webhook = { url = \"https://guard.example/verdict\" }`";
            return Err(fault(SECTION, index, ["webhook".into()], "nobody to ask")
                .suggest(Some(expected.to_owned())));
        }
        return Ok(());
    };
    if config.kind != CheckKind::Webhook {
        let message = "a check of this kind asks nobody";
        return Err(fault(SECTION, index, ["webhook".into()], message));
    }
    let url = webhook.url.parse::<http::Uri>().ok();
    let usable = url.is_some_and(|url| {
        matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some()
    });
    if !usable {
        return Err(fault(SECTION, index, key("url"), "no http or https URL"));
    }
    if webhook.timeout.0.is_zero() {
        return Err(fault(SECTION, index, key("timeout"), "expected more than 0"));
    }
    let content = [WebhookField::Content, WebhookField::Digest];
    if !webhook.send.iter().any(|field| content.contains(field)) {
        let message = "nothing to judge: neither `content` nor `digest`";
        return Err(fault(SECTION, index, key("send"), message));
    }
    if webhook.protocol != WebhookProtocol::Doorward && webhook.send != [WebhookField::Content] {
        let message = "this protocol has room for `content` only";
        return Err(fault(SECTION, index, key("send"), message));
    }
    Ok(())
}
