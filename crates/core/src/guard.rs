//! What stands between untrusted data and effects.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    BoxFuture, CallError, ConversationId, Cx, Decision, Digest, EmbedCall, Frame, GrantId, Label,
    ModelCall, RequestId, ToolCall, ToolName, ToolReply, TurnId,
};

/// Judges both planes by one memory of trust.
///
/// On the model plane: [`admit`](Guard::admit) before the request leaves, then the returned
/// [`Watch`] over each frame of the answer. On the tool plane: [`judge`](Guard::judge) before the
/// call runs, [`file`](Guard::file) with what it gave back.
pub trait Guard: Send + Sync {
    /// Recognises the conversation, folds what is new into its label, hides tools accordingly.
    fn admit<'a>(
        &'a self,
        cx: &'a Cx,
        call: &'a mut ModelCall,
    ) -> BoxFuture<'a, Result<Admission, CallError>>;

    /// Decides on a tool call at the broker, consuming the grant that the model's decision left.
    fn judge<'a>(
        &'a self,
        cx: &'a Cx,
        call: &'a ToolCall,
    ) -> BoxFuture<'a, Result<Verdict, CallError>>;

    /// Labels a result and remembers it, so that it is known when the client sends it to a model.
    /// Returns the result's label.
    fn file<'a>(
        &'a self,
        cx: &'a Cx,
        call: &'a ToolCall,
        verdict: &'a Verdict,
        reply: &'a ToolReply,
    ) -> BoxFuture<'a, Result<Label, CallError>>;

    /// Looks at what an allowed call carries, once [`judge`](Guard::judge) has decided on it as the
    /// client wrote it, and before it runs. May change the arguments, and may turn the verdict into
    /// a refusal; tells what it found.
    ///
    /// # Errors
    ///
    /// Where it cannot be looked at and must be.
    fn screen_arguments<'a>(
        &'a self,
        _cx: &'a Cx,
        _call: &'a mut ToolCall,
        _verdict: &'a mut Verdict,
    ) -> BoxFuture<'a, Result<Vec<Decision>, CallError>> {
        Box::pin(std::future::ready(Ok(vec![])))
    }

    /// Looks at what a call gave back, before it is [filed](Guard::file) and handed out. May change
    /// it; tells what it found.
    ///
    /// # Errors
    ///
    /// Where it cannot be looked at and must be.
    fn screen_result<'a>(
        &'a self,
        _cx: &'a Cx,
        _call: &'a ToolCall,
        _reply: &'a mut ToolReply,
    ) -> BoxFuture<'a, Result<Vec<Decision>, CallError>> {
        Box::pin(std::future::ready(Ok(vec![])))
    }

    /// Looks at a prompt that leaves without an answer to come, for its tokens to be counted. May
    /// change it; tells what it found.
    ///
    /// # Errors
    ///
    /// Where it must not leave.
    fn screen_prompt<'a>(
        &'a self,
        _cx: &'a Cx,
        _call: &'a mut ModelCall,
    ) -> BoxFuture<'a, Result<Vec<Decision>, CallError>> {
        Box::pin(std::future::ready(Ok(vec![])))
    }

    /// Looks at texts that leave to become vectors. May change them; tells what it found.
    ///
    /// # Errors
    ///
    /// Where they must not leave.
    fn screen_texts<'a>(
        &'a self,
        _cx: &'a Cx,
        _call: &'a mut EmbedCall,
    ) -> BoxFuture<'a, Result<Vec<Decision>, CallError>> {
        Box::pin(std::future::ready(Ok(vec![])))
    }
}

/// A model request that may go.
pub struct Admission {
    /// The turn it belongs to.
    pub turn: TurnId,
    /// The conversation, as recognised.
    pub conversation: ConversationId,
    /// What the model is about to be told, at its worst.
    pub label: Label,
    /// The tools taken out of sight, as the client declared them.
    pub hidden: Vec<String>,
    /// Watches over the answer.
    pub watch: Box<dyn Watch>,
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admission")
            .field("turn", &self.turn)
            .field("conversation", &self.conversation)
            .field("label", &self.label)
            .field("hidden", &self.hidden)
            .finish_non_exhaustive()
    }
}

/// What becomes of a frame.
#[derive(Debug)]
pub enum Flow {
    /// Goes on to the client now.
    Pass(Frame),
    /// Kept back until the calls in it are complete.
    Hold,
    /// The calls kept back are complete: ask [`Watch::judge`] for what to send on.
    Judge,
}

/// Watches over one answer. Text flows; tool calls wait until they are whole and judged.
pub trait Watch: Send {
    /// Takes the next frame.
    fn frame(&mut self, frame: Frame) -> Flow;

    /// Judges the calls kept back and returns the frames to send on: as they came where all are
    /// allowed, rewritten where one was refused.
    fn judge(&mut self) -> BoxFuture<'_, Result<Vec<Frame>, CallError>>;

    /// The answer is complete: remember it as the model's own. Returns frames still kept back.
    fn finish(&mut self) -> BoxFuture<'_, Result<Vec<Frame>, CallError>>;

    /// The calls decided on so far, for the record.
    fn decided(&self) -> &[DecidedCall];

    /// What content checks found in request and answer so far, for the record.
    fn found(&self) -> Vec<Decision> {
        vec![]
    }
}

/// One call of a model, and what was decided on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecidedCall {
    /// The tool, by its federated name where the broker has it, else as declared.
    pub tool: ToolName,
    /// Digest of the canonical arguments.
    pub arguments: Digest,
    /// What was decided.
    pub decision: Decision,
    /// The grant it left for the broker, if allowed and brokered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<GrantId>,
}

/// What was decided on a tool call at the broker, and what caused it.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// Allowed or not, and why.
    pub decision: Decision,
    /// Digest of the canonical arguments.
    pub arguments: Digest,
    /// The turn that the call belongs to, where a model's decision is known.
    pub turn: Option<TurnId>,
    /// The conversation that the call belongs to.
    pub conversation: Option<ConversationId>,
    /// The model request that decided it.
    pub cause: Option<RequestId>,
    /// The grant it consumed.
    pub grant: Option<GrantId>,
    /// The label under which it was decided.
    pub label: Label,
}
