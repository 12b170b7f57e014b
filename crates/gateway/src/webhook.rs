//! Verdicts over HTTP: a guard that somebody already owns is asked before content goes on.

use std::fmt;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use bytes::{Bytes, BytesMut};
use doorward_core::{BoxFuture, Clock, Scope, Secret, Tools};
use doorward_guardrails::checks::{Content, Opinion, Question, Stage, VerdictError, Verdicts};
use doorward_model_router::{Inbound, Outbound, Transport};
use futures_util::StreamExt;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Uri};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::config::{WebhookField, WebhookProtocol};

/// The longest answer that is read, in bytes.
const LONGEST: usize = 16 << 20;
/// So many failures in a row, and it is left alone for a while.
const IN_A_ROW: u32 = 5;
/// For how long.
const PAUSE: Duration = Duration::from_secs(10);
/// The header with the signature: `t=` the Unix time in seconds, `v1=` the HMAC-SHA256 of that
/// number, a dot and the body, in hexadecimal.
const SIGNATURE: &str = "x-doorward-signature";

/// How to ask.
pub struct WebhookOptions {
    /// Where.
    pub url: Uri,
    /// In which form.
    pub protocol: WebhookProtocol,
    /// How long it may take.
    pub timeout: Duration,
    /// What to sign with.
    pub secret: Option<Secret>,
    /// What to show.
    pub token: Option<Secret>,
    /// What is sent.
    pub send: Vec<WebhookField>,
}

/// Somebody who is asked over HTTP. After five failures in a row nobody waits for them for ten
/// seconds; then one question tries again.
pub struct Webhook {
    transport: Arc<dyn Transport>,
    clock: Arc<dyn Clock>,
    /// Who knows what brokered tools say of themselves.
    tools: Option<Arc<dyn Tools>>,
    options: WebhookOptions,
    fuse: Mutex<Fuse>,
}

#[derive(Debug, Default)]
struct Fuse {
    failures: u32,
    /// Nobody asks before that.
    until: Option<Instant>,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook")
            .field("protocol", &self.options.protocol)
            .field("send", &self.options.send)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for WebhookOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookOptions")
            .field("protocol", &self.protocol)
            .field("send", &self.send)
            .finish_non_exhaustive()
    }
}

impl Webhook {
    /// Asks there, over this transport.
    pub fn new(
        transport: Arc<dyn Transport>,
        clock: Arc<dyn Clock>,
        options: WebhookOptions,
    ) -> Self {
        Self { transport, clock, tools: None, options, fuse: Mutex::default() }
    }

    /// Who knows what brokered tools say of themselves, for [`WebhookField::Definition`].
    #[must_use]
    pub fn with_tools(mut self, tools: Arc<dyn Tools>) -> Self {
        self.tools = Some(tools);
        self
    }

    fn sends(&self, field: WebhookField) -> bool {
        self.options.send.contains(&field)
    }

    async fn exchange(&self, question: Question<'_>) -> Result<Opinion, VerdictError> {
        let body = self.body(question).await?;
        let request = self.request(body)?;
        let unreached = |_| VerdictError("the webhook cannot be reached");
        let answer = self.transport.send(request).await.map_err(unreached)?;
        if !answer.head.status.is_success() {
            return Err(VerdictError("the webhook answered with an error"));
        }
        let body = gathered(answer).await?;
        read(self.options.protocol, question, &body)
            .ok_or(VerdictError("the webhook gave no verdict"))
    }

    async fn body(&self, question: Question<'_>) -> Result<Vec<u8>, VerdictError> {
        let unwritten = VerdictError("the question cannot be written");
        let value = match self.options.protocol {
            WebhookProtocol::Doorward => self.own(question).await,
            WebhookProtocol::OpenaiModeration => json!({ "input": texts(question.content) }),
            WebhookProtocol::Litellm => json!({
                "texts": texts(question.content),
                "input_type": if is_outbound(question.stage) { "request" } else { "response" },
            }),
            WebhookProtocol::Portkey => {
                let content = texts(question.content).join("\n");
                let (side, event) = if is_outbound(question.stage) {
                    ("request", "beforeRequestHook")
                } else {
                    ("response", "afterRequestHook")
                };
                json!({ side: { "text": content }, "eventType": event })
            }
        };
        serde_json::to_vec(&value).map_err(|_| unwritten)
    }

