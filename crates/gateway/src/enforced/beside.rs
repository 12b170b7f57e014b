//! What is asked of models beside answers: vectors, token counts, and requests sent on as they
//! are. The same steps stand around them, but for the guard's judgement: no tool can be called from
//! there. Content checks look at what leaves, but not at what is sent on as it is.

use doorward_core::{
    Action, Ask, CallError, Code, Cx, EmbedCall, EmbedInput, EmbedReply, Estimate, Kind, ModelCall,
    Models, Operation, Purse, RelayCall, RelayReply, Route, TokenCount, Usage,
};
use futures_util::StreamExt;

use super::{Enforced, asked, failed};
use crate::around::Around;
use crate::estimate::Worst;

/// Before the name of a relayed route that no model could be read from, where a key's list of
/// models is asked: `relay/files`.
const RELAY: &str = "relay/";

impl Enforced<dyn Models> {
    /// Turns texts into vectors: may they → screen → limits → call → settle → record.
    ///
    /// # Errors
    ///
    /// Whatever refused or failed; the record is made either way.
    pub async fn embed(&self, cx: &Cx, mut call: EmbedCall) -> Result<EmbedReply, CallError> {
        let kind = asked(Operation::Embed, &call.model);
        let mut around = Around::open(&self.policy, cx, kind).await?;
        around.authorise(cx, Action::Model(&call.model))?;
        for other in &call.preferences.models {
            around.authorise(cx, Action::Model(other))?;
        }
        match self.policy.guard.screen_texts(cx, &mut call).await {
            Ok(found) => around.event.checks = found,
            Err(error) => return Err(failed(around, error)),
        }
        around.reserve(cx, Ask::Model { model: &call.model }).await?;
        let length = call.input.iter().map(|input| match input {
            EmbedInput::Text(text) => text.len(),
            EmbedInput::Tokens(tokens) => tokens.len(),
        });
        let worst = Worst::of_text(length.fold(0, usize::saturating_add));
        call.purse = Some(around.purse(cx, &call.model, worst));
        let mut reply = match self.inner.embed(cx, call).await {
            Ok(reply) => reply,
            Err(error) => return Err(failed(around, error)),
        };
        note_route(&mut around, &reply.route);
        note_usage(&mut around, reply.usage);
        around.spent().reached = true;
        around.take_hold(reply.hold.take());
        drop(around.complete());
        Ok(reply)
    }

    /// Counts the tokens of a prompt: may they → screen → call → record. Nothing is spent.
    ///
    /// # Errors
    ///
    /// Whatever refused or failed; the record is made either way.
    pub async fn count(&self, cx: &Cx, mut call: ModelCall) -> Result<TokenCount, CallError> {
        let kind = asked(Operation::Count, &call.model);
        let mut around = Around::open(&self.policy, cx, kind).await?;
        around.authorise(cx, Action::Model(&call.model))?;
        match self.policy.guard.screen_prompt(cx, &mut call).await {
            Ok(found) => around.event.checks = found,
            Err(error) => return Err(failed(around, error)),
        }
        around.reserve(cx, Ask::Model { model: &call.model }).await?;
        let count = match self.inner.count(cx, call).await {
            Ok(count) => count,
            Err(error) => return Err(failed(around, error)),
        };
        note_route(&mut around, &count.route);
        drop(around.complete());
        Ok(count)
    }

    /// Sends a request on as it is: may they → limits → call → record at the answer's end. A key
    /// with a list of models needs the request's model on it, or the route (`relay/files`).
    ///
    /// # Errors
    ///
    /// Whatever refused or failed; the record is made either way.
    pub async fn relay(&self, cx: &Cx, call: RelayCall) -> Result<RelayReply, CallError> {
        let path = call.path.split('?').next().unwrap_or_default().to_owned();
        let route = path.trim_start_matches('/').split('/').next().unwrap_or_default();
        let name = call.model.clone().unwrap_or_else(|| format!("{RELAY}{route}"));
        let kind = Kind::Relay { method: call.method.clone(), path, upstream: None, status: None };
        let mut around = Around::open(&self.policy, cx, kind).await?;
        around.authorise(cx, Action::Model(&name))?;
        around.reserve(cx, Ask::Model { model: &name }).await?;
        // Nobody can say what it costs: what becomes of that is the ledger's policy.
        let estimate = Estimate {
            model: &name,
            target: &name,
            input: 0,
            output: Some(0),
            tier: None,
            cache_1h: false,
        };
        let purse = around.purse(cx, &name, Worst::of_text(0));
        let hold = match purse.attempt(estimate.target).await {
            Ok(hold) => hold,
            Err(error) => return Err(failed(around, error)),
        };
        around.take_hold(Some(hold));
        let mut reply = match self.inner.relay(cx, call).await {
            Ok(reply) => reply,
            Err(error) => return Err(failed(around, error)),
        };
        around.spent().reached = true;
        around.spent().usage = Some(Usage::default());
        if let Kind::Relay { upstream, status, .. } = &mut around.event.kind {
            (*upstream, *status) = (Some(reply.upstream.clone()), Some(reply.status));
        }
        reply.body = until_end(around, reply.status, reply.body);
        Ok(reply)
    }
}

/// The answer's pieces; the record is made at their end, or when nobody wants more of them.
fn until_end(
    around: Around,
    status: u16,
    body: doorward_core::BoxStream<'static, Result<bytes::Bytes, CallError>>,
) -> doorward_core::BoxStream<'static, Result<bytes::Bytes, CallError>> {
    let state = (around, body);
    Box::pin(futures_util::stream::unfold(state, move |(mut around, mut body)| async move {
        let Some(piece) = body.next().await else {
            if status < 400 {
                drop(around.complete());
            } else {
                around.fail(&CallError::new(Code::Upstream, "the upstream refused"));
            }
            return None;
        };
        if let Err(error) = &piece {
            around.fail(error);
        }
        Some((piece, (around, body)))
    }))
}

fn note_route(around: &mut Around, routed: &std::sync::Arc<Route>) {
    around.spent().target = Some(routed.target.clone());
    if let Kind::Model { route, .. } = &mut around.event.kind {
        *route = Some(routed.clone());
    }
}

fn note_usage(around: &mut Around, counted: Option<Usage>) {
    around.spent().usage = counted;
    if let Kind::Model { usage, .. } = &mut around.event.kind {
        *usage = counted;
    }
}
