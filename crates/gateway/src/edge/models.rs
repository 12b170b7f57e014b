//! The model routes: Chat Completions, Messages, Models.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use doorward_core::{CallError, Code, Cx, ModelCall};
use doorward_wire::{Dialect, ReadError, WriterOptions};
use futures_util::StreamExt;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header};
use hyper::body::Incoming;

use super::body::{Hold, ResponseBody};
use super::events::{EventStream, KEEP_ALIVE, Source, same_wire};
use super::request::within;
use super::{Edge, failure, request};
use crate::enforced::Completion;

impl Edge {
    /// One model call, in a dialect.
    pub(super) async fn complete(
        self: &Arc<Self>,
        cx: Cx,
        dialect: &'static dyn Dialect,
        request: Request<Incoming>,
        hold: Hold,
    ) -> Response<ResponseBody> {
        let id = cx.request;
        match self.try_complete(cx, dialect, request, hold).await {
            Ok(response) => response,
            Err(error) => failure(dialect, &error, id),
        }
    }

    async fn try_complete(
        self: &Arc<Self>,
        cx: Cx,
        dialect: &'static dyn Dialect,
        request: Request<Incoming>,
        hold: Hold,
    ) -> Result<Response<ResponseBody>, CallError> {
        let headers = request::dialect_headers(request.headers());
        let body = within(&cx, request::body(self.parts.limits.body, request)).await?;
        let mut call = dialect.read_call(body).map_err(ReadError::in_request)?;
        if let Some(raw) = &mut call.raw {
            raw.headers = headers;
        }
        let options = self.writer_options(&cx, &call);
        if call.stream {
            self.stream(cx, dialect, call, options, hold).await
        } else {
            let answered = async {
                let completion = self.models.complete(&cx, call).await?;
                whole(dialect, options, completion).await
            };
            within(&cx, answered).await
        }
    }

    /// A stream answers at once where the upstream does, so that its errors keep their status; a
    /// slow upstream is waited for within the stream.
    async fn stream(
        self: &Arc<Self>,
        cx: Cx,
        dialect: &'static dyn Dialect,
        call: ModelCall,
        mut options: WriterOptions,
        hold: Hold,
    ) -> Result<Response<ResponseBody>, CallError> {
        let deadline = cx.deadline;
        let models = self.models.clone();
        let mut opening: super::events::Opening =
            Box::pin(async move { within(&cx, models.complete(&cx, call)).await });
        let patience = tokio::time::timeout(KEEP_ALIVE, &mut opening).await;
        let mut response = Response::new(ResponseBody::whole(Bytes::new()));
        let source = match patience {
            Ok(opened) => {
                let completion = opened?;
                options.same_dialect = same_wire(dialect, &completion, true);
                options.strip_usage = completion.strip_usage;
                describe(response.headers_mut(), dialect, &completion);
                Source::Open(completion.frames)
            }
            Err(_) => Source::Opening(opening),
        };
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
        let events = EventStream::new(source, dialect, options, deadline);
        *response.body_mut() = ResponseBody::events(events, hold);
        Ok(response)
    }

    fn writer_options(&self, cx: &Cx, call: &ModelCall) -> WriterOptions {
        WriterOptions {
            streaming: call.stream,
            same_dialect: false,
            stream_usage: call.stream_usage,
            strip_usage: false,
            model: call.model.clone(),
            id: cx.request.to_string(),
            created: self.parts.clock.now().as_secs(),
        }
    }

    /// The models the caller may ask for, or one of them.
    pub(super) fn list_models(
        &self,
        cx: &Cx,
        dialect: &'static dyn Dialect,
        one: Option<&str>,
    ) -> Response<ResponseBody> {
        let models = self.models.models(cx);
        let Some(wanted) = one else { return json(dialect.write_models(&models)) };
        if let Some(model) = models.iter().find(|model| model.id == wanted) {
            return json(dialect.write_model(model));
        }
        let error = CallError::new(Code::NotFound, format!("no model `{wanted}` here"));
        failure(dialect, &error, cx.request)
    }
}

/// An answer in one body.
async fn whole(
    dialect: &'static dyn Dialect,
    mut options: WriterOptions,
    mut completion: Completion,
) -> Result<Response<ResponseBody>, CallError> {
    options.same_dialect = same_wire(dialect, &completion, false);
    let mut writer = dialect.writer(options);
    let mut out = BytesMut::new();
    while let Some(frame) = completion.frames.next().await {
        writer.write(&frame?, &mut out);
    }
    writer.finish(&mut out);
    let mut response = json(out.freeze());
    describe(response.headers_mut(), dialect, &completion);
    Ok(response)
}

fn json(body: Bytes) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::whole(body));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

/// Says how the answer came about.
fn describe(headers: &mut HeaderMap, dialect: &'static dyn Dialect, completion: &Completion) {
    let mut set = |name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    set(HeaderName::from_static("x-doorward-turn"), &completion.turn.to_string());
    set(HeaderName::from_static("x-doorward-route"), &completion.route.target);
    if completion.dialect == dialect.id() {
        for (name, value) in &completion.headers {
            if let Ok(name) = HeaderName::try_from(name.as_str()) {
                set(name, value);
            }
        }
    }
}
