//! The service: one route that streams a model's answer, one that tells how the models do.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router as Routes};
use doorward_model_router::Router;
use doorward_model_router::doorward_core::{
    CallError, Code, Cx, Frame, Message, ModelCall, ModelEvent, Models, Principal, RequestId, Role,
    SystemEntropy, TurnId,
};
use futures_util::StreamExt;
use serde::Deserialize;

/// What a caller sends to `/chat`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    message: String,
}

/// The service's routes over a router with an alias called `chat`.
pub(crate) fn routes(router: Arc<Router>) -> Routes {
    Routes::new().route("/chat", post(chat)).route("/health", get(health)).with_state(router)
}

async fn chat(
    State(router): State<Arc<Router>>,
    Json(Question { message }): Json<Question>,
) -> Result<Response, Failure> {
    let call = ModelCall {
        model: "chat".to_owned(),
        messages: vec![Message::text(Role::User, message)],
        stream: true,
        ..ModelCall::default()
    };
    // Until here a failed target was replaced by the next; from here on the answer is under way.
    let reply = router.complete(&circumstances(), call).await?;
    let route = [(HeaderName::from_static("x-route"), reply.route.target.clone())];
    let kind = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    let words = reply.frames.map(|frame| frame.map(|frame| text(&frame)));
    Ok((route, kind, Body::from_stream(words)).into_response())
}

/// The text in a frame; thoughts, tool calls and usage are left out.
fn text(frame: &Frame) -> Bytes {
    let words = frame.events.iter().filter_map(|event| match event {
        ModelEvent::Text { text, .. } => Some(text.as_str()),
        _ => None,
    });
    Bytes::from(words.collect::<String>())
}

/// On whose behalf a call is made. A real service puts its user here: budgets, data policy and
/// warm caches go by it.
fn circumstances() -> Cx {
    Cx {
        turn: TurnId::random(&SystemEntropy),
        request: RequestId::random(&SystemEntropy),
        principal: Arc::new(Principal::service("embed-router")),
        agent: None,
        conversation_hint: None,
        deadline: None,
        trace: None,
        source: None,
    }
}

async fn health(State(router): State<Arc<Router>>) -> String {
    let line = |it: doorward_model_router::TargetHealth| {
        let (state, running) = (it.state.as_str(), it.in_flight);
        format!(
            "{} {state}: {} answered, {} failed, {running} running\n",
            it.target, it.answered, it.failed
        )
    };
    router.health().into_iter().map(line).collect()
}

/// No target answered.
struct Failure(CallError);

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        Self(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let Self(error) = self;
        let status = match error.code {
            Code::InvalidRequest => StatusCode::BAD_REQUEST,
            Code::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Code::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
            Code::Timeout => StatusCode::GATEWAY_TIMEOUT,
            _ => StatusCode::BAD_GATEWAY,
        };
        let wait = error.retry_after.map(|wait| wait.as_millis().div_ceil(1000).to_string());
        let wait = wait.map(|wait| [(header::RETRY_AFTER, wait)]);
        (status, wait, format!("{error}\n")).into_response()
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;
    use doorward_testkit::provider::{Answer, Provider};
    use http_body_util::BodyExt;
    use tower_service::Service;

    use super::*;
    use crate::{Options, router};

    const WORDS: [&str; 3] = [
        "data: {\"id\":\"a\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Good \"}}]}\n\n",
        "data: {\"id\":\"a\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"day.\"}}]}\n\n",
        "data: {\"id\":\"a\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n",
    ];

    async fn ask(routes: &mut Routes, body: &str) -> (StatusCode, String, String) {
        let request = Request::post("/chat")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body.to_owned()))
            .unwrap();
        let response = routes.call(request).await.unwrap();
        let (head, body) = response.into_parts();
        let route = head.headers.get("x-route").map(|it| it.to_str().unwrap().to_owned());
        let body = body.collect().await.unwrap().to_bytes();
        (head.status, route.unwrap_or_default(), String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn the_second_upstream_answers_for_the_first() {
        let down = Provider::start(|_| Answer::json(529, "{}")).await.unwrap();
        let well = Provider::start(|_| Answer::events(WORDS)).await.unwrap();
        let options = Options { first: down.url(), second: well.url(), ..Options::default() };
        let mut routes = routes(Arc::new(router(&options).unwrap()));
        let (status, route, said) = ask(&mut routes, r#"{"message":"Hello"}"#).await;
        assert_eq!((status.as_u16(), route.as_str()), (200, "second/gpt-5-mini"));
        assert_eq!(said, "Good day.");
        assert_eq!(well.recorded()[0].json()["messages"][0]["content"], "Hello");
    }

    #[tokio::test]
    async fn a_failure_is_told_with_its_wait() {
        let busy = || Answer::json(429, "{}").header("retry-after", "30");
        let first = Provider::start(move |_| busy()).await.unwrap();
        let second = Provider::start(move |_| busy()).await.unwrap();
        let options = Options { first: first.url(), second: second.url(), ..Options::default() };
        let mut routes = routes(Arc::new(router(&options).unwrap()));
        let (status, ..) = ask(&mut routes, r#"{"message":"Hello"}"#).await;
        assert_eq!(status.as_u16(), 429);
        let (status, ..) = ask(&mut routes, r#"{"massage":"Hello"}"#).await;
        assert_eq!(status.as_u16(), 422, "a caller's mistake is the service's to tell");
    }
}
