//! A user connects a tool server: refused, asked for consent, and from then on with a token. The
//! internet is played by this file, so it runs offline.
//!
//! `cargo run -p doorward-identity --features oauth-client --example oauth`
#![expect(clippy::print_stdout, reason = "it shows something")]

use std::error::Error;
use std::future::ready;
use std::sync::Arc;

use doorward_core::{
    Audience, BoxFuture, Credentials as _, Cx, Principal, Refusal, RequestId, Secret, SystemClock,
    SystemEntropy, TurnId,
};
use doorward_identity::oauth_client::{
    Answer, Ask, Callback, Content, Http, HttpError, MemoryTokens, OAuthClient, Parts, Protected,
    Visitor,
};

const MCP: &str = "https://crm.example/mcp";

/// A tool server and its authorization server.
#[derive(Debug)]
struct Internet;

impl Http for Internet {
    fn send(&self, ask: Ask) -> BoxFuture<'_, Result<Answer, HttpError>> {
        println!("  asked: {}", ask.url);
        let body = match (ask.url.path(), ask.content) {
            ("/.well-known/oauth-protected-resource/mcp", _) => {
                r#"{"resource": "https://crm.example/mcp",
                    "authorization_servers": ["https://as.example"]}"#
            }
            ("/.well-known/oauth-authorization-server", _) => {
                r#"{"issuer": "https://as.example",
                    "authorization_endpoint": "https://as.example/authorize",
                    "token_endpoint": "https://as.example/token",
                    "registration_endpoint": "https://as.example/register",
                    "code_challenge_methods_supported": ["S256"]}"#
            }
            ("/register", _) => r#"{"client_id": "doorward-1", "client_secret": "s"}"#,
            ("/token", Content::Form(_)) => {
                r#"{"access_token": "alices-token", "token_type": "Bearer", "expires_in": 3600}"#
            }
            _ => "{}",
        };
        let answer = Answer { status: 200, location: None, body: body.into() };
        Box::pin(ready(Ok(answer)))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let parts = Parts {
        http: Arc::new(Internet),
        store: Arc::new(MemoryTokens::default()),
        clock: Arc::new(SystemClock),
        entropy: Arc::new(SystemEntropy),
    };
    let client = OAuthClient::builder("https://gateway.example", parts)
        .server("crm", Protected::new(MCP))
        .build()?;

    let (alice, crm) = (cx("alice"), Audience::Server("crm"));
    println!("before: {:?}", client.credential(&alice, crm).await?);

    // The server refuses; the caller is told where to consent.
    let challenges = ["Bearer".to_owned()];
    let refusal = Refusal { status: 401, url: MCP, challenges: &challenges, shown: None };
    let error = client.refused(&alice, crm, refusal).await.err().ok_or("a token from nowhere")?;
    println!("refused: {error}");
    let link = error.consent.ok_or("no link")?;
    let handle = link.rsplit('/').next().unwrap_or_default();

    // The gateway's page sends her on, and she comes back with a code.
    let cookie = Secret::new("of her browser");
    let visitor = Visitor { principal: "alice", session: &cookie };
    let url = client.begin(handle, visitor).await?;
    println!("sent to: {url:.60}…");
    let state = url.split('&').find_map(|pair| pair.strip_prefix("state=")).unwrap_or_default();
    let callback = Callback { state, code: Some("code"), ..Callback::default() };
    println!("connected: {}", client.finish(callback, visitor).await?);

    println!("after: {:?}", client.credential(&alice, crm).await?);
    println!("bob: {:?}", client.credential(&cx("bob"), crm).await?);
    match client.finish(callback, visitor).await {
        Ok(_) => Err("a state was taken twice".into()),
        Err(error) => {
            println!("the same callback again: {error}");
            Ok(())
        }
    }
}

fn cx(who: &str) -> Cx {
    Cx {
        turn: TurnId::random(&SystemEntropy),
        request: RequestId::random(&SystemEntropy),
        principal: Arc::new(Principal::person(who)),
        agent: None,
        conversation_hint: None,
        deadline: None,
        trace: None,
        source: None,
    }
}
