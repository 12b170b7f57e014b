//! The authorization server through its public face, without a network.

mod clients;
mod codes;
mod documents;
mod machines;
mod proofs;
mod refresh;
mod registration;
mod secrets;
mod tokens;

use std::collections::HashMap;
use std::future::ready;
use std::sync::{Arc, Mutex};

use doorward_core::{
    Authenticator as _, BoxFuture, CallError, Clock as _, Pattern, Presented, Principal, Secret,
};
use doorward_identity::jwt::{Issuer, Jwt, Keys};
use doorward_identity::oauth_client::{Answer, Ask, Http, HttpError};
use doorward_identity::oauth_server::{
    AccessKey, Authorize, Builder, Client, ClientAuth, Documents, GrantType, MemoryOAuth,
    OAuthServer, Parts, ProtectedResource, Question, Registration, Request, Scope, SignedIn,
    SigningKeys,
};
use doorward_testkit::clock::{TestClock, TestEntropy};
use http::{HeaderMap, Method, Uri};
use serde_json::{Value, json};

use crate::jwt::idp::{Signer, part};

const US: &str = "https://gateway.example";
const MCP: &str = "https://gateway.example/mcp";
const CRM: &str = "https://gateway.example/mcp/crm";
const IDP: &str = "https://idp.example";
const APP: &str = "https://app.example/cb";
/// RFC 7636 appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const CIMD: &str = "https://client.example/oauth/client.json";

/// The web, as far as it is scripted.
#[derive(Debug, Default)]
struct Pages {
    pages: Mutex<HashMap<String, Answer>>,
    asked: Mutex<Vec<String>>,
}

impl Pages {
    fn put(&self, url: &str, body: &Value) {
        self.serve(url, 200, None, &body.to_string());
    }

    fn serve(&self, url: &str, status: u16, location: Option<&str>, body: &str) {
        let location = location.map(str::to_owned);
        let answer = Answer { status, location, body: body.to_owned().into() };
        self.pages.lock().unwrap().insert(url.to_owned(), answer);
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

impl Http for Pages {
    fn send(&self, ask: Ask) -> BoxFuture<'_, Result<Answer, HttpError>> {
        let url = ask.url.to_string();
        self.asked.lock().unwrap().push(url.clone());
        let found = self.pages.lock().unwrap().get(&url).cloned();
        let none = Answer { status: 404, location: None, body: "".into() };
        Box::pin(ready(Ok(found.unwrap_or(none))))
    }
}

/// A server with everything around it in a test's hands.
struct Bench {
    server: OAuthServer,
    store: Arc<MemoryOAuth>,
    clock: Arc<TestClock>,
    pages: Arc<Pages>,
    idp: Signer,
}

fn key(seed: u8) -> AccessKey {
    AccessKey::from_seed(&[seed; 32]).unwrap()
}

impl Bench {
    async fn new() -> Self {
        Self::with(|builder| builder).await
    }

    async fn with(also: impl FnOnce(Builder) -> Builder) -> Self {
        let (store, clock) = (Arc::new(MemoryOAuth::default()), Arc::new(TestClock::default()));
        let (pages, idp) = (Arc::new(Pages::default()), Signer::es256("idp-1"));
        let parts = Parts {
            http: pages.clone(),
            store: store.clone(),
            clock: clock.clone(),
            entropy: Arc::new(TestEntropy::seeded(1)),
        };
        let keys = Keys::Inline(json!({"keys": [idp.jwk()]}).to_string());
        let trusted = Issuer::new(IDP, ["api://doorward"]).with_keys(keys);
        let assertions =
            Jwt::builder(pages.clone(), clock.clone()).issuer(trusted).build().unwrap();
        let builder = OAuthServer::builder(US, SigningKeys::new(key(1)), parts)
            .scope(Scope::new("read", "Look things up").with_tools([Pattern::new("*__get_*")]))
            .scope(Scope::new("tools", "Use every tool").implying(["read"]))
            .resource(ProtectedResource::new("/mcp").with_scopes(["tools", "read"]))
            .resource(ProtectedResource::new("/mcp/crm").with_scopes(["read"]))
            .default_resource("/mcp")
            .client(Client::new("app", ClientAuth::public()).with_redirects([APP]))
            .client(
                Client::new("cli", ClientAuth::public())
                    .with_redirects(["http://127.0.0.1/cb", "http://localhost/cb"]),
            )
            .client(
                Client::new("web", ClientAuth::secrets([&Secret::new("s3cret of web")]))
                    .with_redirects(["https://web.example/cb"]),
            )
            .client(
                Client::new("build", ClientAuth::secrets([&Secret::new("s3cret of build")]))
                    .with_grants([
                        GrantType::ClientCredentials,
                        GrantType::JwtBearer,
                        GrantType::TokenExchange,
                    ])
                    .with_principal("nightly-build")
                    .with_team("platform"),
            )
            .documents(Documents::default())
            .registration(Registration::default())
            .assertions(Arc::new(assertions));
        let server = also(builder).build().unwrap();
        server.refresh().await.unwrap();
        Self { server, store, clock, pages, idp }
    }

