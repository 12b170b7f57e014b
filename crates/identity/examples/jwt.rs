//! Two issuers, one door, no network: who comes in, and who does not.
//!
//! `cargo run -p doorward-identity --features jwt --example jwt`
#![expect(clippy::print_stdout, reason = "an example speaks to its reader")]

use std::error::Error;
use std::sync::Arc;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use doorward_core::{Authenticator, Clock as _, Pattern, Presented, Secret, SystemClock};
use doorward_identity::jwt::{Allowance, Holds, Issuer, Jwt, Keys, Mapping, Revoked};
use doorward_identity::oauth_client::{HyperHttp, Reach};
use serde_json::{Value, json};

const OKTA: &str = "https://acme.okta.com/oauth2/default";
const ENTRA: &str = "https://login.microsoftonline.com/9122040d/v2.0";
const US: &str = "api://doorward";

/// An issuer's key pair. Its public half is in the configuration here; elsewhere it is fetched.
struct Signer(Ed25519KeyPair);

impl Signer {
    fn keys(&self) -> Keys {
        let x = URL_SAFE_NO_PAD.encode(self.0.public_key());
        let key = json!({"kty": "OKP", "crv": "Ed25519", "kid": "k1", "x": x});
        Keys::Inline(json!({"keys": [key]}).to_string())
    }

    fn token(&self, claims: &Value) -> String {
        let header = json!({"alg": "EdDSA", "kid": "k1", "typ": "at+jwt"});
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&header), part(claims));
        let signature = URL_SAFE_NO_PAD.encode(self.0.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let (okta, entra) = (Signer(Ed25519KeyPair::generate()?), Signer(Ed25519KeyPair::generate()?));
    let engineers = Allowance {
        holds: Holds::Group("Engineering".into()),
        team: Some("engineering".into()),
        models: None,
        tools: Some(vec![Pattern::new("tracker__*")]),
    };
    let (clock, revoked) = (Arc::new(SystemClock), Arc::new(Revoked::default()));
    let http = Arc::new(HyperHttp::new(Reach::default(), None)?);
    let jwt = Jwt::builder(http, clock.clone())
        .issuer(
            Issuer::new(OKTA, [US])
                .with_keys(okta.keys())
                .with_mapping(Mapping::okta().with_allowance(engineers)),
        )
        .issuer(Issuer::entra("9122040d", [US]).with_keys(entra.keys()))
        .revocations(revoked.clone())
        .build()?;

    let now = clock.now().as_secs();
    let alice = json!({
        "iss": OKTA, "aud": US, "sub": "alice@example.com", "uid": "00u1", "cid": "0oa1",
        "iat": now, "exp": now + 300, "groups": ["Engineering"],
    });
    let app = json!({
        "iss": ENTRA, "aud": US, "tid": "9122040d", "sub": "o-1", "oid": "o-1", "azp": "app-1",
        "iat": now, "exp": now + 300, "roles": ["Tools.Read"],
    });
    let stale = json!({
        "iss": OKTA, "aud": US, "sub": "alice@example.com", "uid": "00u1", "exp": now - 300,
    });
    for (who, token) in [
        ("Alice of Okta", okta.token(&alice)),
        ("an application of Entra", entra.token(&app)),
        ("Okta's claims with Entra's key", entra.token(&alice)),
        ("Alice, too late", okta.token(&stale)),
    ] {
        println!("{who}: {}", shown(&jwt, &token).await);
    }
    revoked.subject(OKTA, "alice@example.com", clock.now());
    println!("Alice, revoked: {}", shown(&jwt, &okta.token(&alice)).await);
    Ok(())
}

async fn shown(jwt: &Jwt, token: &str) -> String {
    let shown = Presented { token: Some(Secret::new(token)), ..Presented::default() };
    match jwt.authenticate(&shown).await {
        Ok(principal) => {
            let tracker = principal.scopes.allows_tool("tracker__get_issue");
            format!("{:?} {}, may use the tracker: {tracker}", principal.kind, principal.id)
        }
        // The cause is for the log. Callers are told the same whatever it is.
        Err(error) => match &error.source {
            Some(cause) => format!("{error} ({cause})"),
            None => error.to_string(),
        },
    }
}
