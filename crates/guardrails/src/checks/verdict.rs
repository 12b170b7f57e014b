//! What somebody else says of a text: the seam to guards that people already own.

use std::fmt;

use doorward_core::{BoxFuture, Cx, ToolName};
use serde_json::value::RawValue;

use super::Stage;

/// Somebody who can be asked.
///
/// ```
/// use doorward_core::BoxFuture;
/// use doorward_guardrails::checks::{Content, Opinion, Question, VerdictError, Verdicts};
///
/// /// Nobody may shout.
/// struct Quiet;
///
/// impl Verdicts for Quiet {
///     fn ask<'a>(
///         &'a self,
///         question: Question<'a>,
///     ) -> BoxFuture<'a, Result<Opinion, VerdictError>> {
///         let loud = match question.content {
///             Content::Texts(texts) => texts.iter().any(|text| text.contains("!!!")),
///             Content::Json(json) => json.get().contains("!!!"),
///         };
///         let opinion = if loud { Opinion::Deny("too loud".into()) } else { Opinion::Allow };
///         Box::pin(async { Ok(opinion) })
///     }
/// }
/// ```
pub trait Verdicts: Send + Sync {
    /// Asks. Whoever implements it keeps the deadline.
    ///
    /// # Errors
    ///
    /// Where there is no answer, or none that can be understood.
    fn ask<'a>(&'a self, question: Question<'a>) -> BoxFuture<'a, Result<Opinion, VerdictError>>;
}

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// For whom, and in which turn.
    pub cx: &'a Cx,
    /// Where the content stands.
    pub stage: Stage,
    /// The model, by the name the client wrote; `None` at the broker.
    pub model: Option<&'a str>,
    /// The tool whose arguments or result it is.
    pub tool: Option<ToolAsked<'a>>,
    /// What is to be judged.
    pub content: Content<'a>,
}

/// A tool, as far as it is known.
#[derive(Debug, Clone, Copy)]
pub struct ToolAsked<'a> {
    /// Its federated name, or the declared one.
    pub name: &'a ToolName,
    /// What it says of itself, where the client declared it.
    pub description: Option<&'a str>,
    /// The schema of its arguments.
    pub schema: Option<&'a RawValue>,
    /// The arguments that a result is for.
    pub arguments: Option<&'a RawValue>,
}

/// What is to be judged.
#[derive(Debug, Clone, Copy)]
pub enum Content<'a> {
    /// Texts, in order.
    Texts(&'a [String]),
    /// A tool's arguments or its result (MCP `CallToolResult`).
    Json(&'a RawValue),
}

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opinion {
    /// It may go on.
    Allow,
    /// It may not, for this reason. The reason is shown to the caller.
    Deny(String),
    /// These go on in its place: as many texts as there were, or one JSON text.
    Replace(Vec<String>),
}

/// There is no verdict. Says why in words fit for a caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerdictError(pub &'static str);

impl fmt::Display for VerdictError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for VerdictError {}
