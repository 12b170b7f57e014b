//! The tool routes: MCP by Streamable HTTP.

use std::sync::Arc;

use doorward_core::{Cx, Scope};
use doorward_mcp_broker::FrontBody;
use http::{Request, Response};
use hyper::body::Incoming;

use super::body::{Hold, ResponseBody};
use super::{Edge, failure, request};

/// How an MCP client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speaks {
    /// Streamable HTTP.
    Http,
    /// HTTP with server-sent events, as of 2024-11-05.
    Sse,
}

impl Edge {
    /// One MCP exchange.
    pub(super) async fn exchange(
        self: &Arc<Self>,
        cx: Cx,
        scope: Scope,
        speaks: Speaks,
        request: Request<Incoming>,
        hold: Hold,
    ) -> Response<ResponseBody> {
        let (head, incoming) = request.into_parts();
        let incoming = Request::new(incoming);
        let read = request::body(self.parts.limits.body, incoming);
        let body = match request::within(&cx, read).await {
            Ok(body) => body,
            Err(error) => return failure(&doorward_wire::OpenAiChat, &error, cx.request),
        };
        let request = Request::from_parts(head, body);
        let answer = match speaks {
            Speaks::Http => self.front.exchange(&cx, &scope, request).await,
            Speaks::Sse => {
                let path = request.uri().path().to_owned();
                self.front.open_sse(&cx, &scope, &request, &path).await
            }
        };
        answer.map(|body| match body {
            FrontBody::Whole(bytes) => ResponseBody::whole(bytes),
            FrontBody::Stream(pieces) => ResponseBody::pieces(pieces, hold),
        })
    }
}
