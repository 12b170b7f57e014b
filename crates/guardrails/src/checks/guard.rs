//! Checks around a guard.

use std::sync::Arc;

use doorward_core::{
    Admission, BoxFuture, CallError, Cx, Decision, EmbedCall, Guard, Label, ModelCall,
    Stage as ReplyStage, ToolCall, ToolReply, Verdict,
};

use super::apply::tool_named;
use super::scan::{Stop, Tally};
use super::verdict::{Content, Question, ToolAsked};
use super::watch::CheckWatch;
use super::{Checks, Stage};

/// A guard with checks between it and what it guards: the model and the tools get what the checks
/// let through, and the inner guard sees what the client sees.
#[derive(Clone)]
pub struct CheckedGuard {
    checks: Checks,
    inner: Arc<dyn Guard>,
}

impl std::fmt::Debug for CheckedGuard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CheckedGuard").field("checks", &self.checks).finish_non_exhaustive()
    }
}

impl CheckedGuard {
    pub(super) const fn new(checks: Checks, inner: Arc<dyn Guard>) -> Self {
        Self { checks, inner }
    }

    async fn admit_call(&self, cx: &Cx, call: &mut ModelCall) -> Result<Admission, CallError> {
        let mut admission = self.inner.admit(cx, call).await?;
        let mut tally = Tally::new(Stage::Request);
        let screened = self.checks.screen_call(cx, call, &mut tally).await;
        screened.map_err(Stop::into_error)?;
        let watch = admission.watch;
        admission.watch = CheckWatch::around(&self.checks, cx, call, tally, watch);
        Ok(admission)
    }

    /// What was found, with the refusal where there is one.
    fn told(&self, tally: &Tally, stop: Option<Stop>) -> Vec<Decision> {
        let mut found = tally.decisions(&self.checks);
        if let Some(refusal) = stop.map(Stop::into_decision) {
            found.retain(|decision| decision.rule != refusal.rule);
            found.push(refusal);
        }
        found
    }
}

impl Guard for CheckedGuard {
    fn admit<'a>(
        &'a self,
        cx: &'a Cx,
        call: &'a mut ModelCall,
    ) -> BoxFuture<'a, Result<Admission, CallError>> {
        Box::pin(self.admit_call(cx, call))
    }

    fn judge<'a>(
        &'a self,
        cx: &'a Cx,
        call: &'a ToolCall,
    ) -> BoxFuture<'a, Result<Verdict, CallError>> {
        self.inner.judge(cx, call)
    }

    fn file<'a>(
        &'a self,
        cx: &'a Cx,
        call: &'a ToolCall,
        verdict: &'a Verdict,
        reply: &'a ToolReply,
    ) -> BoxFuture<'a, Result<Label, CallError>> {
        self.inner.file(cx, call, verdict, reply)
    }

    fn screen_arguments<'a>(
        &'a self,
        cx: &'a Cx,
        call: &'a mut ToolCall,
        verdict: &'a mut Verdict,
    ) -> BoxFuture<'a, Result<Vec<Decision>, CallError>> {
        Box::pin(async move {
            let mut found = self.inner.screen_arguments(cx, call, verdict).await?;
            let mut tally = Tally::new(Stage::Arguments);
            let question = Question {
                cx,
                stage: Stage::Arguments,
                model: None,
                tool: Some(tool_named(&call.tool)),
                content: Content::Json(&call.arguments),
            };
            let checks = &self.checks;
            let screened =
                checks.screen_json(question, &call.tool, &call.arguments, &mut tally).await;
            let mut stopped = None;
            match screened {
                Ok(Some(arguments)) => call.arguments = arguments,
                Ok(None) => {}
                Err(stop) => stopped = Some(stop),
            }
            let told = self.told(&tally, stopped);
            if let Some(refusal) = told.iter().find(|decision| !decision.is_allowed()) {
                verdict.decision = refusal.clone();
            }
            found.extend(told);
            Ok(found)
        })
    }

    fn screen_result<'a>(
        &'a self,
        cx: &'a Cx,
        call: &'a ToolCall,
        reply: &'a mut ToolReply,
    ) -> BoxFuture<'a, Result<Vec<Decision>, CallError>> {
        Box::pin(async move {
            let mut found = self.inner.screen_result(cx, call, reply).await?;
            // What a server wants first is sealed state and questions, and no result.
            if matches!(reply.stage, ReplyStage::InputRequired | ReplyStage::Task) {
                return Ok(found);
            }
            let mut tally = Tally::new(Stage::Result);
            let tool = ToolAsked { arguments: Some(&call.arguments), ..tool_named(&call.tool) };
            let question = Question {
                cx,
                stage: Stage::Result,
                model: None,
                tool: Some(tool),
                content: Content::Json(&reply.result),
            };
            let checks = &self.checks;
            let screened =
                checks.screen_json(question, &call.tool, &reply.result, &mut tally).await;
            let mut stopped = None;
            match screened {
                Ok(Some(result)) => reply.result = result,
                Ok(None) => {}
                Err(stop) => stopped = Some(stop),
            }
            found.extend(self.told(&tally, stopped));
            Ok(found)
        })
    }

    fn screen_prompt<'a>(
        &'a self,
        cx: &'a Cx,
        call: &'a mut ModelCall,
    ) -> BoxFuture<'a, Result<Vec<Decision>, CallError>> {
        Box::pin(async move {
            let mut found = self.inner.screen_prompt(cx, call).await?;
            let mut tally = Tally::new(Stage::Request);
            let screened = self.checks.screen_call(cx, call, &mut tally).await;
            screened.map_err(Stop::into_error)?;
            found.extend(tally.decisions(&self.checks));
            Ok(found)
        })
    }

    fn screen_texts<'a>(
        &'a self,
        cx: &'a Cx,
        call: &'a mut EmbedCall,
    ) -> BoxFuture<'a, Result<Vec<Decision>, CallError>> {
        Box::pin(async move {
            let mut found = self.inner.screen_texts(cx, call).await?;
            let mut tally = Tally::new(Stage::Request);
            let screened = self.checks.screen_embed(cx, call, &mut tally).await;
            screened.map_err(Stop::into_error)?;
            found.extend(tally.decisions(&self.checks));
            Ok(found)
        })
    }
}
