//! Arguments and results held against a tool's schemas, and secrets taken out of results.

#[cfg(feature = "schema")]
use std::fmt::Write as _;
#[cfg(feature = "schema")]
use std::sync::{Arc, OnceLock};

use doorward_core::ToolReply;
#[cfg(feature = "schema")]
use doorward_core::{Stage, ToolCall};
#[cfg(feature = "schema")]
use serde_json::Value;
#[cfg(feature = "schema")]
use serde_json::value::RawValue;

use super::Inner;
#[cfg(feature = "schema")]
use crate::edit;
#[cfg(feature = "schema")]
use crate::schema::{Checked, SchemaCache, Violation};
#[cfg(feature = "schema")]
use crate::server::Strictness;
use crate::shelf::Member;
#[cfg(feature = "schema")]
use crate::shelf::Shelved;

/// A note in a result's `_meta`: what of it does not fit the tool's output schema.
#[cfg(feature = "schema")]
const INVALID: &str = "doorward/invalid";

/// A tool's schemas, compiled when first needed.
#[cfg(feature = "schema")]
#[derive(Default)]
pub(crate) struct Checks {
    input: OnceLock<Option<Arc<Checked>>>,
    output: OnceLock<Option<Arc<Checked>>>,
}

#[cfg(feature = "schema")]
impl Checks {
    fn input(&self, cache: &SchemaCache, tool: &Shelved) -> Option<&Checked> {
        self.input.get_or_init(|| compiled(cache, tool, "inputSchema")).as_deref()
    }

    fn output(&self, cache: &SchemaCache, tool: &Shelved) -> Option<&Checked> {
        self.output.get_or_init(|| compiled(cache, tool, "outputSchema")).as_deref()
    }
}

/// One of a tool's schemas. One that cannot be used checks nothing: the server still does.
#[cfg(feature = "schema")]
fn compiled(cache: &SchemaCache, tool: &Shelved, name: &str) -> Option<Arc<Checked>> {
    let text = edit::member(tool.spec.definition.get(), name)?;
    let schema: &RawValue = serde_json::from_str(text).ok()?;
    match cache.checked(schema) {
        Ok(checked) => Some(checked),
        Err(error) => {
            let (server, tool) = (&tool.spec.server, &tool.own);
            tracing::warn!(%server, %tool, schema = name, %error, "schema cannot be used");
            None
        }
    }
}

#[cfg(feature = "schema")]
fn listed(violations: &[Violation]) -> String {
    let mut text = String::new();
    for violation in violations {
        // Writing to a text never fails.
        let _ = write!(text, "\n- {violation}");
    }
    text
}

/// Arguments without those that are `null`, where there are any.
#[cfg(feature = "schema")]
fn without_nulls(arguments: Value) -> Option<Value> {
    let Value::Object(mut members) = arguments else { return None };
    let before = members.len();
    members.retain(|_, value| !value.is_null());
    (members.len() < before).then_some(Value::Object(members))
}

#[cfg(all(test, feature = "schema"))]
mod tests {
    use super::*;

    #[test]
    fn what_is_null_counts_as_left_out() {
        let given = serde_json::json!({ "a": null, "b": { "c": null } });
        let less = serde_json::json!({ "b": { "c": null } });
        assert_eq!(without_nulls(given), Some(less.clone()));
        assert_eq!(without_nulls(less), None);
    }
}

impl Inner {
    /// What is wrong with a call's arguments, told so that the model can mend them.
    #[cfg(feature = "schema")]
    pub(super) fn unfit(
        &self,
        member: &Member,
        tool: &Shelved,
        call: &ToolCall,
    ) -> Option<ToolReply> {
        if member.server.validate.arguments == Strictness::Off {
            return None;
        }
        let checked = tool.checks.input(&self.schemas, tool)?;
        let arguments: Value = serde_json::from_str(call.arguments.get()).ok()?;
        let violations = checked.check(&arguments).err()?;
        // Models write `null` for what they leave out, and so do typed clients.
        let fuller = without_nulls(arguments);
        if fuller.is_some_and(|arguments| checked.check(&arguments).is_ok()) {
            return None;
        }
        if member.server.validate.arguments == Strictness::Warn {
            tracing::warn!(server = %member.name, tool = %tool.own, "arguments do not fit the tool's schema");
            return None;
        }
        let text = "The arguments do not fit the tool's inputSchema, so it was not called:";
        Some(ToolReply::error(&[text, &listed(&violations)].concat()))
    }

    /// A reply, held against the tool's output schema.
    #[cfg(feature = "schema")]
    pub(super) fn fitted(&self, member: &Member, tool: &Shelved, reply: ToolReply) -> ToolReply {
        let strictness = member.server.validate.results;
        let whole = reply.stage == Stage::Complete && !reply.is_error;
        if strictness == Strictness::Off || !whole {
            return reply;
        }
        let Some(checked) = tool.checks.output(&self.schemas, tool) else { return reply };
        let content = edit::member(reply.result.get(), "structuredContent");
        let violations = match content.map(serde_json::from_str::<Value>) {
            Some(Ok(content)) => match checked.check(&content) {
                Ok(()) => return reply,
                Err(violations) => listed(&violations),
            },
            _ => "\n- structuredContent is missing".into(),
        };
        tracing::warn!(server = %member.name, tool = %tool.own, "result does not fit the tool's schema");
        if strictness == Strictness::Refuse {
            let text =
                "The tool ran, but its result does not fit its outputSchema and is withheld:";
            return ToolReply::error(&[text, &violations].concat());
        }
        noted(reply, &violations)
    }

    /// A reply without the secrets in it, where its server's are to be taken out.
    #[cfg(feature = "redact")]
    pub(super) fn redacted(&self, member: &Member, reply: ToolReply) -> ToolReply {
        let Some(redaction) = self.redaction.as_ref().filter(|_| member.server.redact) else {
            return reply;
        };
        let (reply, counts) = redaction.redact_reply(reply);
        for (kind, count) in &counts {
            tracing::info!(server = %member.name, %kind, count, "secrets were taken out of a result");
        }
        reply
    }

    #[cfg(not(feature = "redact"))]
    #[expect(clippy::unused_self, reason = "with the feature it has work to do")]
    pub(super) fn redacted(&self, _: &Member, reply: ToolReply) -> ToolReply {
        reply
    }
}

/// The reply with a note of what is wrong with it.
#[cfg(feature = "schema")]
fn noted(reply: ToolReply, violations: &str) -> ToolReply {
    let note = format!("\"{INVALID}\":{}", edit::quote(violations.trim_start()));
    let text = reply.result.get();
    let written = match edit::member(text, "_meta") {
        Some(meta) => edit::with(meta, &note).and_then(|meta| edit::replace(text, "_meta", &meta)),
        None => edit::with(text, &format!("\"_meta\":{{{note}}}")),
    };
    match written.and_then(|text| RawValue::from_string(text).ok()) {
        Some(result) => ToolReply { result, ..reply },
        None => reply,
    }
}