    fn seconds(&self) -> i64 {
        self.clock.now().as_secs()
    }

    /// A request: its status and what it brings.
    async fn ask(
        &self,
        (method, path): (Method, &str),
        headers: &[(&'static str, &str)],
        body: &str,
    ) -> http::Response<bytes::Bytes> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let request = Request {
            method: &method,
            uri: &path.parse::<Uri>().unwrap(),
            headers: &map,
            body: body.as_bytes(),
            source: Some([192, 0, 2, 7].into()),
            certificate: None,
        };
        self.server.respond(request).await
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        read(&self.ask((Method::GET, path), &[], "").await)
    }

    /// A form posted by a client that shows itself in it.
    async fn post(&self, path: &str, pairs: &[(&str, &str)]) -> (u16, Value) {
        self.post_with(path, &[], pairs).await
    }

    async fn post_with(
        &self,
        path: &str,
        headers: &[(&'static str, &str)],
        pairs: &[(&str, &str)],
    ) -> (u16, Value) {
        let mut all = vec![("content-type", "application/x-www-form-urlencoded")];
        all.extend_from_slice(headers);
        read(&self.ask((Method::POST, path), &all, &form(pairs)).await)
    }

    async fn token(&self, pairs: &[(&str, &str)]) -> (u16, Value) {
        self.post("/oauth/token", pairs).await
    }

    /// A request at the authorization endpoint, in this person's browser.
    async fn authorize(&self, who: Option<&str>, pairs: &[(&str, &str)]) -> Authorize {
        self.authorize_as(who.map(Principal::person).as_ref(), pairs).await
    }

    async fn authorize_as(
        &self,
        principal: Option<&Principal>,
        pairs: &[(&str, &str)],
    ) -> Authorize {
        let uri: Uri = format!("/oauth/authorize?{}", form(pairs)).parse().unwrap();
        let request = Request {
            method: &Method::GET,
            uri: &uri,
            headers: &HeaderMap::new(),
            body: &[],
            source: Some([192, 0, 2, 7].into()),
            certificate: None,
        };
        let session = principal.map(|principal| cookie(&principal.id));
        let signed_in = principal.zip(session.as_ref());
        let signed_in = signed_in.map(|(principal, session)| SignedIn { principal, session });
        self.server.authorize(request, signed_in).await
    }

    async fn question(&self, who: &str, pairs: &[(&str, &str)]) -> Question {
        match self.authorize(Some(who), pairs).await {
            Authorize::Consent(question) => *question,
            other => panic!("{other:?}"),
        }
    }

    /// Where a person is sent who consents.
    async fn consent(&self, who: &str, pairs: &[(&str, &str)]) -> String {
        self.consent_as(&Principal::person(who), pairs).await
    }

    async fn consent_as(&self, principal: &Principal, pairs: &[(&str, &str)]) -> String {
        let question = match self.authorize_as(Some(principal), pairs).await {
            Authorize::Consent(question) => question,
            other => panic!("{other:?}"),
        };
        let session = cookie(&principal.id);
        let signed_in = SignedIn { principal, session: &session };
        let (id, csrf) = (question.id.expose(), question.csrf.expose());
        let redirect = self.server.approve(id, signed_in, csrf).await.unwrap();
        redirect.location().to_owned()
    }

    /// The code of a consent.
    async fn code(&self, who: &str, client: &str, redirect: &str) -> String {
        let location = self.consent(who, &asked(client, redirect)).await;
        parameter(&location, "code").unwrap()
    }

    /// The tokens of a consent.
    async fn tokens(&self, who: &str, client: &str, redirect: &str) -> (String, String) {
        let code = self.code(who, client, redirect).await;
        let (status, body) = self.token(&redeem(client, redirect, &code)).await;
        assert_eq!(status, 200, "{body}");
        (text(&body, "access_token"), text(&body, "refresh_token"))
    }

    async fn refresh(&self, client: &str, token: &str) -> (u16, Value) {
        let pairs =
            [("grant_type", "refresh_token"), ("client_id", client), ("refresh_token", token)];
        self.token(&pairs).await
    }

    /// Who calls with this token.
    async fn show(&self, token: &str) -> Result<Arc<Principal>, Box<CallError>> {
        let shown = Presented { token: Some(Secret::new(token)), ..Presented::default() };
        self.server.authenticator().authenticate(&shown).await.map_err(Box::new)
    }

    async fn is_good(&self, token: &str) -> bool {
        self.show(token).await.is_ok()
    }
}

fn cookie(who: &str) -> Secret {
    Secret::new(format!("cookie of {who}"))
}

/// A right request for a code.
fn asked<'a>(client: &'a str, redirect: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("response_type", "code"),
        ("client_id", client),
        ("redirect_uri", redirect),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
        ("state", "st&te"),
        ("scope", "tools"),
        ("resource", MCP),
    ]
}

/// A right request for the tokens of a code.
fn redeem<'a>(client: &'a str, redirect: &'a str, code: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("grant_type", "authorization_code"),
        ("client_id", client),
        ("redirect_uri", redirect),
        ("code", code),
        ("code_verifier", VERIFIER),
        ("resource", MCP),
    ]
}

