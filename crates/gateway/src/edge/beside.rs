//! The model routes beside answers: token counts, embeddings, and what is sent on as it is.

use std::sync::Arc;

use bytes::Bytes;
use doorward_core::{CallError, Code, Cx, DialectId, RelayCall, RelayReply};
use doorward_wire::{Dialect, Embedded, Embeddings, GeminiEmbedContent, ReadError};
use futures_util::StreamExt;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;

use super::body::{Hold, ResponseBody};
use super::models::json;
use super::path::Addressed;
use super::relayed::{self, Found};
use super::request::within;
use super::{Edge, failure, request};

impl Edge {
    /// The tokens of a prompt.
    pub(super) async fn count(
        &self,
        cx: Cx,
        dialect: &'static dyn Dialect,
        at: Option<Addressed>,
        request: Request<Incoming>,
    ) -> Response<ResponseBody> {
        let counted = async {
            let counting = dialect.counting().ok_or_else(|| no_such("token counts"))?;
            let call = self.read_call(&cx, dialect, at, request).await?;
            let count = within(&cx, self.models.count(&cx, call)).await?;
            let mut response = json(counting.write_count(count.input));
            name_route(response.headers_mut(), &count.route.target);
            if count.estimated {
                let yes = HeaderValue::from_static("true");
                response.headers_mut().insert("x-doorward-estimated", yes);
            }
            Ok(response)
        };
        counted.await.unwrap_or_else(|error| failure(dialect, &error, cx.request))
    }

    /// Vectors.
    pub(super) async fn embed(
        &self,
        cx: Cx,
        dialect: &'static dyn Dialect,
        at: Option<Addressed>,
        request: Request<Incoming>,
    ) -> Response<ResponseBody> {
        let embedded = async {
            let embeddings = dialect.embeddings().ok_or_else(|| no_such("embeddings"))?;
            let body = within(&cx, request::body(self.parts.limits.body, request)).await?;
            let mut call = embeddings.read_call(body).map_err(ReadError::in_request)?;
            let single = at.as_ref().is_some_and(|at| at.single);
            if let Some(at) = at {
                call.model = at.model;
            }
            let (model, base64) = (call.model.clone(), call.base64);
            let reply = within(&cx, self.models.embed(&cx, call)).await?;
            let told = Embedded { reply: &reply, model: &model, base64 };
            let same = reply.raw.clone().filter(|_| reply.dialect == dialect.id());
            let body = match same {
                // Upstreams are asked for lists only.
                _ if single => GeminiEmbedContent.write_reply(&told),
                Some(raw) => raw,
                None => embeddings.write_reply(&told),
            };
            let mut response = json(body);
            name_route(response.headers_mut(), &reply.route.target);
            Ok(response)
        };
        embedded.await.unwrap_or_else(|error: CallError| failure(dialect, &error, cx.request))
    }

    /// A request for an upstream, as it is.
    pub(super) async fn relay(
        self: &Arc<Self>,
        cx: Cx,
        dialect: &'static dyn Dialect,
        path: String,
        request: Request<Incoming>,
        hold: Hold,
    ) -> Response<ResponseBody> {
        let id = cx.request;
        match self.try_relay(&cx, dialect.id(), path, request).await {
            Ok(reply) => answered(reply, hold),
            Err(error) => failure(dialect, &error, id),
        }
    }

    async fn try_relay(
        &self,
        cx: &Cx,
        dialect: DialectId,
        path: String,
        request: Request<Incoming>,
    ) -> Result<RelayReply, CallError> {
        if !self.parts.limits.relay {
            let public = "requests of this kind are not sent on here; see listen.relay";
            return Err(CallError::new(Code::NotFound, public).with_rule("edge.relay"));
        }
        let method = request.method().as_str().to_owned();
        let upstream = relayed::upstream(request.headers());
        let headers = relayed::headers(request.headers());
        let kind = relayed::Kind::of(request.headers());
        let body = within(cx, request::body(self.parts.limits.body, request)).await?;
        let Found { model, body } = relayed::find_model(kind, body, &self.parts.upstreams);
        let whole = futures_util::stream::once(async move { Ok::<Bytes, CallError>(body) });
        let body = Box::pin(whole.filter(|piece| {
            let some = piece.as_ref().is_ok_and(|bytes| !bytes.is_empty());
            std::future::ready(some)
        }));
        let call = RelayCall { upstream, model, dialect, method, path, headers, body };
        within(cx, self.models.relay(cx, call)).await
    }
}

fn answered(reply: RelayReply, hold: Hold) -> Response<ResponseBody> {
    // A body that breaks off must not look whole: the connection is cut.
    let body = ResponseBody::relayed(reply.body, hold);
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::BAD_GATEWAY);
    let headers = response.headers_mut();
    for (name, value) in &reply.headers {
        if let (Ok(name), Ok(value)) =
            (HeaderName::try_from(name.as_str()), HeaderValue::from_str(value))
            && name != header::CONTENT_LENGTH
        {
            headers.append(name, value);
        }
    }
    name_route(headers, &reply.upstream);
    response
}

fn name_route(headers: &mut HeaderMap, target: &str) {
    if let Ok(value) = HeaderValue::from_str(target) {
        headers.insert("x-doorward-route", value);
    }
}

fn no_such(what: &str) -> CallError {
    CallError::new(Code::NotFound, format!("this dialect has no {what}"))
}
