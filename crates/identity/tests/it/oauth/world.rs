//! A scripted internet: protected resources, authorization servers and who asked them what.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use doorward_core::BoxFuture;
use doorward_identity::oauth_client::{Answer, Ask, Content, Http, HttpError};
use serde_json::{Value, json};

pub(crate) const MCP: &str = "https://crm.example/mcp";
pub(crate) const ISSUER: &str = "https://as.example";

/// What the token endpoint got.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) url: String,
    pub(crate) form: HashMap<String, String>,
    pub(crate) authorization: Option<String>,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    /// Documents, by URL: status, `Location`, body.
    pub(crate) documents: HashMap<String, (u16, Option<String>, Value)>,
    /// Every URL asked, in order.
    pub(crate) log: Vec<String>,
    /// Every form posted to a token endpoint.
    pub(crate) asked: Vec<Asked>,
    /// What clients registered.
    pub(crate) registered: Vec<Value>,
    /// Answers that the token endpoint gives first.
    pub(crate) next: Vec<(u16, Value)>,
    /// Whether token endpoints answer 503.
    pub(crate) down: bool,
    /// How long tokens hold.
    pub(crate) expires_in: Option<u64>,
    codes: HashMap<String, String>,
    refresh: Option<String>,
    count: usize,
}

#[derive(Debug)]
pub(crate) struct World(Mutex<State>);

impl World {
    /// One MCP server and its authorization server, both as they should be.
    pub(crate) fn new() -> Arc<Self> {
        let world = Self(Mutex::new(State { expires_in: Some(3600), ..State::default() }));
        world.resource(&json!({
            "resource": MCP, "authorization_servers": [ISSUER], "scopes_supported": ["contacts"],
        }));
        world.issuer(ISSUER, &json!({}));
        Arc::new(world)
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub(crate) fn document(&self, url: impl Into<String>, body: Value) {
        self.state().documents.insert(url.into(), (200, None, body));
    }

    pub(crate) fn redirect(&self, url: &str, to: &str) {
        self.state().documents.insert(url.to_owned(), (302, Some(to.to_owned()), Value::Null));
    }

    /// The MCP server's metadata.
    pub(crate) fn resource(&self, metadata: &Value) {
        let place = "https://crm.example/.well-known/oauth-protected-resource/mcp";
        self.document(place, metadata.clone());
    }

    /// An authorization server, with these differences to a good one; `null` removes.
    pub(crate) fn issuer(&self, issuer: &str, differences: &Value) {
        let mut metadata = json!({
            "issuer": issuer,
            "authorization_endpoint": format!("{issuer}/authorize"),
            "token_endpoint": format!("{issuer}/token"),
            "registration_endpoint": format!("{issuer}/register"),
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic"],
            "authorization_response_iss_parameter_supported": true,
        });
        for (name, value) in differences.as_object().unwrap() {
            metadata[name] = value.clone();
        }
        metadata.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        self.document(format!("{issuer}/.well-known/oauth-authorization-server"), metadata);
    }

    /// A person at the authorization page who consents: what comes back.
    pub(crate) fn consent(&self, url: &str) -> (String, String) {
        let query = parse(url.split_once('?').unwrap().1);
        assert_eq!(query["response_type"], "code");
        assert_eq!(query["code_challenge_method"], "S256");
        let mut state = self.state();
        state.count += 1;
        let code = format!("code-{}", state.count);
        state.codes.insert(code.clone(), query["code_challenge"].clone());
        (query["state"].clone(), code)
    }

    pub(crate) fn asked_with(&self, grant: &str) -> Vec<Asked> {
        let state = self.state();
        state.asked.iter().filter(|asked| asked.form["grant_type"] == grant).cloned().collect()
    }

    fn answer(&self, ask: Ask) -> (u16, Option<String>, Value) {
        let url = ask.url.to_string();
        let mut state = self.state();
        state.log.push(url.clone());
        match ask.content {
            Content::None => {
                let missing = (404, None, Value::Null);
                // A URI always has a path; these names have none.
                let bare = url.trim_end_matches('/');
                state.documents.get(&url).or(state.documents.get(bare)).cloned().unwrap_or(missing)
            }
            Content::Json(json) => {
                state.registered.push(serde_json::from_str(&json).unwrap());
                let number = state.registered.len();
                let body = json!({
                    "client_id": format!("client-{number}"), "client_secret": "dcr-secret",
                });
                (201, None, body)
            }
            Content::Form(form) => {
                let form = parse(form.expose());
                let authorization = ask.authorization.map(|value| value.expose().to_owned());
                state.asked.push(Asked { url, form: form.clone(), authorization });
                let (status, body) = state.token(&form);
                (status, None, body)
            }
        }
    }
}

impl State {
    fn token(&mut self, form: &HashMap<String, String>) -> (u16, Value) {
        if self.down {
            return (503, json!({}));
        }
        if !self.next.is_empty() {
            return self.next.remove(0);
        }
        let bad = (400, json!({"error": "invalid_grant"}));
        match form["grant_type"].as_str() {
            "authorization_code" => {
                let hash = digest(&SHA256, form["code_verifier"].as_bytes());
                let challenge = self.codes.remove(&form["code"]);
                if challenge != Some(URL_SAFE_NO_PAD.encode(hash)) {
                    return bad;
                }
            }
            "refresh_token" if self.refresh.as_ref() != Some(&form["refresh_token"]) => {
                return bad;
            }
            _ => {}
        }
        self.count += 1;
        let (access, refresh) = (format!("access-{}", self.count), format!("once-{}", self.count));
        self.refresh = Some(refresh.clone());
        let mut body =
            json!({"access_token": access, "token_type": "bearer", "refresh_token": refresh});
        if let Some(seconds) = self.expires_in {
            body["expires_in"] = seconds.into();
        }
        (200, body)
    }
}

impl Http for World {
    fn send(&self, ask: Ask) -> BoxFuture<'_, Result<Answer, HttpError>> {
        Box::pin(async move {
            let (status, location, body) = self.answer(ask);
            // Asked is asked, whoever still waits; long enough for everybody else to come too.
            tokio::time::sleep(Duration::from_millis(5)).await;
            Ok(Answer { status, location, body: body.to_string().into() })
        })
    }
}

pub(crate) fn parse(query: &str) -> HashMap<String, String> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (decode(name), decode(value))).collect()
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let hex = |byte: Option<u8>| char::from(byte.unwrap()).to_digit(16).unwrap();
        match byte {
            b'%' => bytes.push(u8::try_from(hex(rest.next()) * 16 + hex(rest.next())).unwrap()),
            other => bytes.push(other),
        }
    }
    String::from_utf8(bytes).unwrap()
}

/// The pair of a `Basic` value.
pub(crate) fn basic(value: &str) -> String {
    let text = value.strip_prefix("Basic ").unwrap();
    String::from_utf8(STANDARD.decode(text).unwrap()).unwrap()
}
