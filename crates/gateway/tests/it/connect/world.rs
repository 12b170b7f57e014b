//! A tool server's authorization server, played in memory, and a browser.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use doorward_core::BoxFuture;
use doorward_identity::oauth_client::{Answer, Ask, Content, Http, HttpError};
use http::{Method, Request};
use http_body_util::Full;
use serde_json::{Value, json};

use crate::client::{Answer as Page, Client};
use crate::stack::Stack;

pub(crate) const MCP: &str = "https://crm.example/mcp";
pub(crate) const ISSUER: &str = "https://as.example";

/// What the token endpoint was asked, and what the metadata says.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) forms: Mutex<Vec<String>>,
    /// Differences of the authorization server's metadata.
    pub(crate) metadata: Mutex<HashMap<&'static str, Value>>,
}

impl World {
    pub(crate) fn forms(&self) -> MutexGuard<'_, Vec<String>> {
        self.forms.lock().unwrap()
    }

    pub(crate) fn differ(&self, name: &'static str, value: Value) {
        self.metadata.lock().unwrap().insert(name, value);
    }

    fn answer(&self, ask: Ask) -> (u16, Value) {
        match (ask.url.host().unwrap(), ask.url.path(), ask.content) {
            ("crm.example", "/.well-known/oauth-protected-resource/mcp", _) => {
                (200, json!({ "resource": MCP, "authorization_servers": [ISSUER] }))
            }
            ("as.example", "/.well-known/oauth-authorization-server", _) => {
                let mut metadata = json!({
                    "issuer": ISSUER,
                    "authorization_endpoint": format!("{ISSUER}/authorize"),
                    "token_endpoint": format!("{ISSUER}/token"),
                    "code_challenge_methods_supported": ["S256"],
                    "client_id_metadata_document_supported": true,
                    "authorization_response_iss_parameter_supported": true,
                });
                for (name, value) in &*self.metadata.lock().unwrap() {
                    metadata[*name] = value.clone();
                }
                (200, metadata)
            }
            ("as.example", "/token", Content::Form(form)) => {
                let mut forms = self.forms();
                forms.push(form.expose().to_owned());
                let token = format!("upstream-token-{}", forms.len());
                (200, json!({ "access_token": token, "token_type": "bearer" }))
            }
            _ => (404, Value::Null),
        }
    }
}

impl Http for World {
    fn send(&self, ask: Ask) -> BoxFuture<'_, Result<Answer, HttpError>> {
        let (status, body) = self.answer(ask);
        Box::pin(
            async move { Ok(Answer { status, location: None, body: body.to_string().into() }) },
        )
    }
}

/// A browser: one connection and its cookie.
pub(crate) struct Browser {
    client: Client,
    /// `name=value`.
    pub(crate) cookie: Option<String>,
    /// What the last answers set.
    pub(crate) set: Option<String>,
}

impl Browser {
    pub(crate) async fn new(stack: &Stack) -> Self {
        Self { client: Client::over(stack.stream(), "").await, cookie: None, set: None }
    }

    pub(crate) async fn get(&mut self, path: &str) -> Page {
        self.send(Method::GET, path, "", &[]).await
    }

    /// The same by another name of this host's.
    pub(crate) async fn get_as(&mut self, host: &str, path: &str) -> Page {
        self.send(Method::GET, path, "", &[("host", host)]).await
    }

    /// Sends a form, as a browser does from a page that keeps its referrer to itself.
    pub(crate) async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Page {
        let from = [("origin", "null"), ("sec-fetch-site", "same-origin")];
        self.send(Method::POST, path, &form(fields), &from).await
    }

    pub(crate) async fn send(
        &mut self,
        method: Method,
        path: &str,
        body: &str,
        headers: &[(&str, &str)],
    ) -> Page {
        let mut request = Request::builder().method(method).uri(path);
        if !headers.iter().any(|(name, _)| *name == "host") {
            request = request.header("host", "gateway.test");
        }
        if !headers.iter().any(|(name, _)| *name == "content-type") {
            request = request.header("content-type", "application/x-www-form-urlencoded");
        }
        if let Some(cookie) = &self.cookie {
            request = request.header("cookie", cookie);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(body.to_owned()))).unwrap();
        let answer = self.client.send(request).await;
        if let Some(set) = answer.header("set-cookie") {
            self.set = Some(set.to_owned());
            self.cookie = Some(set.split(';').next().unwrap().to_owned());
        }
        answer
    }

    /// The form's token on a page.
    pub(crate) async fn csrf(&mut self, path: &str) -> String {
        let page = self.get(path).await;
        csrf(&page).unwrap_or_else(|| panic!("no form: {page:?}"))
    }

    /// Signs in at a page.
    pub(crate) async fn sign_in(&mut self, path: &str, key: &str) -> Page {
        let csrf = self.csrf(path).await;
        self.post(&format!("{path}/sign-in"), &[("csrf", &csrf), ("key", key)]).await
    }

    /// From a link to the authorization server: the state that was sent there.
    pub(crate) async fn begin(&mut self, link: &str) -> String {
        let csrf = self.csrf(link).await;
        let page = self.post(link, &[("csrf", &csrf)]).await;
        assert_eq!(page.status, 303, "{page:?}");
        let url = page.header("location").unwrap();
        assert!(url.starts_with(&format!("{ISSUER}/authorize?")), "{url}");
        let state = url.split(['?', '&']).find_map(|pair| pair.strip_prefix("state="));
        state.unwrap().to_owned()
    }
}

/// The form's token.
pub(crate) fn csrf(page: &Page) -> Option<String> {
    let (_, rest) = page.body.split_once("name=\"csrf\" value=\"")?;
    Some(rest.split_once('"')?.0.to_owned())
}

pub(crate) fn form(fields: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (name, value) in fields {
        let joint = if text.is_empty() { "" } else { "&" };
        _ = write!(text, "{joint}{name}=");
        for byte in value.bytes() {
            _ = write!(text, "%{byte:02x}");
        }
    }
    text
}

/// The way back from the authorization server.
pub(crate) fn back(state: &str, code: &str, iss: Option<&str>) -> String {
    let mut fields = vec![("state", state), ("code", code)];
    fields.extend(iss.map(|iss| ("iss", iss)));
    format!("/connect/callback?{}", form(&fields))
}

pub(crate) type Shared = Arc<World>;
