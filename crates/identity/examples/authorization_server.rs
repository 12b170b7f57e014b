//! An MCP client registers, a person consents, and a tool server's door knows both; then the
//! client's refresh token is stolen. No network: the browser and the client are played here.
//!
//! `cargo run -p doorward-identity --features oauth-server --example authorization_server`
#![expect(clippy::print_stdout, reason = "an example speaks to its reader")]

use std::error::Error;
use std::sync::Arc;

use doorward_core::{
    Authenticator as _, Pattern, Presented, Principal, Secret, SystemClock, SystemEntropy,
};
use doorward_identity::oauth_client::{HyperHttp, Reach};
use doorward_identity::oauth_server::{
    AccessKey, Authorize, MemoryOAuth, OAuthServer, Parts, ProtectedResource, Registration,
    Request, Scope, SignedIn, SigningKeys,
};
use http::{HeaderMap, Method};
use serde_json::{Value, json};

const MCP: &str = "https://gateway.example/mcp";
const CALLBACK: &str = "http://127.0.0.1:4711/callback";
/// RFC 7636 appendix B: the client keeps the first and shows the second.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

fn server() -> Result<OAuthServer, Box<dyn Error>> {
    let parts = Parts {
        http: Arc::new(HyperHttp::new(Reach::default(), None)?),
        store: Arc::new(MemoryOAuth::default()),
        clock: Arc::new(SystemClock),
        entropy: Arc::new(SystemEntropy),
    };
    let key = AccessKey::from_seed(&AccessKey::seed(&SystemEntropy))?;
    let read = Scope::new("read", "Look things up in the tracker");
    let server = OAuthServer::builder("https://gateway.example", SigningKeys::new(key), parts)
        .scope(read.with_tools([Pattern::new("tracker__get_*")]))
        .resource(ProtectedResource::new("/mcp").with_scopes(["read"]))
        .registration(Registration::default())
        .build()?;
    Ok(server)
}

/// The client posts something.
async fn post(
    server: &OAuthServer,
    (path, kind): (&str, &'static str),
    body: &str,
) -> Result<(u16, Value), Box<dyn Error>> {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", http::HeaderValue::from_static(kind));
    let request = Request {
        method: &Method::POST,
        uri: &path.parse()?,
        headers: &headers,
        body: body.as_bytes(),
        source: None,
        certificate: None,
    };
    let answer = server.respond(request).await;
    let read = serde_json::from_slice(answer.body())?;
    println!("{path}: {}", answer.status());
    Ok((answer.status().as_u16(), read))
}

async fn token(server: &OAuthServer, form: &str) -> Result<(u16, Value), Box<dyn Error>> {
    post(server, ("/oauth/token", "application/x-www-form-urlencoded"), form).await
}

/// Her browser opens the link that the client made; she reads the page and consents.
async fn browse(server: &OAuthServer, client: &str) -> Result<String, Box<dyn Error>> {
    let link = format!(
        "/oauth/authorize?response_type=code&client_id={client}&redirect_uri={CALLBACK}\
         &code_challenge={CHALLENGE}&code_challenge_method=S256&state=xyz&resource={MCP}"
    );
    let headers = HeaderMap::new();
    let request = Request {
        method: &Method::GET,
        uri: &link.parse()?,
        headers: &headers,
        body: &[],
        source: None,
        certificate: None,
    };
    if let Authorize::NeedsLogin { .. } = server.authorize(request, None).await {
        println!("first she signs in at her identity provider");
    }
    let (alice, session) = (Principal::person("alice@corp.example"), Secret::new("her cookie"));
    let signed_in = SignedIn { principal: &alice, session: &session };
    let Authorize::Consent(question) = server.authorize(request, Some(signed_in)).await else {
        return Err("nobody asked her".into());
    };
    println!("`{}` (on her own machine: {}) asks:", question.client_name, question.is_local);
    for (scope, description) in &question.scopes {
        println!("  {scope}: {description}");
    }
    let (id, csrf) = (question.id.expose(), question.csrf.expose());
    let redirect = server.approve(id, signed_in, csrf).await?;
    let (_, query) = redirect.location().split_once('?').ok_or("no answer")?;
    let code = query.split('&').find_map(|pair| pair.strip_prefix("code="));
    Ok(code.ok_or("no code")?.to_owned())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let server = server()?;
    server.refresh().await?;
    println!("401 {}", server.challenge(MCP).ok_or("no such resource")?);

    let said = json!({
        "client_name": "A helpful client", "redirect_uris": [CALLBACK],
        "grant_types": ["authorization_code", "refresh_token"],
        "token_endpoint_auth_method": "none",
    });
    let place = ("/oauth/register", "application/json");
    let (_, client) = post(&server, place, &said.to_string()).await?;
    let client = client["client_id"].as_str().ok_or("not registered")?;

    let code = browse(&server, client).await?;
    let form = format!(
        "grant_type=authorization_code&client_id={client}&code={code}\
         &redirect_uri={CALLBACK}&code_verifier={VERIFIER}"
    );
    let (_, tokens) = token(&server, &form).await?;
    let access = tokens["access_token"].as_str().ok_or("no token")?;
    let refresh = tokens["refresh_token"].as_str().ok_or("no token")?;

    let shown = Presented { token: Some(Secret::new(access)), ..Presented::default() };
    let door = server.authenticator();
    let principal = door.authenticate(&shown).await?;
    println!("{} calls", principal.id);
    println!("  tracker__get_issue: {}", principal.scopes.allows_tool("tracker__get_issue"));
    println!("  mail__send_email: {}", principal.scopes.allows_tool("mail__send_email"));
    if let Err(challenge) = server.admits(&principal, MCP, &["write"]) {
        println!("  with `write`: {} {challenge}", challenge.status());
    }

    println!("her refresh token is stolen, and used three times:");
    let stolen = format!("grant_type=refresh_token&client_id={client}&refresh_token={refresh}");
    let (_, next) = token(&server, &stolen).await?;
    let next = next["refresh_token"].as_str().ok_or("no token")?;
    let own = format!("grant_type=refresh_token&client_id={client}&refresh_token={next}");
    token(&server, &own).await?;
    let (status, refused) = token(&server, &stolen).await?;
    println!("  {}", refused["error"]);
    let known = door.authenticate(&shown).await.is_ok();
    println!("what came of that consent is good: {known}");
    if status == 400 && !known { Ok(()) } else { Err("a stolen token was good".into()) }
}