    /// The question in Doorward's own form: the fields that were asked for, and nothing else.
    async fn own(&self, question: Question<'_>) -> Value {
        let Question { cx, stage, model, tool, content } = question;
        let mut fields = Map::new();
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                fields.insert(name.to_owned(), value);
            }
        };
        put("stage", Some(stage.as_str().into()));
        if self.sends(WebhookField::Principal) {
            put("principal", Some((*cx.principal.id).into()));
        }
        if self.sends(WebhookField::Team) {
            put("team", cx.principal.team.as_deref().map(Value::from));
        }
        if self.sends(WebhookField::Turn) {
            put("turn", Some(cx.turn.to_string().into()));
            put("request", Some(cx.request.to_string().into()));
        }
        if self.sends(WebhookField::Model) {
            put("model", model.map(Value::from));
        }
        if self.sends(WebhookField::Tool) {
            put("tool", tool.map(|tool| tool.name.as_str().into()));
        }
        if self.sends(WebhookField::Definition) {
            put("definition", self.definition(question).await);
        }
        if self.sends(WebhookField::Arguments) {
            put("arguments", tool.and_then(|tool| tool.arguments).and_then(parsed));
        }
        match content {
            Content::Texts(texts) if self.sends(WebhookField::Content) => {
                put("texts", Some(json!(texts)));
            }
            Content::Json(json) if self.sends(WebhookField::Content) => put("json", parsed(json)),
            _ => {}
        }
        if self.sends(WebhookField::Digest) {
            let digests: Vec<String> = texts(content).iter().map(|text| digest(text)).collect();
            put("digests", Some(json!(digests)));
        }
        Value::Object(fields)
    }

    /// What a tool says of itself: where the client declared it, that; else what its server says.
    async fn definition(&self, question: Question<'_>) -> Option<Value> {
        let tool = question.tool?;
        if tool.description.is_some() || tool.schema.is_some() {
            let schema = tool.schema.and_then(parsed);
            return Some(json!({ "description": tool.description, "inputSchema": schema }));
        }
        let list = self.tools.as_ref()?.list(question.cx, &Scope::All).await.ok()?;
        let spec = list.tools.into_iter().find(|spec| spec.name == *tool.name)?;
        parsed(&spec.definition)
    }

    fn request(&self, body: Vec<u8>) -> Result<Outbound, VerdictError> {
        let unfit = || VerdictError("the question cannot be sent");
        let mut request = Outbound::new(Bytes::from(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.options.url.clone();
        let secret = |text: &str| {
            let mut value = HeaderValue::try_from(text).ok()?;
            value.set_sensitive(true);
            Some(value)
        };
        let signature = self.options.secret.as_ref().map(|key| self.signature(key, request.body()));
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(token) = &self.options.token {
            let value = secret(&format!("Bearer {}", token.expose())).ok_or_else(unfit)?;
            headers.insert(AUTHORIZATION, value);
        }
        if let Some(signature) = signature {
            headers.insert(SIGNATURE, secret(&signature).ok_or_else(unfit)?);
        }
        Ok(request)
    }

    fn signature(&self, key: &Secret, body: &[u8]) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key.expose().as_bytes());
        let at = self.clock.now().as_secs();
        let mut signed = hmac::Context::with_key(&key);
        signed.update(at.to_string().as_bytes());
        signed.update(b".");
        signed.update(body);
        format!("t={at},v1={}", hex(signed.sign().as_ref()))
    }

    /// Whether to ask at all. Where the pause is over, the one who learns of it tries.
    fn may_ask(&self) -> bool {
        let now = self.clock.instant();
        let mut fuse = self.fuse.lock().unwrap_or_else(PoisonError::into_inner);
        match fuse.until {
            Some(until) if now < until => false,
            Some(_) => {
                fuse.until = Some(now + PAUSE);
                true
            }
            None => true,
        }
    }

    fn note(&self, answered: bool) {
        let now = self.clock.instant();
        let mut fuse = self.fuse.lock().unwrap_or_else(PoisonError::into_inner);
        if answered {
            *fuse = Fuse::default();
            return;
        }
        fuse.failures = fuse.failures.saturating_add(1);
        if fuse.failures >= IN_A_ROW {
            fuse.until = Some(now + PAUSE);
        }
    }
}