/// These pairs, with others instead or beside; an empty value leaves one out.
fn but<'a>(
    mut pairs: Vec<(&'a str, &'a str)>,
    other: &[(&'a str, &'a str)],
) -> Vec<(&'a str, &'a str)> {
    for (name, value) in other {
        pairs.retain(|(known, _)| known != name);
        if !value.is_empty() {
            pairs.push((name, value));
        }
    }
    pairs
}

fn form(pairs: &[(&str, &str)]) -> String {
    let escaped = |text: &str| {
        text.bytes().fold(String::new(), |text, byte| {
            if byte.is_ascii_alphanumeric() {
                text + &char::from(byte).to_string()
            } else {
                format!("{text}%{byte:02X}")
            }
        })
    };
    let pairs = pairs.iter().map(|(name, value)| format!("{}={}", escaped(name), escaped(value)));
    pairs.collect::<Vec<_>>().join("&")
}

/// A parameter of a redirect.
fn parameter(location: &str, name: &str) -> Option<String> {
    let (_, query) = location.split_once('?')?;
    let pair = query.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}=")))?;
    let mut bytes = Vec::new();
    let mut rest = pair.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
        } else {
            byte
        });
    }
    String::from_utf8(bytes).ok()
}

fn read(answer: &http::Response<bytes::Bytes>) -> (u16, Value) {
    let body = serde_json::from_slice(answer.body()).unwrap_or(Value::Null);
    (answer.status().as_u16(), body)
}

fn text(body: &Value, name: &str) -> String {
    body[name].as_str().unwrap_or_else(|| panic!("no `{name}` in {body}")).to_owned()
}

fn claims(token: &str) -> Value {
    use base64::Engine as _;
    let inner = token.split('.').nth(1).unwrap();
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(inner).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

/// `Authorization: Basic`.
fn basic(id: &str, secret: &str) -> String {
    use base64::Engine as _;
    let text = format!(
        "{}:{}",
        form(&[(id, "")]).trim_end_matches('='),
        form(&[(secret, "")]).trim_end_matches('=')
    );
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(text))
}

fn error(answer: &(u16, Value)) -> (u16, &str) {
    (answer.0, answer.1["error"].as_str().unwrap_or_default())
}
