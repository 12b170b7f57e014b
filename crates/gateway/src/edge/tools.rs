//! The tool routes: MCP by Streamable HTTP.

use std::sync::Arc;

use doorward_core::{Cx, Scope};
use doorward_mcp_broker::FrontBody;
use http::{Request, Response};
use hyper::body::Incoming;

use super::body::{Hold, ResponseBody};
use super::{Edge, failure, request};

impl Edge {
    /// One MCP exchange.
    pub(super) async fn exchange(
        self: &Arc<Self>,
        cx: Cx,
        scope: Scope,
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
        let answer = self.front.exchange(&cx, &scope, Request::from_parts(head, body)).await;
        answer.map(|body| match body {
            FrontBody::Whole(bytes) => ResponseBody::whole(bytes),
            FrontBody::Stream(pieces) => ResponseBody::pieces(pieces, hold),
        })
    }
}
