//! Real servers that ask, in both eras, on streams and over HTTP, with clients of both manners.
#![expect(deprecated, reason = "roots are asked for while servers do")]

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use doorward_core::{Stage, Tools};
use doorward_mcp_broker::Broker;
use http_body_util::BodyExt;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, InputRequest,
    InputRequiredResult, ListRootsRequest, ListToolsResult, PaginatedRequestParams,
    ProgressNotificationParam, ProtocolVersion, ServerCapabilities, ServerConfig, Tool,
};
use rmcp::service::RequestContext;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ErrorData, RoleServer, ServerHandler, ServiceExt};
use serde_json::{Value, json};

use crate::http::broker;
use crate::peers::{ALL, Local, Person, call_of, cx, raw};
use crate::real::{LEGACY, MODERN, serve_connection};

/// Tells its client's roots, and progress on the way.
#[derive(Clone)]
struct Rooted(&'static [ProtocolVersion]);

impl ServerHandler for Rooted {
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
        let schema = json!({"type": "object"});
        let tool = Tool::new("roots", "tells roots", Arc::new(schema.as_object().unwrap().clone()));
        Ok(ListToolsResult::with_all_items(vec![tool]))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        if let Some(token) = context.meta.get_progress_token() {
            let progress = ProgressNotificationParam::new(token, 1.0);
            context.peer.notify_progress(progress).await.unwrap();
        }
        let told = if self.0 == LEGACY {
            let roots = context.peer.list_roots().await.unwrap();
            serde_json::to_value(roots).unwrap()
        } else if let Some(responses) = request.input_responses {
            assert_eq!(request.request_state.as_deref(), Some("state"));
            responses["r"].clone()
        } else {
            let ask = InputRequest::ListRoots(ListRootsRequest::default());
            let asks = BTreeMap::from([("r".to_owned(), ask)]);
            return Ok(CallToolResponse::InputRequired(InputRequiredResult::new(
                Some(asks),
                Some("state".into()),
            )));
        };
        let uri = told["roots"][0]["uri"].as_str().unwrap().to_owned();
        Ok(CallToolResult::success(vec![ContentBlock::text(uri)]).into())
    }
}

async fn serve_http(versions: &'static [ProtocolVersion]) -> String {
    let service: StreamableHttpService<Rooted, LocalSessionManager> = StreamableHttpService::new(
        move || Ok(Rooted(versions)),
        Arc::default(),
        StreamableHttpServerConfig::default(),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service.clone();
            tokio::spawn(serve_connection(stream, move |request| {
                let service = service.clone();
                async move { service.handle(request).await.map(BodyExt::boxed_unsync) }
            }));
        }
    });
    url
}

async fn check(broker: &Broker, tool: &str, rounds: bool) {
    let people = (0..20).map(|n| {
        let person = Person::new(&format!("c{n}"), ALL).hearing(None, true);
        let roots = json!({"roots": [{"uri": format!("file:///{n}"), "name": "r"}]});
        Arc::new(person.answering(move |_, _| Ok(roots.clone())))
    });
    let calls = people.enumerate().map(|(n, person)| async move {
        let got = broker.call(&cx(), call_of(&person, tool, "{}")).await.unwrap();
        let text: Value = serde_json::from_str(got.result.get()).unwrap();
        assert_eq!(text["content"][0]["text"], format!("file:///{n}"), "{tool}");
        assert_eq!(person.asked.lock().unwrap().len(), 1);
        let told = person.told.lock().unwrap().len();
        assert!(told >= 1, "{tool}: {told}");
    });
    futures_util::future::join_all(calls).await;
    if !rounds {
        return;
    }
    let person = Arc::new(Person::new("modern", ALL).rounds());
    let mut call = call_of(&person, tool, "{}");
    let got = broker.call(&cx(), call.clone()).await.unwrap();
    assert_eq!(got.stage, Stage::InputRequired, "{}", got.result);
    call.exchange.resume = Some(doorward_core::Resume {
        responses: Some(raw(r#"{"r":{"roots":[{"uri":"file:///own"}]}}"#)),
        state: Some(raw("\"state\"")),
    });
    let got = broker.call(&cx(), call).await.unwrap();
    assert!(got.result.get().contains("file:///own"), "{}", got.result);
}

#[tokio::test]
async fn a_real_server_asks_the_client_of_the_call() {
    for (versions, rounds) in [(LEGACY, false), (MODERN, true)] {
        let local = Local::default().with_body("real", move |stdin, stdout| async move {
            if let Ok(running) = Rooted(versions).serve((stdin, stdout)).await {
                running.waiting().await.ok();
            }
        });
        let streams = local.broker(|s| s);
        streams.start().await;
        check(&streams, "real__roots", rounds).await;
        streams.close().await;
        let web = broker(&serve_http(versions).await);
        web.start().await;
        check(&web, "web__roots", rounds).await;
        web.close().await;
    }
}
