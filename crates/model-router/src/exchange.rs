//! One exchange with one target: the request as the target wants it, and its answer up to the
//! first event.

use std::borrow::Cow;

use doorward_core::{CallError, Code, Cx, DialectId, ModelCall};
use doorward_wire::{Destination, Dropped, WriterOptions};
use http::header::USER_AGENT;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use crate::answer::{self, Opened, Refused};
use crate::candidate::Candidate;
use crate::keys::Picked;
use crate::route::Target;
use crate::transport::{Inbound, Outbound, TransportError};
use crate::upstream::Endpoint;
use crate::{Router, Upstream};

/// How Doorward names itself to upstreams.
const AGENT: &str = concat!("doorward/", env!("CARGO_PKG_VERSION"));

/// The header whose values [`betas`](doorward_wire::Quirks::betas) limits.
const BETA: &str = "anthropic-beta";

/// What the receipt says where state of another issuer was taken out.
const FOREIGN_STATE: &str = "messages: reasoning state that another target issued";

/// An answer that has begun well, and what the request could not carry.
pub(crate) struct Opening {
    /// Whose wire it is.
    pub(crate) dialect: DialectId,
    pub(crate) answer: Opened,
    /// What the target could not be told.
    pub(crate) dropped: Vec<String>,
    /// Whether it was asked for usage that the client did not ask for.
    pub(crate) asked_usage: bool,
}

impl Router {
    /// Sends the call to a target, with the credential that was picked, and waits for its first
    /// event.
    pub(crate) async fn attempt(
        &self,
        cx: &Cx,
        call: &ModelCall,
        candidate: &Candidate,
        picked: &Picked,
    ) -> Result<Opening, Refused> {
        let (target, upstream) = (&candidate.target, &*candidate.upstream);
        let lost = || Refused::unmade(CallError::internal(format!("no endpoint for {target}")));
        let endpoint = upstream.endpoint_for(call, &target.model).ok_or_else(lost)?;

        let stripped = self.pins.stripped(call, endpoint.id, candidate, picked.id);
        let foreign = stripped.is_some().then(|| FOREIGN_STATE.to_owned());
        let call = stripped.map_or(Cow::Borrowed(call), Cow::Owned);
        let (mut request, dropped) =
            written(&call, target, upstream, endpoint).map_err(Refused::unfit)?;
        let dropped = foreign.into_iter().chain(told(&dropped)).collect();

        finish(&mut request, cx, upstream);
        if let Some(credential) = &picked.credential {
            self.show(upstream, credential, &mut request).await.map_err(Refused::unmade)?;
        }
        let inbound = self.send(upstream, request).await.map_err(Refused::exchange)?;
        let (pause, now) = (self.pause.as_deref(), self.clock.now());
        let (dialect, quirks) = (endpoint.dialect, &endpoint.quirks);
        let answer = answer::open(inbound, dialect, call.stream, quirks, pause, now).await?;
        let asked_usage = call.ask_usage && upstream.stream_usage;
        Ok(Opening { dialect: endpoint.id, answer, dropped, asked_usage })
    }

    /// Sends a request over the upstream's transport, within its times.
    pub(crate) async fn send(
        &self,
        upstream: &Upstream,
        mut request: Outbound,
    ) -> Result<Inbound, TransportError> {
        if let Some(timeouts) = upstream.timeouts {
            request.extensions_mut().insert(timeouts);
        }
        upstream.transport.as_ref().unwrap_or(&self.transport).send(request).await
    }
}

/// The request for a call, but for what every request has.
fn written(
    call: &ModelCall,
    target: &Target,
    upstream: &Upstream,
    endpoint: &Endpoint,
) -> Result<(Outbound, Vec<Dropped>), CallError> {
    let model = upstream.known_as(&target.model);
    let ask_usage = call.ask_usage && upstream.stream_usage;
    let to = Destination { model, ask_usage, quirks: &endpoint.quirks };
    let written = endpoint.dialect.write_call(call, &to).map_err(|error| {
        CallError::new(Code::InvalidRequest, format!("{target} cannot take this: {error}"))
    })?;
    let mut dropped = written.dropped;
    let mut request = Outbound::new(written.body);
    dropped.extend(addressed(&mut request, call, model, endpoint)?);
    if endpoint.ignores_form_of(call) {
        let reason = "the upstream ignores it in this dialect";
        dropped.push(Dropped { path: "response_format".to_owned(), reason });
    }
    for dropped in &dropped {
        tracing::debug!(%target, ?dropped, "left out: the target cannot take it");
    }
    match dropped.first() {
        Some(dropped) if call.preferences.require_parameters => {
            let Dropped { path, reason } = dropped;
            let public = format!("{target} cannot take this: {path}: {reason}");
            Err(CallError::new(Code::InvalidRequest, public))
        }
        _ => Ok((request, dropped)),
    }
}

