//! Texts to vectors: one request, or several where the upstream takes only so many inputs.

use doorward_core::{
    BoxFuture, CallError, Code, Cx, DialectId, EmbedCall, EmbedReply, Reservation, Spent, Usage,
};
use doorward_wire::{Destination, Embeddings};
use futures_util::{StreamExt, TryStreamExt, stream};
use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue};

use crate::answer;
use crate::exchange::{finish, told};
use crate::retry_after;
use crate::route::Target;
use crate::transport::{Outbound, gather};
use crate::tries::{Failed, Tries, maybe_billed};
use crate::upstream::EmbeddingsEndpoint;
use crate::{Router, Upstream};

/// How many parts of a split call are under way at once.
const AT_ONCE: usize = 4;

/// Who writes and reads embeddings of this name: a dialect, or a form that only embeddings have.
pub(crate) fn codec(name: &str) -> Option<&'static dyn Embeddings> {
    match DialectId::named(name) {
        Some(id) => doorward_wire::dialect(id)?.embeddings(),
        None => only_embeddings(name),
    }
}

/// The forms that only embeddings have: `bedrock-titan`, `bedrock-cohere`, `vertex-predict`. None
/// of them is in the wire crate yet; descriptors name them already and are passed over.
fn only_embeddings(_name: &str) -> Option<&'static dyn Embeddings> {
    None
}

/// A target's vectors, with what it could not be told.
struct Embedded {
    reply: EmbedReply,
    dropped: Vec<String>,
}

impl Router {
    /// Tries the call's targets in order, until one answers or none is left.
    pub(crate) async fn embeddings(
        &self,
        cx: &Cx,
        call: EmbedCall,
    ) -> Result<EmbedReply, CallError> {
        let mut tries = Tries::new(self, &call.model);
        while let Some(target) = tries.next() {
            let began = self.clock.instant();
            let hold = match reserved(&call, &target).await {
                Ok(hold) => hold,
                Err(error) => {
                    tries.failed(&target, error.into(), began);
                    continue;
                }
            };
            match self.embedded(cx, &call, &target).await {
                Ok(Embedded { mut reply, dropped }) => {
                    reply.route = tries.answered(&target, dropped);
                    reply.hold = hold;
                    return Ok(reply);
                }
                Err(failed) => {
                    give_back(&call, hold, &target, &failed);
                    tries.failed(&target, failed, began);
                }
            }
        }
        Err(tries.given_up())
    }

    async fn embedded(
        &self,
        cx: &Cx,
        call: &EmbedCall,
        target: &Target,
    ) -> Result<Embedded, Failed> {
        let lost = || CallError::new(Code::NotFound, format!("{target} makes no embeddings"));
        let upstream = self.upstream(target).ok_or_else(lost)?;
        let client = call.raw.as_ref().map(|raw| raw.dialect);
        let endpoint = upstream.embedder(client, &target.model).ok_or_else(lost)?;
        let at = Embedder { router: self, cx, upstream, endpoint, target };
        let limit = endpoint.batch.map_or(usize::MAX, std::num::NonZeroUsize::get);
        if call.input.len() <= limit {
            return at.ask(call).await;
        }
        let parts = parts(call, limit);
        let mut asked: Vec<BoxFuture<'_, Result<Embedded, Failed>>> = Vec::new();
        for part in &parts {
            asked.push(Box::pin(at.ask(part)));
        }
        let answered: Vec<Embedded> = stream::iter(asked).buffered(AT_ONCE).try_collect().await?;
        joined(answered).ok_or_else(|| lost().into())
    }
}

/// One target and where its embeddings are made.
struct Embedder<'a> {
    router: &'a Router,
    cx: &'a Cx,
    upstream: &'a Upstream,
    endpoint: &'a EmbeddingsEndpoint,
    target: &'a Target,
}

