//! An HTTP API behind its document, called for real: only the API is ours.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use doorward_core::{Credential, Secret, ToolReply};
use doorward_mcp_broker::openapi::{Caller, OpenApi, OpenApiOptions, SendError};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use tokio::net::TcpListener;

const DOCUMENT: &str = r##"
openapi: 3.1.0
info: {title: Notes, version: "1"}
servers: [{url: "https://notes.invalid/api"}]
security: [{token: []}]
components:
  securitySchemes:
    token: {type: http, scheme: bearer}
  schemas:
    Note: {type: object, required: [id], properties: {id: {type: integer}, text: {type: string}}}
paths:
  /notes:
    get:
      operationId: list_notes
      parameters: [{name: page, in: query, schema: {type: integer, default: 1}}]
    post:
      operationId: create_note
      requestBody:
        required: true
        content: {application/json: {schema: {$ref: "#/components/schemas/Note"}}}
      responses: {"201": {description: "", content: {application/json: {schema: {$ref: "#/components/schemas/Note"}}}}}
  /notes/{id}:
    get:
      operationId: get_note
      parameters: [{name: id, in: path, required: true, schema: {type: string}}]
  /files:
    put:
      operationId: put_file
      requestBody: {content: {multipart/form-data: {schema: {type: object, properties: {file: {contentMediaType: application/octet-stream}}}}}}
  /moved:
    get: {operationId: moved}
  /large:
    get: {operationId: large}
"##;

/// What the API saw: request line, `authorization`, body.
type Seen = Arc<Mutex<Vec<(String, Option<String>, Bytes)>>>;

/// Notes, two a page. Starts on a port of its own; returns where.
async fn notes(seen: Seen) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/api", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let seen = seen.clone();
            tokio::spawn(async move {
                let answer = service_fn(|request| answer(request, seen.clone()));
                let served = hyper::server::conn::http1::Builder::new();
                served.serve_connection(TokioIo::new(stream), answer).await.ok();
            });
        }
    });
    address
}

async fn answer(
    request: Request<Incoming>,
    seen: Seen,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let shown = head.headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
    let line = format!("{} {}", head.method, head.uri);
    seen.lock().unwrap().push((line, shown, body.clone()));
    let page = head.uri.query().is_some_and(|query| query.contains("page=2"));
    let response = Response::builder().header("content-type", "application/json");
    let response = match (head.method, head.uri.path()) {
        (Method::GET, "/api/notes") if page => response.body("[3]".into()),
        (Method::GET, "/api/notes") => {
            response.header("link", "</api/notes?page=2>; rel=\"next\"").body("[1,2]".into())
        }
        (Method::POST, "/api/notes") => response.status(201).body(Full::new(body)),
        (Method::PUT, "/api/files") => response.status(204).body(Full::default()),
        (Method::GET, "/api/moved") => {
            response.status(302).header("location", "http://127.0.0.1:9/").body(Full::default())
        }
        (Method::GET, "/api/large") => response.body(vec![b' '; 1 << 20].into()),
        _ => response.status(StatusCode::NOT_FOUND).body(r#"{"error":"no such note"}"#.into()),
    };
    Ok(response.unwrap())
}

struct Api {
    tools: OpenApi,
    caller: Caller,
    seen: Seen,
}

impl Api {
    async fn start() -> Self {
        let seen = Seen::default();
        let base_url = Some(notes(seen.clone()).await);
        let options = OpenApiOptions { base_url, ..OpenApiOptions::default() };
        let api = OpenApi::read(DOCUMENT.as_bytes(), &options).unwrap();
        let caller = Caller::new(api.is_secure(), 64 << 10).unwrap();
        Self { tools: api, caller, seen }
    }

    async fn call(&self, tool: &str, arguments: &Value) -> Result<(Value, bool), SendError> {
        let arguments: Box<RawValue> = to_raw_value(arguments).unwrap();
        let credential = Credential::Key(Secret::new("t-1"));
        let request = self.tools.request(tool, &arguments, Some(&credential)).unwrap();
        let (status, headers, body) = self.caller.send(request).await?;
        let reply = self.tools.reply(tool, &arguments, status, &headers, &body).unwrap();
        let ToolReply { result, is_error, .. } = reply;
        Ok((serde_json::from_str(result.get()).unwrap(), is_error))
    }
}

#[tokio::test]
async fn operations_are_called_and_answers_come_back() {
    let api = Api::start().await;
    let (result, is_error) =
        api.call("create_note", &json!({"body": {"id": 7, "text": "hi"}})).await.unwrap();
    assert_eq!(
        (result["structuredContent"].clone(), is_error),
        (json!({"id": 7, "text": "hi"}), false)
    );
    let (result, is_error) = api.call("get_note", &json!({"id": "a/b"})).await.unwrap();
    assert!(is_error && result["content"][0]["text"].as_str().unwrap().contains("no such note"));
    let (result, is_error) =
        api.call("put_file", &json!({"body": {"file": "aGk="}})).await.unwrap();
    assert_eq!(
        (result["content"][0]["text"].clone(), is_error),
        (json!("HTTP 204 No Content"), false)
    );

    let seen = api.seen.lock().unwrap();
    let lines: Vec<_> = seen.iter().map(|(line, ..)| line.as_str()).collect();
    assert_eq!(lines, ["POST /api/notes", "GET /api/notes/a%2Fb", "PUT /api/files"]);
    assert!(seen.iter().all(|(_, shown, _)| shown.as_deref() == Some("Bearer t-1")));
    assert_eq!(seen[0].2, r#"{"id":7,"text":"hi"}"#);
    assert!(String::from_utf8_lossy(&seen[2].2).contains("\r\n\r\nhi\r\n--"));
}

#[tokio::test]
async fn pages_are_walked_by_what_the_results_say() {
    let api = Api::start().await;
    let mut arguments = json!({});
    let mut texts = Vec::new();
    loop {
        let (result, _) = api.call("list_notes", &arguments).await.unwrap();
        texts.push(result["content"][0]["text"].as_str().unwrap().to_owned());
        match &result["_meta"]["doorward/next"] {
            Value::Null => break,
            next => arguments = next.clone(),
        }
    }
    assert_eq!(texts, ["[1,2]", "[3]"]);
}

#[tokio::test]
async fn redirects_are_told_and_not_followed() {
    let api = Api::start().await;
    let (result, is_error) = api.call("moved", &json!({})).await.unwrap();
    assert!(is_error && result["content"][0]["text"].as_str().unwrap().contains("not followed"));
    assert_eq!(api.seen.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn answers_too_large_and_servers_gone_are_errors() {
    let api = Api::start().await;
    assert!(matches!(api.call("large", &json!({})).await, Err(SendError::TooLarge(65536))));
    let options =
        OpenApiOptions { base_url: Some("http://127.0.0.1:9".into()), ..OpenApiOptions::default() };
    let gone = OpenApi::read(DOCUMENT.as_bytes(), &options).unwrap();
    let gone = Api { tools: gone, ..api };
    assert!(matches!(gone.call("moved", &json!({})).await, Err(SendError::Unreachable(_))));
}