/// Gives a request for a call its address and its dialect's headers. What of the client's headers
/// the upstream does not take is told.
pub(crate) fn addressed(
    request: &mut Outbound,
    call: &ModelCall,
    model: &str,
    endpoint: &Endpoint,
) -> Result<Vec<Dropped>, CallError> {
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = endpoint.address(call.stream).of(model)?;
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(ACCEPT, HeaderValue::from_static(accepted(endpoint, call.stream)));
    Ok(client_headers(request, call, endpoint))
}

/// The media type that an answer is to have.
fn accepted(endpoint: &Endpoint, stream: bool) -> &'static str {
    match stream {
        false => "application/json",
        true if endpoint.quirks.aws_event_stream => "application/vnd.amazon.eventstream",
        true => endpoint.dialect.stream_type(&WriterOptions::default()),
    }
}

/// Hands on the client's own dialect headers to an endpoint of that dialect.
pub(crate) fn client_headers(
    request: &mut Outbound,
    call: &ModelCall,
    endpoint: &Endpoint,
) -> Vec<Dropped> {
    let mut dropped = Vec::new();
    let Some(raw) = call.raw.as_ref().filter(|raw| raw.dialect == endpoint.id) else {
        return dropped;
    };
    let in_body = &endpoint.quirks.headers_in_body;
    for (name, value) in &raw.headers {
        if in_body.values().any(|moved| moved == name) {
            continue;
        }
        match beta(name, value, endpoint, &mut dropped) {
            Some(kept) => set(request.headers_mut(), name, &kept),
            None => set(request.headers_mut(), name, value),
        }
    }
    dropped
}

/// The values of `anthropic-beta` that the upstream takes (trap 42), where it takes not all.
fn beta(
    name: &str,
    value: &str,
    endpoint: &Endpoint,
    dropped: &mut Vec<Dropped>,
) -> Option<String> {
    let betas = &endpoint.quirks.betas;
    if name != BETA || betas.is_empty() {
        return None;
    }
    let mut kept = Vec::new();
    for beta in value.split(',').map(str::trim).filter(|beta| !beta.is_empty()) {
        if betas.iter().any(|known| doorward_core::Pattern::new(known.as_str()).matches(beta)) {
            kept.push(beta);
        } else {
            let path = format!("{BETA}: {beta}");
            dropped.push(Dropped { path, reason: "the upstream does not take this beta" });
        }
    }
    Some(kept.join(","))
}

/// What every request of ours has.
pub(crate) fn finish(request: &mut Outbound, cx: &Cx, upstream: &Upstream) {
    let headers = request.headers_mut();
    for (name, value) in &upstream.headers {
        if !headers.contains_key(name) {
            headers.insert(name.clone(), value.clone());
        }
    }
    // Frames are read and forwarded as they come: nothing on the way is to pack them.
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    if !headers.contains_key(USER_AGENT) {
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    }
    if let Some(trace) = &cx.trace {
        set(headers, "traceparent", &trace.traceparent);
        if let Some(state) = &trace.tracestate {
            set(headers, "tracestate", state);
        }
    }
}

/// What was left out, for the receipt.
pub(crate) fn told(dropped: &[Dropped]) -> Vec<String> {
    dropped.iter().map(|dropped| format!("{}: {}", dropped.path, dropped.reason)).collect()
}

/// Sets a header, unless the text can be none. An empty one is taken out.
pub(crate) fn set(headers: &mut HeaderMap, name: &str, value: &str) {
    if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
        if value.is_empty() {
            headers.remove(name);
        } else {
            headers.insert(name, value);
        }
    }
}
