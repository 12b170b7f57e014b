//! Texts to vectors: one request, or several where the upstream takes only so many inputs.

use doorward_core::{
    BoxFuture, CallError, Code, Cx, DialectId, EmbedCall, EmbedInput, EmbedReply, Usage,
};
use doorward_wire::{Destination, Embeddings};
use futures_util::{StreamExt, TryStreamExt, stream};
use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue};

use crate::answer::{self, Refused};
use crate::candidate::Candidate;
use crate::exchange::{finish, told};
use crate::hold::Held;
use crate::keys::Picked;
use crate::retry_after;
use crate::route::Target;
use crate::transport::{Outbound, gather};
use crate::tries::Tries;
use crate::upstream::EmbeddingsEndpoint;
use crate::when::Facts;
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

/// The forms that only embeddings have.
fn only_embeddings(name: &str) -> Option<&'static dyn Embeddings> {
    match name {
        "bedrock-titan" => Some(&doorward_wire::TitanEmbeddings),
        "bedrock-cohere" => Some(&doorward_wire::CohereOnBedrock),
        "vertex-predict" => Some(&doorward_wire::VertexEmbeddings),
        _ => None,
    }
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
        let facts = Facts::plain(call.input.iter().map(tokens).fold(0, u64::saturating_add));
        let mut tries = Tries::new(self, cx, &call.model, &call.preferences, &facts)?;
        while let Some(step) = tries.next() {
            let (began, name) = (self.clock.instant(), &step.candidate.name);
            let held = match Held::reserve(call.purse.as_ref(), name).await {
                Ok(held) => held,
                Err(error) => {
                    tries.unaffordable(&step, error);
                    continue;
                }
            };
            let picked = tries.pick(&step.candidate).await;
            let found = match &picked {
                Ok(picked) => self.embedded(cx, &call, &step.candidate, picked).await,
                Err(_) => Err(Refused::unmade(CallError::new(Code::Upstream, "no credential"))),
            };
            let (picked, refused) = match (picked, found) {
                (Ok(_), Ok(Embedded { mut reply, dropped })) => {
                    reply.route = tries.answered(&step.candidate, dropped);
                    reply.hold = held.kept();
                    return Ok(reply);
                }
                (Ok(picked), Err(refused)) => (Some(picked), refused),
                (Err(refused), _) => (None, refused),
            };
            let name = name.clone();
            let reached = tries.failed(step, picked.as_ref(), refused, began);
            held.failed(&name, reached);
        }
        Err(tries.given_up())
    }

    async fn embedded(
        &self,
        cx: &Cx,
        call: &EmbedCall,
        candidate: &Candidate,
        picked: &Picked,
    ) -> Result<Embedded, Refused> {
        let (target, upstream) = (&candidate.target, &*candidate.upstream);
        let lost = || {
            let public = format!("{target} makes no embeddings");
            Refused::unfit(CallError::new(Code::NotFound, public))
        };
        let client = call.raw.as_ref().map(|raw| raw.dialect);
        let endpoint = upstream.embedder(client, &target.model).ok_or_else(lost)?;
        let at = Embedder { router: self, cx, upstream, endpoint, target, picked };
        let limit = endpoint.batch.map_or(usize::MAX, std::num::NonZeroUsize::get);
        if call.input.len() <= limit {
            return at.ask(call).await;
        }
        let parts = parts(call, limit);
        let mut asked: Vec<BoxFuture<'_, Result<Embedded, Refused>>> = Vec::new();
        for part in &parts {
            asked.push(Box::pin(at.ask(part)));
        }
        let answered: Vec<Embedded> = stream::iter(asked).buffered(AT_ONCE).try_collect().await?;
        joined(answered).ok_or_else(lost)
    }
}

/// One target and where its embeddings are made.
struct Embedder<'a> {
    router: &'a Router,
    cx: &'a Cx,
    upstream: &'a Upstream,
    endpoint: &'a EmbeddingsEndpoint,
    target: &'a Target,
    picked: &'a Picked,
}

impl Embedder<'_> {
    async fn ask(&self, call: &EmbedCall) -> Result<Embedded, Refused> {
        let (mut request, dropped) = self.request(call).map_err(Refused::unfit)?;
        finish(&mut request, self.cx, self.upstream);
        let router = self.router;
        if let Some(credential) = &self.picked.credential {
            let shown = router.show(self.upstream, credential, &mut request).await;
            shown.map_err(Refused::unmade)?;
        }
        let inbound = router.send(self.upstream, request).await.map_err(Refused::exchange)?;
        let status = inbound.head.status;
        let refused = |error| Refused::answered(status, error);
        let headers = answer::relayed(&inbound.head.headers);
        let wait = retry_after::read(&inbound.head.headers, router.clock.now());
        let body = gather(inbound.body).await.map_err(|error| refused(answer::broken(error)))?;
        if !status.is_success() {
            let id = self.endpoint.id;
            let dialect = doorward_wire::dialect(id.unwrap_or(DialectId::OPENAI_CHAT));
            let mut error = dialect.map_or_else(
                || CallError::new(Code::Upstream, format!("HTTP status {status}")),
                |dialect| dialect.read_error(status.as_u16(), body),
            );
            if id.is_none() {
                // Read as what it most looks like; no client knows it as its own.
                error.relayed = None;
            }
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

/// Tokens of an input, about.
fn tokens(input: &EmbedInput) -> u64 {
    match input {
        EmbedInput::Text(text) => text.len() as u64 / 4,
        EmbedInput::Tokens(tokens) => tokens.len() as u64,
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
