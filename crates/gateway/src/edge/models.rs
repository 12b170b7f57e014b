//! The model routes: Chat Completions, Messages, Models.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use doorward_core::{CallError, Code, Cx, DialectId, ModelCall};
use doorward_wire::{Dialect, ReadError, WriterOptions, responses};
use futures_util::StreamExt;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header};
use hyper::body::Incoming;

use super::body::{Hold, ResponseBody};
use super::events::{EventStream, KEEP_ALIVE, Source, same_wire};
use super::kept::Keeper;
use super::path::Addressed;
use super::request::within;
use super::{Edge, failure, request};
use crate::enforced::Completion;

impl Edge {
    /// One model call, in a dialect.
    pub(super) async fn complete(
        self: &Arc<Self>,
        cx: Cx,
        dialect: &'static dyn Dialect,
        at: Option<Addressed>,
        request: Request<Incoming>,
        hold: Hold,
    ) -> Response<ResponseBody> {
        let id = cx.request;
        match self.try_complete(cx, dialect, at, request, hold).await {
            Ok(response) => response,
            Err(error) => failure(dialect, &error, id),
        }
    }

    async fn try_complete(
        self: &Arc<Self>,
        cx: Cx,
        dialect: &'static dyn Dialect,
        at: Option<Addressed>,
        request: Request<Incoming>,
        hold: Hold,
    ) -> Result<Response<ResponseBody>, CallError> {
        let array = at.as_ref().is_some_and(|at| at.array);
        let mut call = self.read_call(&cx, dialect, at, request).await?;
        let previous = call.previous.take();
        if let Some(previous) = &previous {
            call = self.go_on(&cx, dialect, previous, call)?;
        }
        let keeper =
            call.raw.as_ref().and_then(|raw| Keeper::of(self, &cx, dialect.id(), &raw.body));
        let mut options = WriterOptions { array, ..self.writer_options(&cx, dialect, &call) };
        let told = previous.as_ref().and_then(|id| serde_json::value::to_raw_value(id).ok());
        options.echo.extend(told.map(|id| ("previous_response_id".to_owned(), id)));
        if call.stream {
            self.stream(cx, dialect, (call, previous), options, keeper, hold).await
        } else {
            let answered = async {
                let completion = self.models.complete(&cx, call).await?;
                whole(dialect, options, keeper, going_on_from(previous, completion)).await
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
        (call, previous): (ModelCall, Option<String>),
        mut options: WriterOptions,
        keeper: Option<Keeper>,
        hold: Hold,
    ) -> Result<Response<ResponseBody>, CallError> {
        let deadline = cx.deadline;
        let models = self.models.clone();
        let mut opening: super::events::Opening = Box::pin(async move {
            let completion = within(&cx, models.complete(&cx, call)).await?;
            Ok(going_on_from(previous, completion))
        });
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
        let kind = HeaderValue::from_static(dialect.stream_type(&options));
        headers.insert(header::CONTENT_TYPE, kind);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
        let events = EventStream::new(source, dialect, options, deadline).kept_by(keeper);
        *response.body_mut() = ResponseBody::events(events, hold);
        Ok(response)
    }

    /// A model call as its client wrote it.
    pub(super) async fn read_call(
        &self,
        cx: &Cx,
        dialect: &'static dyn Dialect,
        at: Option<Addressed>,
        request: Request<Incoming>,
    ) -> Result<ModelCall, CallError> {
        let headers = request::dialect_headers(request.headers());
        let mut body = within(cx, request::body(self.parts.limits.body, request)).await?;
        if dialect.id() == DialectId::OPENAI_RESPONSES {
            body = self.resolved(cx, body)?;
        }
        let read = match at {
            Some(at) => dialect.read_addressed(body, &at.model, at.stream),
            None => dialect.read_call(body),
        };
        let mut call = read.map_err(ReadError::in_request)?;
        if let Some(raw) = &mut call.raw {
            raw.headers = headers;
        }
        Ok(call)
    }

    /// The same call with the conversation that it goes on from in front.
    fn go_on(
        &self,
        cx: &Cx,
        dialect: &'static dyn Dialect,
        previous: &str,
        call: ModelCall,
    ) -> Result<ModelCall, CallError> {
        let raw =
            call.raw.ok_or_else(|| CallError::internal("a continued call without its body"))?;
        let body = self.continued(cx, previous, raw.body)?;
        let mut call = dialect.read_call(body).map_err(ReadError::in_request)?;
        if let Some(read) = &mut call.raw {
            read.headers = raw.headers;
        }
        Ok(call)
    }

    fn writer_options(
        &self,
        cx: &Cx,
        dialect: &'static dyn Dialect,
        call: &ModelCall,
    ) -> WriterOptions {
        let options = dialect.options(call);
        WriterOptions {
            id: cx.request.to_string(),
            created: self.parts.clock.now().as_secs(),
            stream_usage: options.stream_usage || options.tell_cost,
            input_estimate: call.raw.as_ref().map_or(0, |raw| raw.body.len() as u64 / 4),
            ..options
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

/// An answer that may be forwarded as it came, naming the one that it goes on from.
fn going_on_from(previous: Option<String>, mut completion: Completion) -> Completion {
    if let Some(previous) = previous
        && completion.dialect == DialectId::OPENAI_RESPONSES
    {
        let named = completion.frames.map(move |frame| {
            let mut frame = frame?;
            frame.raw = frame.raw.map(|raw| responses::tell_previous(raw, &previous));
            Ok(frame)
        });
        completion.frames = Box::pin(named);
    }
    completion
}

/// An answer in one body.
async fn whole(
    dialect: &'static dyn Dialect,
    mut options: WriterOptions,
    keeper: Option<Keeper>,
    mut completion: Completion,
) -> Result<Response<ResponseBody>, CallError> {
    options.same_dialect = same_wire(dialect, &completion, false);
    let mut writer = dialect.writer(options);
    let mut out = BytesMut::new();
    while let Some(frame) = completion.frames.next().await {
        writer.write(&frame?, &mut out);
    }
    writer.finish(&mut out);
    let body = out.freeze();
    if let Some(keeper) = keeper {
        keeper.keep(body.clone());
    }
    let mut response = json(body);
    describe(response.headers_mut(), dialect, &completion);
    Ok(response)
}

pub(super) fn json(body: Bytes) -> Response<ResponseBody> {
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
    if completion.route.cached {
        set(HeaderName::from_static("x-doorward-cache"), "hit");
    }
    if completion.dialect == dialect.id() {
        for (name, value) in &completion.headers {
            if let Ok(name) = HeaderName::try_from(name.as_str()) {
                set(name, value);
            }
        }
    }
}