impl Verdicts for Webhook {
    fn ask<'a>(&'a self, question: Question<'a>) -> BoxFuture<'a, Result<Opinion, VerdictError>> {
        Box::pin(async move {
            if !self.may_ask() {
                return Err(VerdictError("the webhook failed often and is left alone for a while"));
            }
            let left =
                question.cx.deadline.map(|at| at.saturating_duration_since(self.clock.instant()));
            let timeout = left.map_or(self.options.timeout, |left| left.min(self.options.timeout));
            let answer = tokio::time::timeout(timeout, self.exchange(question)).await;
            let answer = answer.unwrap_or(Err(VerdictError("the webhook did not answer in time")));
            self.note(answer.is_ok());
            answer
        })
    }
}

/// Whether content at this stage is on its way to a model or a tool.
fn is_outbound(stage: Stage) -> bool {
    matches!(stage, Stage::Request | Stage::Arguments)
}

fn texts(content: Content<'_>) -> Vec<&str> {
    match content {
        Content::Texts(texts) => texts.iter().map(String::as_str).collect(),
        Content::Json(json) => vec![json.get()],
    }
}

fn parsed(json: &RawValue) -> Option<Value> {
    serde_json::from_str(json.get()).ok()
}

fn digest(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing into a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

async fn gathered(answer: Inbound) -> Result<BytesMut, VerdictError> {
    let (mut body, mut whole) = (answer.body, BytesMut::new());
    while let Some(piece) = body.next().await {
        let piece = piece.map_err(|_| VerdictError("the webhook's answer broke off"))?;
        if whole.len() + piece.len() > LONGEST {
            return Err(VerdictError("the webhook's answer is too long"));
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole)
}

/// An answer in Doorward's own form.
#[derive(Deserialize)]
struct Own {
    verdict: OwnVerdict,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    texts: Option<Vec<String>>,
    #[serde(default)]
    json: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum OwnVerdict {
    Allow,
    Deny,
    Replace,
}

/// An answer of a moderation endpoint: `results[].flagged` and `.categories`.
#[derive(Deserialize)]
struct Moderation {
    results: Vec<Moderated>,
}

#[derive(Deserialize)]
struct Moderated {
    flagged: bool,
    #[serde(default)]
    categories: Map<String, Value>,
}

/// An answer of a guardrail in `LiteLLM`'s form.
#[derive(Deserialize)]
struct Litellm {
    action: String,
    #[serde(default)]
    blocked_reason: Option<String>,
    #[serde(default)]
    texts: Option<Vec<String>>,
}

/// An answer of a guardrail in Portkey's form.
#[derive(Deserialize)]
struct Portkey {
    verdict: bool,
}

/// What an answer says. `None`: nothing that can be understood.
fn read(protocol: WebhookProtocol, question: Question<'_>, body: &[u8]) -> Option<Opinion> {
    let denied = |reason: Option<String>| Opinion::Deny(reason.unwrap_or_default());
    match protocol {
        WebhookProtocol::Doorward => {
            let own: Own = serde_json::from_slice(body).ok()?;
            match own.verdict {
                OwnVerdict::Allow => Some(Opinion::Allow),
                OwnVerdict::Deny => Some(denied(own.reason)),
                OwnVerdict::Replace => match question.content {
                    Content::Texts(_) => own.texts.map(Opinion::Replace),
                    Content::Json(_) => {
                        own.json.map(|json| Opinion::Replace(vec![json.get().to_owned()]))
                    }
                },
            }
        }
        WebhookProtocol::OpenaiModeration => {
            let told: Moderation = serde_json::from_slice(body).ok()?;
            let flagged: Vec<&Moderated> = told.results.iter().filter(|it| it.flagged).collect();
            if told.results.is_empty() {
                return None;
            }
            let categories = flagged.iter().flat_map(|it| &it.categories);
            let mut names: Vec<&str> = categories
                .filter(|(_, on)| **on == Value::Bool(true))
                .map(|(name, _)| &**name)
                .collect();
            names.sort_unstable();
            names.dedup();
            let reason = Some(names.join(", "));
            Some(if flagged.is_empty() { Opinion::Allow } else { denied(reason) })
        }
        WebhookProtocol::Litellm => {
            let told: Litellm = serde_json::from_slice(body).ok()?;
            match told.action.as_str() {
                "NONE" => Some(Opinion::Allow),
                "BLOCKED" => Some(denied(told.blocked_reason)),
                "GUARDRAIL_INTERVENED" => told.texts.map(Opinion::Replace),
                _ => None,
            }
        }
        WebhookProtocol::Portkey => {
            let told: Portkey = serde_json::from_slice(body).ok()?;
            Some(if told.verdict { Opinion::Allow } else { denied(None) })
        }
    }
}
