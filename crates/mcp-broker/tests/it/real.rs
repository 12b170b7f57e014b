//! Real peers: rmcp as server and as client, in both eras, with the broker between.

use std::borrow::Cow;
use std::convert::Infallible;
use std::sync::Arc;

use doorward_core::{Scope, Tools};
use doorward_mcp_broker::{Broker, Era, Front, FrontBody, ServerInfo};
use futures_util::StreamExt as _;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper_util::rt::TokioIo;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ClientConfig, ContentBlock,
    ListToolsResult, PaginatedRequestParams, ProtocolVersion, ServerCapabilities, ServerConfig,
    Tool,
};
use rmcp::service::RequestContext;
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::{
    ClientLifecycleMode, ClientServiceExt, ErrorData, RoleServer, ServerHandler, ServiceExt,
};

use crate::peers::{Local, call, cx};

/// A real server that speaks some versions only.
#[derive(Clone)]
pub(crate) struct Adder(pub(crate) &'static [ProtocolVersion]);

pub(crate) const LEGACY: &[ProtocolVersion] = &[ProtocolVersion::V_2025_11_25];
pub(crate) const MODERN: &[ProtocolVersion] = &[ProtocolVersion::V_2026_07_28];

impl ServerHandler for Adder {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        Cow::Borrowed(self.0)
    }

    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(vec![tool()]))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let arguments = request.arguments.unwrap_or_default();
        let number = |name: &str| arguments.get(name).and_then(serde_json::Value::as_i64);
        let sum = number("a").unwrap_or(0) + number("b").unwrap_or(0);
        Ok(CallToolResult::success(vec![ContentBlock::text(sum.to_string())]).into())
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        (name == "add").then(tool)
    }
}

fn tool() -> Tool {
    let schema = serde_json::json!({"type": "object", "properties": {"a": {"type": "integer"}}});
    Tool::new("add", "adds", Arc::new(schema.as_object().unwrap().clone()))
}

fn over_streams(versions: &'static [ProtocolVersion]) -> Local {
    Local::default().with_body("real", move |stdin, stdout| async move {
        if let Ok(running) = Adder(versions).serve((stdin, stdout)).await {
            running.waiting().await.ok();
        }
    })
}

#[tokio::test]
async fn a_real_server_is_spoken_to_in_its_own_era() {
    for (versions, era) in [(LEGACY, Era::Legacy), (MODERN, Era::Modern)] {
        let broker = over_streams(versions).broker(|s| s);
        broker.start().await;
        let got = broker.call(&cx(), call("real__add", r#"{"a":2,"b":3}"#)).await.unwrap();
        assert!(got.result.get().contains(r#""text":"5""#), "{}", got.result);
        assert!(!got.result.get().contains("resultType"), "{}", got.result);
        assert_eq!(broker.status()[0].era, Some(era));
        broker.close().await;
    }
}

pub(crate) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Serves one connection of anything.
pub(crate) async fn serve_connection<S, F, R>(stream: S, answer: F)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    F: Fn(Request<Incoming>) -> R,
    R: Future<Output = Response<Body>>,
{
    let service = hyper::service::service_fn(|request| {
        let answer = answer(request);
        async { Ok::<_, Infallible>(answer.await) }
    });
    let connection = hyper::server::conn::http1::Builder::new();
    connection.serve_connection(TokioIo::new(stream), service).await.ok();
}

fn body(body: FrontBody) -> Body {
    match body {
        FrontBody::Whole(bytes) => Full::new(bytes).boxed_unsync(),
        FrontBody::Stream(stream) => {
            // `FrontBody` is `Send` only; a boxed body of a test listener need be no more.
            let frames = stream.map(|bytes| Ok::<_, Infallible>(Frame::data(bytes)));
            StreamBody::new(frames).boxed_unsync()
        }
    }
}

/// The front on a Unix socket.
fn listen(front: Front, path: &std::path::Path) {
    let listener = tokio::net::UnixListener::bind(path).unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let front = front.clone();
            tokio::spawn(serve_connection(stream, move |request| {
                let front = front.clone();
                async move {
                    let (head, incoming) = request.into_parts();
                    let bytes = incoming.collect().await.unwrap().to_bytes();
                    let request = Request::from_parts(head, bytes);
                    front.exchange(&cx(), &Scope::All, request).await.map(body)
                }
            }));
        }
    });
}

#[tokio::test]
async fn real_clients_and_servers_of_any_era_meet_through_the_broker() {
    let discover =
        ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::V_2026_07_28] };
    let auto = ClientLifecycleMode::Auto {
        preferred_versions: vec![ProtocolVersion::V_2026_07_28],
        legacy_version: Some(ProtocolVersion::V_2025_11_25),
    };
    for versions in [LEGACY, MODERN] {
        for mode in [ClientLifecycleMode::Initialize, discover.clone(), auto.clone()] {
            let broker: Broker = over_streams(versions).broker(|s| s);
            for stream_after in [0, 3000] {
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path().join("mcp.sock");
                let front = Front::new(Arc::new(broker.clone()), ServerInfo::new("doorward", "1"))
                    .stream_after(std::time::Duration::from_millis(stream_after));
                listen(front, &path);
                let transport = StreamableHttpClientTransport::from_unix_socket(
                    path.to_str().unwrap(),
                    "http://localhost/mcp",
                );
                let client = ClientConfig::default();
                let client = client.serve_with_lifecycle(transport, mode.clone()).await.unwrap();
                let tools = client.list_all_tools().await.unwrap();
                assert_eq!(tools[0].name, "real__add");
                let arguments = serde_json::json!({"a": 20, "b": 22});
                let params = CallToolRequestParams::new("real__add")
                    .with_arguments(arguments.as_object().unwrap().clone());
                let result = client.call_tool(params).await.unwrap();
                let text = result.content[0].as_text().unwrap().text.clone();
                assert_eq!(text, "42", "{versions:?} {mode:?}");
                let unknown = client.call_tool(CallToolRequestParams::new("real__sub")).await;
                assert!(unknown.unwrap_err().to_string().contains("Unknown tool"));
                client.cancel().await.unwrap();
            }
        }
    }
}