impl Embedder<'_> {
    async fn ask(&self, call: &EmbedCall) -> Result<Embedded, Failed> {
        let (mut request, dropped) = self.request(call)?;
        finish(&mut request, self.cx, self.upstream);
        let router = self.router;
        router.authorise(self.cx, self.upstream, 0, &mut request).await?;
        let inbound = router.send(self.upstream, request).await;
        let inbound = inbound.map_err(answer::broken)?;
        let status = inbound.head.status;
        let refused = |error| Failed { error, status: Some(status.as_u16()) };
        let headers = answer::relayed(&inbound.head.headers);
        let wait = retry_after::read(&inbound.head.headers);
        let body = gather(inbound.body).await.map_err(|error| refused(answer::broken(error)))?;
        if !status.is_success() {
            let id = self.endpoint.id.unwrap_or(DialectId::OPENAI_CHAT);
            let dialect = doorward_wire::dialect(id);
            let mut error = dialect.map_or_else(
                || CallError::new(Code::Upstream, format!("HTTP status {status}")),
                |dialect| dialect.read_error(status.as_u16(), body),
            );
            error.retry_after = wait.or(error.retry_after);
            return Err(refused(error));
        }
        let read = self.endpoint.codec.read_reply(body);
        let mut reply = read.map_err(|error| refused(error.in_answer()))?;
        if reply.vectors.len() != call.input.len() {
            let public = "the upstream gave another number of vectors than was asked for";
            return Err(refused(CallError::new(Code::Upstream, public)));
        }
        reply.headers = headers;
        Ok(Embedded { reply, dropped })
    }

    fn request(&self, call: &EmbedCall) -> Result<(Outbound, Vec<String>), CallError> {
        let model = self.upstream.known_as(&self.target.model);
        let to = Destination { model, ask_usage: false, quirks: &self.endpoint.quirks };
        let written = self.endpoint.codec.write_call(call, &to).map_err(|error| {
            let target = self.target;
            CallError::new(Code::InvalidRequest, format!("{target} cannot take this: {error}"))
        })?;
        let mut request = Outbound::new(written.body);
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = self.endpoint.address.of(model)?;
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(CONTENT_TYPE, json.clone());
        request.headers_mut().insert(ACCEPT, json);
        Ok((request, told(&written.dropped)))
    }
}

/// Room for an attempt, where somebody counts.
async fn reserved(
    call: &EmbedCall,
    target: &Target,
) -> Result<Option<Box<dyn Reservation>>, CallError> {
    match &call.purse {
        Some(purse) => purse.attempt(&target.to_string()).await.map(Some),
        None => Ok(None),
    }
}

fn give_back(
    call: &EmbedCall,
    hold: Option<Box<dyn Reservation>>,
    target: &Target,
    failed: &Failed,
) {
    if let (Some(purse), Some(hold)) = (&call.purse, hold) {
        let reached = maybe_billed(failed.status, failed.error.code);
        let target = Some(target.to_string());
        purse.failed(hold, &Spent { target, reached, ..Spent::default() });
    }
}

/// A call as several of at most `limit` inputs.
fn parts(call: &EmbedCall, limit: usize) -> Vec<EmbedCall> {
    let rest = EmbedCall {
        model: call.model.clone(),
        input: vec![],
        dimensions: call.dimensions,
        base64: call.base64,
        purpose: call.purpose.clone(),
        user: call.user.clone(),
        extra: call.extra.clone(),
        raw: None,
        preferences: call.preferences.clone(),
        purse: None,
    };
    let part = |input: &[_]| EmbedCall { input: input.to_vec(), ..rest.clone() };
    call.input.chunks(limit).map(part).collect()
}

/// The answers to the parts as one, in their order. Its bytes are nobody's.
fn joined(answered: Vec<Embedded>) -> Option<Embedded> {
    let mut answered = answered.into_iter();
    let mut whole = answered.next()?;
    whole.reply.raw = None;
    for part in answered {
        whole.reply.vectors.extend(part.reply.vectors);
        whole.reply.usage = match (whole.reply.usage, part.reply.usage) {
            (Some(one), Some(two)) => Some(Usage {
                input: one.input.saturating_add(two.input),
                output: one.output.saturating_add(two.output),
                ..one
            }),
            // Part of it would look like all of it.
            _ => None,
        };
        for dropped in part.dropped {
            if !whole.dropped.contains(&dropped) {
                whole.dropped.push(dropped);
            }
        }
        whole.reply.headers = part.reply.headers;
    }
    Some(whole)
}

#[cfg(test)]
mod tests;
